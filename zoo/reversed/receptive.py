"""Which part of the image a place of a blob sees: its receptive field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from converters import Graph, Node, Value

__all__ = ["Span", "Step", "receptive_field", "step_of"]


class Step(NamedTuple):
    """What a layer does to the windows below its places, in rows and columns."""

    kernel: tuple[int, int]
    """Of its input, dilation included."""
    stride: tuple[int, int]
    pad: tuple[int, int]


def step_of(node: Node[Any]) -> Step | None:
    """The step from a convolution or pooling down to its input; None for other layers.

    OpenDimension for a global pooling of open size.
    """
    from converters.layers.convolution import Convolution
    from converters.layers.pooling import Pooling
    from converters.registry import find

    kind = find(node.type)
    if isinstance(kind, Convolution) and len(node.inputs[0].shape) == 4:
        g = kind.geometry(node)
        rows, columns = ((k - 1) * d + 1 for k, d in zip(g.kernel, g.dilation, strict=True))
        return Step((rows, columns), (g.stride[0], g.stride[1]), (g.pad[0], g.pad[1]))
    if isinstance(kind, Pooling):
        w = kind.windows(node)
        return Step(w.kernel, w.stride, w.pad)
    return None


class Span(NamedTuple):
    """Rows, or columns, from the first up to the one behind the last; below 0 in the padding."""

    start: int
    stop: int

    def below(self, kernel: int, stride: int, pad: int) -> Span:
        """What places of a layer's output see of its input."""
        return Span(self.start * stride - pad, (self.stop - 1) * stride - pad + kernel)

    def and_(self, other: Span) -> Span:
        """All from the first of both to the last."""
        return Span(min(self.start, other.start), max(self.stop, other.stop))


def receptive_field(graph: Graph, blob: str, place: tuple[int, ...]) -> tuple[Span, Span] | None:
    """The rows and columns of the image that a place (channel, row, column) of a blob sees.

    They may reach into the padding. None where it sees all: below an inner product, and whatever
    else has no windows and keeps no rows and columns. ReLUs, LRN, BatchNorm and the like count as
    layers that mix no places.
    """
    from converters.registry import find
    from converters.shapes import OpenDimension

    row, column = [*place[1:], 0, 0][:2]
    seen = {id(graph.value(blob)): (Span(row, row + 1), Span(column, column + 1))}

    def add(value: Value, spans: tuple[Span, Span]) -> None:
        rows, columns = seen.get(id(value), spans)
        seen[id(value)] = rows.and_(spans[0]), columns.and_(spans[1])

    for node in reversed(graph.nodes):
        tops = [seen[id(value)] for value in node.outputs if id(value) in seen]
        try:
            step = step_of(node) if tops else None
        except OpenDimension:
            return None
        kind = find(node.type)
        planes = any(len(value.shape) == 4 for value in node.inputs)
        if tops and step is None and planes and not (kind and kind.keeps_grid):
            return None
        for spans in tops:
            if step is not None:
                by_axis = zip(*step, strict=True)
                rows, columns = (s.below(*of) for s, of in zip(spans, by_axis, strict=True))
                spans = rows, columns
            for value in node.inputs:
                add(value, spans)
    return seen.get(id(graph.inputs[0]))
