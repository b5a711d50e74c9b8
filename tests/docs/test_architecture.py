"""ARCHITECTURE.md names what there is, and calls in the order in which they are made."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from pathlib import Path
from types import FrameType

import pytest

from tests.command import Run
from tests.docs import made
from tests.docs.blocks import ROOT
from zoo.hub import index

TEXT = (ROOT / "ARCHITECTURE.md").read_text()
NAMES = sorted(set(re.findall(r"`((?:prototxt|converters|runtime|zoo)\.[\w.]+)`", TEXT)))
WALKS = dict(re.findall(r"<!-- calls: (.+?) -->\n\n(.*?)(?:\n\n|\Z)", TEXT, re.DOTALL))


def resolved(name: str) -> object:
    """The module, or what of it the rest of the name says."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise AssertionError(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_exists(name: str) -> None:
    assert resolved(name) is not None


def test_there_are_walks() -> None:
    assert [shlex.split(command)[1] for command in WALKS] == ["convert", "eval"]


@pytest.mark.parametrize("command", WALKS)
def test_the_calls_are_made_in_that_order(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = re.findall(r"(?m)^ *\d+\. `([\w.]+)`", WALKS[command])
    assert len(steps) > 10
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZOO_HUB", raising=False)
    made.make(tmp_path)
    found: dict[str, int] = {}

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            module = frame.f_globals.get("__name__", "")
            found.setdefault(f"{module}.{frame.f_code.co_qualname}", len(found))

    sys.setprofile(profile)
    try:
        run = Run(tuple(shlex.split(command)[1:]))
    finally:
        sys.setprofile(None)
    assert run.status == 0, run.err
    assert [step for step in steps if step not in found] == []
    assert sorted(steps, key=found.__getitem__) == steps


def test_the_rooms_are_the_rooms() -> None:
    rooms = re.findall(r"(?m)^\| `zoo\.(\w+)` \|", TEXT)
    there = {path.parent.name for path in (ROOT / "zoo").glob("*/__init__.py")}
    assert set(rooms) == there
    assert index.__name__ == "zoo.hub.index"
