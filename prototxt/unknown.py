"""Fields that a definition has and nobody knows: all of a file's in one error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .errors import FormatError, Position

__all__ = ["UnknownField", "UnknownFields"]

MOST = 8
"""How many are listed."""


@dataclass(frozen=True)
class UnknownField:
    """A field by its name, of a message (`place`) or of a layer (`subject`)."""

    name: str
    position: Position | None
    place: str = ""
    subject: str = ""
    close: str | None = None
    """The known name that is nearest."""

    @classmethod
    def among(
        cls,
        known: Iterable[str],
        name: str,
        position: Position | None,
        *,
        place: str = "",
        subject: str = "",
    ) -> UnknownField:
        """With the nearest of the `known` names."""
        close = difflib.get_close_matches(name, known, 1)
        return cls(name, position, place, subject, close[0] if close else None)

    @property
    def listed(self) -> str:
        """As one of several."""
        of = f"in {self.place}" if self.place else f"of {self.subject}"
        at = f" at {self.position.line}:{self.position.column}" if self.position else ""
        meant = f" (meant: {self.close!r}?)" if self.close else ""
        return f"{self.name!r} {of}{at}{meant}"


class UnknownFields(FormatError):
    """One or more fields are unknown; `found` has them all."""

    def __init__(self, found: Sequence[UnknownField]) -> None:
        self.found = tuple(found)
        first = found[0]
        if len(found) == 1:
            super().__init__(
                f"unknown field {first.name!r}" + (f" in {first.place}" if first.place else ""),
                subject=first.subject or None,
                position=first.position,
                remedy=f"did you mean {first.close!r}?" if first.close else None,
            )
            return
        listed = ", ".join(field.listed for field in found[:MOST])
        more = f" and {len(found) - MOST} more" if len(found) > MOST else ""
        super().__init__(
            f"{len(found)} unknown fields: {listed}{more}",
            position=first.position,
        )
