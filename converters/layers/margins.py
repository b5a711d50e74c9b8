"""SphereFace's inner product with an angular margin."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from prototxt.schema import UInt

from ..fillers import Filler
from ..graph import Node, Shape
from ..layer_type import BlobSpec
from ..registry import register
from ..shapes import product
from .inner_product import Product

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


class Margin(enum.Enum):
    """By how much the angle to the label's own class counts."""

    SINGLE = 0
    DOUBLE = 1
    TRIPLE = 2
    QUADRUPLE = 3


@dataclass
class MarginInnerProductParams:
    """MarginInnerProductParameter."""

    num_output: UInt = 0
    type: Margin = Margin.SINGLE
    weight_filler: Filler = field(default_factory=Filler)
    axis: int = 1
    base: float = 1.0
    gamma: float = 0.0
    power: float = 1.0
    iteration: int = 0
    lambda_min: float = 0.0


@register("MarginInnerProduct", message="margin_inner_product_param")
class MarginInnerProduct(Product[MarginInnerProductParams]):
    """The product with rows of length 1 (margin_inner_product_layer.cpp).

    In training the label's own class is worth less, by a margin of its angle; all other classes are
    this product, whatever the margin. Without labels, as here, it is that of every class. The
    second top, the margin's weight, is that of the first iteration.
    """

    fork = "SphereFace (wy1iu/sphereface)"
    bottoms = (1, 2)
    tops = (1, 2)
    Params = MarginInnerProductParams

    def prepare(self, node: Node[MarginInnerProductParams]) -> None:
        # The label is not read.
        node.inputs = node.inputs[:1]
        super().prepare(node)

    def shapes(self, node: Node[MarginInnerProductParams]) -> list[Shape]:
        return [*super().shapes(node), (1,)][: len(node.outputs)]

    def blobs(self, node: Node[MarginInnerProductParams]) -> list[BlobSpec]:
        inner = product(node.inputs[0].shape[self.axis(node) :])
        shape = (node.params.num_output, inner)
        return [BlobSpec("weight", shape, node.params.weight_filler)]

    def notes(self, node: Node[MarginInnerProductParams]) -> list[str]:
        return [node.note("without the label, whose margin is for training alone")]

    def agrees(self, node: Node[MarginInnerProductParams], stored: Sequence[np.ndarray]) -> bool:
        return product(node.inputs[0].shape[self.axis(node) :]) == int(stored[0].shape[-1])

    def rows(self, node: Node[MarginInnerProductParams]) -> np.ndarray:
        """The weights, each class of length 1; NaN where all of them are 0, as in Caffe."""
        weight = node.blobs[0].astype(np.float64)
        lengths = np.sqrt((weight * weight).sum(1, keepdims=True))
        with np.errstate(invalid="ignore"):
            return np.asarray(weight / lengths, np.float32)

    def weight_of_margin(self, node: Node[MarginInnerProductParams]) -> float:
        """The second top: lambda of the first iteration (margin_inner_product_layer.cpp)."""
        p = node.params
        step = p.iteration + 1
        return max(float(p.base * (1 + p.gamma * step) ** -p.power), p.lambda_min)

    def onnx(self, node: Node[MarginInnerProductParams], b: OnnxBuilder) -> None:
        axis, x = self.axis(node), node.inputs[0]
        rows = b.op("Reshape", x, b.ints(-1, product(x.shape[axis:])))
        y = b.op("Gemm", rows, b.array(node, "weight", self.rows(node)), transB=1)
        dims = [b.dim(x, i) for i in range(axis)]
        b.op("Reshape", y, b.join(*dims, b.ints(node.params.num_output)), out=node.outputs[0])
        if len(node.outputs) == 2:
            weight = np.array([self.weight_of_margin(node)], np.float32)
            b.op("Identity", b.const(weight), out=node.outputs[1])

    def torch(self, node: Node[MarginInnerProductParams]) -> nn.Module:
        from .torch import margins

        weight = self.weight_of_margin(node) if len(node.outputs) == 2 else None
        return margins.NormalizedProduct(self.rows(node), self.axis(node), weight)
