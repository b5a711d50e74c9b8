"""Errors of reading and writing Caffe's files.

    ZooError            every error that this project raises for bad input
    ├── FormatError     a file that is not what it should be: syntax, unknown field, wrong bytes
    └── UsageError      arguments that contradict one another

The other packages hang theirs below `ZooError` too. Its text is one line:
``net.prototxt:312:5: what is wrong; what to do``.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FormatError", "Position", "UsageError", "ZooError"]


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text file; line and column count from 1."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


class ZooError(Exception):
    """A problem with the input: what is wrong, where, and what to do about it."""

    def __init__(
        self, message: str, position: Position | None = None, hint: str | None = None
    ) -> None:
        self.message, self.position, self.hint = message, position, hint
        place = f"{position}: " if position else ""
        advice = f"; {hint}" if hint else ""
        super().__init__(f"{place}{message}{advice}")


class FormatError(ZooError):
    """A file that is not what it should be."""


class UsageError(ZooError):
    """Arguments that contradict one another, or that are of no possible form."""
