"""Layers of small and of channel-gated networks: ReLU6, SeLU, Axpy, ShuffleChannel, depthwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from prototxt.net import LayerDefinition
from prototxt.schema import UInt, decode
from prototxt.text import Message

from ..errors import layer_error
from ..graph import Node, Shape
from ..layer_type import LayerType, NoParams
from ..registry import register
from ..shapes import fixed, is_fixed, known, text
from .activations import Elementwise, ReLUParams, scalar
from .convolution import Convolution, ConvolutionParams

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


@dataclass
class ReLU6Params:
    """ReLU6Parameter."""

    negative_slope: float = 0.0


@register("ReLU6", message="relu6_param")
class ReLU6(Elementwise[ReLU6Params]):
    """min(max(x, 0) + slope min(x, 0), 6); where no slope is said it is 0 (relu6_layer.cpp)."""

    fork = "MobileNet forks (eric612/MobileNet-YOLO)"
    Params = ReLU6Params

    def read(
        self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]
    ) -> ReLU6Params:
        other = layer.param("relu_param")
        if other is not None and decode(other, ReLUParams, name="relu_param").negative_slope:
            raise layer_error(
                layer, "negative_slope of relu_param is not read", "say it in relu6_param"
            )
        return super().read(layer, lenient, warn)

    def onnx(self, node: Node[ReLU6Params], b: OnnxBuilder) -> None:
        slope = node.params.negative_slope
        if not slope:
            b.node("Clip", node, scalar(0), scalar(6))
            return
        x = b.op("LeakyRelu", node.inputs[0], alpha=slope)
        b.op("Min", x, scalar(6), out=node.outputs[0])

    def torch(self, node: Node[ReLU6Params]) -> nn.Module:
        from torch import nn

        from .torch import mobile

        slope = node.params.negative_slope
        return mobile.LeakyReLU6(slope) if slope else nn.ReLU6()


@dataclass
class SeLUParams:
    """SeLuParameter; its first field is called `lambda` in the prototxt."""

    lambda_: float = 1.050700987
    alpha: float = 1.67326324


@register("SeLU", "SeLu", "SELU", message="selu_param")
class SeLU(Elementwise[SeLUParams]):
    """lambda x above 0, lambda alpha (exp(x) - 1) below (selu_layer.cpp)."""

    fork = "synopsys-caffe, fireae/caffe_latte"
    Params = SeLUParams

    def read(
        self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]
    ) -> SeLUParams:
        message = layer.param("selu_param")
        if message is not None:
            # A dataclass cannot have a field that is a word of Python's.
            fields = [
                replace(f, name="lambda_") if f.name == "lambda" else f for f in message.fields
            ]
            message = Message(fields, message.position)
        return decode(message, SeLUParams, name="selu_param", lenient=lenient, warn=warn)

    def onnx(self, node: Node[SeLUParams], b: OnnxBuilder) -> None:
        b.node("Selu", node, alpha=node.params.alpha, gamma=node.params.lambda_)

    def torch(self, node: Node[SeLUParams]) -> nn.Module:
        from .torch import mobile

        p = node.params
        return mobile.SeLU(p.lambda_, p.alpha)


@register("Axpy")
class Axpy(LayerType[NoParams]):
    """a x + y with one a for each plane (axpy_layer.cpp): bottoms a, x, y; a is N×C or N×C×1×1."""

    fork = "SENet (hujie-frank/SENet)"
    bottoms = (3, 3)

    def prepare(self, node: Node[NoParams]) -> None:
        a, x, y = (v.shape for v in node.inputs)
        pairs = [*zip(a[:2], x, strict=False), *zip(x, y, strict=False)]
        clash = any(is_fixed(i, j) and i != j for i, j in pairs)
        ranks = len(x) > 1 and len(a) in (2, 4) and len(x) == len(y)
        if not ranks or clash or fixed(a[2:]) not in ((), (1, 1)):
            raise node.error(f"cannot scale {text(x)} by {text(a)} and add {text(y)}")

    def shapes(self, node: Node[NoParams]) -> list[Shape]:
        return [node.inputs[1].shape]

    def onnx(self, node: Node[NoParams], b: OnnxBuilder) -> None:
        a, x, y = node.inputs
        gate = b.name(a)
        if len(a.shape) != len(x.shape):
            gate = b.op("Reshape", a, b.ints(0, 0, *[1] * (len(x.shape) - 2)))
        b.op("Add", b.op("Mul", x, gate), y, out=node.outputs[0])

    def torch(self, node: Node[NoParams]) -> nn.Module:
        from .torch import mobile

        return mobile.Axpy()


@dataclass
class ShuffleChannelParams:
    """ShuffleChannelParameter."""

    group: UInt = 1


@register("ShuffleChannel", message="shuffle_channel_param")
class ShuffleChannel(Elementwise[ShuffleChannelParams]):
    """Channel i C/g + j goes to j g + i, for g groups (shuffle_channel_layer.cpp)."""

    fork = "ShuffleNet (farmingyard/ShuffleNet)"
    Params = ShuffleChannelParams

    def split(self, node: Node[ShuffleChannelParams]) -> tuple[int, int]:
        """The groups, and the channels of each."""
        shape, group = node.inputs[0].shape, node.params.group
        if len(shape) != 4:
            raise node.error(f"needs a 4-D input, not {text(shape)}")
        if group == 0 or known(shape[1]) % group:
            raise node.error(f"{shape[1]} channels are not divisible by group {group}")
        return group, known(shape[1]) // group

    def shapes(self, node: Node[ShuffleChannelParams]) -> list[Shape]:
        self.split(node)
        return [node.inputs[0].shape]

    def onnx(self, node: Node[ShuffleChannelParams], b: OnnxBuilder) -> None:
        x = node.inputs[0]
        group, width = self.split(node)
        rows = b.op("Reshape", x, b.ints(0, group, width, -1))
        rows = b.op("Transpose", rows, perm=[0, 2, 1, 3])
        b.op("Reshape", rows, b.join(*(b.dim(x, i) for i in range(4))), out=node.outputs[0])

    def torch(self, node: Node[ShuffleChannelParams]) -> nn.Module:
        from torch import nn

        return nn.ChannelShuffle(self.split(node)[0])


class Depthwise(Convolution):
    """A convolution of each channel with a kernel of its own."""

    def prepare(self, node: Node[ConvolutionParams]) -> None:
        shape = node.inputs[0].shape
        if len(node.inputs) > 1:
            raise node.error("takes one bottom")
        if len(shape) != 4:
            raise node.error(f"needs a 4-D input, not {text(shape)}")
        self.settle(node, known(shape[1]))
        super().prepare(node)

    def settle(self, node: Node[ConvolutionParams], channels: int) -> None:
        """Check or set group and num_output."""

    def input_channels(self, params: ConvolutionParams, stored: Sequence[np.ndarray]) -> int | None:
        return len(stored[0])


@register("ConvolutionDepthwise", message="convolution_param")
class ConvolutionDepthwise(Depthwise):
    """Depthwise whatever num_output and group say: its kernels are C×1×h×w (conv_dw_layer.cpp)."""

    fork = "ShuffleNet (farmingyard/caffe), caffe-windows"

    def settle(self, node: Node[ConvolutionParams], channels: int) -> None:
        node.params = replace(node.params, group=channels, num_output=channels)


@register("DepthwiseConvolution", "DepthwiseConv", message="convolution_param")
class DepthwiseConvolution(Depthwise):
    """Convolution with group = num_output = channels (depthwise_conv_layer.cpp).

    On the CPU the fork runs other groups as a Convolution does, on the GPU it gets them wrong.
    """

    fork = "MobileNet (yonghenglh6/DepthwiseConvolution)"

    def settle(self, node: Node[ConvolutionParams], channels: int) -> None:
        p = node.params
        if p.group != channels or p.num_output != channels:
            raise node.error(
                f"num_output {p.num_output} and group {p.group} are not its {channels} channels",
                "the fork computes another thing on the GPU than on the CPU",
            )
