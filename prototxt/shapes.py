"""Shapes and sizes as text, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["Size", "fixed_plane", "shape_text", "size_from_text"]

Size = tuple[int, int]
"""Height and width, pixels."""

LONGEST_SIDE = 9
"""Digits of a height or width."""


def shape_text(dims: Iterable[object], scalar: str = "") -> str:
    """``1x3x224x224``; `scalar` where there are no dimensions."""
    return "x".join(map(str, dims)) or scalar


def size_from_text(text: str | None, *, square: bool = False) -> Size | None:
    """The size of ``HEIGHTxWIDTH``, whose numbers are above 0; None of anything else.

    With `square` one number stands for both.
    """
    parts = (text or "").lower().split("x")
    if square and len(parts) == 1:
        parts *= 2
    if len(parts) != 2 or not all(
        part.isdecimal() and len(part) <= LONGEST_SIDE and int(part) for part in parts
    ):
        return None
    return int(parts[0]), int(parts[1])


def fixed_plane(shape: Sequence[int | str]) -> Size | None:
    """Height and width of N×C×H×W; None where they are open."""
    height, width = shape[2:]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None
