"""What there is to show that a layer type is right, counted from the tests themselves.

    python -m tests.evidence      writes zoo/checking/evidence.json and LAYERS.md

By layer type: cases that Caffe itself computed (tests/goldens/layers and nets), trainings that
Caffe itself ran (training and solvers), and test functions that are marked `oracle` or `gradient`
and name the type, as `type: "X"` or "X", in their own text or in what they use of their module.
A function that awaits an error shows nothing of numbers and is not counted.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import converters
import prototxt
from converters.registry import find

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
GOLDENS = TESTS / "goldens"
NAMED = re.compile(r'\btype: ?"(\w+)"')


def counted() -> dict[str, dict[str, int]]:
    """Of every registered type with any evidence at all, how much of each kind; sorted."""
    found = {
        "goldens": goldens(),
        "trainings": trainings(),
        "oracles": tests("oracle"),
        "gradients": tests("gradient"),
    }
    rows = {}
    for info in sorted(converters.layer_types(), key=lambda info: info.type):
        # Inputs compute nothing, and what is not converted is not compared, whoever names them.
        kinds = ("goldens", "trainings") if is_input(info.type) or not info.onnx else found
        name = info.type.rpartition(".")[2]  # of Python layers the class
        rows[info.type] = {kind: found[kind][name] if kind in kinds else 0 for kind in found}
    return {name: row for name, row in rows.items() if any(row.values())}


def goldens() -> Counter[str]:
    """Cases that run the type: pruned layers are not among them."""
    found: Counter[str] = Counter()
    for folder in sorted(p.parent for p in GOLDENS.glob("*/*/io.npz")):
        if folder.parent.name in ("layers", "nets"):
            found.update(case_types(folder))
    return found


def case_types(folder: Path) -> set[str]:
    import numpy as np

    with np.load(folder / "io.npz") as io:
        outputs = [name[4:] for name in io.files if name.startswith("out.")]
    weights = folder / "net.caffemodel"
    graph = converters.load_graph(
        folder / "net.prototxt", weights if weights.exists() else None, outputs=outputs
    )
    net = prototxt.read_net(folder / "net.prototxt").select("TEST")
    fed = {value.name for value in graph.inputs}
    sources = {layer.type for layer in net.layers if fed & set(layer.tops) and is_input(layer.type)}
    return {node.type for node in graph.nodes} | sources


def is_input(name: str) -> bool:
    kind = find(name)
    return kind is not None and kind.is_input


def trainings() -> Counter[str]:
    """Solver runs whose network, as it is trained, has the type."""
    found: Counter[str] = Counter()
    for kind in ("training", "solvers"):
        for path in sorted(GOLDENS.glob(f"{kind}/*/net.prototxt")):
            found.update({layer.type for layer in prototxt.read_net(path).select("TRAIN").layers})
    return found


def tests(mark: str) -> Counter[str]:
    """Test functions of that mark, by the types that they name."""
    paths = sorted(TESTS.rglob("test_*.py"))
    return sum((marked(ast.parse(path.read_text()), mark) for path in paths), Counter())


def marked(tree: ast.Module, mark: str) -> Counter[str]:
    """The same of one module."""
    found: Counter[str] = Counter()
    marks = next((node for node in tree.body if assigns(node, "pytestmark")), None)
    whole = marks is not None and mark in attributes(marks)
    for node in tree.body:
        if not (isinstance(node, ast.FunctionDef) and node.name.startswith("test_")):
            continue
        counts = whole or any(mark in attributes(one) for one in node.decorator_list)
        if counts and "raises" not in attributes(node):
            found.update(named(node, tree))
    return found


def assigns(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == name for target in node.targets
    )


def attributes(node: ast.AST) -> set[str]:
    return {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}


def named(function: ast.FunctionDef, tree: ast.Module) -> set[str]:
    """The types that a function names, itself or in what it uses of its module."""
    homes: dict[str, ast.AST] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            homes[node.name] = node
        elif isinstance(node, ast.Assign):
            homes.update({t.id: node for t in node.targets if isinstance(t, ast.Name)})
    seen: set[int] = set()
    waiting: list[ast.AST] = [function]
    found: set[str] = set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and part.id in homes:
                waiting.append(homes[part.id])
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                found.update(types_in(part.value))
    return found


def types_in(text: str) -> Iterator[str]:
    yield from NAMED.findall(text)
    if text.partition("/")[0].isidentifier():
        yield text


def as_text(rows: dict[str, dict[str, int]]) -> str:
    lines = [f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    from zoo.checking import layer_table
    from zoo.cli.spelling import spelled

    (ROOT / "zoo/checking/evidence.json").write_text(as_text(counted()))
    (ROOT / "LAYERS.md").write_text(spelled(layer_table.markdown(layer_table.rows())))


if __name__ == "__main__":
    main()
