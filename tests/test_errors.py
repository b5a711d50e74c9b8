"""What every error carries, and what the code of the four packages must not do with their texts."""

import ast
import importlib
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import converters
import prototxt
import runtime
from converters.errors import NeedsShape, UnsupportedLayers
from prototxt.errors import (
    Argument,
    FormatError,
    Function,
    Note,
    Position,
    Sentence,
    UsageError,
    ZooError,
)
from runtime import InferenceError
from zoo.cli.app import app
from zoo.cli.failures import explain
from zoo.cli.spelling import COMMANDS, OPTIONS, spelled
from zoo.errors import HubError

ROOT = Path(__file__).resolve().parents[1]
PLACE = Position("net.prototxt", 312, 5)


def test_an_error_is_its_fields_in_one_line():
    error = ZooError("what is wrong", subject="layer 'x' (T)", position=PLACE, remedy="what to do")
    assert str(error) == "net.prototxt:312:5: layer 'x' (T): what is wrong; what to do"
    assert (error.subject, error.position) == ("layer 'x' (T)", PLACE)
    assert (error.message, error.remedy) == ("what is wrong", "what to do")
    assert str(ZooError("plain")) == "plain"
    assert str(ZooError("no such file", subject=Path("a/b"))) == "a/b: no such file"
    assert ZooError("no such file", subject=Path("a/b")).subject == "a/b"
    assert str(ZooError("{braces}", remedy="{}")) == "{braces}; {}"


@pytest.mark.parametrize("kind", [ZooError, FormatError, UsageError, InferenceError, HubError])
def test_every_kind_takes_the_same_fields(kind):
    error = kind("wrong", subject=Argument("size", (9, 8)), position=PLACE, remedy="mend it")
    assert (error.subject, error.message) == ("size=(9, 8)", "wrong")
    assert explain(error)[0] == "net.prototxt:312:5: --size 9x8: wrong; mend it"


ERRORS = [
    FormatError("wrong", subject="f", position=PLACE, remedy="mend it"),
    HubError("wrong", remedy=Sentence("give ", Argument("hub", "DIR"))),
    NeedsShape("data", "nothing fixes it", subject="layer 'l'", position=PLACE),
    UnsupportedLayers([("a", "Odd", PLACE), ("b", "Strange", None)]),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_errors_cross_processes(error):
    other = pickle.loads(pickle.dumps(error))
    assert (type(other), str(other)) == (type(error), str(error))
    assert vars(other) == vars(error)
    assert explain(other) == explain(error)


def test_the_fields_of_a_layers_error():
    text = 'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 2 } } }'
    text += '\nlayer { name: "p" type: "Pooling" bottom: "d" top: "p" }'
    with pytest.raises(converters.ConversionError) as caught:
        converters.build_graph(prototxt.parse_net(text, "n").select("TEST"))
    error = caught.value
    assert error.subject == "layer 'p' (Pooling)"
    assert error.position == Position("n", 2, 1)
    assert "layer" not in error.message and error.message
    assert str(error).startswith(f"n:2:1: {error.subject}: {error.message}")


def test_the_fields_of_a_missing_file(tmp_path):
    for call, kind in (
        (prototxt.read_net, FormatError),
        (runtime.load, InferenceError),
        (runtime.read_image, InferenceError),
    ):
        with pytest.raises(kind) as caught:
            call(tmp_path / "none")
        assert caught.value.subject == str(tmp_path / "none")
        assert caught.value.message.startswith("no such file")


def test_a_remedy_is_spelled_for_python_and_for_the_command():
    error = NeedsShape("data", "nothing fixes it", subject="layer 'l'")
    assert str(error) == "layer 'l': nothing fixes it; give shapes={'data': (1, 3, 224, 224)}"
    line, status = explain(error)
    assert (line, status) == ("layer 'l': nothing fixes it; give --shape data=1x3x224x224", 1)


@pytest.mark.parametrize(
    ("part", "python", "command"),
    [
        (Argument("mean"), "mean", "--mean"),
        (Argument("lenient", True), "lenient=True", "--lenient"),
        (Argument("demo", False), "demo=False", "--no-demo"),
        (Argument("phase", "train"), "phase='train'", "--phase train"),
        (Argument("size", (96, 160)), "size=(96, 160)", "--size 96x160"),
        (
            Argument("shapes", {"a": ("batch", 3), "b": (1,)}),
            "shapes={'a': ('batch', 3), 'b': (1,)}",
            "--shape a=batchx3 --shape b=1",
        ),
        (Argument("outputs", ["a", "b"]), "outputs=['a', 'b']", "--output a --output b"),
        (Argument("output"), "output", "-o"),
        (Function("zoo.hub.publish"), "zoo.hub.publish(...)", "`zoo publish`"),
        (
            Function("zoo.hub.publish", ("M.onnx", Argument("hub", "DIR"))),
            "zoo.hub.publish('M.onnx', hub='DIR')",
            "`zoo publish M.onnx --hub DIR`",
        ),
    ],
)
def test_the_two_spellings(part, python, command):
    sentence = Sentence("{a}: ", part, "; {}")
    assert sentence == f"{{a}}: {python}; {{}}"
    assert spelled(sentence) == f"{{a}}: {command}; {{}}"


def test_sentences_keep_their_parts():
    inner = Sentence("give ", Argument("mean"))
    outer = Sentence("a; ", inner, "!")
    assert outer.parts == ("a; ", "give ", Argument("mean"), "!")
    assert pickle.loads(pickle.dumps(outer)).parts == outer.parts
    assert spelled("text with no arguments: {}") == "text with no arguments: {}"
    assert type(f"{inner}") is str  # which is what is documented


def test_a_note_has_a_remedy_of_its_own():
    note = Note("its average stands in", Sentence("give ", Argument("mean")))
    assert (note.message, note) == ("its average stands in", "its average stands in; give mean")
    assert spelled(note) == "its average stands in; give --mean"
    again = pickle.loads(pickle.dumps(note))
    assert (again, again.message, again.remedy) == (note, note.message, note.remedy)
    assert Note("alone") == "alone" and Note("alone").remedy is None


FILES = [
    path
    for package in ("prototxt", "converters", "runtime", "zoo")
    for path in sorted((ROOT / package).rglob("*.py"))
]
LIBRARY = [path for path in FILES if not path.is_relative_to(ROOT / "zoo/cli")]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def literals(tree: ast.AST) -> Iterator[str]:
    """The texts in some code, the parts of f-strings too; docstrings are none."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and id(node) not in docstrings:
            yield text


OPTION = re.compile(r"(?<![\w-])--[a-z]")

NO_ADVICE = {
    "zoo/benchmarks/converting.py": 2,  # a command that it runs
    "zoo/gallery/vendor.py": 1,  # npm's
    "zoo/hub/cards.py": 1,  # a command that a card shows
    "zoo/checking/coverage.py": 3,  # its own, as `python -m`
    # Its own, as `python -m`; and the command line that made a network, which the hub records.
    "zoo/paper/recipes/embed.py": 6,
    "zoo/compression/controls.py": 6,
    "zoo/compression/embed.py": 4,
    "zoo/reproduction/trainings.py": 5,  # the command lines that made networks
}
"""How many literals of a file hold an option that nobody is told to give."""


def test_the_search_for_options_finds_them():
    tree = ast.parse('"""--doc"""\ndef f():\n    "--doc"\n    return f"give --mean {1}", "a--b"')
    assert [text for text in literals(tree) if OPTION.search(text)] == ["give --mean "]


@pytest.mark.parametrize("path", LIBRARY, ids=relative)
def test_options_are_named_by_the_commands_alone(path):
    found = [text for text in literals(ast.parse(path.read_text())) if OPTION.search(text)]
    assert len(found) == NO_ADVICE.get(relative(path), 0), found


APART = re.compile(
    r"""
    \.r?partition\(\s*f?["'][:;][ ]     # where subject, message and remedy meet
    | \.r?split\(\s*f?["'][:;][ ]
    | \.remove(prefix|suffix)\(\s*f?["'](None|;[ ])
    | \.(message|remedy|subject|sentence)\s*(\[|\.(r?partition|r?split|find|index|remove|replace))
    | str\((error|caught|problem)\)\s*(\[|\.(r?partition|remove|replace))
    """,
    re.VERBOSE,
)
FOREIGN = {"zoo/data/build.py": 1}  # LMDB's own text


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_no_sentence_is_taken_apart(path):
    text = path.read_text()
    # A layer's definition has a field `message` as well, which is no text.
    found = [hit.group() for hit in APART.finditer(text.replace("layer.message", "layer.tree"))]
    assert len(found) == FOREIGN.get(relative(path), 0), found


def test_what_takes_sentences_apart_is_found():
    for code in (
        'error.message.rpartition(": ")[2]',
        'note.partition("; give --mean")[0]',
        'hint.removeprefix("None; or ")',
        "error.message[3:]",
        'str(error).partition("x")',
    ):
        assert APART.search(code), code


def calls(name: str) -> Iterator[str]:
    """The first argument of every `Argument(...)` or `Function(...)` in the code."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
                assert isinstance(node.args[0], ast.Constant), relative(path)
                yield node.args[0].value


def test_every_argument_has_an_option_and_every_option_an_argument():
    assert set(calls("Argument")) == set(OPTIONS)
    assert set(calls("Function")) == set(COMMANDS)


def test_the_tables_name_what_is_there():
    group = typer.main.get_command(app)
    context = typer.Context(group)
    commands = {name: group.get_command(context, name) for name in group.list_commands(context)}
    known = {name for command in commands.values() for p in command.params for name in p.opts}
    assert set(OPTIONS.values()) <= known | {"--demo"}  # known as --no-demo only
    assert set(COMMANDS.values()) <= set(commands)
    for name in COMMANDS:
        module, _, function = name.rpartition(".")
        assert callable(getattr(importlib.import_module(module), function))


ERROR_KINDS = ("ZooError", "FormatError", "UsageError", "ConversionError", "InferenceError")
ERROR_KINDS += ("HubError",)


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_message_begins_with_no_subject(path):
    """``f"{path}: no such file"`` has a subject, which is a field of its own."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func).endswith(ERROR_KINDS)):
            continue
        first = node.args[0] if node.args else None
        if isinstance(first, ast.JoinedStr) and isinstance(first.values[0], ast.FormattedValue):
            then = first.values[1] if len(first.values) > 1 else None
            begins = isinstance(then, ast.Constant) and str(then.value).startswith(": ")
            assert not begins, f"{relative(path)}:{node.lineno}"
