"""`reproduce`: item after item; what fails or lacks data is told in its row, the others go on."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prototxt.errors import Argument, Function, Sentence, UsageError, ZooError
from prototxt.files import atomic_write_all, make_folder
from zoo import extras
from zoo.progress import OnProgress, unheard
from zoo.reproduction.inputs import Inputs
from zoo.reproduction.items import SOURCES, Item, Made
from zoo.reproduction.registry import ITEMS
from zoo.reproduction.report import STATE, documents

__all__ = ["Outcome", "Reproduction", "reproduce"]


@dataclass
class Outcome:
    """What became of an item."""

    id: str
    source: str
    number: str
    title: str
    differs: str
    command: str
    state: str = "failed"
    """made; lacking: data or a package that it needs are not there; failed."""
    why: str = ""
    data: str = ""
    numbers: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    version: str = ""
    digest: str = ""
    """Of all that it was made of: what is made already is not made again."""


@dataclass
class Reproduction:
    """What became of the items, and the files of the report."""

    outcomes: list[Outcome] = field(default_factory=list)
    files: tuple[Path, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As `zoo reproduce --json` prints it, and report.json holds it."""
        states = [one.state for one in self.outcomes]
        numbers = [number for one in self.outcomes for number in one.numbers]
        met = [number["met"] for number in numbers]
        return {
            "count": {state: states.count(state) for state in dict.fromkeys(states)},
            "numbers": {
                "all": len(numbers),
                "compared": sum(value is not None for value in met),
                "met": met.count(True),
            },
            "items": [asdict(one) for one in self.outcomes],
        }


def reproduce(
    folder: Path,
    inputs: Inputs,
    *,
    papers: Sequence[str] = (),
    items: Sequence[str] = (),
    spell: Callable[[str], str] = str,
    on_progress: OnProgress = unheard,
    on_item: Callable[[Outcome], object] = lambda _: None,
) -> Reproduction:
    """Make tables and figures of the sources again, and report them beside what was published.

    Args:
        folder: for report.html, report.md, report.json and pictures/, made if need be. What the
            report that is there says was made, of the same data, is not made again.
        inputs: the data.
        papers: names of `items.SOURCES`; default: all.
        items: identifiers of `registry.ITEMS`; default: all of the papers.
        spell: how the report calls arguments (`prototxt.errors.Sentence`).
        on_progress: is told how far the item at work is.
        on_item: is told what became of each.

    Raises:
        ZooError: no such paper or item, or a folder that cannot be written.
    """
    chosen = choose(papers, items)
    before = earlier(folder)
    made = Reproduction()
    make_folder(folder / "pictures")
    for item in chosen:
        digest = digest_of(item, inputs)
        kept = before.get(item.id)
        if kept is None or kept.digest != digest or not complete(kept, folder):
            outcome, pictures = attempt(item, inputs, spell, on_progress)
            outcome.digest = digest
            atomic_write_all([(folder / name, content) for name, content in pictures.items()])
            before[item.id] = outcome
        on_item(before[item.id])
        made.outcomes = [before[other.id] for other in ITEMS if other.id in before]
        contents = documents(made.as_dict())
        atomic_write_all([(folder / name, text) for name, text in contents.items()])
        made.files = tuple(folder / name for name in contents)
    return made


def choose(papers: Sequence[str], items: Sequence[str]) -> list[Item]:
    """The items of these papers, or those of these identifiers."""
    for paper in papers:
        if paper not in SOURCES:
            raise UsageError(f"no paper {paper!r}", remedy=f"there are {', '.join(SOURCES)}")
    known = [item.id for item in ITEMS]
    for name in items:
        if name not in known:
            raise UsageError(f"no item {name!r}", remedy=f"there are {', '.join(known)}")
    return [
        item
        for item in ITEMS
        if (not papers or item.source.name in papers) and (not items or item.id in items)
    ]


def attempt(
    item: Item, inputs: Inputs, spell: Callable[[str], str], on_progress: OnProgress
) -> tuple[Outcome, dict[str, bytes]]:
    """Make an item: what became of it, and the pictures by their path below the report."""
    from prototxt.version import __version__

    began = time.monotonic()
    outcome = Outcome(
        item.id,
        item.source.name,
        item.number,
        item.title,
        spell(item.differs),
        spell(command(item, inputs)),
        version=__version__,
    )
    made, pictures = Made(""), {}
    missing = [name for name in item.needs if inputs.path(name) is None]
    try:
        extras.require(*item.packages)
        if missing:
            outcome.state = "lacking"
            given = [Argument("data", {name: "DIR"}) for name in missing]
            outcome.why = spell(Sentence(*(part for one in given for part in (one, " ")))).strip()
        else:
            made = item.make(inputs, on_progress)
            outcome.state = "made"
    except ModuleNotFoundError as error:
        outcome.state, outcome.why = "lacking", extras.remedy(error) or str(error)
    except ZooError as error:
        outcome.why = spell(error.sentence)
    outcome.data, outcome.notes = made.data, [spell(note) for note in made.notes]
    outcome.numbers = numbers(item, made)
    for count, picture in enumerate(made.pictures, 1):
        name = f"pictures/{item.id}-{count}.png"
        pictures[name] = picture.png
        outcome.pictures.append({"caption": picture.caption, "file": name})
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome, pictures


def numbers(item: Item, made: Made) -> list[dict[str, Any]]:
    """The published numbers of an item, each beside ours."""
    found = []
    for number in item.numbers:
        ours = made.values.get(number.what)
        found.append(
            {
                "what": number.what,
                "published": number.published,
                "ours": None if ours is None else float(ours),
                "condition": number.condition,
                "met": number.met(ours),
                "digits": number.digits,
            }
        )
    return found


def command(item: Item, inputs: Inputs) -> Sentence:
    """The command that makes an item alone."""
    fed: dict[str, Any] = {name: "DIR" for name in item.needs}
    fed |= inputs.fed([*item.needs, *item.uses])
    parts = [Argument("items", [item.id])]
    if fed:
        parts.append(Argument("data", {name: str(path) for name, path in fed.items()}))
    if inputs.held_out and "photographs" in fed:
        parts.append(Argument("held_out", inputs.held_out))
    if inputs.limit is not None:
        parts.append(Argument("limit", inputs.limit))
    return Sentence(Function("zoo.reproduction.run.reproduce", tuple(parts)))


def digest_of(item: Item, inputs: Inputs) -> str:
    """Of the data that an item takes, and of this version."""
    from prototxt.version import __version__

    parts = [__version__, item.id, inputs.digest([*item.needs, *item.uses])]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def complete(outcome: Outcome, folder: Path) -> bool:
    """Whether an item was made, and its pictures are there."""
    return outcome.state == "made" and all(
        (folder / picture["file"]).is_file() for picture in outcome.pictures
    )


def earlier(folder: Path) -> dict[str, Outcome]:
    """What the report that is there says of each item."""
    try:
        rows: list[Mapping[str, Any]] = json.loads((folder / STATE).read_text("utf-8"))["items"]
        found = [Outcome(**row) for row in rows]
        documents(Reproduction(found).as_dict())  # a report can be made of them
        return {one.id: one for one in found if sound(one)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def sound(outcome: Outcome) -> bool:
    """Whether a row names no file that a report may not name."""
    return all(
        Path(picture["file"]).parts[:1] == ("pictures",) and ".." not in picture["file"]
        for picture in outcome.pictures
    )
