"""Pooling (pooling_layer.cpp): MAX with an optional mask of switches, AVE, STOCHASTIC at test."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from prototxt.errors import Argument, Sentence
from prototxt.schema import UInt

from ..graph import Node, Shape, Value
from ..layer_type import LayerType
from ..registry import register
from ..reversal import Reverser, Tops, first_top
from ..shapes import OpenDimension, is_fixed, known, pooled, text
from .convolution import Engine
from .switches import Windows, pair_switches, window_switches

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder, Operand

MANY = 1024
"""Places of a window beyond which its switch is found for each window by itself."""
LARGEST_PLANE = 1 << 16
"""Rows or columns; a window farther behind an image would take memory for all that lies between."""
LOWEST = np.float32(np.finfo(np.float32).min)
"""Where Caffe's maximum starts, and what a window outside the image gives."""


class Method(enum.Enum):
    """PoolingParameter.PoolMethod."""

    MAX = 0
    AVE = 1
    STOCHASTIC = 2


class Region(enum.Enum):
    """What `norm_region` says; no pooling reads it."""

    ACROSS_CHANNELS = 0
    WITHIN_CHANNEL = 1


class RoundMode(enum.Enum):
    """PoolingParameter.RoundMode: how the size of the output is rounded."""

    CEIL = 0
    FLOOR = 1


@dataclass
class WindowParams:
    """What PoolingParameter and UnpoolingParameter share."""

    pad: UInt = 0
    pad_h: UInt = 0
    pad_w: UInt = 0
    kernel_size: UInt | None = None
    kernel_h: UInt | None = None
    kernel_w: UInt | None = None
    stride: UInt = 1
    stride_h: UInt | None = None
    stride_w: UInt | None = None
    engine: Engine = Engine.DEFAULT

    def windows(self, ceil: bool = True) -> Windows:
        size = self.kernel_size or 0
        return Windows(
            (size or self.kernel_h or 0, size or self.kernel_w or 0),
            (
                self.stride if self.stride_h is None else self.stride_h,
                self.stride if self.stride_w is None else self.stride_w,
            ),
            (self.pad or self.pad_h, self.pad or self.pad_w),
            ceil,
        )


@dataclass
class PoolingParams(WindowParams):
    """PoolingParameter, with two fields that are about.

    `ceil_mode` is what forks had before `round_mode`; `norm_region` stands in caffe-face's
    examples, though no pooling has ever read one.
    """

    pool: Method = Method.MAX
    global_pooling: bool = False
    round_mode: RoundMode = RoundMode.CEIL
    ceil_mode: bool = True
    norm_region: Region | None = None


@dataclass
class UnpoolSumParams:
    """Of what reverses max pooling by its switches (reversed_pooling.py): its windows."""

    windows: Windows


@dataclass
class UnpoolWindowsParams:
    """Of what reverses pooling without switches: its windows; None is one over the whole plane."""

    windows: Windows | None


@register("Pooling", message="pooling_param")
class Pooling(LayerType[PoolingParams]):
    """Max (with switches as second top) or average over windows, rounded up.

    STOCHASTIC draws in training; at test (pooling_layer.cu) it is the mean by the values' own
    weights: the sum of squares by the sum, 0 where that is not above 0.
    """

    tops = (1, 2)
    Params = PoolingParams

    def prepare(self, node: Node[PoolingParams]) -> None:
        p = node.params
        if len(node.inputs[0].shape) != 4:
            raise node.error(f"needs a 4-D input, not {text(node.inputs[0].shape)}")
        if p.pool is Method.STOCHASTIC and node.phase != "TEST":
            raise node.error("STOCHASTIC pooling is not supported in training", "it draws")
        if p.pool is Method.STOCHASTIC and any((p.pad, p.pad_h, p.pad_w)):
            raise node.error("STOCHASTIC pooling cannot be padded, in Caffe either")
        if len(node.outputs) == 2 and p.pool is not Method.MAX:
            raise node.error("only MAX pooling has a second top (the mask)")
        sized = p.kernel_size is not None, p.kernel_h is not None and p.kernel_w is not None
        if p.global_pooling:
            if any(sized) or p.kernel_h is not None or p.kernel_w is not None:
                raise node.error("global_pooling takes no kernel size")
            if p.pad or p.pad_h or p.pad_w or p.stride != 1:
                raise node.error("global_pooling needs pad 0 and stride 1")
            return
        if sized[0] == sized[1] or (sized[0] and (p.kernel_h or p.kernel_w)):
            raise node.error("give kernel_size, or kernel_h and kernel_w")
        w = self.windows(node)
        if 0 in w.kernel or 0 in w.stride:
            raise node.error("kernel_size and stride must not be 0")
        if max(w.stride) > LARGEST_PLANE:
            raise node.error(f"stride {text(w.stride)} is larger than any image")
        if any(pad >= k for pad, k in zip(w.pad, w.kernel, strict=True)):
            raise node.error(f"pad {text(w.pad)} must be smaller than the kernel {text(w.kernel)}")

    def mask_tops(self, count: int) -> list[int]:
        return [1] if count == 2 else []

    def dtypes(self, node: Node[PoolingParams]) -> list[str]:
        return ["float32", "int64"][: len(node.outputs)]

    def each_image(self, node: Node[PoolingParams]) -> bool:
        return True

    def windows(self, node: Node[PoolingParams]) -> Windows:
        """The geometry; OpenDimension for a global pool of open size."""
        p = node.params
        if p.global_pooling:
            height, width = node.inputs[0].shape[2:]
            return Windows((known(height), known(width)), (1, 1), (0, 0), True)
        return p.windows(p.ceil_mode and p.round_mode is RoundMode.CEIL)

    def shapes(self, node: Node[PoolingParams]) -> list[Shape]:
        n, c, height, width = node.inputs[0].shape
        if node.params.global_pooling:
            if len(node.outputs) == 2:
                known(height), known(width)
            return [(n, c, 1, 1)] * len(node.outputs)
        w = self.windows(node)
        for size, kernel, pad in zip((height, width), w.kernel, w.pad, strict=True):
            if isinstance(size, int) and size + 2 * pad < kernel:
                raise node.error(
                    f"kernel {text(w.kernel)} is larger than its {height}x{width} input "
                    f"padded by {text(w.pad)}",
                    Sentence("give a larger ", Argument("shapes")),
                )
            many = len(node.outputs) == 2 and math.prod(w.kernel) > MANY
            if isinstance(size, str) and (many or not self.any_size(w)):
                raise OpenDimension(size)
        out = tuple(
            pooled(size, w.kernel[i], w.pad[i], w.stride[i], w.ceil, any(w.pad))
            for i, size in enumerate((height, width))
        )
        return [(n, c, *out)] * len(node.outputs)

    def any_size(self, w: Windows) -> bool:
        """Whether ONNX can say these windows without knowing the input's size.

        Not where Caffe's clip rule depends on it (padded, stride above 1), nor where a rounded-up
        window may lie wholly outside (stride larger than the kernel).
        """
        if any(w.pad):
            return w.stride == (1, 1)
        return not w.ceil or all(s <= k for s, k in zip(w.stride, w.kernel, strict=True))

    def outside(self, node: Node[PoolingParams]) -> tuple[int, int]:
        """How many of the last windows lie wholly outside the image, per axis.

        Caffe has such where the stride is larger than the kernel; ONNX and PyTorch do not.
        """
        size, out = node.inputs[0].shape[2:], node.outputs[0].shape[2:]
        if node.params.global_pooling or not is_fixed(*size):
            return 0, 0
        w = self.windows(node)
        starts = [(known(out[i]) - 1) * w.stride[i] - w.pad[i] for i in (0, 1)]
        rows, columns = (max(0, (starts[i] - known(size[i])) // w.stride[i] + 1) for i in (0, 1))
        return rows, columns

    def notes(self, node: Node[PoolingParams]) -> list[str]:
        if not any(self.outside(node)):
            return []
        if len(node.outputs) == 2:
            raise node.error(
                "its last window lies wholly outside the image and has no switch",
                Sentence("change kernel_size, stride or ", Argument("shapes")),
            )
        gives = f"{LOWEST:g}" if node.params.pool is Method.MAX else "NaN or 0"
        return [
            node.note(
                "its last window lies wholly outside the image; as Caffe does, it gives "
                f"{gives} there"
            )
        ]

    def pads(self, node: Node[PoolingParams]) -> tuple[list[int], bool]:
        """ONNX pads and ceil_mode that give Caffe's windows."""
        w = self.windows(node)
        size, out = node.inputs[0].shape[2:], node.outputs[0].shape[2:]
        if not is_fixed(*size):
            return [*w.pad, *w.pad], w.ceil and not any(w.pad)
        rows, columns = (known(out[i]) - self.outside(node)[i] for i in (0, 1))
        over = w.overhang((known(size[0]), known(size[1])), (rows, columns))
        return [*w.pad, *over], False

    def onnx(self, node: Node[PoolingParams], b: OnnxBuilder) -> None:
        p = node.params
        masked = len(node.outputs) == 2
        if p.pool is Method.STOCHASTIC:
            self.stochastic(node, b)
        elif p.global_pooling and not masked:
            kind = "GlobalMaxPool" if p.pool is Method.MAX else "GlobalAveragePool"
            b.node(kind, node)
        elif p.pool is Method.AVE:
            self.average(node, b)
        elif masked and self.pairs(node):
            pair_switches(node, b, self.windows(node), *self.pads(node))
        elif masked and b.form.switches == "ArgMax" and p.global_pooling:
            y, mask = node.outputs
            b.op("GlobalMaxPool", node.inputs[0], out=y)
            planes = b.op("Reshape", node.inputs[0], b.ints(0, 0, -1))
            place = b.op("ArgMax", planes, axis=2, select_last_index=0)
            b.op("Unsqueeze", place, b.ints(3), out=mask)
        elif masked and b.form.switches == "ArgMax":
            # The CUDA provider's MaxPool gives of several maxima the first by columns.
            window_switches(node, b, self.windows(node), *self.pads(node))
        else:
            self.maximum(node, b)

    def maximum(self, node: Node[PoolingParams], b: OnnxBuilder) -> None:
        w = self.windows(node)
        x = node.inputs[0]
        pads, ceil = self.pads(node)
        attributes: dict[str, Any] = dict(
            kernel_shape=w.kernel, strides=w.stride, pads=pads, ceil_mode=int(ceil)
        )
        if len(node.outputs) == 1:
            outside = self.outside(node)
            if not any(outside):
                b.op("MaxPool", x, out=node.outputs[0], **attributes)
                return
            inner = b.op("MaxPool", x, **attributes)
            b.op("Pad", inner, b.ints(*[0] * 6, *outside), LOWEST, out=node.outputs[0])
            return
        y, mask = node.outputs
        flat = b.fresh(f"{mask.name}/flat")
        b.op("MaxPool", x, out=[y, flat], **attributes)
        b.flat[id(mask)] = flat
        area = b.arithmetic("Mul", b.dim(node.inputs[0], 2), b.dim(node.inputs[0], 3))
        b.op("Mod", flat, area, out=mask)

    def pairs(self, node: Node[PoolingParams]) -> bool:
        """Whether its windows are 2x2, side by side, and miss nothing: most switches are such."""
        if node.params.global_pooling:
            return False
        w, size = self.windows(node), node.inputs[0].shape[2:]
        whole = w.ceil or (is_fixed(*size) and not any(known(d) % 2 for d in size))
        return whole and (w.kernel, w.stride, w.pad) == ((2, 2), (2, 2), (0, 0))

    def average(self, node: Node[PoolingParams], b: OnnxBuilder) -> None:
        """Caffe divides by the window with its padding, less what hangs over H + pad."""
        w = self.windows(node)
        pads, ceil = self.pads(node)
        size, out = node.inputs[0].shape[2:], node.outputs[0].shape[2:]
        if (ceil or not any(pads)) and not any(self.outside(node)):
            b.node(
                "AveragePool",
                node,
                kernel_shape=w.kernel,
                strides=w.stride,
                ceil_mode=int(ceil),
            )
            return
        full = w.kernel[0] * w.kernel[1]
        divisor = np.full((1, 1), full)
        if is_fixed(*size):
            rows, columns = (self.extents(known(size[i]), known(out[i]), w, i) for i in (0, 1))
            divisor = np.outer(rows, columns)
        attributes: dict[str, Any] = dict(
            kernel_shape=w.kernel, strides=w.stride, count_include_pad=1
        )
        x: Operand = node.inputs[0]
        if (divisor == full).all():
            b.op("AveragePool", x, out=node.outputs[0], pads=pads, **attributes)
            return
        mean = b.op("AveragePool", x, pads=pads, **attributes)
        if any(outside := self.outside(node)):
            mean = b.op("Pad", mean, b.ints(*[0] * 6, *outside))
        with np.errstate(divide="ignore"):
            factor = (full / divisor).astype(np.float32)
        b.op("Mul", mean, b.array(node, "window_share", factor[None, None]), out=node.outputs[0])

    def stochastic(self, node: Node[PoolingParams], b: OnnxBuilder) -> None:
        """Means of squares by means: whatever a mean's divisor is, it is both's."""
        x, p = node.inputs[0], node.params
        pads, ceil = ([0] * 4, False) if p.global_pooling else self.pads(node)
        squares = b.op("Mul", x, x)
        means = []
        for operand in (x, squares):
            if p.global_pooling:
                means.append(b.op("GlobalAveragePool", operand))
                continue
            w = self.windows(node)
            attributes: dict[str, Any] = dict(kernel_shape=w.kernel, strides=w.stride)
            mean = b.op("AveragePool", operand, pads=pads, ceil_mode=int(ceil), **attributes)
            if any(outside := self.outside(node)):
                mean = b.op("Pad", mean, b.ints(*[0] * 6, *outside))
            means.append(mean)
        zero = b.const(np.float32(0))
        share = b.op("Div", means[1], means[0])
        b.op("Where", b.op("Greater", means[0], zero), share, zero, out=node.outputs[0])

    def extents(self, size: int, out: int, w: Windows, axis: int) -> np.ndarray:
        """The divisor of each window along one axis."""
        start = np.arange(out) * w.stride[axis] - w.pad[axis]
        return np.minimum(start + w.kernel[axis], size + w.pad[axis]) - start

    def torch(self, node: Node[PoolingParams]) -> nn.Module:
        from .torch import pooling

        p = node.params
        masked = len(node.outputs) == 2
        if p.pool is Method.STOCHASTIC:
            windows = None if p.global_pooling else self.windows(node)
            return pooling.StochasticPool(
                *((windows.kernel, windows.stride, windows.ceil) if windows else (None, None, True))
            )
        if p.global_pooling:
            return pooling.GlobalPool(p.pool is Method.MAX, masked)
        w = self.windows(node)
        if p.pool is Method.MAX:
            return pooling.MaxPool(w.kernel, w.stride, w.pad, w.ceil, masked)
        return pooling.AveragePool(w.kernel, w.stride, w.pad, w.ceil)

    def reverse(self, node: Node[PoolingParams], tops: Tops, r: Reverser) -> None:
        """By the switches or to the centre of each window; an average evenly over the window."""
        p = node.params
        inputs, bottom = [first_top(tops)], node.inputs[0]
        params: UnpoolSumParams | UnpoolWindowsParams
        if p.pool is Method.MAX and r.rules.switches:
            kind = "UnpoolSum"
            inputs.append(self.switches(node, r))
            params = UnpoolSumParams(self.windows(node))
        else:
            kind = "UnpoolAverage" if p.pool is Method.AVE else "UnpoolCentre"
            params = UnpoolWindowsParams(None if p.global_pooling else self.windows(node))
        if p.pool is Method.STOCHASTIC:
            raise node.error("STOCHASTIC pooling cannot be reversed")
        open_size = not is_fixed(*bottom.shape[2:])
        r.accumulate(bottom, r.add(kind, node, inputs, bottom, params, read_size=open_size))

    def switches(self, node: Node[PoolingParams], r: Reverser) -> Value:
        """The mask of a max pooling, which is given one where it has none."""
        if len(node.outputs) == 1:
            if any(self.outside(node)):
                raise node.error("its last window lies wholly outside the image: it has no switch")
            top = node.outputs[0]
            name = r.unique_name(f"{top.name}_mask")
            node.outputs.append(Value(name, top.shape, node, "int64", top.nominal))
        return node.outputs[1]
