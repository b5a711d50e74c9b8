"""DenseReg's Python layers: what was quantised, and the residual of each class, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import Node, Shape
from ..registry import register
from ..shapes import known, text
from .python import PythonLayer

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


class Combined(PythonLayer):
    """Columns and rows (tops, 1×1×H×W) from their classes and residuals.

    Bottoms: the classes of columns and of rows, 1×1×H×W, and the residuals of each class, 1×C×H×W.
    Class 0 is the background.
    """

    fork = "DenseReg (ralpguler/DenseReg)"
    bottoms = (4, 4)
    tops = (2, 2)
    body = False
    """Whether it is of the human body, whose residuals are places of their own in 0..1."""

    def shapes(self, node: Node[Any]) -> list[Shape]:
        classes, residuals = node.inputs[:2], node.inputs[2:]
        first = classes[0].shape
        if len(first) != 4 or known(first[0]) != 1 or known(first[1]) != 1:
            raise node.error(f"needs 1 x 1 x H x W, one image at a time, not {text(first)}")
        wanted = (*first[:1], known(residuals[0].shape[1]), *first[2:])
        if classes[1].shape != first or any(v.shape != wanted for v in residuals):
            listed = ", ".join(text(v.shape) for v in node.inputs)
            raise node.error(f"its bottoms differ in size: {listed}")
        return [first, first]

    def onnx(self, node: Node[Any], b: OnnxBuilder) -> None:
        count = known(node.inputs[2].shape[1])
        numbers = b.const(np.arange(1, count, dtype=np.float32).reshape(1, -1, 1, 1))
        zero, one = b.const(np.float32(0)), b.const(np.float32(1))
        for index, output in enumerate(node.outputs):
            chosen, residuals = node.inputs[index], node.inputs[index + 2]
            if chosen.dtype != "float32":
                chosen = b.op("Cast", chosen, to=1)  # type: ignore[assignment]
            own = b.op("Cast", b.op("Equal", chosen, numbers), to=1)
            front = b.op("Slice", residuals, b.ints(1), b.ints(count), b.ints(1))
            found = b.op("ReduceSum", b.op("Mul", front, own), b.ints(1), keepdims=1)
            if self.body:
                b.op("Clip", found, zero, one, out=output)
                continue
            found = b.op("Sub", b.op("Add", chosen, found), one)
            found = b.op("Div", found, b.const(np.float32(count - 1)))
            b.op("Where", b.op("Less", found, zero), b.const(np.float32(-1)), found, out=output)

    def torch(self, node: Node[Any]) -> nn.Module:
        from .torch import densereg

        return densereg.Combined(self.body)


@register("Python:CombineRegressions.CombineRegressionsLayer", message="python_param")
class CombinedFace(Combined):
    """Of faces (CombineRegressions.py).

    (class + residual - 1) / (C - 1), and -1 for the background.
    """


@register("Python:CombineRegressionsHuman.CombineRegressionsLayer", message="python_param")
class CombinedBody(Combined):
    """Of human bodies: the residual, kept in 0..1 (CombineRegressionsHuman.py)."""

    body = True
