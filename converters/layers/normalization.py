"""LRN, BatchNorm, Scale, Bias and MVN."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from prototxt.schema import UInt

from ..fillers import Filler
from ..graph import Node, Shape, Value
from ..layer_type import BlobSpec, LayerType
from ..registry import register
from ..reversal import Reverser, Tops, first_top
from ..shapes import MOST, TOO_LARGE, fixed, is_fixed, known, known_product, text
from .activations import Elementwise, scalar
from .convolution import Engine

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


class Region(enum.Enum):
    """LRNParameter.NormRegion: over neighbouring channels, or over a window."""

    ACROSS_CHANNELS = 0
    WITHIN_CHANNEL = 1


@dataclass
class LRNParams:
    """LRNParameter."""

    local_size: UInt = 5
    alpha: float = 1.0
    beta: float = 0.75
    norm_region: Region = Region.ACROSS_CHANNELS
    k: float = 1.0
    engine: Engine = Engine.DEFAULT


@dataclass
class LRNGradientParams:
    """Of what reverses it (reversed.py): the forward layer's own."""

    lrn: LRNParams = field(default_factory=LRNParams)


def neighbourhood_mean(p: LRNParams, like: Value, x: str, b: OnnxBuilder) -> str:
    """The mean of x, of the shape of `like`, over each neighbourhood; absent neighbours are 0."""
    size, pad = p.local_size, p.local_size // 2
    if p.norm_region is Region.WITHIN_CHANNEL:
        return b.op("AveragePool", x, kernel_shape=[size] * 2, pads=[pad] * 4, count_include_pad=1)
    # Channels become an axis that an average pool can slide over.
    planes = b.op("Reshape", x, b.join(b.dim(like, 0), b.ints(1), b.dim(like, 1), b.ints(-1)))
    mean = b.op(
        "AveragePool",
        planes,
        kernel_shape=[size, 1],
        pads=[pad, 0, pad, 0],
        count_include_pad=1,
    )
    return b.op("Reshape", mean, b.op("Shape", like))


@register("LRN", message="lrn_param")
class LRN(Elementwise[LRNParams]):
    """Divides by a power of the mean square in the neighbourhood (lrn_layer.cpp).

    Across channels the mean is over local_size channels, absent ones counted; within a channel it
    is Caffe's AVE pooling over a square, and k is taken as 1 whatever the prototxt says.
    """

    Params = LRNParams

    def prepare(self, node: Node[LRNParams]) -> None:
        if node.params.local_size % 2 == 0:
            raise node.error(f"local_size {node.params.local_size} must be odd")
        shape = node.inputs[0].shape
        if len(shape) != 4:
            raise node.error(f"needs a 4-D input, not {text(shape)}")
        if known_product((shape[0], *shape[2:])) * node.params.local_size > MOST:
            raise node.error(f"local_size {node.params.local_size}: its sums {TOO_LARGE}")

    def onnx(self, node: Node[LRNParams], b: OnnxBuilder) -> None:
        p = node.params
        x = node.inputs[0]
        if p.norm_region is Region.ACROSS_CHANNELS and b.form.lrn == "LRN":
            b.node("LRN", node, alpha=p.alpha, beta=p.beta, bias=p.k, size=p.local_size)
            return
        mean = neighbourhood_mean(p, x, b.op("Mul", x, x), b)
        k = 1.0 if p.norm_region is Region.WITHIN_CHANNEL else p.k
        base = b.op("Add", b.op("Mul", mean, scalar(p.alpha)), scalar(k))
        b.op("Div", x, b.op("Pow", base, scalar(p.beta)), out=node.outputs[0])

    def torch(self, node: Node[LRNParams]) -> nn.Module:
        from torch import nn

        from .torch import normalization

        p = node.params
        if p.norm_region is Region.ACROSS_CHANNELS:
            return nn.LocalResponseNorm(p.local_size, p.alpha, p.beta, p.k)
        return normalization.LRNWithinChannel(p.local_size, p.alpha, p.beta)

    def reverse(self, node: Node[LRNParams], tops: Tops, r: Reverser) -> None:
        """Back-propagation, or the identity where the rules say so."""
        top, bottom = first_top(tops), node.inputs[0]
        if r.rules.lrn:
            top = r.add("LRNGradient", node, [top, bottom], bottom, LRNGradientParams(node.params))
        r.accumulate(bottom, top)


@dataclass
class BatchNormParams:
    """BatchNormParameter, with what Intel's Caffe may fill a scale and an offset with."""

    use_global_stats: bool | None = None
    moving_average_fraction: float = 0.999
    eps: float = 1e-5
    filler: Filler | None = None
    bias_filler: Filler | None = None


@register("BatchNorm", message="batch_norm_param")
class BatchNorm(Elementwise[BatchNormParams]):
    """Normalises each channel by stored statistics, or (in training) by the batch's own.

    The stored mean and variance are divided by a third blob, the scale factor; 0 makes them 0.
    """

    Params = BatchNormParams
    has_statistics = True

    def channels(self, node: Node[BatchNormParams]) -> int:
        shape = node.inputs[0].shape
        return known(shape[1]) if len(shape) > 1 else 1

    def each_image(self, node: Node[BatchNormParams]) -> bool:
        return self.stored(node)

    def shapes(self, node: Node[BatchNormParams]) -> list[Shape]:
        self.channels(node)
        return [node.inputs[0].shape]

    def blobs(self, node: Node[BatchNormParams]) -> list[BlobSpec]:
        channels = self.channels(node)
        sizes = {"mean": channels, "variance": channels, "scale_factor": 1}
        return [BlobSpec(name, (size,), is_statistic=True) for name, size in sizes.items()]

    def stored(self, node: Node[BatchNormParams]) -> bool:
        chosen: bool | None = node.params.use_global_stats
        return node.phase == "TEST" if chosen is None else chosen

    def statistics(self, node: Node[BatchNormParams]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and 1/deviation of each channel, in float64."""
        mean, variance, scale = (blob.astype(np.float64).ravel() for blob in node.blobs)
        share = 0.0 if scale[0] == 0 else 1.0 / scale[0]
        return mean * share, 1.0 / np.sqrt(variance * share + node.params.eps)

    def affine(self, node: Node[BatchNormParams]) -> tuple[np.ndarray, np.ndarray] | None:
        if not self.stored(node):
            return None
        mean, factor = self.statistics(node)
        return factor, -mean * factor

    def onnx(self, node: Node[BatchNormParams], b: OnnxBuilder) -> None:
        x = node.inputs[0]
        rank = len(x.shape)
        if self.stored(node):
            mean, factor = self.statistics(node)
            if rank == 1:
                mean, factor = mean.reshape(1), factor.reshape(1)
            columns = (-1, *[1] * (rank - 2)) if rank > 1 else (1,)
            offset = b.array(node, "mean", mean.astype(np.float32).reshape(columns))
            scale = b.array(node, "factor", factor.astype(np.float32).reshape(columns))
            b.op("Mul", b.op("Sub", x, offset), scale, out=node.outputs[0])
            return
        axes = b.ints(*(i for i in range(rank) if i != 1))
        mean_now = b.op("ReduceMean", x, axes, keepdims=1)
        centred = b.op("Sub", x, mean_now)
        variance = b.op("ReduceMean", b.op("Mul", centred, centred), axes, keepdims=1)
        deviation = b.op("Sqrt", b.op("Add", variance, scalar(node.params.eps)))
        b.op("Div", centred, deviation, out=node.outputs[0])

    def torch(self, node: Node[BatchNormParams]) -> nn.Module:
        from .torch import normalization

        p = node.params
        chosen = p.use_global_stats
        if chosen is None and node.phase != "TEST":
            chosen = False
        return normalization.BatchNorm(
            *node.blobs,
            eps=p.eps,
            moving_average_fraction=p.moving_average_fraction,
            use_global_stats=chosen,
        )

    def reverse(self, node: Node[BatchNormParams], tops: Tops, r: Reverser) -> None:
        """The product with 1/deviation, where that is stored."""
        factor = self.statistics(node)[1] if self.stored(node) else None
        reverse_channel_scale(node, factor, tops, r)


@dataclass
class ScaleParams:
    """ScaleParameter and BiasParameter."""

    axis: int = 1
    num_axes: int = 1
    filler: Filler | None = None
    bias_term: bool = False
    bias_filler: Filler = field(default_factory=Filler)


def reverse_channel_scale(
    node: Node[Any], factor: np.ndarray | None, tops: Tops, r: Reverser
) -> None:
    """The product with what a layer multiplies each channel by; None where the batch decides it."""
    if factor is None:
        raise node.error("cannot be reversed: it takes the statistics of the batch")
    bottom, weight = node.inputs[0], factor.astype(np.float32).reshape(-1)
    value = r.add("Scale", node, [first_top(tops)], bottom, ScaleParams(), blobs=[weight])
    r.accumulate(bottom, value)


@dataclass
class BiasParams:
    """BiasParameter."""

    axis: int = 1
    num_axes: int = 1
    filler: Filler = field(default_factory=Filler)


B = TypeVar("B", bound=ScaleParams | BiasParams)


class Broadcast(LayerType[B]):
    """A second operand, learned or a second bottom, that spans some axes of the first."""

    bottoms = (1, 2)

    def prepare(self, node: Node[B]) -> None:
        rank, axis = len(node.inputs[0].shape), node.params.axis
        shape = node.inputs[0].shape
        if len(node.inputs) == 2 and not node.inputs[1].shape:
            return
        if not -rank <= axis < rank:
            raise node.error(f"axis {axis} is outside a {text(shape)} input")
        if node.params.num_axes < -1:
            raise node.error("num_axes must be at least -1")
        start = axis % rank
        if len(node.inputs) == 1:
            if start + max(node.params.num_axes, 0) > rank:
                raise node.error(f"num_axes {node.params.num_axes} from axis {axis} is too many")
            return
        other = node.inputs[1].shape
        span = shape[start : start + len(other)]
        if len(span) != len(other) or any(
            is_fixed(a, b) and a != b for a, b in zip(span, other, strict=True)
        ):
            raise node.error(f"{text(other)} does not span {text(shape)} from axis {axis}")

    def each_image(self, node: Node[B]) -> bool:
        start = node.params.axis % max(len(node.inputs[0].shape), 1)
        return (start > 0) == (len(node.inputs) == 1)

    def shapes(self, node: Node[B]) -> list[Shape]:
        self.operand_shape(node)
        return [node.inputs[0].shape]

    def operand_shape(self, node: Node[B]) -> tuple[int, ...]:
        if len(node.inputs) == 2:
            return ()
        p, shape = node.params, node.inputs[0].shape
        start = p.axis % len(shape)
        end = len(shape) if p.num_axes == -1 else start + p.num_axes
        return fixed(shape[start:end])

    def trailing(self, node: Node[B], rank: int) -> int:
        """How many axes of the first bottom follow those that the operand spans."""
        shape = node.inputs[0].shape
        return len(shape) - node.params.axis % len(shape) - rank

    def refuse_second_bottom(self, node: Node[B]) -> None:
        """Raise `node.error` where its reverse would need the operand to be a constant."""
        if len(node.inputs) > 1:
            raise node.error("cannot be reversed: its second bottom is no constant")

    def operand(self, node: Node[B], b: OnnxBuilder) -> str:
        """The second operand, shaped to broadcast."""
        if len(node.inputs) == 2:
            other = node.inputs[1]
            after = self.trailing(node, len(other.shape)) if other.shape else 0
            if not after:
                return b.name(other)
            rank = len(other.shape)
            return b.op("Unsqueeze", other, b.ints(*range(rank, rank + after)))
        blob = node.blobs[0]
        after = self.trailing(node, blob.ndim) if blob.ndim else 0
        return b.array(node, self.blobs(node)[0].name, blob.reshape((*blob.shape, *[1] * after)))


@register("Scale", message="scale_param")
class Scale(Broadcast[ScaleParams]):
    """A product along some axes, with a bias if asked."""

    Params = ScaleParams

    def blobs(self, node: Node[ScaleParams]) -> list[BlobSpec]:
        p = node.params
        specs = []
        if len(node.inputs) == 1:
            specs.append(BlobSpec("weight", self.operand_shape(node), p.filler or Filler(value=1)))
        if p.bias_term:
            specs.append(BlobSpec("bias", self.bias_shape(node), p.bias_filler))
        return specs

    def affine(self, node: Node[ScaleParams]) -> tuple[np.ndarray, np.ndarray] | None:
        rank = len(node.inputs[0].shape)
        if len(node.inputs) != 1 or rank < 2 or node.params.axis % rank != 1:
            return None
        if node.blobs[0].ndim != 1 or node.shared:
            return None
        factor = node.blobs[0].astype(np.float64)
        offset = node.blobs[1].astype(np.float64) if len(node.blobs) > 1 else 0 * factor
        return factor, offset

    def bias_shape(self, node: Node[ScaleParams]) -> tuple[int, ...]:
        return self.operand_shape(node) if len(node.inputs) == 1 else fixed(node.inputs[1].shape)

    def shapes(self, node: Node[ScaleParams]) -> list[Shape]:
        if node.params.bias_term:
            self.bias_shape(node)
        return super().shapes(node)

    def onnx(self, node: Node[ScaleParams], b: OnnxBuilder) -> None:
        operand = self.operand(node, b)
        if not node.params.bias_term:
            b.op("Mul", node.inputs[0], operand, out=node.outputs[0])
            return
        bias = node.blobs[-1]
        after = self.trailing(node, bias.ndim) if bias.ndim else 0
        offset = b.array(node, "bias", bias.reshape((*bias.shape, *[1] * after)))
        b.op("Add", b.op("Mul", node.inputs[0], operand), offset, out=node.outputs[0])

    def torch(self, node: Node[ScaleParams]) -> nn.Module:
        return broadcast_module(self, node, multiply=True)

    def reverse(self, node: Node[ScaleParams], tops: Tops, r: Reverser) -> None:
        """The product with the same factors, without bias."""
        self.refuse_second_bottom(node)
        bottom = node.inputs[0]
        params = ScaleParams(axis=node.params.axis, num_axes=node.params.num_axes)
        r.accumulate(bottom, r.add("Scale", node, [first_top(tops)], bottom, params, shared=[0]))


@register("Bias", message="bias_param")
class Bias(Broadcast[BiasParams]):
    """A sum along some axes."""

    Params = BiasParams

    def blobs(self, node: Node[BiasParams]) -> list[BlobSpec]:
        if len(node.inputs) == 2:
            return []
        return [BlobSpec("bias", self.operand_shape(node), node.params.filler)]

    def onnx(self, node: Node[BiasParams], b: OnnxBuilder) -> None:
        b.op("Add", node.inputs[0], self.operand(node, b), out=node.outputs[0])

    def torch(self, node: Node[BiasParams]) -> nn.Module:
        return broadcast_module(self, node, multiply=False)

    def reverse(self, node: Node[BiasParams], tops: Tops, r: Reverser) -> None:
        """The identity: a constant was added."""
        self.refuse_second_bottom(node)
        r.accumulate(node.inputs[0], first_top(tops))


def broadcast_module(kind: Broadcast[B], node: Node[B], multiply: bool) -> nn.Module:
    """Scale and Bias in PyTorch."""
    from .torch import normalization

    names = [spec.name for spec in kind.blobs(node)]
    axis = node.params.axis % (len(node.inputs[0].shape) or 1)
    blobs = dict(zip(names, node.blobs, strict=True))
    return normalization.Broadcast(blobs, axis, multiply)


@dataclass
class MVNParams:
    """MVNParameter."""

    normalize_variance: bool = True
    across_channels: bool = False
    eps: float = 1e-9


@register("MVN", message="mvn_param")
class MVN(Elementwise[MVNParams]):
    """Subtracts each plane's mean; divides by its deviation plus eps (mvn_layer.cpp)."""

    Params = MVNParams

    def prepare(self, node: Node[MVNParams]) -> None:
        if len(node.inputs[0].shape) != 4:
            raise node.error(f"needs a 4-D input, not {text(node.inputs[0].shape)}")

    def onnx(self, node: Node[MVNParams], b: OnnxBuilder) -> None:
        p = node.params
        axes = b.ints(*((1, 2, 3) if p.across_channels else (2, 3)))
        mean = b.op("ReduceMean", node.inputs[0], axes, keepdims=1)
        if not p.normalize_variance:
            b.op("Sub", node.inputs[0], mean, out=node.outputs[0])
            return
        centred = b.op("Sub", node.inputs[0], mean)
        variance = b.op("ReduceMean", b.op("Mul", centred, centred), axes, keepdims=1)
        deviation = b.op("Add", b.op("Sqrt", variance), scalar(p.eps))
        b.op("Div", centred, deviation, out=node.outputs[0])

    def torch(self, node: Node[MVNParams]) -> nn.Module:
        from .torch import normalization

        p = node.params
        return normalization.MVN(p.across_channels, p.normalize_variance, p.eps)
