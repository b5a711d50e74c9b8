"""Errors of reading and writing Caffe's files, and how every error of the project is made.

    ZooError            every error that this project raises for bad input
    ├── FormatError     a file that is not what it should be: syntax, unknown field, wrong bytes
    └── UsageError      arguments that contradict one another

The other packages hang theirs below `ZooError` too. Its text is one line,
``net.prototxt:312:5: layer 'conv1' (Convolution): what is wrong; what to do``, and each part of it
is a field. An argument of the library in such a text is an `Argument` in a `Sentence`: Python users
read its name, and `zoo.cli.spelling` puts the command's option in its place.
"""

from __future__ import annotations

import copyreg
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Argument",
    "FormatError",
    "Function",
    "Note",
    "Position",
    "Sentence",
    "UsageError",
    "ZooError",
]


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text file; line and column count from 1."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of the library: its name alone, or with the value to give."""

    name: str
    value: Any = None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}={self.value!r}"


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the library, by its dotted name, with the arguments to call it with."""

    name: str
    arguments: tuple[str | Argument, ...] = ()

    def __str__(self) -> str:
        shown = [repr(a) if isinstance(a, str) else str(a) for a in self.arguments]
        return f"{self.name}({', '.join(shown) or '...'})"


class Sentence(str):
    """A text that names arguments and functions of the library: as a str, in Python's spelling.

    What is formatted or joined of it is a plain str. `Sentence("a: ", sentence)` keeps its parts.
    """

    __slots__ = ("parts",)
    parts: tuple[str | Argument | Function, ...]

    def __new__(cls, *parts: str | Argument | Function) -> Sentence:  # noqa: D102
        self = super().__new__(cls, "".join(map(str, parts)))
        flat: list[str | Argument | Function] = []
        for part in parts:
            flat += part.parts if isinstance(part, Sentence) else (part,)
        self.parts = tuple(flat)
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.parts

    def spelled(self, spell: Callable[[Argument | Function], str]) -> str:
        """The text with its arguments and functions spelled in another way."""
        return "".join(part if isinstance(part, str) else spell(part) for part in self.parts)


class Note(Sentence):
    """What a person should know of a result, and what to do where that will not do."""

    __slots__ = ("message", "remedy")
    message: str
    remedy: str | None

    def __new__(cls, message: str, remedy: str | None = None) -> Note:  # noqa: D102
        self = super().__new__(cls, message, *(("; ", remedy) if remedy else ()))
        assert isinstance(self, Note)
        self.message, self.remedy = message, remedy
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.message, self.remedy


class ZooError(Exception):
    """A problem with the input.

    Args:
        message: what is wrong.
        subject: what it is about: a file, ``layer 'conv1' (Convolution)``, an argument.
        position: the place in a text file.
        remedy: what to do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        subject: str | os.PathLike[str] | Argument | None = None,
        position: Position | None = None,
        remedy: str | None = None,
    ) -> None:
        self.message, self.position, self.remedy = message, position, remedy
        self.subject = None if subject is None else str(subject)
        parts: list[str | Argument] = [] if position is None else [f"{position}: "]
        if subject is not None:
            parts += [subject if isinstance(subject, Argument) else str(subject), ": "]
        self.sentence = Sentence(*parts, message, *(("; ", remedy) if remedy else ()))
        super().__init__(self.sentence)

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own way calls the class with `args`, which are not what made it.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class FormatError(ZooError):
    """A file that is not what it should be."""


class UsageError(ZooError):
    """Arguments that contradict one another, or that are of no possible form."""
