"""Names of classes: a text with one a line, or SSD's LabelMap; and in a model's metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .errors import FormatError, Position
from .files import read_lines
from .schema import UInt, decode
from .text import read_text

__all__ = ["labels_of", "labels_text", "read_labels"]

REMEDY = "one class a line, in the order of the network's outputs"
LABEL_MAPS = (".prototxt", ".pbtxt")
MOST_CLASSES = 1 << 20


@dataclass
class LabelMapItem:
    """One class of SSD's LabelMap."""

    name: str = ""
    label: UInt = 0
    display_name: str = ""


@dataclass
class LabelMap:
    """SSD's LabelMap (caffe.proto)."""

    item: list[LabelMapItem] = field(default_factory=list)


def read_labels(path: str | Path) -> tuple[str, ...]:
    """The names of classes by number, of a text with one a line or of a LabelMap (.prototxt).

    FormatError (one line) where it is neither, or a line between others names none.
    """
    if Path(path).suffix.lower() in LABEL_MAPS:
        items = decode(read_text(path), LabelMap, name="the label map").item
        names = {item.label: item.display_name or item.name for item in items}
        if max(names, default=0) >= MOST_CLASSES:
            raise FormatError(f"numbers a class {max(names)}", subject=path, remedy=REMEDY)
        found = [names.get(number, "") for number in range(max(names, default=-1) + 1)]
    else:
        found = [line.strip() for line in read_lines(path, REMEDY)]
        while found and not found[-1]:
            found.pop()
        if "" in found:
            place = Position(str(path), found.index("") + 1, 1)
            raise FormatError("names no class", position=place, remedy=REMEDY)
    if not found:
        raise FormatError("names no classes", subject=path, remedy=REMEDY)
    return tuple(found)


def labels_text(labels: Sequence[str]) -> str:
    """As metadata hold them, and `labels_of` reads them."""
    return "\n".join(labels)


def labels_of(properties: Mapping[str, str]) -> tuple[str, ...]:
    """The names of classes that a model's metadata state, by number; none where they do not."""
    text = properties.get("zoo.labels")
    return tuple(text.split("\n")) if text else ()
