"""The layers around SSD's detector: Permute, Normalize, PriorBox."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from prototxt.schema import UInt

from ..fillers import Filler
from ..graph import Node, Shape
from ..registry import BlobSpec, LayerType, register
from ..shapes import known
from .activations import Elementwise, function_module, scalar

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..onnx_backend import OnnxBuilder

FORK = "SSD (weiliu89/caffe)"


@dataclass
class PermuteParams:
    """PermuteParameter."""

    order: list[UInt] = field(default_factory=list)


@register("Permute", message="permute_param")
class Permute(LayerType):
    """The axes in another order; those not named follow as they stood (permute_layer.cpp)."""

    fork = FORK
    Params = PermuteParams

    def order(self, node: Node) -> list[int]:
        given, rank = node.params.order, len(node.inputs[0].shape)
        if any(axis >= rank for axis in given):
            raise node.error(f"order {given} names an axis that its {rank}-D input has not")
        if len(set(given)) != len(given):
            raise node.error(f"order {given} names an axis twice")
        return [*given, *(i for i in range(rank) if i not in given)]

    def shapes(self, node: Node) -> list[Shape]:
        return [tuple(node.inputs[0].shape[i] for i in self.order(node))]

    def onnx(self, node: Node, b: OnnxBuilder) -> None:
        b.node("Transpose", node, perm=self.order(node))

    def torch(self, node: Node) -> nn.Module:
        order = self.order(node)
        return function_module(f"{order}", lambda x: x.permute(order))


@dataclass
class NormalizeParams:
    """NormalizeParameter."""

    across_spatial: bool = True
    scale_filler: Filler = field(default_factory=lambda: Filler(value=1.0))
    channel_shared: bool = True
    eps: float = 1e-10


@register("Normalize", message="norm_param")
class Normalize(Elementwise):
    """scale x / sqrt(sum of squares + eps): a vector of length `scale` (normalize_layer.cpp).

    The sum goes over the channels at each place or, with across_spatial, over the whole image;
    there is one scale for all channels, or one for each.
    """

    fork = FORK
    Params = NormalizeParams

    def prepare(self, node: Node) -> None:
        if len(node.inputs[0].shape) < 2:
            raise node.error("needs at least 2 dimensions")

    def shapes(self, node: Node) -> list[Shape]:
        known(node.inputs[0].shape[1])
        return [node.inputs[0].shape]

    def blobs(self, node: Node) -> list[BlobSpec]:
        p: NormalizeParams = node.params
        shape = () if p.channel_shared else (known(node.inputs[0].shape[1]),)
        return [BlobSpec("weight", shape, p.scale_filler)]

    def axes(self, node: Node) -> list[int]:
        return list(range(1, len(node.inputs[0].shape))) if node.params.across_spatial else [1]

    def onnx(self, node: Node, b: OnnxBuilder) -> None:
        x = node.inputs[0]
        squares = b.op("ReduceSumSquare", x, b.ints(*self.axes(node)), keepdims=1)
        norm = b.op("Sqrt", b.op("Add", squares, scalar(node.params.eps)))
        columns = node.blobs[0].reshape(-1, *[1] * (len(x.shape) - 2))
        scale = b.array(node, "weight", np.ascontiguousarray(columns, np.float32))
        b.op("Mul", b.op("Div", x, norm), scale, out=node.outputs[0])

    def torch(self, node: Node) -> nn.Module:
        from torch import nn

        from ..torch_backend import parameter

        axes, eps = self.axes(node), node.params.eps

        class NormalizeModule(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = parameter(node.blobs[0])

            def extra_repr(self) -> str:
                return f"axes={axes}, eps={eps:g}"

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                norm = (x.pow(2).sum(axes, keepdim=True) + eps).sqrt()
                return x / norm * self.weight.reshape(-1, *[1] * (x.ndim - 2))

        return NormalizeModule()
