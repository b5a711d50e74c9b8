"""Convolution, deconvolution and pooling over time as well: C3D, N×C×L×H×W of L frames.

C3D 1.0 has them in V1 syntax with the fields in `convolution_param` and `pooling_param`, 1.1 in
messages of their own; what they compute is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from prototxt.errors import Argument, Sentence
from prototxt.net import LayerDefinition
from prototxt.schema import UInt, decode

from ..errors import layer_error
from ..fillers import Filler
from ..graph import Dim, Node, Shape
from ..layer_type import LayerType
from ..registry import register
from ..shapes import known, pooled, text
from .convolution import Convolution, ConvolutionParams, Deconvolution
from .pooling import LOWEST, Method

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder

FORK = "C3D (facebookarchive/C3D)"

Three = tuple[int, int, int]


@dataclass
class Convolution3DParams:
    """Convolution3DParameter (C3D 1.1), and ConvolutionParameter as C3D 1.0 has it."""

    num_output: UInt = 0
    bias_term: bool = True
    pad: UInt = 0
    kernel_size: UInt = 0
    group: UInt = 1
    kernel_depth: UInt = 0
    stride: UInt = 1
    temporal_stride: UInt = 1
    weight_filler: Filler = field(default_factory=Filler)
    bias_filler: Filler = field(default_factory=Filler)
    filter_group: UInt = 1
    temporal_pad: UInt = 0

    def plain(self) -> ConvolutionParams:
        """As Convolution says it. `group` is never read; `filter_group` is about memory alone."""
        return ConvolutionParams(
            num_output=self.num_output,
            bias_term=self.bias_term,
            pad=[self.temporal_pad, self.pad, self.pad],
            kernel_size=[self.kernel_depth, self.kernel_size, self.kernel_size],
            stride=[self.temporal_stride, self.stride, self.stride],
            weight_filler=self.weight_filler,
            bias_filler=self.bias_filler,
        )


def either(layer: LayerDefinition, *names: str) -> str:
    """The message that a layer has, of those that mean the same; the first where it has none."""
    return next((name for name in names if layer.param(name) is not None), names[0])


def need_frames(node: Node[Any]) -> None:
    """Raises ConversionError unless the first bottom is N×C×L×H×W."""
    shape = node.inputs[0].shape
    if len(shape) != 5:
        raise node.error(f"needs a 5-D input (N x C x frames x H x W), not {text(shape)}")


class OverFrames(LayerType[ConvolutionParams]):
    """What convolution over frames and its transpose share: either message, N×C×L×H×W."""

    fork = FORK
    bottoms: ClassVar[tuple[int, int | None]] = (1, 1)
    tops: ClassVar[tuple[int, int | None]] = (1, 1)

    def messages(self) -> tuple[str, ...]:
        return ("convolution3d_param", "convolution_param")

    def read(
        self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]
    ) -> ConvolutionParams:
        """The fields of either message, as Convolution has them.

        Raises:
            ConversionError: the filter groups do not divide the outputs.
        """
        name = either(layer, *self.messages())
        own = decode(layer.param(name), Convolution3DParams, name=name, lenient=lenient, warn=warn)
        if own.filter_group == 0 or own.num_output % own.filter_group:
            raise layer_error(
                layer,
                f"num_output {own.num_output} is not divisible by filter_group {own.filter_group}",
            )
        return own.plain()

    def prepare(self, node: Node[Any]) -> None:
        need_frames(node)
        super().prepare(node)


@register("Convolution3D", message="convolution3d_param")
class Convolution3D(OverFrames, Convolution):
    """Convolution over frames, rows and columns (convolution3d_layer.cpp).

    Every output reads every channel: `filter_group` only splits the work.
    """


@register("Deconvolution3D", message="convolution3d_param")
class Deconvolution3D(OverFrames, Deconvolution):
    """The transpose of Convolution3D (deconvolution3d_layer.cpp)."""


@dataclass
class Pooling3DParams:
    """Pooling3DParameter (C3D 1.1), and PoolingParameter as C3D 1.0 has it."""

    pool: Method = Method.MAX
    kernel_size: UInt = 0
    stride: UInt = 1
    pad: UInt = 0
    kernel_depth: UInt = 0
    temporal_stride: UInt = 1

    @property
    def kernel(self) -> Three:
        return self.kernel_depth, self.kernel_size, self.kernel_size

    @property
    def strides(self) -> Three:
        return self.temporal_stride, self.stride, self.stride

    @property
    def pads(self) -> Three:
        return 0, self.pad, self.pad


@register("Pooling3D", message="pooling3d_param")
class Pooling3D(LayerType[Pooling3DParams]):
    """Max or average over frames, rows and columns, rounded up (pool3d_layer.cpp).

    Only averages may be padded, in rows and columns; no window is dropped, even if it lies in the
    padding alone. The divisor counts a window's padding, not what hangs over it.
    """

    fork = FORK
    Params = Pooling3DParams

    def messages(self) -> tuple[str, ...]:
        return ("pooling3d_param", "pooling_param")

    def read(
        self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]
    ) -> Pooling3DParams:
        name = either(layer, *self.messages())
        return decode(layer.param(name), Pooling3DParams, name=name, lenient=lenient, warn=warn)

    def prepare(self, node: Node[Pooling3DParams]) -> None:
        p = node.params
        need_frames(node)
        if p.pool is Method.STOCHASTIC:
            raise node.error("STOCHASTIC pooling is not there in Caffe either, over frames")
        if 0 in p.kernel:
            raise node.error("kernel_size and kernel_depth must be above 0")
        if 0 in p.strides:
            raise node.error("stride and temporal_stride must be above 0")
        if p.pad and p.pool is not Method.AVE:
            raise node.error("only AVE pooling may be padded")
        if p.pad >= p.kernel_size:
            raise node.error(f"pad {p.pad} must be smaller than kernel_size {p.kernel_size}")

    def shapes(self, node: Node[Pooling3DParams]) -> list[Shape]:
        p = node.params
        n, c, *sizes = node.inputs[0].shape
        dims: list[Dim] = []
        for size, kernel, pad, stride in zip(sizes, p.kernel, p.pads, p.strides, strict=True):
            if isinstance(size, int) and size + 2 * pad < kernel:
                raise node.error(
                    f"kernel {text(p.kernel)} is larger than its {text(tuple(sizes))} input "
                    f"padded by {text(p.pads)}",
                    Sentence("give a larger ", Argument("shapes")),
                )
            # Caffe's clip is not there: padding counts as image.
            dims.append(pooled(known(size) + 2 * pad, kernel, 0, stride))
        return [(n, c, *dims)]

    def ends(self, node: Node[Pooling3DParams]) -> tuple[list[int], list[int]]:
        """Per axis: the last windows wholly behind the input, and the padding the others need."""
        p = node.params
        outside, after = [], []
        for size, out, k, s, pad in zip(
            map(known, node.inputs[0].shape[2:]),
            map(known, node.outputs[0].shape[2:]),
            p.kernel,
            p.strides,
            p.pads,
            strict=True,
        ):
            outside.append(max(0, ((out - 1) * s - pad - size) // s + 1))
            after.append(max(0, (out - outside[-1] - 1) * s + k - size - pad))
        return outside, after

    def divisor(self, node: Node[Pooling3DParams]) -> np.ndarray:
        """Of an average: what the sum of each window is divided by, l×h×w."""
        p = node.params
        extents = []
        for size, out, k, s, pad in zip(
            node.inputs[0].shape[2:],
            node.outputs[0].shape[2:],
            p.kernel,
            p.strides,
            p.pads,
            strict=True,
        ):
            start = np.arange(known(out)) * s - pad
            extents.append(np.minimum(start + k, known(size) + pad) - start)
        return np.asarray(np.einsum("l,h,w->lhw", *extents))

    def onnx(self, node: Node[Pooling3DParams], b: OnnxBuilder) -> None:
        p = node.params
        outside, after = self.ends(node)
        average = p.pool is Method.AVE
        attributes: dict[str, Any] = dict(
            kernel_shape=p.kernel, strides=p.strides, pads=[*p.pads, *after]
        )
        kind = "AveragePool" if average else "MaxPool"
        if average:
            attributes["count_include_pad"] = 1
        full, divisor = int(np.prod(p.kernel)), self.divisor(node)
        even = not average or bool((divisor == full).all())
        if even and not any(outside):
            b.op(kind, node.inputs[0], out=node.outputs[0], **attributes)
            return
        y = b.op(kind, node.inputs[0], **attributes)
        if any(outside):
            # Caffe has windows without a single place.
            fill = b.const(np.float32(0) if average else LOWEST)
            ends = b.ints(*[0] * 7, *outside)
            y = b.op("Pad", y, ends, fill, out=None if average else node.outputs[0])
        if average:
            with np.errstate(divide="ignore"):
                share = (full / divisor).astype(np.float32)
            b.op("Mul", y, b.array(node, "window_share", share[None, None]), out=node.outputs[0])

    def torch(self, node: Node[Pooling3DParams]) -> nn.Module:
        from .torch import video

        p = node.params
        return video.Pool3d(p.kernel, p.strides, p.pads, p.pool is Method.AVE)
