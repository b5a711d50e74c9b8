"""Every code block of the README, CONTRIBUTING and the guides runs, or says why it does not."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
from pathlib import Path

import pytest

import converters
import prototxt
from converters import registry
from tests.command import Run
from tests.docs import made
from tests.docs.blocks import PAGES, ROOT, SHELL, Block, blocks, words
from zoo.cli.app import Front
from zoo.cli.data import DataPage

NOT_RUN = {
    "CONTRIBUTING.md": {
        "pycaffe comes with Caffe itself, which is not a Python package": 1,
    },
    "docs/guides/convert.md": {"it needs OpenCV 4 beside the installed OpenCV 5": 1},
    "docs/guides/from-opencv-and-pycaffe.md": {
        "OpenCV 5 reads no Caffe files; this is how it was with OpenCV 4": 1,
        "pycaffe comes with Caffe itself, which is not a Python package": 2,
    },
    "docs/guides/hub.md": {
        "no server listens there": 1,
        "it takes an account": 1,
        "it needs that extra, and OpenSSL": 1,
    },
}
"""How many blocks of a page are not run, by the reason that the page gives."""

OTHERS = {"pip", "python", "python3", "git", "mkdocs", "ruff", "mypy", "pytest", ".ci/run", "unzip"}
"""Programs, other than zoo, that blocks may name; but for
`python FILE` of the page they are not run."""

NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]


def existing(command: list[str]) -> None:
    """The subcommand is there, and so is every option that is given."""
    name, *rest = command
    path = [name]
    assert name in Front.entries(), command
    if name == "data":
        path.append(rest.pop(0))
        assert path[1] in DataPage.entries(), command
    text = Run((*path, "--help")).out
    for word in rest:
        if word.startswith("-") and word != "--help":
            option = word.partition("=")[0]
            assert re.search(rf"(?m)^  (-\w, )?{re.escape(option)}\b", text), f"{path} {option}"


def shell(block: Block) -> str:
    """Run the commands; what they printed."""
    printed = ""
    for command in block.commands:
        program, *rest = words(command)
        if program == "python" and Path(rest[0]).is_file():
            runpy.run_path(rest[0], run_name="__main__")
            continue
        if program != "zoo":
            assert program.rpartition("/")[2] in {name.rpartition("/")[2] for name in OTHERS} | {
                "zoo"
            }, command
            continue
        if block.directive == "parse" or rest[:1] == ["--help"]:
            if rest and not rest[0].startswith("-"):
                existing(rest)
            continue
        types = dict(registry._types)
        run = Run(tuple(rest))
        registry._types.clear()  # what a plugin registered ends with the command
        registry._types.update(types)
        assert run.status == 0, f"{command}: {run.err or run.exception!r}"
        printed += run.out
        if " > " in command:
            Path(command.partition(" > ")[2].strip()).write_text(run.out)
    return printed


def python(block: Block, page: str, names: dict[str, object]) -> str:
    """Run the block with the names of those before it; what it printed."""
    source = "\n" * (block.line - 1) + block.text  # so that a traceback names the page's own lines
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, page, "exec"), names)
    return printed.getvalue()


@pytest.mark.parametrize("page", NAMES)
def test_blocks(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [block for block in blocks(ROOT / page) if not block.not_run]
    if not found:
        return
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZOO_HUB", raising=False)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    converters.layer_types()  # our own are registered before the copy is taken
    monkeypatch.setattr(registry, "_types", dict(registry._types))
    made.make(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    printed = ""
    for block in found:
        if block.directive == "file":
            path = ROOT / block.argument
            assert block.text == path.read_text(), f"{page}:{block.line}: not {block.argument}"
            (tmp_path / path.name).write_text(block.text)
        elif block.directive == "write":
            (tmp_path / block.argument).write_text(block.text)
        elif block.directive == "output":
            for line in filter(None, map(str.strip, block.text.splitlines())):
                pattern = ".*".join(re.escape(part) for part in line.split("…"))
                shown = re.sub(r"\s+", " ", pattern.replace("\\ ", " "))
                lines = [re.sub(r"\s+", " ", one.strip()) for one in printed.splitlines()]
                assert any(re.fullmatch(shown, one) for one in lines), (page, line, printed)
        elif block.language == "python":
            printed = python(block, page, names)
        elif block.language in SHELL:
            printed = shell(block)
        elif block.language == "prototxt":
            prototxt.parse_text(block.text)
        else:
            assert block.language in ("text", "toml"), f"{page}:{block.line}: which language?"


@pytest.mark.parametrize("page", NAMES)
def test_what_is_not_run_says_why(page: str) -> None:
    reasons = [block.not_run.rstrip(".") for block in blocks(ROOT / page) if block.not_run]
    assert {reason: reasons.count(reason) for reason in reasons} == NOT_RUN.get(page, {})


def test_the_worked_example_is_the_file() -> None:
    """CONTRIBUTING counts its lines."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    code = (ROOT / "docs/examples/crop_middle.py").read_text()
    block = code[code.index("@register") :]
    lines = sum(1 for line in block.splitlines() if line.strip())
    assert f"one block of {lines} lines in one file" in text
