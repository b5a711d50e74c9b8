"""The import directions of the four packages, and what the commands must not load."""

import ast
import json
import subprocess
import sys
from collections.abc import Container, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    "prototxt": set(),
    "converters": {"prototxt"},
    "runtime": {"prototxt"},
    "zoo": {"prototxt", "converters", "runtime"},
}
HEAVY = {"torch", "onnxruntime", "onnx", "cv2", "skimage", "numpy", "rich", "google"}
HEAVY |= {"requests", "urllib3", "jinja2"}
FILES = [
    pytest.param(package, path, id=str(path.relative_to(ROOT)))
    for package in ALLOWED
    for path in sorted((ROOT / package).rglob("*.py"))
]


def imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """The top-level package of every absolute import, and whether loading the file runs it."""

    def walk(node: ast.AST, loading: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            inner = loading
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield alias.name.partition(".")[0], loading
            elif isinstance(child, ast.ImportFrom) and child.level == 0:
                yield (child.module or "").partition(".")[0], loading
            elif _runs_later(child):
                inner = False
            yield from walk(child, inner)

    return walk(tree, True)


def _runs_later(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def test_the_walk_tells_loading_from_running():
    source = """
import a
from b.c import d
from . import e
if TYPE_CHECKING:
    import f
class G:
    import g
    def method(self):
        import h
try:
    import i
except ImportError:
    pass
"""
    assert dict(imports(ast.parse(source))) == {
        "a": True,
        "b": True,
        "f": False,
        "g": True,
        "h": False,
        "i": True,
    }


@pytest.mark.parametrize("package", ALLOWED)
def test_every_package_is_there(package):
    assert (ROOT / package / "__init__.py").is_file()


@pytest.mark.parametrize(("package", "path"), FILES)
def test_imports_point_one_way(package, path):
    found = {name for name, _ in imports(ast.parse(path.read_text()))}
    ours = (found & set(ALLOWED)) - {package}
    assert ours <= ALLOWED[package], f"{package} must not import {ours - ALLOWED[package]}"
    if package in ("prototxt", "runtime"):
        assert "torch" not in found


@pytest.mark.parametrize(("package", "path"), FILES)
def test_torch_and_onnxruntime_are_not_loaded_with_a_module(package, path):
    loaded = {name for name, loading in imports(ast.parse(path.read_text())) if loading}
    room = path.relative_to(ROOT).as_posix()
    # Their rooms: files that are themselves imported only by a function that needs them.
    loaded -= ROOMS.get(room, set())
    if room.startswith((*TORCH_ROOMS, MODULES)):
        loaded -= {"torch"}
    assert not loaded & {"torch", "onnxruntime"}


MODULES = "converters/layers/torch/"
ROOMS = {
    "converters/torch_backend.py": {"torch"},
    "runtime/session.py": {"onnxruntime"},
    "zoo/hub/visits.py": {"requests", "urllib3"},  # derives from their classes
    "zoo/reversed/informativeness.py": {"torch"},
    "zoo/reversed/trained_informativeness.py": {"torch", "converters"},  # rules of a reverse
    "zoo/paper/architectures.py": {"converters"},  # the networks, layer by layer
    "zoo/checking/probes.py": {"converters"},  # what a layer may be fed
}


ZOO_ROOMS = {
    "data": {"numpy"},
    "checking": {"numpy"},
    "precision": {"numpy"},
    "inspection": set(),
    "hub": set(),
    "prediction": {"numpy"},
    "importing": set(),
    "training": {"numpy", "torch", "converters", "runtime"},
    "paper": {"numpy"},
    "paper/recipes": {"numpy", "torch", "converters", "runtime"},
    "compression": {"numpy", "torch", "converters", "runtime"},
    "reversed": {"numpy"},
    "gallery": set(),
    "reproduction": {"numpy"},
    "benchmarks": {"numpy"},
    "cli": set(),
}
"""What loading a file of each room may load, heavy as it is. A room may import those that stand
before it, and nobody the commands.
"""


def room_of(path: Path) -> str:
    """``paper/recipes`` of a file in it; empty for what lies in `zoo` itself."""
    return path.relative_to(ROOT / "zoo").parent.as_posix().removeprefix(".")


ZOO_FILES = [
    pytest.param(path, id=path.relative_to(ROOT).as_posix())
    for package, path in (param.values for param in FILES)
    if package == "zoo"
]


def test_every_room_is_known():
    assert {room_of(param.values[0]) for param in ZOO_FILES} - {""} == set(ZOO_ROOMS)


@pytest.mark.parametrize("path", ZOO_FILES)
def test_zoo_loads_nothing_heavy_with_a_module(path):
    room = path.relative_to(ROOT).as_posix()
    allowed = ZOO_ROOMS.get(room_of(path), set()) | ROOMS.get(room, set())
    loaded = {name for name, loading in imports(ast.parse(path.read_text())) if loading}
    assert not (loaded & (HEAVY | {"converters", "runtime"})) - allowed


@pytest.mark.parametrize("path", ZOO_FILES)
def test_rooms_import_only_rooms_before_them(path):
    order = ["", *ZOO_ROOMS]
    own = order.index(room_of(path))
    known = [f"zoo.{room.replace('/', '.')}" for room in ZOO_ROOMS]
    for module in modules(path):
        rooms = [room for room in known if f"{module}.".startswith(f"{room}.")]
        if rooms and path.name != "__main__.py":
            place = order.index(max(rooms, key=len).removeprefix("zoo.").replace(".", "/"))
            assert place <= own, f"{path.relative_to(ROOT)} imports {module}"


def modules(path: Path) -> Iterator[str]:
    """The dotted name of everything of ours that a file imports, whenever that is."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield stem
            yield from (f"{stem}.{alias.name}" for alias in node.names)


MODULE_FILES = sorted((ROOT / MODULES).glob("*.py"))


@pytest.mark.parametrize("path", MODULE_FILES, ids=lambda p: p.name)
def test_the_layers_modules_import_no_layer_types(path):
    """Neither then nor later: they are told what they need, and so make no import circle."""
    allowed = {"converters.shapes"} | {f"{MODULES}{p.stem}".replace("/", ".") for p in MODULE_FILES}
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            above = ["converters", "layers", "torch"][: 4 - node.level]
            found.add(".".join([*above, *filter(None, [node.module])]))
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    assert {name for name in found if name.startswith("converters")} <= allowed


def test_the_layers_modules_are_loaded_only_when_a_network_is_rebuilt():
    for path in sorted((ROOT / "converters").rglob("*.py")):
        room = path.relative_to(ROOT).as_posix()
        if room == "converters/torch_backend.py" or room.startswith(MODULES):
            continue
        for node in ast.parse(path.read_text()).body:
            inner = [node, *node.body] if isinstance(node, ast.If) else [node]
            names = {n.module for n in inner if isinstance(n, ast.ImportFrom) and n.level}
            assert not any((name or "").split(".")[0] == "torch" for name in names), room


def test_rooms_of_torch_are_loaded_by_no_other_room_with_a_module():
    """All of them load torch, so that only a function may import them."""
    for package, path in [param.values for param in FILES]:
        if path.relative_to(ROOT).as_posix().startswith(TORCH_ROOMS):
            continue
        source = ast.parse(path.read_text())
        top = [n for n in source.body if isinstance(n, (ast.Import, ast.ImportFrom))]
        names = {getattr(n, "module", None) or "" for n in top}
        torch = tuple(room.strip("/").replace("/", ".") for room in TORCH_ROOMS)
        assert not any(name.startswith(torch) for name in names), (package, path)


TORCH_ROOMS = (
    "zoo/training/",
    "zoo/paper/recipes/",
    "zoo/compression/",
    "zoo/reversed/informativeness.py",
    "zoo/reversed/trained_informativeness.py",
)


def loaded_by(statement: str, folder: Path) -> set[str]:
    """The top-level modules that a fresh Python has loaded after a statement."""
    script = f"""
import json, sys
try:
    {statement}
except SystemExit as stop:
    assert not stop.code, stop.code
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout.splitlines()[-1]))


@pytest.mark.parametrize("package", ["prototxt", "converters", "runtime", "zoo", "zoo.cli.app"])
def test_importing_a_package_loads_nothing_heavy(package, tmp_path):
    found = loaded_by(f"sys.path.insert(0, {str(ROOT)!r}); import {package}", tmp_path)
    assert not found & HEAVY


def command(*arguments: str) -> str:
    return (
        f"sys.path.insert(0, {str(ROOT)!r}); sys.argv = {['zoo', *arguments]!r}; "
        "import zoo.cli.app; zoo.cli.app.main()"
    )


def test_help_loads_nothing_heavy(tmp_path):
    assert not loaded_by(command("--help"), tmp_path) & HEAVY


def test_converting_evaluating_and_listing_never_load_torch(tmp_path):
    from zoo.paper import architectures

    (tmp_path / "net.prototxt").write_text(architectures.definition("2_2_2", 16))
    converted = loaded_by(command("convert", "net.prototxt", "--json"), tmp_path)
    assert "onnx" in converted
    assert not converted & {"torch", "onnxruntime", "cv2"}
    assert (tmp_path / "net.onnx").is_file()
    evaluated = loaded_by(command("eval", "--model", "net.onnx", "--json"), tmp_path)
    assert "onnxruntime" in evaluated
    assert "torch" not in evaluated
    for arguments in (["layers"], ["inspect", "net.prototxt"], ["inspect", "net.onnx"]):
        assert "torch" not in loaded_by(command(*arguments), tmp_path)


def all_modules() -> dict[str, Path]:
    """Every module of the four packages by its dotted name; a package is its ``__init__``."""
    found = {}
    for param in FILES:
        path = param.values[1]
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name: str, path: Path, known: Container[str]) -> set[str]:
    """The modules among `known` that one names in its imports, wherever in it they stand.

    ``from .a import b`` means ``a.b`` where that is a module, else ``a``.
    """
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            full = {f"{base}.{alias.name}" for alias in node.names}
            found |= {one if one in known else base for one in full}
    return {one for one in found if one in known}


def circles(edges: Mapping[str, set[str]]) -> list[set[str]]:
    """The strongly connected components of more than one module (Tarjan)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(one: str) -> None:
        order[one] = low[one] = len(order)
        stack.append(one)
        for other in sorted(edges[one]):
            if other not in order:
                visit(other)
                low[one] = min(low[one], low[other])
            elif other in stack:
                low[one] = min(low[one], order[other])
        if low[one] == order[one]:
            component = set(stack[stack.index(one) :])
            del stack[stack.index(one) :]
            if len(component) > 1:
                found.append(component)

    for one in edges:
        if one not in order:
            visit(one)
    return found


def test_circles_are_found():
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set(), "f": {"e"}}
    assert circles(edges) == [{"a", "b", "c"}]
    assert circles({**edges, "e": {"d"}}) == [{"d", "e"}, {"a", "b", "c"}]


def test_relative_imports_are_resolved(tmp_path):
    path = tmp_path / "d.py"
    path.write_text(
        "from . import c, nothing\nfrom .. import e\nfrom ..f.g import h\n"
        "def later():\n    import a.b.c\n    from a import i\n"
    )
    known = {"a", "a.b", "a.b.c", "a.e", "a.f.g", "a.i"}
    assert imported("a.b.d", path, known) == {"a.b", "a.b.c", "a.e", "a.f.g", "a.i"}


def test_no_import_circle_even_in_functions_and_for_types():
    files = all_modules()
    found = circles({name: imported(name, path, files) for name, path in files.items()})
    assert found == []


def test_no_file_is_longer_than_500_lines():
    run = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        pytest.skip("not a git checkout")
    sources = [ROOT / name for name in run.stdout.splitlines() if name.endswith((".py", ".js"))]
    long = {p.name: n for p in sources if (n := len(p.read_text().splitlines())) > 500}
    assert not long
