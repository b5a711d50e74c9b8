"""Reduction (reduction_layer.cpp)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..graph import Node, Shape
from ..layer_type import LayerType
from ..registry import register
from ..shapes import text

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


class Operation(enum.Enum):
    """ReductionParameter.ReductionOp."""

    SUM = 1
    ASUM = 2
    SUMSQ = 3
    MEAN = 4


@dataclass
class ReductionParams:
    """ReductionParameter."""

    operation: Operation = Operation.SUM
    axis: int = 0
    coeff: float = 1.0


_ONNX = {
    Operation.SUM: "ReduceSum",
    Operation.ASUM: "ReduceL1",
    Operation.SUMSQ: "ReduceSumSquare",
    Operation.MEAN: "ReduceMean",
}


@register("Reduction", message="reduction_param")
class Reduction(LayerType[ReductionParams]):
    """All axes from `axis` on to one number, times `coeff`."""

    Params = ReductionParams

    def prepare(self, node: Node[ReductionParams]) -> None:
        rank, axis = len(node.inputs[0].shape), node.params.axis
        if not -rank <= axis < rank:
            raise node.error(f"axis {axis} is outside a {text(node.inputs[0].shape)} input")

    def axis(self, node: Node[ReductionParams]) -> int:
        return int(node.params.axis % len(node.inputs[0].shape))

    def shapes(self, node: Node[ReductionParams]) -> list[Shape]:
        return [node.inputs[0].shape[: self.axis(node)]]

    def onnx(self, node: Node[ReductionParams], b: OnnxBuilder) -> None:
        p = node.params
        axes = b.ints(*range(self.axis(node), len(node.inputs[0].shape)))
        last = p.coeff == 1.0
        y = b.op(
            _ONNX[p.operation],
            node.inputs[0],
            axes,
            keepdims=0,
            out=node.outputs[0] if last else None,
        )
        if not last:
            b.op("Mul", y, b.const(np.float32(p.coeff)), out=node.outputs[0])

    def torch(self, node: Node[ReductionParams]) -> nn.Module:
        from .torch import reduction

        p = node.params
        return reduction.Reduction(p.operation.name, self.axis(node), p.coeff)
