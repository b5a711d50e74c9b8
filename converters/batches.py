"""The batch of a network's images: fixed at a number, or demanded to stay open."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from prototxt.errors import Argument, Sentence, UsageError

from .errors import ConversionError
from .graph import Node, Shape
from .shapes import OpenDimension

__all__ = ["OPEN", "Batch", "check_batch", "counting", "needs_batch", "with_batch"]

Batch = int | Literal["open"] | None
"""A number, ``open``, or None: open where the network allows it."""

OPEN: Literal["open"] = "open"


def check_batch(batch: Batch, given: Mapping[str, Shape], unbatched: Collection[str] = ()) -> None:
    """UsageError where `batch` is none, or the shape that is given for an input contradicts it."""
    if batch is None:
        return
    if batch != OPEN and (not isinstance(batch, int) or batch < 1):
        raise UsageError(
            "neither a number of images nor open",
            subject=Argument("batch", batch),
            remedy=Sentence("as in ", Argument("batch", 1)),
        )
    for name, shape in given.items():
        if not shape or name in unbatched:
            continue
        if isinstance(shape[0], int) if batch == OPEN else shape[0] != batch:
            raise UsageError(
                Sentence("contradicts ", Argument("shapes", {name: shape})),
                subject=Argument("batch", batch),
                remedy="leave one of them out",
            )


def counting(own: Mapping[str, Shape], unbatched: Collection[str]) -> list[str]:
    """The inputs whose first dimension counts images: that of the first, and as many as it has."""
    counted = [blob for blob, shape in own.items() if shape and blob not in unbatched]
    first = next((blob for blob in counted if len(own[blob]) >= 4), next(iter(counted), None))
    return [] if first is None else [b for b in counted if own[b][0] == own[first][0]]


def with_batch(
    own: Mapping[str, Shape], batch: Batch, unbatched: Collection[str]
) -> dict[str, Shape]:
    """The inputs' shapes in numbers, with so many images."""
    if not isinstance(batch, int):
        return dict(own)
    counted = counting(own, unbatched)
    return {k: (batch, *shape[1:]) if k in counted else shape for k, shape in own.items()}


def needs_batch(symbol: OpenDimension, path: str) -> ConversionError:
    """What to say where the batch is to stay open and a layer needs its number."""
    message = f"needs to know {symbol}, so the batch cannot stay open"
    remedy = Sentence("give ", Argument("batch", "N"), ", or leave it out")
    node: Node[object] | None = symbol.node
    if node is None:
        return ConversionError(message, subject=path, remedy=remedy)
    return node.error(message, remedy)
