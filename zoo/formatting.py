"""Numbers, sizes and shapes as people read them."""

from collections.abc import Mapping, Sequence
from typing import Any

from prototxt.shapes import shape_text


def printable(text: str) -> str:
    """A line as a terminal or a document may have it.

    Names come from files that anybody may have written: characters that drive a terminal, reorder
    text, begin a line or are no text at all are shown by their escapes.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def count(number: int) -> str:
    """1234567 as '1,234,567'."""
    return f"{number:,}"


def size(number: float) -> str:
    """A number of bytes as people say it: '27.2 KiB'."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(number) < 1024 or unit == "GiB":
            break
        number /= 1024
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"


def shape(dims: Sequence[int | str]) -> str:
    """(1, 3, 'height', 128) as '1x3xheightx128'; a scalar as 'scalar'."""
    return shape_text(dims, "scalar")


def value(described: Mapping[str, Any]) -> str:
    """An input or output as 'data 1x3x128x128 float32'."""
    return f"{described['name']} {shape(described['shape'])} {described['dtype']}"


def on_gpu(card: Mapping[str, Any]) -> str:
    """On which GPU a network was trained, by its card, as it goes on after the time: ' on G'.

    Nothing for a CPU; earlier cards do not tell.
    """
    device = card.get("device", "cpu")
    return "" if device == "cpu" else f" on {device}"
