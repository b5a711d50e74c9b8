"""A command parses its options, calls the library, prints: what there is to compute stands in the
room of its subject, where other code can call it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoo.cli

FOLDER = Path(zoo.cli.__file__).parent
MACHINERY = {"__init__", "app", "console", "failures", "options"}
COMMANDS = sorted(path for path in FOLDER.glob("*.py") if path.stem not in MACHINERY)

COMPUTING = {"numpy", "cv2", "onnx", "onnxruntime", "torch", "PIL", "lmdb", "matplotlib", "io"}
READING = {
    "open",
    "exists",
    "is_dir",
    "is_file",
    "iterdir",
    "glob",
    "mkdir",
    "make_folder",
    "read_bytes",
    "read_text",
    "write_bytes",
    "write_text",
    "write_png",
    "atomic_write",
    "atomic_write_all",
    "read_image",
    "list_images",
}
"""Calls that a command leaves to the library: what it reads and writes are files of the subject."""
LINES = 50
"""Of a function, from the end of its docstring: a call of the library is easily twenty."""
LOOPS = 2
"""`for` and `while` statements in a function; printing a result may want some."""


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node


def body_lines(function: ast.FunctionDef) -> int:
    first = function.body[0]
    described = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    begin = (first.end_lineno or 0) + 1 if described else first.lineno
    return (function.end_lineno or 0) + 1 - begin


def named(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_a_command_computes_nothing(path):
    assert not set(imported(ast.parse(path.read_text(encoding="utf-8")))) & COMPUTING


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_a_command_touches_no_files(path):
    calls = [node for function in functions(path) for node in ast.walk(function)]
    found = {named(call) for call in calls if isinstance(call, ast.Call)} & READING
    assert not found


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_a_command_is_short(path):
    for function in functions(path):
        assert body_lines(function) <= LINES, function.name
        loops = [n for n in ast.walk(function) if isinstance(n, ast.For | ast.While)]
        assert len(loops) <= LOOPS, function.name


def test_lines_are_counted_from_the_docstring():
    source = ast.parse('def f(\n    a,\n):\n    """x\n    y"""\n    b = a\n    return b\n')
    function = source.body[0]
    assert isinstance(function, ast.FunctionDef)
    assert body_lines(function) == 2
