"""One JSON object of a hub's index, read field by field, with nothing taken on trust.

Every reading method removes its field; `done` refuses what is left. Each error is one HubError that
names the file and the place in it: `hub/index.json: models[2].files[0].size: ...`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from zoo.errors import HubError

T = TypeVar("T")

LIMIT = 4096
"""Characters of a text; more than that is no description but an attack."""

ITEMS = 10_000
"""Items of a list."""

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def parse(text: str | bytes, source: str) -> Any:
    """JSON as plain data; HubError for what is none, for NaN and for a key that stands twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key stands twice in one object")
        return found

    def refuse(word: str) -> NoReturn:
        raise ValueError(f"{word} is no number")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        why = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise HubError(
            f"not an index of a hub: {why}", subject=source, remedy="is it the hub's address?"
        ) from None


def shown(value: object) -> str:
    """A value in an error: as JSON, and short."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def plain_name(name: str) -> bool:
    """Whether a text is safe as one component of a path on every system."""
    return (
        re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}", name) is not None
        and not name.endswith(".")
        and _RESERVED.fullmatch(name) is None
    )


class Fields:
    """The fields of one object; `where` is its place, as `models[0].files[1]`."""

    def __init__(self, value: Any, source: str, where: str = "") -> None:
        self.source, self.where = source, where
        if not isinstance(value, dict):
            self.fail("", f"must be an object, not {shown(value)}")
        self._left = dict(value)

    def fail(self, name: str, why: str, remedy: str | None = None) -> NoReturn:
        """Raise HubError with the place of a field; with an empty `name` that of the object."""
        place = ".".join(part for part in (self.where, name) if part) or "the index"
        raise HubError(why, subject=f"{self.source}: {place}", remedy=remedy)

    def take(self, name: str, kind: type | tuple[type, ...], what: str) -> Any:
        """The raw value of a field that must be there."""
        if name not in self._left:
            self.fail(name, "is missing")
        value = self._left.pop(name)
        # bool is an int to Python, and to nobody else.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.fail(name, f"must be {what}, not {shown(value)}")
        return value

    def text(self, name: str, pattern: str | None = None, what: str = "a text") -> str:
        """A text of one line without control characters; it may be empty only without `pattern`."""
        value: str = self.take(name, str, what)
        if len(value) > LIMIT:
            self.fail(name, f"is {len(value)} characters long; at most {LIMIT} are allowed")
        if not value.isprintable():
            self.fail(name, f"has control characters: {shown(value)}")
        if pattern is not None and re.fullmatch(pattern, value) is None:
            self.fail(name, f"must be {what}, not {shown(value)}")
        return value

    def name(self, name: str) -> str:
        """A text that becomes one component of a path."""
        value: str = self.take(name, str, "a text")
        if not plain_name(value):
            self.fail(
                name,
                f"{shown(value)} is not a plain name",
                "names have letters, digits and ._+- only, and no folders",
            )
        return value

    def integer(self, name: str, least: int, most: int) -> int:
        """A whole number from `least` to `most`, both included."""
        value: int = self.take(name, int, "a whole number")
        if not least <= value <= most:
            self.fail(name, f"must lie between {least} and {most}, not {shown(value)}")
        return value

    def number(self, name: str) -> float:
        """A finite number, as float."""
        value = self.take(name, (int, float), "a number")
        try:
            converted = float(value)
        except OverflowError:
            converted = math.inf
        if not math.isfinite(converted):
            self.fail(name, f"must be a finite number, not {shown(value)}")
        return converted

    def numbers(self, name: str, most: int) -> tuple[float, ...]:
        """A list of at most so many finite numbers."""
        return tuple(
            Fields({name: item}, self.source, self.where).number(name)
            for item in self.items(name, most)
        )

    def texts(self, name: str, most: int) -> tuple[str, ...]:
        """A list of at most so many texts of one line; empty where the field is not there."""
        return tuple(
            Fields({name: item}, self.source, self.where).text(name)
            for item in self.optional(name, lambda _: self.items(name, most)) or ()
        )

    def items(self, name: str, most: int = ITEMS) -> list[Any]:
        """A list of at most `most` items, which are not looked at."""
        value: list[Any] = self.take(name, list, "a list")
        if len(value) > most:
            self.fail(name, f"has {len(value)} items; at most {most} are allowed")
        return value

    def objects(self, name: str, read: Callable[[Fields], T], most: int = ITEMS) -> tuple[T, ...]:
        """A list of objects, each read by a function."""
        place = ".".join(part for part in (self.where, name) if part)
        return tuple(
            read(Fields(item, self.source, f"{place}[{number}]"))
            for number, item in enumerate(self.items(name, most))
        )

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        """None where the field is null or not there, else what `read` makes of it."""
        if self._left.get(name) is None:
            self._left.pop(name, None)
            return None
        return read(name)

    def inside(self, name: str) -> Fields:
        """The object in a field."""
        value = self.take(name, dict, "an object")
        return Fields(value, self.source, ".".join(part for part in (self.where, name) if part))

    def done(self) -> None:
        """Refuse fields that nobody asked for."""
        if self._left:
            self.fail("", f"unknown field {shown(sorted(self._left)[0])}")
