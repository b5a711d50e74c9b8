"""Pooling reversed: by its switches, to the centre of its windows, or evenly over them.

The layers of a reversed network, as those of reversed.py are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..graph import Node
from ..registry import register
from ..shapes import is_fixed, known
from .activations import scalar
from .pooling import UnpoolSumParams, UnpoolWindowsParams
from .reversed import Reversed, fixed_spatial_size, spatial_size
from .switches import Windows, starts

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


@register("UnpoolSum")
class UnpoolSum(Reversed[UnpoolSumParams]):
    """Each value added where its switch points, so that coinciding switches sum up.

    The exact transpose of what max pooling selected; `Unpooling` keeps the last write instead.
    """

    Params = UnpoolSumParams

    def onnx(self, node: Node[UnpoolSumParams], b: OnnxBuilder) -> None:
        if b.form.unpooling == "Where":
            self.compare(node, b)
            return
        p, mask = node.inputs[:2]
        n, c = b.dim(p, 0), b.dim(p, 1)
        height, width = spatial_size(node, b)
        rows = b.ints(0, 0, -1)
        zeros = b.full(b.join(n, c, b.arithmetic("Mul", height, width)))
        flat = b.op(
            "ScatterElements",
            zeros,
            b.op("Reshape", mask, rows),
            b.op("Reshape", p, rows),
            axis=2,
            reduction=None if node.params.windows.disjoint else "add",
        )
        b.op("Reshape", flat, b.join(n, c, height, width), out=node.outputs[0])

    def compare(self, node: Node[UnpoolSumParams], b: OnnxBuilder) -> None:
        """Without any scatter: a window's places as channels, then a transposed convolution."""
        w: Windows = node.params.windows
        p, mask = node.inputs[:2]
        channels, places = known(p.shape[1]), w.kernel[0] * w.kernel[1]
        height, width = spatial_size(node, b)
        rows, columns = b.dim(p, 2), b.dim(p, 3)
        top, left = (starts(b, n, w, i) for i, n in enumerate((rows, columns)))
        offset = np.indices(w.kernel, np.int64).reshape(2, places, 1, 1)
        row, column = b.op("Add", top, offset[0]), b.op("Add", left, offset[1])
        index = b.op("Add", b.op("Mul", row, width), column)
        # A switch names a place of the plane; one of the padding could have the same number.
        low = b.op("GreaterOrEqual", column, b.ints(0))
        inside = b.op("And", low, b.op("Less", column, width))
        index = b.op("Where", inside, index, b.ints(-1))
        two = b.ints(2)
        hit = b.op("Equal", b.op("Unsqueeze", mask, two), index)
        placed = b.op("Where", hit, b.op("Unsqueeze", p, two), scalar(0))
        shape = b.join(b.ints(-1, channels * places), rows, columns)
        placed = b.op("Reshape", placed, shape)
        one_hot = np.eye(places, dtype=np.float32).reshape(places, 1, *w.kernel)
        weight = b.array(node, "places", np.tile(one_hot, (channels, 1, 1, 1)))
        full = b.op(
            "ConvTranspose",
            placed,
            weight,
            kernel_shape=w.kernel,
            strides=w.stride,
            group=channels,
        )
        ends = b.op("Shape", full, start=2)
        sizes = b.op("Add", b.join(height, width), b.ints(*w.pad))
        before = b.ints(0, 0, *(-pad for pad in w.pad), 0, 0)
        b.op("Pad", full, b.join(before, b.op("Sub", sizes, ends)), out=node.outputs[0])

    def starts(self, b: OnnxBuilder, count: str, w: Windows, axis: int) -> str:
        """The first row (or column) of each window, shaped to broadcast over places."""
        zero, one = b.const(np.array(0, np.int64)), b.const(np.array(1, np.int64))
        numbers = b.op("Range", zero, b.op("Squeeze", count, b.ints(0)), one)
        numbers = b.op("Sub", b.op("Mul", numbers, b.ints(w.stride[axis])), b.ints(w.pad[axis]))
        return b.op("Reshape", numbers, b.ints(1, -1, 1) if axis == 0 else b.ints(1, 1, -1))

    def torch(self, node: Node[UnpoolSumParams]) -> nn.Module:
        from .torch import reversed_pooling

        return reversed_pooling.UnpoolSum(fixed_spatial_size(node))


class UnpoolWindows(Reversed[UnpoolWindowsParams]):
    """Each value back to its window, without switches; what coincides adds up.

    A matrix per axis, so that every runtime has its operators.
    """

    average: ClassVar[bool]
    """Whether the whole window shares a value, evenly; else its centre has it."""
    Params = UnpoolWindowsParams

    def geometry(self, node: Node[UnpoolWindowsParams], axis: int) -> tuple[int, int, int] | None:
        """Kernel, stride and pad of one axis; None where the window is the whole plane."""
        w: Windows | None = node.params.windows
        return (w.kernel[axis], w.stride[axis], w.pad[axis]) if w is not None else None

    def onnx(self, node: Node[UnpoolWindowsParams], b: OnnxBuilder) -> None:
        p, sizes = node.inputs[0], spatial_size(node, b)
        tall, wide = (self.matrix(node, b, axis, sizes[axis]) for axis in (0, 1))
        left = b.op("Transpose", tall, perm=(1, 0))
        b.op("MatMul", b.op("MatMul", left, p), wide, out=node.outputs[0])

    def matrix(self, node: Node[UnpoolWindowsParams], b: OnnxBuilder, axis: int, size: str) -> str:
        """windows × rows (or columns): the share of each window's value that each gets."""
        small, large = node.inputs[0].shape[2 + axis], node.outputs[0].shape[2 + axis]
        geometry = self.geometry(node, axis)
        if is_fixed(small, large):
            array = unpooling_matrix(known(large), known(small), geometry, self.average)
            return b.const(array.astype(np.float32))
        zero, one = b.const(np.array(0, np.int64)), b.const(np.array(1, np.int64))
        place = b.op("Range", zero, b.op("Squeeze", size, b.ints(0)), one)
        count = b.op("Squeeze", b.dim(node.inputs[0], 2 + axis), b.ints(0))
        window = b.op("Unsqueeze", b.op("Range", zero, count, one), b.ints(1))
        kernel, start = size, b.op("Mul", window, b.ints(0))
        if geometry is not None:
            kernel = b.ints(geometry[0])
            start = b.op("Sub", b.op("Mul", window, b.ints(geometry[1])), b.ints(geometry[2]))
        if not self.average:
            half = b.op("Div", b.op("Sub", kernel, b.ints(1)), b.ints(2))
            middle = b.op("Max", b.op("Add", start, half), b.ints(0))
            middle = b.op("Min", middle, b.op("Sub", size, b.ints(1)))
            return b.op("Cast", b.op("Equal", place, middle), to=1)
        pad = b.ints(geometry[2] if geometry else 0)
        end = b.op("Add", start, kernel)
        hit = b.op("And", b.op("GreaterOrEqual", place, start), b.op("Less", place, end))
        extent = b.op("Sub", b.op("Min", end, b.op("Add", size, pad)), start)
        return b.op("Div", b.op("Cast", hit, to=1), b.op("Cast", extent, to=1))

    def torch(self, node: Node[UnpoolWindowsParams]) -> nn.Module:
        from .torch import reversed_pooling

        rows, columns = (self.geometry(node, axis) for axis in (0, 1))
        windows = (rows, columns) if rows is not None and columns is not None else None
        return reversed_pooling.UnpoolWindows(fixed_spatial_size(node), windows, self.average)


@register("UnpoolCentre")
class UnpoolCentre(UnpoolWindows):
    """Each value at the centre of its window.

    Of an even window that is the first of the middle two, kept inside the image.
    """

    average = False


@register("UnpoolAverage")
class UnpoolAverage(UnpoolWindows):
    """Each value shared out evenly over its window: the transpose of average pooling."""

    average = True


def unpooling_matrix(
    size: int, windows: int, geometry: tuple[int, int, int] | None, average: bool
) -> np.ndarray:
    """windows × size, float64: what each place of one axis gets of each window's value.

    Average pooling divides by the window with its padding, less what hangs over size + pad
    (pooling_layer.cpp).
    """
    kernel, stride, pad = geometry if geometry is not None else (size, 1, 0)
    start = (np.arange(windows) * stride - pad)[:, None]
    place = np.arange(size)[None]
    part: np.ndarray
    if not average:
        part = place == np.clip(start + (kernel - 1) // 2, 0, size - 1)
    else:
        extent = np.minimum(start + kernel, size + pad) - start
        part = ((place >= start) & (place < start + kernel)) / extent
    return part.astype(np.float64)
