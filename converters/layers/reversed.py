"""What reversed networks are made of, besides Caffe's own layers (passes/reverse.py).

None of these is a type of Caffe's: a reversed network has them in place of what it reverses. Their
params stand beside the layer whose `reverse` makes them. Where the size of their output is left
open, their last input is a blob of that size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from prototxt.net import LayerDefinition

from ..errors import layer_error
from ..graph import Node, P
from ..layer_type import BlobSpec, LayerType, NoParams
from ..registry import register
from ..shapes import fixed, is_fixed, known
from .activations import ReLUMaskParams, scalar
from .convolution import ConvolutionTransposeParams, Geometry
from .inner_product import InnerProductTransposeParams
from .normalization import LRNGradientParams, LRNParams, Region, neighbourhood_mean
from .shaping import PadAxisParams

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


class Reversed(LayerType[P]):
    """A layer that the pass makes, with its output's shape, and that no prototxt names."""

    fork = "caffe-zoo (made by reversing)"
    bottoms = (1, None)

    def read(self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]) -> P:
        raise layer_error(layer, "stands in reversed networks only, not in a definition")


def spatial_size(node: Node[Any], b: OnnxBuilder) -> list[str]:
    """The size of the output's spatial axes, each a 1-element tensor."""
    shape = node.outputs[0].shape
    like = node.outputs[0] if is_fixed(*shape[2:]) else node.inputs[-1]
    return [b.dim(like, axis) for axis in range(2, len(shape))]


def fixed_spatial_size(node: Node[Any]) -> tuple[int, ...] | None:
    """The output's spatial axes as numbers; None where they are open and an input has them."""
    spatial = node.outputs[0].shape[2:]
    return fixed(spatial) if is_fixed(*spatial) else None


@register("ConvolutionTranspose")
class ConvolutionTranspose(Reversed[ConvolutionTransposeParams]):
    """The transpose of a Convolution, onto the plane that it read (no bias).

    Unlike Deconvolution it also fills the rows that a stride left over, with 0.
    """

    Params = ConvolutionTransposeParams

    def blobs(self, node: Node[ConvolutionTransposeParams]) -> list[BlobSpec]:
        return [BlobSpec("weight", node.blobs[0].shape)]

    def rest(self, node: Node[ConvolutionTransposeParams]) -> list[int] | None:
        """Rows that the stride left over, per axis; None where that is open."""
        g: Geometry = node.params.geometry
        small, size = node.inputs[0].shape[2:], fixed_spatial_size(node)
        if all(s == 1 for s in g.stride):
            return [0] * len(g.stride)
        if size is None or not is_fixed(*small):
            return None
        return [
            n - (s * (known(o) - 1) + d * (k - 1) + 1 - 2 * p)
            for n, o, k, s, p, d in zip(
                size, small, g.kernel, g.stride, g.pad, g.dilation, strict=True
            )
        ]

    def onnx(self, node: Node[ConvolutionTransposeParams], b: OnnxBuilder) -> None:
        g: Geometry = node.params.geometry
        attributes: dict[str, Any] = dict(
            kernel_shape=g.kernel, strides=g.stride, dilations=g.dilation, group=node.params.group
        )
        p, weight, rest = node.inputs[0], b.weight(node, 0), self.rest(node)
        if rest is not None:
            more = rest if any(rest) else None
            b.op(
                "ConvTranspose",
                p,
                weight,
                out=node.outputs[0],
                pads=[*g.pad, *g.pad],
                output_padding=more,
                **attributes,
            )
            return
        full = b.op("ConvTranspose", p, weight, **attributes)
        sizes, ends = b.join(*spatial_size(node, b)), b.op("Shape", full, start=2)
        # What a stride left over is missing behind, and the padding is cut off on both sides.
        behind = b.op("Sub", b.op("Add", sizes, b.ints(*g.pad)), ends)
        before = b.ints(0, 0, *(-pad for pad in g.pad), 0, 0)
        b.op("Pad", full, b.join(before, behind), out=node.outputs[0])

    def torch(self, node: Node[ConvolutionTransposeParams]) -> nn.Module:
        from .torch import reversed

        g = node.params.geometry
        return reversed.ConvolutionTranspose(
            node.blobs[0],
            stride=g.stride,
            pad=g.pad,
            dilation=g.dilation,
            groups=node.params.group,
            size=fixed_spatial_size(node),
        )


@register("InnerProductTranspose")
class InnerProductTranspose(Reversed[InnerProductTransposeParams]):
    """The transpose of an InnerProduct, in the shape that it read (no bias)."""

    Params = InnerProductTransposeParams

    def blobs(self, node: Node[InnerProductTransposeParams]) -> list[BlobSpec]:
        return [BlobSpec("weight", node.blobs[0].shape)]

    def onnx(self, node: Node[InnerProductTransposeParams], b: OnnxBuilder) -> None:
        p, out, axis = node.inputs[0], node.outputs[0], node.params.axis
        rows = p if len(p.shape) == 2 else b.op("Reshape", p, b.ints(-1, known(p.shape[-1])))
        y = b.op("Gemm", rows, b.weight(node, 0), transB=int(node.params.transpose))
        dims = [b.dim(p, i) for i in range(axis)]
        b.op("Reshape", y, b.join(*dims, b.ints(*fixed(out.shape[axis:]))), out=out)

    def torch(self, node: Node[InnerProductTransposeParams]) -> nn.Module:
        from .torch import reversed

        axis, transpose = node.params.axis, node.params.transpose
        tail = fixed(node.outputs[0].shape[axis:])
        return reversed.InnerProductTranspose(node.blobs[0], axis, transpose, tail)


@register("ReLUMask")
class ReLUMask(Reversed[ReLUMaskParams]):
    """r = [x > 0], or the slope elsewhere: what ReLU's back-propagation multiplies by.

    Of a PReLU the slopes are its blob, one for each channel or one for all.
    """

    Params = ReLUMaskParams

    def blobs(self, node: Node[ReLUMaskParams]) -> list[BlobSpec]:
        return [BlobSpec("weight", blob.shape) for blob in node.blobs]

    def slope(self, node: Node[ReLUMaskParams]) -> np.ndarray:
        """The derivative below 0, shaped to broadcast."""
        if not node.blobs:
            return scalar(node.params.negative_slope)
        rank = len(node.inputs[0].shape)
        return np.asarray(node.blobs[0], np.float32).reshape(-1, *[1] * (rank - 2))

    def onnx(self, node: Node[ReLUMaskParams], b: OnnxBuilder) -> None:
        above = b.op("Greater", node.inputs[0], scalar(0))
        slope = self.slope(node)
        if not slope.any():
            b.op("Cast", above, to=1, out=node.outputs[0])
        else:
            b.op("Where", above, scalar(1), b.array(node, "slope", slope), out=node.outputs[0])

    def torch(self, node: Node[ReLUMaskParams]) -> nn.Module:
        from .torch import reversed

        return reversed.ReLUMask(self.slope(node))


@register("LRNGradient")
class LRNGradient(Reversed[LRNGradientParams]):
    """LRN's back-propagation of p at x, in either region (lrn_layer.cpp).

    With s = k + alpha mean(x²): p s^-beta - 2 alpha beta x mean(p x s^(-beta-1)).
    """

    Params = LRNGradientParams

    def onnx(self, node: Node[LRNGradientParams], b: OnnxBuilder) -> None:
        lrn: LRNParams = node.params.lrn
        within = lrn.norm_region is Region.WITHIN_CHANNEL
        p, x = node.inputs
        k = 1.0 if within else lrn.k
        mean = neighbourhood_mean(lrn, x, b.op("Mul", x, x), b)
        base = b.op("Add", b.op("Mul", mean, scalar(lrn.alpha)), scalar(k))
        power = b.op("Pow", base, scalar(-lrn.beta))
        direct = b.op("Mul", p, power)
        share = b.op("Div", b.op("Mul", direct, x), base)
        around = b.op("Mul", neighbourhood_mean(lrn, x, share, b), scalar(2 * lrn.alpha * lrn.beta))
        b.op("Sub", direct, b.op("Mul", x, around), out=node.outputs[0])

    def torch(self, node: Node[LRNGradientParams]) -> nn.Module:
        from .torch import reversed

        lrn: LRNParams = node.params.lrn
        within = lrn.norm_region is Region.WITHIN_CHANNEL
        k = 1.0 if within else lrn.k
        return reversed.LRNGradient(lrn.local_size, lrn.alpha, lrn.beta, k, within)


@register("Unflatten")
class Unflatten(Reversed[NoParams]):
    """The numbers in another shape: what reverses Flatten and Reshape."""

    def onnx(self, node: Node[NoParams], b: OnnxBuilder) -> None:
        shape = node.outputs[0].shape
        dims = [d if isinstance(d, int) else -1 for d in shape]
        # Reshape takes one open dimension; more than one are read off the blob of that shape.
        wanted = b.ints(*dims) if dims.count(-1) < 2 else b.op("Shape", node.inputs[-1])
        b.op("Reshape", node.inputs[0], wanted, out=node.outputs[0])

    def torch(self, node: Node[NoParams]) -> nn.Module:
        from .torch import reversed

        return reversed.Unflatten([d if isinstance(d, int) else -1 for d in node.outputs[0].shape])


@register("PadAxis")
class PadAxis(Reversed[PadAxisParams]):
    """Zeros around the values along one axis: what reverses a single top of Slice."""

    Params = PadAxisParams

    def onnx(self, node: Node[PadAxisParams], b: OnnxBuilder) -> None:
        p = node.params
        rank = len(node.inputs[0].shape)
        pads = [0] * (2 * rank)
        pads[p.axis % rank], pads[rank + p.axis % rank] = p.before, p.behind
        b.node("Pad", node, b.ints(*pads))

    def torch(self, node: Node[PadAxisParams]) -> nn.Module:
        from .torch import reversed

        p = node.params
        return reversed.PadAxis(p.axis, p.before, p.behind)
