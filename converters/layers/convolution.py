"""Convolution and Deconvolution (base_conv_layer.cpp): N-d, groups, dilation."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from prototxt.errors import Argument, Sentence
from prototxt.files import release
from prototxt.schema import UInt

from ..fillers import Filler
from ..graph import Dim, Node, Shape, Value
from ..layer_type import BlobSpec, LayerType, NoParams
from ..registry import register
from ..reversal import Reverser, Tops
from ..shapes import convolved, deconvolved, is_fixed, known, known_product, text

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder, Operand


class Engine(enum.Enum):
    """The implementation that Caffe is asked for; all give the same numbers."""

    DEFAULT = 0
    CAFFE = 1
    CUDNN = 2


@dataclass
class ConvolutionParams:
    """ConvolutionParameter."""

    num_output: UInt = 0
    bias_term: bool = True
    pad: list[UInt] = field(default_factory=list)
    kernel_size: list[UInt] = field(default_factory=list)
    stride: list[UInt] = field(default_factory=list)
    dilation: list[UInt] = field(default_factory=list)
    pad_h: UInt | None = None
    pad_w: UInt | None = None
    kernel_h: UInt | None = None
    kernel_w: UInt | None = None
    stride_h: UInt | None = None
    stride_w: UInt | None = None
    group: UInt = 1
    weight_filler: Filler = field(default_factory=Filler)
    bias_filler: Filler = field(default_factory=Filler)
    engine: Engine = Engine.DEFAULT
    axis: int = 1
    force_nd_im2col: bool = False
    conv_algorithm: str = ""
    """How Intel's Caffe computes it."""


@dataclass(frozen=True)
class Geometry:
    """One number per spatial axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]


@dataclass
class ConvolutionTransposeParams:
    """Of what reverses a convolution (reversed.py): its windows, and how many channels it read."""

    geometry: Geometry
    channels: int
    group: int = 1


C = TypeVar("C", bound=ConvolutionParams)


class Convolutional(LayerType[C]):
    """What both directions share."""

    bottoms: ClassVar[tuple[int, int | None]] = (1, None)
    tops: ClassVar[tuple[int, int | None]] = (1, None)
    Params = ConvolutionParams
    learns = True
    out: Callable[..., Dim]
    transposed = False

    def prepare(self, node: Node[C]) -> None:
        if len(node.inputs) != len(node.outputs):
            raise node.error(f"{len(node.inputs)} bottoms but {len(node.outputs)} tops")
        p = node.params
        if p.num_output == 0:
            raise node.error("num_output is missing or 0")
        if p.group == 0 or p.num_output % p.group:
            raise node.error(f"num_output {p.num_output} is not divisible by group {p.group}")

    def each_image(self, node: Node[C]) -> bool:
        return self.axis(node) == 1

    def axis(self, node: Node[C]) -> int:
        rank, axis = len(node.inputs[0].shape), node.params.axis
        if not -rank <= axis < rank:
            raise node.error(f"axis {axis} is outside a {text(node.inputs[0].shape)} input")
        return axis % rank

    def geometry(self, node: Node[C]) -> Geometry:
        """Kernel, stride, pad and dilation, each repeated over the axes as Caffe does."""
        p = node.params
        axes = len(node.inputs[0].shape) - self.axis(node) - 1
        kernel = self.per_axis(node, "kernel", p.kernel_size, p.kernel_h, p.kernel_w, axes, None)
        return Geometry(
            kernel,
            self.per_axis(node, "stride", p.stride, p.stride_h, p.stride_w, axes, 1),
            self.per_axis(node, "pad", p.pad, p.pad_h, p.pad_w, axes, 0),
            self.per_axis(node, "dilation", p.dilation, None, None, axes, 1),
        )

    def per_axis(
        self,
        node: Node[C],
        what: str,
        given: list[int],
        h: int | None,
        w: int | None,
        axes: int,
        default: int | None,
    ) -> tuple[int, ...]:
        name = "kernel_size" if what == "kernel" else what
        if h is not None or w is not None:
            if axes != 2:
                raise node.error(f"{what}_h and {what}_w need two spatial axes, there are {axes}")
            if given:
                raise node.error(f"give {name} or {what}_h and {what}_w, not both")
            if what == "kernel" and (h is None or w is None):
                raise node.error("kernel_h and kernel_w go together")
            fallback = default if default is not None else 0
            numbers = [h if h is not None else fallback, w if w is not None else fallback]
        elif given:
            if len(given) not in (1, axes):
                raise node.error(f"{len(given)} values of {name} for {axes} spatial axes")
            numbers = given * axes if len(given) == 1 else list(given)
        elif default is None:
            raise node.error("kernel_size is missing")
        else:
            numbers = [default] * axes
        if what != "pad" and any(n == 0 for n in numbers):
            raise node.error(f"{name} is 0")
        return tuple(numbers)

    def channels(self, node: Node[C]) -> int:
        channels = known(node.inputs[0].shape[self.axis(node)])
        if channels % node.params.group:
            raise node.error(f"{channels} channels are not divisible by group {node.params.group}")
        return channels

    def shapes(self, node: Node[C]) -> list[Shape]:
        axis, g = self.axis(node), self.geometry(node)
        self.channels(node)
        result = []
        for value in node.inputs:
            if len(value.shape) != len(node.inputs[0].shape):
                raise node.error("its bottoms differ in their number of axes")
            dims = [
                type(self).out(d, k, p, s, dil)
                for d, k, p, s, dil in zip(
                    value.shape[axis + 1 :], g.kernel, g.pad, g.stride, g.dilation, strict=True
                )
            ]
            if any(isinstance(d, int) and d <= 0 for d in dims):
                raise node.error(
                    f"kernel {text(g.kernel)} with dilation {text(g.dilation)} is larger than "
                    f"its {text(value.shape[axis + 1 :])} input padded by {text(g.pad)}",
                    Sentence("give a larger ", Argument("shapes")),
                )
            result.append((*value.shape[:axis], node.params.num_output, *dims))
        return result

    def blobs(self, node: Node[C]) -> list[BlobSpec]:
        p = node.params
        channels, kernel = self.channels(node), self.geometry(node).kernel
        outer, inner = (channels, p.num_output) if self.transposed else (p.num_output, channels)
        specs = [BlobSpec("weight", (outer, inner // p.group, *kernel), p.weight_filler)]
        if p.bias_term:
            specs.append(BlobSpec("bias", (p.num_output,), p.bias_filler))
        return specs

    def macs(self, node: Node[C]) -> int:
        """Each weight is used once for each place, of the top or, turned around, of the bottom."""
        dims = (node.inputs if self.transposed else node.outputs)[0].shape
        axis = self.axis(node)
        return int(node.blobs[0].size) * known_product((*dims[:axis], *dims[axis + 1 :]))

    def onnx(self, node: Node[C], b: OnnxBuilder) -> None:
        g, axis = self.geometry(node), self.axis(node)
        rank = len(node.inputs[0].shape)
        axes = rank - axis - 1
        weights = [b.weight(node, i) for i in range(len(node.blobs))]
        for value, out in zip(node.inputs, node.outputs, strict=True):
            x = self.flatten(b, value, axis, axes)
            attributes: dict[str, Any] = dict(
                kernel_shape=g.kernel or (1,),
                strides=g.stride or (1,),
                pads=[*g.pad, *g.pad] or (0, 0),
                dilations=g.dilation or (1,),
                group=node.params.group,
            )
            operator = "ConvTranspose" if self.transposed else "Conv"
            if b.form.narrow == "DepthToSpace" and axis == 1 and self.narrow(node):
                self.four_at_a_time(node, b, value, weights, out)
            elif axes and axis == 1:
                if b.form.padding == "Pad" and not self.transposed and set(g.kernel) == {1}:
                    x = self.padded(b, x, attributes)
                b.op(operator, x, *weights, out=out, **attributes)
            else:
                if not axes:
                    weights[0] = b.array(node, "weight_3d", node.blobs[0][..., None])
                y = b.op(operator, x, *weights, **attributes)
                b.op("Reshape", y, b.join(*(b.symbol(d) or "" for d in out.shape)), out=out)

    def padded(self, b: OnnxBuilder, x: Operand, attributes: dict[str, Any]) -> Operand:
        """The input padded by zeros before a convolution that then pads no more."""
        pads = attributes["pads"]
        if not any(pads):
            return x
        attributes["pads"] = [0] * len(pads)
        half = len(pads) // 2
        return b.op("Pad", x, b.ints(0, 0, *pads[:half], 0, 0, *pads[half:]))

    def narrow(self, node: Node[C]) -> bool:
        """Whether it has too few outputs for ONNX Runtime's CPU provider: a decoder's picture.

        Its vectors hold 8 or 16 channels; it would mostly compute padding.
        """
        g, p = self.geometry(node), node.params
        plain = not self.transposed and len(g.kernel) == 2 and p.group == 1
        steps = set(g.stride + g.dilation) == {1}
        return (
            plain
            and steps
            and 4 * p.num_output <= 16 <= 2 * self.channels(node)
            and (min(g.kernel) > 1)
        )

    def four_at_a_time(
        self,
        node: Node[C],
        b: OnnxBuilder,
        x: Value,
        weights: Sequence[str],
        out: Value,
    ) -> None:
        """Four places of the output (2x2) as four times the channels, then put side by side.

        The kernel, one wider, moves by two. The same sums, with zeros added: only what is infinite
        or NaN reaches one place further.
        """
        g = self.geometry(node)
        moved = [
            b.op("Pad", weights[0], b.ints(0, 0, i, j, 0, 0, 1 - i, 1 - j))
            for i in (0, 1)
            for j in (0, 1)
        ]
        operands = [b.op("Concat", *moved, axis=0)]
        operands += [b.op("Concat", *[bias] * 4, axis=0) for bias in weights[1:]]
        y = b.op(
            "Conv",
            x,
            *operands,
            kernel_shape=[k + 1 for k in g.kernel],
            strides=(2, 2),
            pads=[*g.pad, *(p + 1 for p in g.pad)],  # one more for outputs of odd size
        )
        even = all(isinstance(d, int) and d % 2 == 0 for d in out.shape[2:])
        if even:
            b.op("DepthToSpace", y, blocksize=2, mode="DCR", out=out)
            return
        y = b.op("DepthToSpace", y, blocksize=2, mode="DCR")
        ends = [
            b.arithmetic(
                "Add", b.size(x, axis), b.ints(2 * g.pad[axis - 2] + 1 - g.kernel[axis - 2])
            )
            for axis in (2, 3)
        ]
        b.op("Slice", y, b.ints(0, 0), b.join(*ends), b.ints(2, 3), out=out)

    def flatten(self, b: OnnxBuilder, value: Value, axis: int, axes: int) -> Operand:
        """N×C×spatial, whatever the axis: leading axes become one, no spatial axis becomes 1."""
        if axes and axis == 1:
            return value
        rank = axis + 1 + axes
        dims = [b.dim(value, i) for i in range(axis, rank)]
        tail = dims if axes else [*dims, b.ints(1)]
        return b.op("Reshape", value, b.join(b.ints(-1), *tail))

    def torch(self, node: Node[C]) -> nn.Module:
        from torch import nn

        from .torch.convolution import GeneralConvolution
        from .torch.parameters import parameter

        p = node.params
        g, axis = self.geometry(node), self.axis(node)
        axes = len(g.kernel)
        if axis != 1 or axes not in (1, 2, 3) or len(node.inputs) > 1:
            if axes > 3:
                raise node.error(f"convolution over {axes} axes cannot be rebuilt in PyTorch")
            return GeneralConvolution(
                node.blobs[0],
                node.blobs[1] if len(node.blobs) > 1 else None,
                axis,
                stride=g.stride,
                pad=g.pad,
                dilation=g.dilation,
                groups=p.group,
                transposed=self.transposed,
            )
        name = f"Conv{'Transpose' if self.transposed else ''}{axes}d"
        module: nn.Module = getattr(nn, name)(
            self.channels(node),
            p.num_output,
            g.kernel,
            stride=g.stride,
            padding=g.pad,
            dilation=g.dilation,
            groups=p.group,
            bias=p.bias_term,
        )
        module.weight = parameter(node.blobs[0])
        if p.bias_term:
            module.bias = parameter(node.blobs[1])
        return module


@register("Convolution", message="convolution_param")
class Convolution(Convolutional[ConvolutionParams]):
    """Cross-correlation over the axes after `axis`."""

    out = staticmethod(convolved)

    def input_channels(self, params: ConvolutionParams, stored: Sequence[np.ndarray]) -> int | None:
        return int(stored[0].shape[1]) * int(params.group)

    def absorb(self, node: Node[ConvolutionParams], factor: np.ndarray, offset: np.ndarray) -> bool:
        if len(node.inputs) > 1 or self.axis(node) != 1:
            return False
        absorb_rows(node, factor, offset)
        return True

    def is_bias(self, node: Node[ConvolutionParams]) -> bool:
        return (
            len(node.blobs) == 2
            and node.outputs[0].shape[2:] == node.inputs[0].shape[2:]
            and not np.any(node.blobs[0])
        )

    def reverse(self, node: Node[ConvolutionParams], tops: Tops, r: Reverser) -> None:
        """The transposed convolution by the same weights, without bias."""
        geometry = self.geometry(node)
        if self.axis(node) != 1 or len(geometry.kernel) not in (1, 2, 3):
            raise node.error("cannot be reversed: only axis 1 with 1 to 3 spatial axes is")
        params = ConvolutionTransposeParams(geometry, self.channels(node), node.params.group)
        strided = any(s != 1 for s in geometry.stride)
        for top, bottom in zip(tops, node.inputs, strict=True):
            if top is not None:
                value = r.add(
                    "ConvolutionTranspose",
                    node,
                    [top],
                    bottom,
                    params,
                    shared=[0],
                    read_size=strided and not is_fixed(*bottom.shape[2:]),
                )
                r.accumulate(bottom, value)


@register("Deconvolution", message="convolution_param")
class Deconvolution(Convolutional[ConvolutionParams]):
    """The transpose of Convolution; its weights are input × output channels."""

    out = staticmethod(deconvolved)
    transposed = True

    def simplify(self, node: Node[ConvolutionParams]) -> None:
        """Of stride 1 it is a Convolution with the kernel turned and other padding.

        ONNX Runtime's CPU provider runs that 1.3 to 1.75 times faster.
        """
        weights = as_convolution(node)
        if weights is None or node.shared:
            return
        g = self.geometry(node)
        pads = [d * (k - 1) - p for k, p, d in zip(g.kernel, g.pad, g.dilation, strict=True)]
        node.params = replace(
            node.params,
            pad=pads,
            pad_h=None,
            pad_w=None,
            kernel_size=list(g.kernel),
            kernel_h=None,
            kernel_w=None,
        )
        node.type = "Convolution"
        node.blobs = [weights, *node.blobs[1:]]

    def reverse(self, node: Node[ConvolutionParams], tops: Tops, r: Reverser) -> None:
        """The convolution by the same weights, without bias."""
        geometry = self.geometry(node)
        if self.axis(node) != 1:
            raise node.error("cannot be reversed: only axis 1 is")
        params = ConvolutionParams(
            num_output=known(node.inputs[0].shape[1]),
            bias_term=False,
            kernel_size=list(geometry.kernel),
            stride=list(geometry.stride),
            pad=list(geometry.pad),
            dilation=list(geometry.dilation),
            group=node.params.group,
        )
        for top, bottom in zip(tops, node.inputs, strict=True):
            if top is not None:
                value = r.add("Convolution", node, [top], bottom, params, shared=[0])
                r.accumulate(bottom, value)


def as_convolution(node: Node[ConvolutionParams]) -> np.ndarray | None:
    """The weights of the Convolution that equals a stride-1 Deconvolution, None where none does.

    The kernel is turned by half a circle and its channel axes exchanged within each group.
    """
    kind = Deconvolution()
    if len(node.inputs) != 1 or kind.axis(node) != 1:
        return None
    g, group = kind.geometry(node), node.params.group
    extents = [d * (k - 1) for k, d in zip(g.kernel, g.dilation, strict=True)]
    if (
        not g.kernel
        or set(g.stride) != {1}
        or any(e < p for e, p in zip(extents, g.pad, strict=True))
    ):
        return None
    weight = node.blobs[0]
    inner, outer = weight.shape[0] // group, weight.shape[1]
    split = weight.reshape(group, inner, outer, *g.kernel).swapaxes(1, 2)
    flipped = np.flip(split, axis=tuple(range(3, split.ndim)))
    return np.ascontiguousarray(flipped.reshape(group * outer, inner, *g.kernel))


def absorb_rows(node: Node[Any], factor: np.ndarray, offset: np.ndarray) -> None:
    """Multiply a factor for each output channel into the weights, and give the node a bias.

    The first axis of the weights counts the output channels.
    """
    stored = node.blobs[0]
    weight = stored.astype(np.float64)
    bias = node.blobs[1].astype(np.float64) if node.params.bias_term else 0.0
    columns = factor.reshape(-1, *[1] * (weight.ndim - 1))
    node.params = replace(node.params, bias_term=True)
    node.blobs = [
        (weight * columns).astype(np.float32),
        (bias * factor + offset).astype(np.float32),
    ]
    release(stored)


@register("BiasLayer")
class BiasLayer(LayerType[NoParams]):
    """A convolution of zero weights, reduced to its bias over the plane of another blob.

    Not a type of Caffe's: a decoder that stands alone has it in place of the paper's bias layer.
    """

    fork = Sentence("caffe-zoo (made by ", Argument("split"), ")")

    def blobs(self, node: Node[NoParams]) -> list[BlobSpec]:
        return [BlobSpec("weight", node.blobs[0].shape), BlobSpec("bias", node.blobs[1].shape)]

    def onnx(self, node: Node[NoParams], b: OnnxBuilder) -> None:
        x, channels = node.inputs[0], node.blobs[1].shape[0]
        bias = b.array(node, "bias", node.blobs[1].reshape(1, channels, 1, 1))
        shape = b.join(b.dim(x, 0), b.ints(channels), b.dim(x, 2), b.dim(x, 3))
        b.op("Expand", bias, shape, out=node.outputs[0])

    def torch(self, node: Node[NoParams]) -> nn.Module:
        from .torch.convolution import BiasPlane

        return BiasPlane(node.blobs[1])
