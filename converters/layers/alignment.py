"""Where a layer's top lies over its bottom, and two blobs of a network over one another.

The Crop of the first FCN forks states no offset; it follows from the layers in between.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ..errors import ConversionError
from ..graph import Node, Value
from ..registry import find
from ..shapes import OpenDimension
from .convolution import Convolutional
from .pooling import Pooling
from .unpooling import MaxUnpooling

Map = tuple[Fraction, Fraction]
"""Where a place of a top lies in a bottom, per axis: factor and offset."""


class Aligned:
    """A layer type that cuts out what `alignment` tells."""


def coordinates(node: Node[Any]) -> tuple[Map, Map]:
    """From a layer's bottom to its top, of rows and of columns (coords.hpp); or node.error."""
    kind = find(node.type)
    if isinstance(kind, Aligned):
        rows, columns = alignment(node)
        return (Fraction(1), Fraction(-rows)), (Fraction(1), Fraction(-columns))
    if kind is not None and kind.keeps_grid:
        return (Fraction(1), Fraction(0)), (Fraction(1), Fraction(0))
    if isinstance(kind, Convolutional):
        g = kind.geometry(node)
        spans = [d * (k - 1) for k, d in zip(g.kernel, g.dilation, strict=True)]
        stride, pad, grows = g.stride, g.pad, kind.transposed
    elif isinstance(kind, (Pooling, MaxUnpooling)) and len(node.inputs[0].shape) == 4:
        w = kind.windows(node) if isinstance(kind, Pooling) else node.params.windows()
        spans = [k - 1 for k in w.kernel]
        stride, pad, grows = w.stride, w.pad, isinstance(kind, MaxUnpooling)
    else:
        raise node.error("has no coordinates to align a Crop by", "state its offset in V2 syntax")
    if len(spans) != 2:
        raise node.error("has no two axes to align a Crop by")
    maps = []
    for span, step, border in zip(spans, stride, pad, strict=True):
        factor, offset = Fraction(step), Fraction(span, 2) - border
        maps.append((factor, offset) if grows else (1 / factor, -offset / factor))
    return maps[0], maps[1]


def behind(outer: Map, inner: Map) -> Map:
    """The map that applies `inner`, then `outer`."""
    return outer[0] * inner[0], outer[0] * inner[1] + outer[1]


def path(value: Value) -> list[Value]:
    """The value and those that it was made of, by first bottoms, back to an input."""
    found = [value]
    while found[-1].producer is not None and found[-1].producer.inputs:
        found.append(found[-1].producer.inputs[0])
    return found


def alignment(node: Node[Any]) -> list[int]:
    """The rows and columns of a Crop's first bottom before its second begins; or node.error."""
    paths = [path(value) for value in node.inputs]
    common = next((v for v in paths[1] if any(v is other for other in paths[0])), None)
    if common is None:
        raise node.error("its bottoms have no layer in common to align them by")
    result = []
    for axis in (0, 1):
        totals = [between(values, common, axis) for values in paths]
        # Back from the first bottom to what both have in common, and on to the second.
        factor, offset = totals[0]
        scale, shift = behind(totals[1], (1 / factor, -offset / factor))
        if scale != 1:
            raise node.error(f"a step in its first bottom is {float(scale):g} in its second")
        if shift > 0 or shift.denominator != 1:
            raise node.error(f"its offset would be {float(-shift):g}, not a whole number from 0 up")
        result.append(int(-shift))
    return result


def between(values: list[Value], common: Value, axis: int) -> Map:
    """From a value further back to the first of a path."""
    total = (Fraction(1), Fraction(0))
    for value in values:
        if value is common:
            break
        assert value.producer is not None
        total = behind(total, coordinates(value.producer)[axis])
    return total


def aligned(node: Node[Any]) -> list[int] | None:
    """As `alignment`, but None where there is none."""
    try:
        return alignment(node)
    except (ConversionError, OpenDimension):
        return None
