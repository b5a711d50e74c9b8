"""InnerProduct (inner_product_layer.cpp)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from prototxt.schema import UInt

from ..fillers import Filler
from ..graph import Node, Shape
from ..registry import BlobSpec, LayerType, register
from ..shapes import known_product, product, text
from .convolution import absorb_rows

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..onnx_backend import OnnxBuilder, Operand


@dataclass
class InnerProductParams:
    """InnerProductParameter."""

    num_output: UInt = 0
    bias_term: bool = True
    weight_filler: Filler = field(default_factory=Filler)
    bias_filler: Filler = field(default_factory=Filler)
    axis: int = 1
    transpose: bool = False


@register("InnerProduct", message="inner_product_param")
class InnerProduct(LayerType):
    """A matrix product over all axes from `axis` on, taken as one."""

    Params = InnerProductParams
    learns = True
    fixes_plane = True

    def prepare(self, node: Node) -> None:
        rank, axis = len(node.inputs[0].shape), node.params.axis
        if not node.params.num_output:
            raise node.error("num_output is missing or 0")
        if not -rank <= axis < rank:
            raise node.error(f"axis {axis} is outside a {text(node.inputs[0].shape)} input")

    def axis(self, node: Node) -> int:
        return int(node.params.axis % len(node.inputs[0].shape))

    def shapes(self, node: Node) -> list[Shape]:
        axis = self.axis(node)
        product(node.inputs[0].shape[axis:])  # the weights fix these dimensions
        return [(*node.inputs[0].shape[:axis], node.params.num_output)]

    def blobs(self, node: Node) -> list[BlobSpec]:
        p: InnerProductParams = node.params
        inner = product(node.inputs[0].shape[self.axis(node) :])
        shape = (inner, p.num_output) if p.transpose else (p.num_output, inner)
        specs = [BlobSpec("weight", shape, p.weight_filler)]
        if p.bias_term:
            specs.append(BlobSpec("bias", (p.num_output,), p.bias_filler))
        return specs

    def agrees(self, node: Node, stored: Sequence[np.ndarray]) -> bool:
        inner = stored[0].shape[-2 if node.params.transpose else -1]
        return product(node.inputs[0].shape[self.axis(node) :]) == inner

    def macs(self, node: Node) -> int:
        inner = int(node.blobs[0].size) // node.params.num_output
        return known_product(node.outputs[0].shape) * inner

    def absorb(self, node: Node, factor: np.ndarray, offset: np.ndarray) -> bool:
        if self.axis(node) != 1 or node.params.transpose:
            return False
        absorb_rows(node, factor, offset)
        return True

    def onnx(self, node: Node, b: OnnxBuilder) -> None:
        axis, x = self.axis(node), node.inputs[0]
        transposed = int(not node.params.transpose)
        inner = product(x.shape[axis:])
        flat = x.shape if len(x.shape) == 2 and axis == 1 else None
        rows: Operand = x if flat else b.op("Reshape", x, b.ints(-1, inner))
        weights = [b.weight(node, i) for i in range(len(node.blobs))]
        if axis == 1:
            b.op("Gemm", rows, *weights, out=node.outputs[0], transB=transposed)
            return
        y = b.op("Gemm", rows, *weights, transB=transposed)
        dims = [b.dim(x, i) for i in range(axis)]
        shape = b.join(*dims, b.ints(node.params.num_output))
        b.op("Reshape", y, shape, out=node.outputs[0])

    def torch(self, node: Node) -> nn.Module:
        from torch import nn
        from torch.nn import functional as F

        from ..torch_backend import parameter

        axis, transpose = self.axis(node), node.params.transpose

        class InnerProductModule(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = parameter(node.blobs[0])
                self.bias = parameter(node.blobs[1]) if len(node.blobs) > 1 else None

            def extra_repr(self) -> str:
                return f"{'x'.join(map(str, self.weight.shape))}, axis={axis}"

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                lead = x.shape[:axis]
                rows = x.reshape(math.prod(lead), -1)
                weight = self.weight.t() if transpose else self.weight
                return F.linear(rows, weight, self.bias).reshape(*lead, weight.shape[0])

        return InnerProductModule()


def flat_weights(node: Node) -> np.ndarray:
    """The weights as outputs × inputs, whatever `transpose` says."""
    return np.asarray(node.blobs[0].T if node.params.transpose else node.blobs[0])
