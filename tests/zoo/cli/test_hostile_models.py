"""Models that mean harm: each command ends soon, in one line, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import runtime
from tests.command import Run

ROOT = Path(__file__).resolve().parents[3]
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
info, node = helper.make_tensor_value_info, helper.make_node

METADATA = {
    "zoo.mean": "104,117,123",
    "zoo.input_size": "8x8",
    "zoo.channel_order": "BGR",
    "zoo.weights": "caffemodel",
    "zoo.version": "1",
    "caffe.prototxt": "net.prototxt",
}


def numbers(name: str, value: object) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value), name)


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: Sequence[onnx.TensorProto] = (),
    functions: Sequence[onnx.FunctionProto] = (),
    metadata: dict[str, str] | None = None,
    inputs: Sequence[onnx.ValueInfoProto] | None = None,
) -> onnx.ModelProto:
    """A network from images of 8x8, `data`, to images of 8x8, `y`."""
    shape = ["batch", 3, 8, 8]
    data = [info("data", FLOAT, shape)] if inputs is None else inputs
    graph = helper.make_graph(nodes, "g", data, [info("y", FLOAT, shape)], constants)
    domains = [helper.make_opsetid("", 18), *([helper.make_opsetid("f", 1)] if functions else [])]
    made = helper.make_model(graph, opset_imports=domains, functions=functions, ir_version=9)
    helper.set_model_props(made, {**METADATA, **(metadata or {})})
    return made


def identity(**how: object) -> onnx.ModelProto:
    return model([node("Relu", ["data"], ["y"], "relu")], **how)  # type: ignore[arg-type]


def plus_greatest(nodes: Sequence[onnx.NodeProto], *constants: onnx.TensorProto) -> onnx.ModelProto:
    """Data plus the greatest of what the nodes make as `big`."""
    end = [node("ReduceMax", ["big"], ["top"], keepdims=0), node("Add", ["data", "top"], ["y"])]
    return model([*nodes, *end], constants)


def loop() -> onnx.ModelProto:
    body = helper.make_graph(
        [node("Identity", ["c"], ["c2"]), node("Mul", ["v", "half"], ["v2"])],
        "body",
        [info("i", INT64, []), info("c", TensorProto.BOOL, []), info("v", FLOAT, None)],
        [info("c2", TensorProto.BOOL, []), info("v2", FLOAT, None)],
    )
    constants = [numbers("trips", np.int64(2**62)), numbers("true", np.True_)]
    constants.append(numbers("half", np.float32(0.5)))
    return model([node("Loop", ["trips", "true", "data"], ["y"], "loop", body=body)], constants)


def branches(depth: int) -> onnx.ModelProto:
    def graph(nodes: list[onnx.NodeProto]) -> onnx.GraphProto:
        return helper.make_graph(nodes, "g", [], [info("q", FLOAT, None)])

    inner, other = (graph([node("Identity", ["data"], ["q"])]) for _ in range(2))
    for _ in range(depth):
        inner = graph([node("If", ["t"], ["q"], then_branch=inner, else_branch=other)])
    return model([*inner.node, node("Relu", ["q"], ["y"])], [numbers("t", np.True_)])


def functions() -> onnx.ModelProto:
    """Forty functions, each of which calls the one before twice."""
    domains = [helper.make_opsetid("", 18), helper.make_opsetid("f", 1)]
    made = [helper.make_function("f", "f0", ["x"], ["y"], [node("Relu", ["x"], ["y"])], domains)]
    for number in range(1, 41):
        name = f"f{number - 1}"
        calls = [node(name, ["x"], ["t"], domain="f"), node(name, ["t"], ["y"], domain="f")]
        made.append(helper.make_function("f", f"f{number}", ["x"], ["y"], calls, domains))
    return model([node("f40", ["data"], ["y"], domain="f")], functions=made)


def of_shape(operator: str, count: int) -> onnx.ModelProto:
    shape = numbers("shape", np.array([count], np.int64))
    if operator == "Expand":
        made = node("Expand", ["one", "shape"], ["big"])
        return plus_greatest([made], shape, numbers("one", np.float32([1])))
    return plus_greatest([node(operator, ["shape"], ["big"])], shape)


def counted(count: int) -> onnx.ModelProto:
    ends = [numbers(name, np.int64(end)) for name, end in (("a", 0), ("z", count), ("s", 1))]
    made = [node("Range", ["a", "z", "s"], ["whole"]), node("Cast", ["whole"], ["big"], to=FLOAT)]
    return plus_greatest(made, *ends)


def multiplied() -> onnx.ModelProto:
    """Two matrices that fit into memory, and hours of multiplications."""
    made = [node("ConstantOfShape", ["shape"], ["a"])]
    made += [node("MatMul", ["a", "a" if i == 0 else f"a{i}"], [f"a{i + 1}"]) for i in range(40)]
    made.append(node("Identity", ["a40"], ["big"]))
    return plus_greatest(made, numbers("shape", np.array([4000, 4000], np.int64)))


def elsewhere(place: str) -> onnx.ModelProto:
    tensor = TensorProto(
        name="w", data_type=FLOAT, dims=[3, 8, 8], data_location=TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value=place)
    return model([node("Add", ["data", "w"], ["y"])], [tensor])


def limited(*command: object, folder: Path) -> tuple[int, str, str]:
    """The command in a process of its own, of which no call may take more than 1.4 seconds."""
    script = (
        "from runtime import limits; limits.SECONDS = 1.4; from zoo.cli.app import main; main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp")}
    environment |= {"HOME": str(folder / "home")}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    environment.pop("ZOO_DEBUG", None)
    for name in ("tmp", "home"):
        (folder / name).mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        cwd=folder,
    )
    # Neither libraries nor whoever was ended leaves anything there.
    assert [path for name in ("tmp", "home") for path in (folder / name).rglob("*")] == []
    return done.returncode, done.stdout, done.stderr.removeprefix("error: ")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    runtime.write_png(path, np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8))
    return path


def refused(run: Run) -> str:
    return run.refusal.removeprefix("error: ")


LATE = "m.onnx: takes more than 1 seconds of processor time to be {}; if you trust it, give --trust"
LARGE = "m.onnx: needs more than the "


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds to limits of memory")
@pytest.mark.parametrize(
    ("made", "command", "said"),
    [
        (loop, "eval", LATE.format("run")),
        (loop, "publish", LATE.format("run")),
        (loop, "run", LATE.format("run")),
        (functions, "reconstruct", LATE.format("loaded")),
        (functions, "publish", LATE.format("checked")),
        (functions, "inspect", LATE.format("measured")),
        (multiplied, "eval", LATE.format("loaded")),
        (lambda: of_shape("Expand", 2**31), "eval", LARGE),
        (lambda: of_shape("ConstantOfShape", 2**40), "publish", LARGE),
        (lambda: counted(2**40), "eval", LARGE),
    ],
)
def test_what_has_no_end(
    made: Callable[[], onnx.ModelProto], command: str, said: str, photo: Path, tmp_path: Path
) -> None:
    onnx.save(made(), tmp_path / "m.onnx")
    before = sorted(tmp_path.iterdir())
    line = {
        "eval": ["--model", "m.onnx", "--data", photo],
        "reconstruct": [photo, "--model", "m.onnx", "-o", "out"],
        "publish": ["m.onnx", "--hub", "hub"],
        "run": ["m.onnx", photo],
        "inspect": ["m.onnx"],
    }[command]
    status, out, error = limited(command, *line, folder=tmp_path)
    assert (status, out) == (1, "")
    assert error.startswith(said) and error.count("\n") == 1
    assert sorted(set(tmp_path.iterdir()) - {tmp_path / "tmp", tmp_path / "home"}) == before


@pytest.mark.parametrize("made", [loop, lambda: counted(2**40)])
def test_it_is_inspected_without_being_run(
    made: Callable[[], onnx.ModelProto], tmp_path: Path
) -> None:
    onnx.save(made(), tmp_path / "m.onnx")
    status, out, error = limited("inspect", "m.onnx", folder=tmp_path)
    assert (status, error) == (0, "")
    assert "zoo.input_size" in out


def test_ordinary_models_of_others_run(photo: Path, tmp_path: Path) -> None:
    """What branches is no harm; and nothing is written for ONNX Runtime, nor is home."""
    onnx.save(branches(25), tmp_path / "m.onnx")
    for more in ((), ("--trust",)):
        status, out, error = limited(
            "eval", "--model", "m.onnx", "--data", photo, *more, folder=tmp_path
        )
        assert (status, error) == (0, "")
        assert out.startswith("RMSE ")


def test_what_fails_while_it_runs_logs_nothing(zoo, photo, tmp_path, capfd) -> None:
    places = numbers("places", np.full((1, 3, 8, 8), 2**40))
    beyond = node("ScatterElements", ["data", "places", "data"], ["y"], "beyond", axis=3)
    onnx.save(model([beyond], [places]), "m.onnx")
    refusal = refused(zoo("eval", "--model", "m.onnx", "--data", photo))
    assert refusal.startswith("m.onnx: cannot be run: ScatterElements node. Name:'beyond' ")
    assert "onnxruntime" not in refusal and "Non-zero status" not in refusal
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("place", ["../secret.bin", "/dev/zero", "link.bin"])
def test_weights_elsewhere_are_not_read(zoo, photo, tmp_path, place) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    np.arange(192, dtype=np.float32).tofile(tmp_path / "secret.bin")
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    onnx.save(elsewhere(place), folder / "m.onnx")
    path = folder / "m.onnx"
    for command in (
        ("eval", "--model", path, "--data", photo),
        ("reconstruct", photo, "--model", path, "-o", "out"),
        ("encode", photo, "--model", path, "-o", "out.switches"),
        ("publish", path, "--hub", "hub"),
        ("run", path, photo),
    ):
        assert refused(zoo(*command)).startswith(f"{path}: cannot be ")


def test_numbers_that_are_none(zoo, photo, tmp_path) -> None:
    onnx.save(
        model([node("Mul", ["data", "w"], ["y"])], [numbers("w", np.float32("nan"))]), "m.onnx"
    )
    said = "its weights are not sound, or it is fed otherwise than it was trained"
    assert refused(zoo("eval", "--model", "m.onnx", "--data", photo)) == (
        f"m.onnx: gives NaN of {photo}; {said}"
    )
    assert refused(zoo("run", "m.onnx", photo)) == f"m.onnx: gives NaN; {said}"
    assert refused(zoo("reconstruct", photo, "--model", "m.onnx", "-o", "out")) == (
        f"m.onnx: gives NaN of an image; {said}"
    )
    onnx.save(
        model([node("Mul", ["data", "w"], ["y"])], [numbers("w", np.float32("inf"))]), "m.onnx"
    )
    refusal = refused(zoo("eval", "--model", "m.onnx", "--data", photo))
    assert refusal.startswith("m.onnx: gives ")
    assert not (tmp_path / "out").exists()


def test_switches_of_weights_that_are_no_numbers(zoo, small, photo, tmp_path) -> None:
    assert zoo("convert", small, "--mean", "1,2,3").status == 0
    sound = onnx.load("small.onnx")
    assert zoo("encode", photo, "--model", "small.onnx", "-o", "s.switches").status == 0
    for tensor in sound.graph.initializer:
        if tensor.name.endswith("conv1_1.weight"):
            spoilt = numpy_helper.to_array(tensor).copy()
            spoilt[0] = np.nan
            tensor.CopyFrom(numbers(tensor.name, spoilt))
            break
    else:
        raise AssertionError("no such weights")
    onnx.save(sound, "nan.onnx")
    assert refused(zoo("encode", photo, "--model", "nan.onnx", "-o", "n.switches")) == (
        f"nan.onnx: its weights {tensor.name!r} are not finite; convert it again, of sound weights"
    )
    assert not (tmp_path / "n.switches").exists()


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"zoo.scale": "abc"}, "its zoo.scale is 'abc', not a number other than 0"),
        ({"zoo.scale": "nan"}, "its zoo.scale is 'nan', not a number other than 0"),
        ({"zoo.scale": "0"}, "its zoo.scale is '0', not a number other than 0"),
        ({"zoo.mean": "mean.npy"}, "its zoo.mean is 'mean.npy', not numbers with commas"),
        ({"zoo.mean": "1,inf,2"}, "its zoo.mean is '1,inf,2', not numbers with commas"),
        ({"zoo.channel_order": "XYZ"}, "its zoo.channel_order is 'XYZ', not BGR or RGB or GRAY"),
        (
            {"zoo.input_size": "1" * 5000 + "x1"},
            f"its zoo.input_size is '{'1' * 40}...', not HEIGHTxWIDTH of up to 64 Mi pixels",
        ),
        (
            {"zoo.resize_size": "30000x30000"},
            "its zoo.resize_size is '30000x30000', not HEIGHTxWIDTH of up to 64 Mi pixels",
        ),
        (
            {"zoo.resize_size": "4x4", "zoo.crop": "8x8"},
            "its zoo.crop, 8x8, is larger than its zoo.resize_size, 4x4",
        ),
    ],
)
def test_metadata_that_no_conversion_writes(zoo, photo, tmp_path, stated, said) -> None:
    np.save(tmp_path / "mean.npy", np.zeros((3, 8, 8), np.float32))
    onnx.save(identity(metadata=stated), "m.onnx")
    for command in (
        ("eval", "--model", "m.onnx", "--data", photo),
        ("publish", "m.onnx", "--hub", "hub"),
        ("encode", photo, "--model", "m.onnx", "-o", "out.switches"),
    ):
        assert refused(zoo(*command)) == f"m.onnx: {said}; convert it again"
    assert zoo("inspect", "m.onnx").status == 0  # which shows what it states


def test_an_arch_that_is_none(zoo, photo) -> None:
    onnx.save(identity(metadata={"zoo.arch": "0_0_0"}), "m.onnx")
    refusal = refused(zoo("eval", "--model", "m.onnx", "--data", photo))
    assert refusal.startswith("m.onnx: its zoo.arch: arch '0_0_0' is not of the form n1_n2_n3; ")


def test_inputs_that_are_no_images(zoo, photo, tmp_path) -> None:
    text = info("data", TensorProto.STRING, ["batch", 3, 8, 8])
    many = helper.make_tensor_sequence_value_info("data", FLOAT, None)
    for odd, kind, nodes in (
        (text, "tensor(string)", [node("Identity", ["data"], ["y"])]),
        (many, "seq(tensor(float))", [node("SequenceAt", ["data", "i"], ["y"])]),
    ):
        made = model(nodes, [numbers("i", np.int64(0))], inputs=[odd])
        if odd is text:
            made.graph.output[0].type.CopyFrom(text.type)
        onnx.save(made, "m.onnx")
        assert refused(zoo("publish", "m.onnx", "--hub", "hub")) == (
            f"m.onnx: its input 'data' is {kind}, not a tensor of numbers"
        )
        assert zoo("inspect", "m.onnx").status == 0
    given = info("data", FLOAT, [1, 3, 8, 8])
    constant = [numbers("data", np.zeros((1, 3, 8, 8), np.float32))]
    onnx.save(model([node("Relu", ["data"], ["y"])], constant, inputs=[given]), "m.onnx")
    assert refused(zoo("publish", "m.onnx", "--hub", "hub")).startswith("m.onnx: has no inputs")
    assert not (tmp_path / "hub").exists()


def test_what_is_no_node_is_inspected(zoo, tmp_path) -> None:
    made = model([node("Conv", ["data"], ["y"], "c")])
    made.graph.input[0].type.tensor_type.elem_type = 99
    onnx.save(made, "m.onnx")
    data = zoo("inspect", "m.onnx", "--json").json
    assert data["inputs"][0]["dtype"] == "tensor"
    assert data["nodes"][0]["macs"] is None


def test_names_of_metadata_are_shown_by_their_escapes(zoo) -> None:
    onnx.save(identity(metadata={"\x1b[31mred": "\u202egnp.exe"}), "m.onnx")
    out = zoo("inspect", "m.onnx").out
    assert "\\x1b[31mred" in out and "\\u202egnp.exe" in out
    assert out.replace("\n", "").isprintable()


def test_a_model_that_branches_is_not_verified(zoo, tmp_path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "net.prototxt").write_text(
        'input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 } '
        'layer { name: "relu" type: "ReLU" bottom: "data" top: "y" }'
    )
    onnx.save(branches(2), "m.onnx")
    assert refused(zoo("verify", "net.prototxt", "m.onnx")).startswith("m.onnx: has a branch (If)")
