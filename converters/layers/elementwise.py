"""Eltwise: several blobs of one shape, position by position."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..graph import Dim, Node, Shape
from ..layer_type import LayerType
from ..registry import register
from ..reversal import Reverser, Tops, first_top
from ..shapes import text

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder, Operand


class Operation(enum.Enum):
    """EltwiseParameter.EltwiseOp."""

    PROD = 0
    SUM = 1
    MAX = 2


@dataclass
class EltwiseParams:
    """EltwiseParameter."""

    operation: Operation = Operation.SUM
    coeff: list[float] = field(default_factory=list)
    stable_prod_grad: bool = True


@register("Eltwise", message="eltwise_param")
class Eltwise(LayerType[EltwiseParams]):
    """Product, sum with coefficients, or maximum."""

    bottoms = (2, None)
    Params = EltwiseParams
    keeps_grid = True

    def each_image(self, node: Node[EltwiseParams]) -> bool:
        return True

    def prepare(self, node: Node[EltwiseParams]) -> None:
        p = node.params
        if p.coeff and len(p.coeff) != len(node.inputs):
            raise node.error(f"{len(p.coeff)} coeff for {len(node.inputs)} bottoms")
        if p.coeff and p.operation is not Operation.SUM:
            raise node.error("coeff is for SUM only")

    def shapes(self, node: Node[EltwiseParams]) -> list[Shape]:
        first = node.inputs[0].shape
        dims: list[Dim] = list(first)
        for other in node.inputs[1:]:
            if len(other.shape) != len(first):
                raise node.error(f"its bottoms differ: {text(first)} and {text(other.shape)}")
            for axis, size in enumerate(other.shape):
                have = dims[axis]
                if isinstance(have, int) and isinstance(size, int) and have != size:
                    raise node.error(f"its bottoms differ: {text(first)} and {text(other.shape)}")
                if isinstance(size, int):
                    dims[axis] = size
        return [tuple(dims)]

    def onnx(self, node: Node[EltwiseParams], b: OnnxBuilder) -> None:
        p = node.params
        if p.operation is Operation.MAX:
            b.node("Max", node)
            return
        terms: list[Operand] = list(node.inputs)
        for index, factor in enumerate(p.coeff):
            if factor != 1:
                terms[index] = b.op("Mul", node.inputs[index], np.array(factor, np.float32))
        operator = "Mul" if p.operation is Operation.PROD else "Add"
        total = terms[0]
        for index, term in enumerate(terms[1:], 2):
            last = node.outputs[0] if index == len(terms) else None
            total = b.op(operator, total, term, out=last)

    def torch(self, node: Node[EltwiseParams]) -> nn.Module:
        from .torch import elementwise

        p = node.params
        return elementwise.Eltwise(p.operation.name, p.coeff)

    def reverse(self, node: Node[EltwiseParams], tops: Tops, r: Reverser) -> None:
        """Of a sum each bottom gets the whole, times its coefficient."""
        p = node.params
        if p.operation is not Operation.SUM:
            raise node.error(f"cannot be reversed: {p.operation.name} is not linear; only SUM is")
        for index, bottom in enumerate(node.inputs):
            factor = p.coeff[index] if p.coeff else 1.0
            r.accumulate(bottom, r.scale(node, first_top(tops), bottom, factor))
