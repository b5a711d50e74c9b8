"""Elementwise layers: the same function at every position (or of every channel, PReLU)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..fillers import Filler
from ..graph import Node, P, Shape
from ..layer_type import BlobSpec, LayerType, NoParams
from ..registry import register
from ..reversal import Reverser, Tops, first_top
from ..shapes import known
from .convolution import Engine
from .elementwise import EltwiseParams, Operation

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder, Operand


class Elementwise(LayerType[P]):
    """Its top is of its bottom's shape."""

    keeps_grid = True

    def each_image(self, node: Node[P]) -> bool:
        return True

    def shapes(self, node: Node[P]) -> list[Shape]:
        return [node.inputs[0].shape]


def scalar(value: float) -> np.ndarray:
    """A number as ONNX takes it: a float32 array without axes."""
    return np.array(value, np.float32)


@dataclass
class ReLUParams:
    """ReLUParameter."""

    negative_slope: float = 0.0
    engine: Engine = Engine.DEFAULT


@dataclass
class ReLUMaskParams:
    """Of what finds the mask (reversed.py): the derivative where the input is 0 or less."""

    negative_slope: float = 0.0


class Rectifier(Elementwise[P]):
    """What passes values above 0 and scales those below by a slope, mostly 0."""

    def slope(self, node: Node[P]) -> float:
        """The slope below 0 where it is no blob."""
        return 0.0

    def reverse(self, node: Node[P], tops: Tops, r: Reverser) -> None:
        """Of a leaky one the mask is its derivative, and rectifying is the layer itself."""
        top, bottom, rule = first_top(tops), node.inputs[0], r.rules.relu
        if rule.rectifies:
            params = node.params if node.blobs else ReLUParams(self.slope(node))
            blobs = range(len(node.blobs))
            top = r.add(node.type, node, [top], bottom, params, shared=blobs, suffix="rectified")
        if rule.masks:
            mask = r.add_forward(
                "ReLUMask",
                node,
                [bottom],
                bottom,
                ReLUMaskParams(self.slope(node)),
                blobs=node.blobs,
                suffix="mask",
            )
            product = EltwiseParams(operation=Operation.PROD)
            top = r.add("Eltwise", node, [top, mask], bottom, product, suffix="masked")
        r.accumulate(bottom, top)


@register("ReLU", message="relu_param")
class ReLU(Rectifier[ReLUParams]):
    """max(x, 0), or with a slope below 0."""

    Params = ReLUParams

    def slope(self, node: Node[ReLUParams]) -> float:
        return float(node.params.negative_slope)

    def onnx(self, node: Node[ReLUParams], b: OnnxBuilder) -> None:
        slope = node.params.negative_slope
        if slope:
            b.node("LeakyRelu", node, alpha=slope)
        else:
            b.node("Relu", node)

    def torch(self, node: Node[ReLUParams]) -> nn.Module:
        from torch import nn

        slope = node.params.negative_slope
        return nn.LeakyReLU(slope) if slope else nn.ReLU()


@dataclass
class PReLUParams:
    """PReLUParameter."""

    filler: Filler = field(default_factory=lambda: Filler(value=0.25))
    channel_shared: bool = False


@register("PReLU", message="prelu_param")
class PReLU(Rectifier[PReLUParams]):
    """A slope below 0 that is learned, one for each channel or one for all."""

    Params = PReLUParams

    def prepare(self, node: Node[PReLUParams]) -> None:
        if len(node.inputs[0].shape) < 2:
            raise node.error("needs at least 2 dimensions")

    def blobs(self, node: Node[PReLUParams]) -> list[BlobSpec]:
        shape = () if node.params.channel_shared else (known(node.inputs[0].shape[1]),)
        return [BlobSpec("weight", shape, node.params.filler)]

    def shapes(self, node: Node[PReLUParams]) -> list[Shape]:
        known(node.inputs[0].shape[1])
        return [node.inputs[0].shape]

    def onnx(self, node: Node[PReLUParams], b: OnnxBuilder) -> None:
        rank = len(node.inputs[0].shape)
        slope = node.blobs[0].reshape(-1, *[1] * (rank - 2))
        b.node("PRelu", node, b.array(node, "weight", np.ascontiguousarray(slope)))

    def torch(self, node: Node[PReLUParams]) -> nn.Module:
        from torch import nn

        from .torch.parameters import parameter

        module = nn.PReLU(max(1, node.blobs[0].size))
        module.weight = parameter(node.blobs[0].reshape(-1))
        return module


@dataclass
class ELUParams:
    """ELUParameter."""

    alpha: float = 1.0


@register("ELU", message="elu_param")
class ELU(Elementwise[ELUParams]):
    """x above 0, alpha (exp(x) - 1) below."""

    Params = ELUParams

    def onnx(self, node: Node[ELUParams], b: OnnxBuilder) -> None:
        b.node("Elu", node, alpha=node.params.alpha)

    def torch(self, node: Node[ELUParams]) -> nn.Module:
        from torch import nn

        return nn.ELU(node.params.alpha)


@dataclass
class EngineParams:
    """SigmoidParameter, TanHParameter."""

    engine: Engine = Engine.DEFAULT


@register("Sigmoid", message="sigmoid_param")
class Sigmoid(Elementwise[EngineParams]):
    """1 / (1 + exp(-x))."""

    Params = EngineParams

    def onnx(self, node: Node[EngineParams], b: OnnxBuilder) -> None:
        b.node("Sigmoid", node)

    def torch(self, node: Node[EngineParams]) -> nn.Module:
        from torch import nn

        return nn.Sigmoid()


@register("TanH", message="tanh_param")
class TanH(Elementwise[EngineParams]):
    """The hyperbolic tangent."""

    Params = EngineParams

    def onnx(self, node: Node[EngineParams], b: OnnxBuilder) -> None:
        b.tanh(node.inputs[0], node.outputs[0])

    def torch(self, node: Node[EngineParams]) -> nn.Module:
        from torch import nn

        return nn.Tanh()


@register("AbsVal")
class AbsVal(Elementwise[NoParams]):
    """The absolute value."""

    def onnx(self, node: Node[NoParams], b: OnnxBuilder) -> None:
        b.node("Abs", node)

    def torch(self, node: Node[NoParams]) -> nn.Module:
        from .torch import activations

        return activations.AbsVal()


@register("BNLL")
class BNLL(Elementwise[NoParams]):
    """log(1 + exp(x))."""

    def onnx(self, node: Node[NoParams], b: OnnxBuilder) -> None:
        b.node("Softplus", node)

    def torch(self, node: Node[NoParams]) -> nn.Module:
        from .torch import activations

        return activations.BNLL()


@dataclass
class PowerParams:
    """PowerParameter."""

    power: float = 1.0
    scale: float = 1.0
    shift: float = 0.0


@register("Power", message="power_param")
class Power(Elementwise[PowerParams]):
    """(shift + scale x) ^ power."""

    Params = PowerParams

    def onnx(self, node: Node[PowerParams], b: OnnxBuilder) -> None:
        p = node.params
        x: Operand = node.inputs[0]
        last = "power" if p.power != 1 else "shift" if p.shift else "scale"
        out = node.outputs[0]
        if p.scale != 1 or last == "scale":
            x = b.op("Mul", x, scalar(p.scale), out=out if last == "scale" else None)
        if p.shift:
            x = b.op("Add", x, scalar(p.shift), out=out if last == "shift" else None)
        if last == "power":
            b.op("Pow", x, scalar(p.power), out=out)

    def torch(self, node: Node[PowerParams]) -> nn.Module:
        from .torch import activations

        p = node.params
        return activations.Power(p.power, p.scale, p.shift)

    def reverse(self, node: Node[PowerParams], tops: Tops, r: Reverser) -> None:
        """The product with the scale, of a power of 1."""
        if node.params.power != 1:
            raise node.error(f"cannot be reversed: power {node.params.power:g} is not linear")
        bottom = node.inputs[0]
        r.accumulate(bottom, r.scale(node, first_top(tops), bottom, node.params.scale))


@dataclass
class ExpParams:
    """ExpParameter and LogParameter; base -1 is e."""

    base: float = -1.0
    scale: float = 1.0
    shift: float = 0.0

    def log_base(self, node: Node[Any]) -> float:
        """The natural logarithm of `base`; `node.error` where it has none."""
        if self.base == -1:
            return 1.0
        if self.base <= 0:
            raise node.error(f"base {self.base:g} must be above 0, or -1 for e")
        return math.log(self.base)


@register("Exp", message="exp_param")
class Exp(Elementwise[ExpParams]):
    """base ^ (shift + scale x)."""

    Params = ExpParams

    def prepare(self, node: Node[ExpParams]) -> None:
        node.params.log_base(node)

    def onnx(self, node: Node[ExpParams], b: OnnxBuilder) -> None:
        p = node.params
        log = p.log_base(node)
        x = b.op("Mul", node.inputs[0], scalar(p.scale * log))
        b.op("Exp", b.op("Add", x, scalar(p.shift * log)), out=node.outputs[0])

    def torch(self, node: Node[ExpParams]) -> nn.Module:
        from .torch import activations

        p = node.params
        return activations.Exp(p.log_base(node), p.scale, p.shift)


@register("Log", message="log_param")
class Log(Elementwise[ExpParams]):
    """The logarithm of shift + scale x, to a base."""

    Params = ExpParams

    def prepare(self, node: Node[ExpParams]) -> None:
        if node.params.log_base(node) == 0:
            raise node.error("base must not be 1")

    def onnx(self, node: Node[ExpParams], b: OnnxBuilder) -> None:
        p = node.params
        x = b.op("Add", b.op("Mul", node.inputs[0], scalar(p.scale)), scalar(p.shift))
        b.op("Mul", b.op("Log", x), scalar(1 / p.log_base(node)), out=node.outputs[0])

    def torch(self, node: Node[ExpParams]) -> nn.Module:
        from .torch import activations

        p = node.params
        return activations.Log(p.log_base(node), p.scale, p.shift)


@dataclass
class ThresholdParams:
    """ThresholdParameter."""

    threshold: float = 0.0


@register("Threshold", message="threshold_param")
class Threshold(Elementwise[ThresholdParams]):
    """1 above the threshold, else 0."""

    Params = ThresholdParams

    def onnx(self, node: Node[ThresholdParams], b: OnnxBuilder) -> None:
        above = b.op("Greater", node.inputs[0], scalar(node.params.threshold))
        b.op("Cast", above, to=1, out=node.outputs[0])

    def torch(self, node: Node[ThresholdParams]) -> nn.Module:
        from .torch import activations

        return activations.Threshold(node.params.threshold)


@dataclass
class ClipParams:
    """ClipParameter; both bounds are required."""

    min: float | None = None
    max: float | None = None

    def bounds(self) -> tuple[float, float]:
        """Both of them, once they are known to be stated."""
        assert self.min is not None and self.max is not None
        return self.min, self.max


@register("Clip", message="clip_param")
class Clip(Elementwise[ClipParams]):
    """x, kept between two bounds."""

    Params = ClipParams

    def prepare(self, node: Node[ClipParams]) -> None:
        if None in (node.params.min, node.params.max):
            raise node.error("min and max are both required")

    def onnx(self, node: Node[ClipParams], b: OnnxBuilder) -> None:
        b.node("Clip", node, *map(scalar, node.params.bounds()))

    def torch(self, node: Node[ClipParams]) -> nn.Module:
        from .torch import activations

        return activations.Clip(*node.params.bounds())


@dataclass
class SwishParams:
    """SwishParameter."""

    beta: float = 1.0


@register("Swish", message="swish_param")
class Swish(Elementwise[SwishParams]):
    """x / (1 + exp(-beta x))."""

    Params = SwishParams

    def onnx(self, node: Node[SwishParams], b: OnnxBuilder) -> None:
        x = node.inputs[0]
        gate = b.op("Sigmoid", b.op("Mul", x, scalar(node.params.beta)))
        b.op("Mul", x, gate, out=node.outputs[0])

    def torch(self, node: Node[SwishParams]) -> nn.Module:
        from .torch import activations

        return activations.Swish(node.params.beta)
