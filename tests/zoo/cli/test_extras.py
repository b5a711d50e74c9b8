"""Which package belongs to which extra, and what a person reads where one is not installed."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import converters
import prototxt
import runtime
from zoo import extras
from zoo.paper import architectures

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = ("prototxt", "converters", "runtime", "zoo")
OPTIONAL = [name for name, package in extras.PACKAGES.items() if package.extra]


def names(requirements: list[str]) -> set[str]:
    """What is required, without versions; of our own extras what they require."""
    found: set[str] = set()
    for line in requirements:
        name, chosen = re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?", line).groups()
        if name == PROJECT["name"]:
            for extra in chosen.split(","):
                found |= names(PROJECT["optional-dependencies"][extra])
        else:
            found.add(name)
    return found


def test_the_table_and_the_extras_agree():
    """Each package is in the base or in its extra; nothing is required that no code imports."""
    by_extra: dict[str, set[str]] = {}
    for package in extras.PACKAGES.values():
        by_extra.setdefault(package.extra, set()).add(package.name)
    optional = PROJECT["optional-dependencies"]
    assert names(PROJECT["dependencies"]) == by_extra.pop("")
    assert by_extra.keys() <= optional.keys()
    for extra, packages in by_extra.items():
        assert packages <= names(optional[extra]), extra
    everything = set().union(*by_extra.values())
    assert names(optional["all"]) == everything <= names(optional["test"])
    assert not names(PROJECT["dependencies"]) & everything


def test_training_needs_no_other_extra():
    """The curve of the loss is drawn, and databases are read, without `figures` and `data`."""
    assert {"torch", "matplotlib", "lmdb", "h5py"} <= names(
        PROJECT["optional-dependencies"]["train"]
    )


def third_party(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - set(OURS)


LOADED_BY_OTHERS = {"huggingface_hub", "s3fs", "OpenSSL"}
"""fsspec imports two of them where an address wants them, model-signing the third."""


def test_every_import_is_in_the_table():
    found = {
        name for room in OURS for path in (ROOT / room).rglob("*.py") for name in third_party(path)
    }
    assert found | LOADED_BY_OTHERS == extras.PACKAGES.keys()


ROOMS = {
    "torch": ("converters/", "zoo/"),
    "matplotlib": ("zoo/",),
    "pytorch_optimizer": ("zoo/paper/recipes/learning.py",),
    "PIL": ("zoo/paper/formats.py", "zoo/paper/rates.py"),
    "bjontegaard": ("zoo/paper/formats.py",),
    "pytorch_msssim": ("zoo/paper/formats.py",),
    "skimage": ("runtime/metrics.py",),
    "jinja2": ("zoo/gallery/",),
    "markdown_it": ("zoo/gallery/",),
    "markupsafe": ("zoo/gallery/",),
    "fsspec": ("zoo/hub/remotes.py",),
    "huggingface_hub": (),
    "s3fs": (),
    "OpenSSL": (),
    "cryptography": ("zoo/hub/signing.py",),
    "model_signing": ("zoo/hub/signing.py",),
    "lmdb": ("zoo/data/",),
    "h5py": ("prototxt/",),
    "openvino": ("zoo/checking/runtimes.py", "zoo/benchmarks/contestants.py"),
}
"""Where a package of an extra may be imported."""


def test_packages_of_extras_stay_in_their_rooms():
    assert ROOMS.keys() == set(OPTIONAL)
    for room in OURS:
        for path in (ROOT / room).rglob("*.py"):
            for name in third_party(path) & ROOMS.keys():
                place = path.relative_to(ROOT).as_posix()
                assert place.startswith(ROOMS[name]), (place, name)


def test_the_tested_torch_is_one_that_the_extra_allows():
    (line,) = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert line == "torch==2.13.0"
    assert "torch>=2.6" in PROJECT["optional-dependencies"]["train"]


def test_the_base_for_plain_onnxruntime_is_the_base_otherwise():
    lines = (ROOT / "requirements-cpu.txt").read_text().splitlines()
    given = [line for line in lines if not line.startswith("#")]
    base = [line.replace("onnxruntime-gpu", "onnxruntime") for line in PROJECT["dependencies"]]
    assert given == base


BLOCKED = """
import sys
sys.path.insert(0, {root!r})
for name in {modules!r}:
    sys.modules[name] = None
sys.argv = ["zoo", *{arguments!r}]
import zoo.cli.app
zoo.cli.app.main()
"""


def without(modules: list[str], arguments: list[str], folder: Path) -> subprocess.CompletedProcess:
    """What a command does in a Python that lacks the modules."""
    script = BLOCKED.format(root=str(ROOT), modules=modules, arguments=arguments)
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A network, its model, a file that claims to be HDF5, a folder of images."""
    net = tmp_path / "net.prototxt"
    net.write_text(architectures.definition("2_3_4", 16))
    graph = converters.build_graph(prototxt.read_net(net).select("TEST"))
    (tmp_path / "net.onnx").write_bytes(converters.to_onnx(graph).SerializeToString())
    (tmp_path / "net.caffemodel.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.png").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("module", "command", "arguments", "package", "extra"),
    [
        ("torch", "train", "--arch 8_8_8 -o out", "torch", "train"),
        ("torch", "verify", "net.prototxt net.onnx", "torch", "train"),
        ("torch", "informativeness", "--arch 8_8_8", "torch", "train"),
        ("torch", "bench", "--suite train --quick", "torch", "train"),
        ("matplotlib", "train", "--arch 8_8_8 --iterations 1 -o out", "matplotlib", "figures"),
        ("matplotlib", "table2", "-o out", "matplotlib", "figures"),
        ("matplotlib", "rate", "-o out", "matplotlib", "figures"),
        ("PIL", "rate", "", "pillow", "figures"),
        ("skimage", "rate", "", "scikit-image", "figures"),
        ("h5py", "convert", "net.prototxt --weights net.caffemodel.h5 -o out", "h5py", "data"),
        ("lmdb", "data build", "photos out", "lmdb", "data"),
        ("jinja2", "publish", "--gallery --hub .", "jinja2", "gallery"),
        ("markdown_it", "publish", "--gallery --hub .", "markdown-it-py", "gallery"),
        ("markupsafe", "publish", "--gallery --hub .", "markupsafe", "gallery"),
    ],
)
def test_what_is_missing_is_one_line(folder, module, command, arguments, package, extra):
    (folder / "index.json").write_text('{"schema": 1, "models": []}')
    run = without([module], [*command.split(), *arguments.split()], folder)
    expected = (
        f"error: zoo {command}: needs {package}, which is not installed; "
        f"pip install 'caffe-zoo[{extra}]'\n"
    )
    assert (run.stderr, run.stdout, run.returncode) == (expected, "", 1)
    assert not (folder / "out").exists()


def test_a_package_of_the_base_is_named_as_well(folder):
    run = without(["onnxruntime"], ["eval", "--arch", "8_8_8"], folder)
    assert run.stderr == (
        "error: zoo eval: needs onnxruntime-gpu, which is not installed; "
        "pip install onnxruntime-gpu\n"
    )
    assert run.returncode == 1


@pytest.mark.slow
def test_the_base_does_what_it_is_for(folder):
    """Not one package of an extra is there."""
    for line in (
        "convert net.prototxt -o new.onnx",
        "inspect net.prototxt",
        "inspect net.onnx",
        "prototxt --arch 8_8_8",
        "layers",
        "list",
        "pull 8_8_8 -o pulled",
        "eval --arch 8_8_8",
        f"reconstruct {ROOT}/runtime/samples/coffee.png -o pictures",
        f"encode {ROOT}/runtime/samples/coffee.png --arch 8_8_8 -o c.switches",
        "decode c.switches -o c.png",
    ):
        run = without(OPTIONAL, line.split(), folder)
        assert (run.returncode, run.stderr) == (0, ""), line


def given(folder: Path) -> Path:
    """Inputs, and outputs as the model gives them."""
    model = runtime.load(folder / "net.onnx", "cpu")
    image = np.random.default_rng(0).normal(0, 64, (1, 3, 16, 16)).astype(np.float32)
    path = folder / "io.npz"
    found = model.run({"data": image})
    np.savez(path, **{"in.data": image}, **{f"out.{name}": blob for name, blob in found.items()})
    return path


def test_given_outputs_are_verified_without_torch(folder):
    given(folder)
    arguments = ["verify", "net.prototxt", "net.onnx", "--inputs", "io.npz"]
    run = without(["torch"], arguments, folder)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines()[-1] == (
        "note: PyTorch is not installed: compared with the given outputs alone, and no difference "
        "is excused as rounding; pip install 'caffe-zoo[train]'"
    )
    arrays = dict(np.load(folder / "io.npz"))
    arrays["out.deconv1_2"] = arrays["out.deconv1_2"] + 1
    np.savez(folder / "io.npz", **arrays)
    run = without(["torch"], arguments, folder)
    assert run.returncode == 1
    assert "blob 'deconv1_2' departs, onnx against given" in run.stderr
    assert run.stderr.count("\n") == 1


def test_given_inputs_alone_need_torch(folder):
    np.savez(folder / "in.npz", data=np.zeros((1, 3, 16, 16), np.float32))
    run = without(["torch"], ["verify", "net.prototxt", "net.onnx", "--inputs", "in.npz"], folder)
    assert run.stderr.startswith("error: zoo verify: needs torch, which is not installed")


def test_with_torch_nothing_is_noted(zoo, small):
    assert zoo("convert", small).status == 0
    assert zoo("verify", small, "small.onnx", "--json").json["notes"] == []


@pytest.mark.parametrize("module", ["torch", "torch.nn", "skimage.metrics", "google.protobuf"])
def test_submodules_are_told_by_their_package(module):
    line = extras.remedy(ModuleNotFoundError("no", name=module))
    assert line is not None and line.startswith(
        f"needs {extras.PACKAGES[module.split('.')[0]].name},"
    )


@pytest.mark.parametrize("name", [None, "", "converters", "of_a_plugin"])
def test_other_modules_are_not_ours_to_explain(name):
    assert extras.remedy(ModuleNotFoundError("no", name=name)) is None


def test_a_library_raises_what_python_raises(tmp_path):
    """Nobody who calls the library reads of a command's extras."""
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.modules['torch'] = None\n"
        "import converters, prototxt\n"
        "from zoo.paper import architectures\n"
        "net = prototxt.parse_net(architectures.definition('2_3_4', 16)).select('TEST')\n"
        "try:\n    converters.to_torch(converters.build_graph(net))\n"
        "except ModuleNotFoundError as error:\n    print(error.name)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert run.stdout == "torch\n", run.stderr


def test_require_is_silent_where_all_is_there():
    extras.require("numpy", "onnx")
    with pytest.raises(ModuleNotFoundError) as caught:
        extras.require("numpy", "no_such_module", "another")
    assert caught.value.name == "no_such_module"
