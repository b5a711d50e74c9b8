"""The windows of pooling; switches in operators that other runtimes have as well as ONNX Runtime.

Each way to switches gives the pooled values and, of every window, the place of its first maximum in
its plane.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import Node
from ..shapes import is_fixed, known, known_product, overhang

if TYPE_CHECKING:
    from ..onnx_builder import OnnxBuilder, Operand

__all__ = ["Windows", "pair_switches", "starts", "window_switches"]


@dataclass(frozen=True)
class Windows:
    """Where the windows lie, per axis (height, width)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]
    ceil: bool

    @property
    def disjoint(self) -> bool:
        """No position lies in two windows, so no switch can be named twice."""
        return all(k <= s for k, s in zip(self.kernel, self.stride, strict=True))

    def overhang(self, size: tuple[int, int], out: tuple[int, int]) -> tuple[int, int]:
        """How far the last window reaches behind the image (at least 0), per axis."""
        h, w = (
            overhang(size[i], out[i], self.kernel[i], self.pad[i], self.stride[i]) for i in (0, 1)
        )
        return h, w


def pair_switches(
    node: Node[Any], b: OnnxBuilder, w: Windows, pads: Sequence[int], ceil: bool
) -> None:
    """Of windows of 2×2, side by side: from four maxima without indices.

    ONNX Runtime's providers have each of them fast: of the window, its upper pair, its left pair,
    its first place.

    The upper pair reaches the maximum: the switch is there, in the first place if that reaches it,
    as Caffe's first maximum wins. Otherwise the first place that can is below, on the left if the
    left pair reaches it. Nothing is rounded. A window of -inf has its first place (Caffe: -1, no
    place at all); what a window with NaN has is not defined.
    """
    x = node.inputs[0]
    y, mask = node.outputs
    both: dict[str, Any] = dict(strides=(2, 2))
    b.op("MaxPool", x, out=y, kernel_shape=(2, 2), pads=pads, ceil_mode=int(ceil), **both)
    # Padding by one rounds up: with ceil_mode, a kernel of 1 gives one window too many at even
    # sizes in ONNX Runtime 1.20.
    upper = b.op("MaxPool", x, kernel_shape=(1, 2), pads=(0, 0, 0, 1), **both)
    left = b.op("MaxPool", x, kernel_shape=(2, 1), pads=(0, 0, 1, 0), **both)
    first = b.op("MaxPool", x, kernel_shape=(1, 1), **both)
    lower, other, right = (b.op("Less", part, y) for part in (upper, first, left))
    column = b.op("And", other, b.op("Or", b.op("Not", lower), right))
    # Half the memory of int64, and any plane's index fits.
    width = b.op("Cast", b.size(x, 3), to=6)
    place = b.op("Mul", b.op("Cast", lower, to=6), width)
    place = b.op("Add", place, b.op("Cast", column, to=6))
    rows = b.op("Mul", starts(b, b.dim(y, 2), w, 0), b.size(x, 3))
    corners = b.op("Add", rows, starts(b, b.dim(y, 3), w, 1))
    place = b.op("Add", place, b.op("Cast", corners, to=6))
    b.op("Cast", place, to=7, out=mask)


def window_switches(
    node: Node[Any], b: OnnxBuilder, w: Windows, pads: Sequence[int], ceil: bool
) -> None:
    """Of any windows: ArgMax over the places of each."""
    x = node.inputs[0]
    y, mask = node.outputs
    attributes: dict[str, Any] = dict(kernel_shape=w.kernel, strides=w.stride)
    b.op("MaxPool", x, out=y, pads=pads, ceil_mode=int(ceil), **attributes)
    before, after = w.pad, [w.pad[i] + w.stride[i] - 1 for i in (0, 1)]
    padded: Operand = x
    if any(before) or any(after):
        padded = b.op("Pad", x, b.ints(0, 0, *before, 0, 0, *after), b.const(np.float32(-np.inf)))
    out = [b.op("Shape", y, start=2 + i, end=3 + i) for i in (0, 1)]
    if is_fixed(*y.shape[2:]):
        out = [b.dim(y, 2), b.dim(y, 3)]
    if is_fixed(*y.shape[2:]) and known_product(y.shape[2:]) < math.prod(w.kernel):
        place = one_by_one(b, w, padded, [known(size) for size in y.shape[2:]])
    else:
        place = all_at_once(b, w, padded, out)
    row = b.op("Div", place, b.ints(w.kernel[1]))
    # Not Mod, which TensorRT 8 has not.
    column = b.op("Sub", place, b.op("Mul", row, b.ints(w.kernel[1])))
    rows = b.op("Add", row, starts(b, out[0], w, 0))
    columns = b.op("Add", column, starts(b, out[1], w, 1))
    b.op("Add", b.op("Mul", rows, b.dim(x, 3)), columns, out=mask)


def one_by_one(b: OnnxBuilder, w: Windows, padded: Operand, out: Sequence[int]) -> str:
    """The place of the maximum within each window, N×C×H×W: for few windows, however large."""
    parts = []
    for i in range(out[0]):
        for j in range(out[1]):
            start = [i * w.stride[0], j * w.stride[1]]
            end = [start[axis] + w.kernel[axis] for axis in (0, 1)]
            window = b.op("Slice", padded, b.ints(*start), b.ints(*end), b.ints(2, 3))
            flat = b.op("Reshape", window, b.ints(0, 0, math.prod(w.kernel)))
            parts.append(b.op("ArgMax", flat, axis=2, select_last_index=0))
    return b.op("Reshape", b.op("Concat", *parts, axis=2), b.ints(0, 0, *out))


def all_at_once(b: OnnxBuilder, w: Windows, padded: Operand, out: Sequence[str]) -> str:
    """As `one_by_one`, for small windows, however many: a slice for each place of a window."""
    reach = [b.arithmetic("Mul", out[i], b.ints(w.stride[i])) for i in (0, 1)]
    parts = []
    for i in range(w.kernel[0]):
        for j in range(w.kernel[1]):
            ends = b.join(
                b.arithmetic("Add", reach[0], b.ints(i)),
                b.arithmetic("Add", reach[1], b.ints(j)),
            )
            part = b.op("Slice", padded, b.ints(i, j), ends, b.ints(2, 3), b.ints(*w.stride))
            parts.append(b.op("Unsqueeze", part, b.ints(4)))
    stacked = b.op("Concat", *parts, axis=4)
    return b.op("ArgMax", stacked, axis=4, keepdims=0, select_last_index=0)


def starts(b: OnnxBuilder, count: str, w: Windows, axis: int) -> str:
    """The first row (or column) of each window, shaped to add to N×C×H×W."""
    zero, one = b.const(np.array(0, np.int64)), b.const(np.array(1, np.int64))
    numbers = b.op("Range", zero, b.op("Squeeze", count, b.ints(0)), one)
    numbers = b.op("Mul", numbers, b.ints(w.stride[axis]))
    if w.pad[axis]:
        numbers = b.op("Sub", numbers, b.ints(w.pad[axis]))
    return b.op("Unsqueeze", numbers, b.ints(1)) if axis == 0 else numbers
