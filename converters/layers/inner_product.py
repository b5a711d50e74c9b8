"""InnerProduct (inner_product_layer.cpp)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

import numpy as np

from prototxt.schema import UInt

from ..fillers import Filler
from ..graph import Node, Shape
from ..layer_type import BlobSpec, LayerType
from ..registry import register
from ..reversal import Reverser, Tops, first_top
from ..shapes import known_product, product, text
from .convolution import absorb_rows

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder, Operand


@dataclass
class InnerProductParams:
    """InnerProductParameter."""

    num_output: UInt = 0
    bias_term: bool = True
    weight_filler: Filler = field(default_factory=Filler)
    bias_filler: Filler = field(default_factory=Filler)
    axis: int = 1
    transpose: bool = False


@dataclass
class InnerProductTransposeParams:
    """Of what reverses it (reversed.py): from which axis on the layer took its input as one."""

    axis: int = 1
    transpose: bool = False


class ProductParams(Protocol):
    """What every product over an axis states."""

    num_output: int
    axis: int


R = TypeVar("R", bound=ProductParams)


class Product(LayerType[R]):
    """A product with learned weights over all axes from `axis` on, taken as one."""

    learns = True
    fixes_input_size = True

    def prepare(self, node: Node[R]) -> None:
        rank, axis = len(node.inputs[0].shape), node.params.axis
        if not node.params.num_output:
            raise node.error("num_output is missing or 0")
        if not -rank <= axis < rank:
            raise node.error(f"axis {axis} is outside a {text(node.inputs[0].shape)} input")

    def each_image(self, node: Node[R]) -> bool:
        return self.axis(node) > 0

    def axis(self, node: Node[R]) -> int:
        return int(node.params.axis % len(node.inputs[0].shape))

    def shapes(self, node: Node[R]) -> list[Shape]:
        axis = self.axis(node)
        product(node.inputs[0].shape[axis:])  # the weights fix these dimensions
        return [(*node.inputs[0].shape[:axis], node.params.num_output)]

    def macs(self, node: Node[R]) -> int:
        inner = int(node.blobs[0].size) // node.params.num_output
        return known_product(node.outputs[0].shape) * inner


@register("InnerProduct", message="inner_product_param")
class InnerProduct(Product[InnerProductParams]):
    """A matrix product over all axes from `axis` on, taken as one."""

    Params: ClassVar[type] = InnerProductParams

    def blobs(self, node: Node[InnerProductParams]) -> list[BlobSpec]:
        p = node.params
        inner = product(node.inputs[0].shape[self.axis(node) :])
        shape = (inner, p.num_output) if p.transpose else (p.num_output, inner)
        specs = [BlobSpec("weight", shape, p.weight_filler)]
        if p.bias_term:
            specs.append(BlobSpec("bias", (p.num_output,), p.bias_filler))
        return specs

    def agrees(self, node: Node[InnerProductParams], stored: Sequence[np.ndarray]) -> bool:
        inner = stored[0].shape[-2 if node.params.transpose else -1]
        return product(node.inputs[0].shape[self.axis(node) :]) == int(inner)

    def absorb(
        self, node: Node[InnerProductParams], factor: np.ndarray, offset: np.ndarray
    ) -> bool:
        if self.axis(node) != 1 or node.params.transpose:
            return False
        absorb_rows(node, factor, offset)
        return True

    def onnx(self, node: Node[InnerProductParams], b: OnnxBuilder) -> None:
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

    def torch(self, node: Node[InnerProductParams]) -> nn.Module:
        from .torch import inner_product

        bias = node.blobs[1] if len(node.blobs) > 1 else None
        return inner_product.InnerProduct(
            node.blobs[0], bias, self.axis(node), node.params.transpose
        )

    def reverse(self, node: Node[InnerProductParams], tops: Tops, r: Reverser) -> None:
        """The product with the transposed weights, without bias."""
        bottom = node.inputs[0]
        params = InnerProductTransposeParams(self.axis(node), node.params.transpose)
        value = r.add("InnerProductTranspose", node, [first_top(tops)], bottom, params, shared=[0])
        r.accumulate(bottom, value)


def flat_weights(node: Node[InnerProductParams]) -> np.ndarray:
    """The weights as outputs × inputs, whatever `transpose` says."""
    return np.asarray(node.blobs[0].T if node.params.transpose else node.blobs[0])
