"""Softmax (softmax_layer.cpp) and ArgMax (argmax_layer.cpp)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prototxt.schema import UInt

from ..graph import Node, Shape
from ..layer_type import LayerType
from ..registry import register
from ..shapes import known, product, text
from .convolution import Engine

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder, Operand


@dataclass
class SoftmaxParams:
    """SoftmaxParameter."""

    engine: Engine = Engine.DEFAULT
    axis: int = 1


@register("Softmax", message="softmax_param")
class Softmax(LayerType[SoftmaxParams]):
    """Probabilities over one axis, the channels unless it says otherwise."""

    Params = SoftmaxParams
    scores_classes = True
    keeps_grid = True

    def each_image(self, node: Node[SoftmaxParams]) -> bool:
        return node.params.axis % len(node.inputs[0].shape) > 0

    def shapes(self, node: Node[SoftmaxParams]) -> list[Shape]:
        rank, axis = len(node.inputs[0].shape), node.params.axis
        if not -rank <= axis < rank:
            raise node.error(f"axis {axis} is outside a {text(node.inputs[0].shape)} input")
        return [node.inputs[0].shape]

    def onnx(self, node: Node[SoftmaxParams], b: OnnxBuilder) -> None:
        b.node("Softmax", node, axis=node.params.axis)

    def torch(self, node: Node[SoftmaxParams]) -> nn.Module:
        from torch import nn

        return nn.Softmax(node.params.axis)


@dataclass
class ArgMaxParams:
    """ArgMaxParameter."""

    out_max_val: bool = False
    top_k: UInt = 1
    axis: int | None = None


@register("ArgMax", message="argmax_param")
class ArgMax(LayerType[ArgMaxParams]):
    """The indices (as floats) of the greatest values; of equal ones the largest index is first."""

    counts_images = True
    Params = ArgMaxParams

    def prepare(self, node: Node[ArgMaxParams]) -> None:
        rank, axis = len(node.inputs[0].shape), node.params.axis
        if axis is not None and not -rank <= axis < rank:
            raise node.error(f"axis {axis} is outside a {text(node.inputs[0].shape)} input")
        if node.params.top_k < 1:
            raise node.error("top_k must be at least 1")

    def shapes(self, node: Node[ArgMaxParams]) -> list[Shape]:
        p, shape = node.params, node.inputs[0].shape
        if p.axis is None:
            size = product(shape[1:])
            result: Shape = (shape[0], 2 if p.out_max_val else 1, p.top_k)
            result = result + (1,) * (len(shape) - 3)
        else:
            axis = p.axis % len(shape)
            size = known(shape[axis])
            result = (*shape[:axis], p.top_k, *shape[axis + 1 :])
        if p.top_k > size:
            raise node.error(f"top_k {p.top_k} of {size} values")
        return [result]

    def onnx(self, node: Node[ArgMaxParams], b: OnnxBuilder) -> None:
        """TopK over the reversed axis: it prefers the smallest index, which is then the largest."""
        p, x = node.params, node.inputs[0]
        axis = 1 if p.axis is None else p.axis % len(x.shape)
        flat: Operand = x if p.axis is not None else b.op("Flatten", x, axis=1)
        size = product(x.shape[1:]) if p.axis is None else known(x.shape[axis])
        back = b.op("Slice", flat, b.ints(-1), b.ints(-(2**62)), b.ints(axis), b.ints(-1))
        values, places = b.fresh(f"{node.name}/values"), b.fresh(f"{node.name}/places")
        b.op("TopK", back, b.ints(p.top_k), axis=axis, out=[values, places])
        index = b.op("Cast", b.op("Sub", b.ints(size - 1), places), to=1)
        if p.axis is not None:
            b.op("Identity", values if p.out_max_val else index, out=node.outputs[0])
            return
        parts = [index, values] if p.out_max_val else [index]
        rows = [b.op("Unsqueeze", part, b.ints(1)) for part in parts]
        stacked = b.op("Concat", *rows, axis=1) if len(rows) > 1 else rows[0]
        tail = (1,) * (len(node.outputs[0].shape) - 3)
        b.op("Reshape", stacked, b.ints(0, len(rows), p.top_k, *tail), out=node.outputs[0])

    def torch(self, node: Node[ArgMaxParams]) -> nn.Module:
        from .torch import softmax

        p, rank = node.params, len(node.inputs[0].shape)
        axis = None if p.axis is None else p.axis % rank
        return softmax.ArgMax(axis, p.top_k, p.out_max_val)
