"""Losses and Accuracy: pruned from an inference graph unless they are asked for."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from prototxt.net import LayerDefinition
from prototxt.schema import UInt, decode

from ..graph import Node, P, Shape, Value
from ..layer_type import LayerType, NoParams
from ..legal import Legal, classes
from ..registry import register
from ..shapes import is_fixed, known, product, text

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder, Operand


SMALLEST_LOG = np.float32(np.log(np.finfo(np.float32).tiny))
"""Caffe's losses take no logarithm of less than FLT_MIN."""


class Normalization(enum.Enum):
    """LossParameter.NormalizationMode: what the sum of losses is divided by."""

    FULL = 0
    VALID = 1
    BATCH_SIZE = 2
    NONE = 3


@dataclass
class LossParams:
    """LossParameter."""

    ignore_label: int | None = None
    normalization: Normalization | None = None
    normalize: bool | None = None

    def mode(self, default: Normalization = Normalization.VALID) -> Normalization:
        """`normalization`, else what the older `normalize` means, else the layer's default."""
        if self.normalization is not None or self.normalize is None:
            return self.normalization or default
        return Normalization.VALID if self.normalize else Normalization.BATCH_SIZE


@dataclass
class SoftmaxParams:
    """SoftmaxParameter, as far as a loss reads it."""

    engine: int | str = 0
    axis: int = 1


@dataclass
class SoftmaxLossParams:
    """SoftmaxParameter and LossParameter of one layer."""

    axis: int = 1
    loss: LossParams = field(default_factory=LossParams)


class Loss(LayerType[P]):
    """Compares a prediction with a target; gives one number."""

    bottoms: ClassVar[tuple[int, int | None]] = (2, 2)
    counts_images = True
    is_loss = True
    loss_weight = 1.0

    def shapes(self, node: Node[P]) -> list[Shape]:
        return [()] * len(node.outputs)


def same_count(node: Node[Any], *others: int) -> None:
    """Caffe compares blobs number by number: N×C meets N×C×1×1, N meets N×1.

    Raises `node.error` for a bottom of `others` (the second alone, if none is named) that has
    another number of images or of values than the first.
    """
    a = node.inputs[0].shape
    for b in (node.inputs[index].shape for index in others or (1,)):
        if not is_fixed(*a, *b):
            clash = len(a) == len(b) and any(
                is_fixed(x, y) and x != y for x, y in zip(a, b, strict=True)
            )
        else:
            clash = a[:1] != b[:1] or product(a) != product(b)
        if clash:
            raise node.error(f"its bottoms differ: {text(a)} and {text(b)}")


def one_label_each(node: Node[Any], axis: int) -> None:
    """The labels are as many as the first bottom's values are without `axis`."""
    scores, labels = (v.shape for v in node.inputs[:2])
    rest = scores[:axis] + scores[axis + 1 :]
    if is_fixed(*rest, *labels) and product(rest) != product(labels):
        raise node.error(
            f"{text(labels)} labels for {text(scores)} scores",
            f"one label for each of {text(rest)}",
        )


def class_axis(node: Node[Any], axis: int) -> int:
    """The axis of the scores' classes, whose number must be known."""
    shape = node.inputs[0].shape
    if not -len(shape) <= axis < len(shape):
        raise node.error(f"axis {axis} is outside its {text(shape)} scores")
    known(shape[axis])
    return axis % len(shape)


def like_first(node: Node[Any], b: OnnxBuilder, index: int = 1) -> Operand:
    """A bottom in the shape of the first one."""
    first, other = node.inputs[0], node.inputs[index]
    return other if first.shape == other.shape else b.op("Reshape", other, b.op("Shape", first))


def size_of(b: OnnxBuilder, value: Value, *axes: int) -> str:
    """The product of a value's dimensions (of all, if no axes are named) as a float scalar."""
    size = b.ints(1)
    for axis in axes or range(len(value.shape)):
        size = b.arithmetic("Mul", size, b.dim(value, axis))
    return b.op("Cast", b.op("Squeeze", size, b.ints(0)), to=1)


def divisor(b: OnnxBuilder, how: Normalization, all_of: str, images: str, valid: str | None) -> str:
    """get_normalizer: what a sum of losses is divided by, at least 1."""
    count = {
        Normalization.FULL: all_of,
        Normalization.VALID: all_of if valid is None else b.op("ReduceSum", valid, keepdims=0),
        Normalization.BATCH_SIZE: images,
        Normalization.NONE: b.const(np.float32(1)),
    }[how]
    return b.op("Max", count, b.const(np.float32(1)))


def all_and_outer(node: Node[Any], b: OnnxBuilder, axis: int) -> tuple[str, str]:
    """How many labels there are, and the product of the dimensions before `axis`."""
    scores = node.inputs[0]
    rest = [i for i in range(len(scores.shape)) if i != axis]
    one = b.const(np.float32(1))
    return (
        size_of(b, scores, *rest) if rest else one,
        size_of(b, scores, *range(axis)) if axis else one,
    )


def rows_and_labels(
    node: Node[Any], b: OnnxBuilder, values: Operand, axis: int, ignore: int | None
) -> tuple[str, str, str | None]:
    """Values over `axis` as rows, a column of their labels, and a column of which count.

    The label of a row that is ignored is 0; without `ignore` the third is None.
    """
    scores, labels = node.inputs[:2]
    rank = len(scores.shape)
    last = [*(i for i in range(rank) if i != axis), axis]
    rows = b.op("Transpose", values, perm=last) if last != list(range(rank)) else values
    rows = b.op("Reshape", rows, b.ints(-1, known(scores.shape[axis])))
    index = b.op("Cast", b.op("Reshape", labels, b.ints(-1, 1)), to=7)
    if ignore is None:
        return rows, index, None
    ignored = b.op("Equal", index, b.ints(ignore))
    index = b.op("Where", ignored, b.ints(0), index)
    return rows, index, b.op("Not", ignored)


@register("EuclideanLoss")
class EuclideanLoss(Loss[NoParams]):
    """Half the sum of squared differences per image (euclidean_loss_layer.cpp)."""

    def prepare(self, node: Node[NoParams]) -> None:
        same_count(node)

    def onnx(self, node: Node[NoParams], b: OnnxBuilder) -> None:
        difference = b.op("Sub", node.inputs[0], like_first(node, b))
        total = b.op("ReduceSum", b.op("Mul", difference, difference), keepdims=0)
        count = size_of(b, node.inputs[0], 0)
        b.op("Div", total, b.op("Mul", count, b.const(np.float32(2))), out=node.outputs[0])

    def torch(self, node: Node[NoParams]) -> nn.Module:
        from .torch import losses

        return losses.EuclideanLoss()


@register("SoftmaxWithLoss", message="softmax_param")
class SoftmaxWithLoss(Loss[SoftmaxLossParams]):
    """Cross entropy of the softmax over `axis` (softmax_loss_layer.cpp); 2nd top: the softmax."""

    scores_classes = True
    tops = (1, 2)

    def messages(self) -> tuple[str, ...]:
        return ("softmax_param", "loss_param")

    def read(
        self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]
    ) -> SoftmaxLossParams:
        def part(name: str, cls: type[Any]) -> Any:
            return decode(layer.param(name), cls, name=name, lenient=lenient, warn=warn)

        axis = part("softmax_param", SoftmaxParams).axis
        return SoftmaxLossParams(axis, part("loss_param", LossParams))

    def prepare(self, node: Node[SoftmaxLossParams]) -> None:
        one_label_each(node, class_axis(node, node.params.axis))

    def shapes(self, node: Node[SoftmaxLossParams]) -> list[Shape]:
        return [(), node.inputs[0].shape][: len(node.outputs)]

    def legal(self, node: Node[SoftmaxLossParams]) -> dict[int, Legal]:
        return {1: classes(node.inputs[0], node.params.axis)}

    def onnx(self, node: Node[SoftmaxLossParams], b: OnnxBuilder) -> None:
        scores, loss = node.inputs[0], node.params.loss
        axis = class_axis(node, node.params.axis)
        if len(node.outputs) == 2:
            b.op("Softmax", scores, axis=axis, out=node.outputs[1])
        logs = b.op("LogSoftmax", scores, axis=axis)
        rows, index, counted = rows_and_labels(node, b, logs, axis, loss.ignore_label)
        picked = b.op("GatherElements", rows, index, axis=1)
        picked = b.op("Max", picked, b.const(SMALLEST_LOG))
        valid = b.op("Cast", counted, to=1) if counted else None
        picked = b.op("Mul", picked, valid) if valid else picked
        total = b.op("Neg", b.op("ReduceSum", picked, keepdims=0))
        count = divisor(b, loss.mode(), *all_and_outer(node, b, axis), valid)
        b.op("Div", total, count, out=node.outputs[0])

    def torch(self, node: Node[SoftmaxLossParams]) -> nn.Module:
        from .torch import losses

        loss = node.params.loss
        return losses.SoftmaxLoss(
            class_axis(node, node.params.axis),
            loss.ignore_label,
            loss.mode().name,
            float(SMALLEST_LOG),
            both=len(node.outputs) == 2,
        )


@dataclass
class AccuracyParams:
    """AccuracyParameter."""

    top_k: UInt = 1
    axis: int = 1
    ignore_label: int | None = None


@register("Accuracy", message="accuracy_param")
class Accuracy(Loss[AccuracyParams]):
    """The share of labels among the `top_k` greatest scores (accuracy_layer.cpp).

    As Caffe sorts pairs of score and index, of equal scores the larger index is the greater. The
    second top is the same for each class; a class that no label has gets 0.
    """

    Params = AccuracyParams
    scores_classes = True
    tops = (1, 2)
    loss_weight = 0.0
    is_metric = True

    def prepare(self, node: Node[AccuracyParams]) -> None:
        axis = class_axis(node, node.params.axis)
        one_label_each(node, axis)
        if node.params.top_k > known(node.inputs[0].shape[axis]):
            raise node.error(f"top_k {node.params.top_k} of {node.inputs[0].shape[axis]} classes")

    def shapes(self, node: Node[AccuracyParams]) -> list[Shape]:
        classes = node.inputs[0].shape[class_axis(node, node.params.axis)]
        return [(), (classes,)][: len(node.outputs)]

    def legal(self, node: Node[AccuracyParams]) -> dict[int, Legal]:
        return {1: classes(node.inputs[0], node.params.axis)}

    def onnx(self, node: Node[AccuracyParams], b: OnnxBuilder) -> None:
        """A label counts when fewer than top_k classes beat its score, or tie behind it."""
        p, scores = node.params, node.inputs[0]
        axis = class_axis(node, p.axis)
        rows, index, counted = rows_and_labels(node, b, scores, axis, p.ignore_label)
        classes = b.const(np.arange(known(scores.shape[axis]))[None])
        own = b.op("GatherElements", rows, index, axis=1)
        tie = b.op("And", b.op("Equal", rows, own), b.op("Greater", classes, index))
        beaten = b.op("Cast", b.op("Or", b.op("Greater", rows, own), tie), to=7)
        ahead = b.op("ReduceSum", beaten, b.ints(1), keepdims=1)
        hit = b.op("Less", ahead, b.ints(p.top_k))
        hit = b.op("And", hit, counted) if counted else hit

        def count(what: str, *axes: Operand) -> str:
            return b.op("ReduceSum", b.op("Cast", what, to=1), *axes, keepdims=0)

        if counted:
            b.op("Div", count(hit), count(counted), out=node.outputs[0])
        else:
            b.op("ReduceMean", b.op("Cast", hit, to=1), keepdims=0, out=node.outputs[0])
        if len(node.outputs) == 2:
            truth = b.op("Equal", classes, index)
            truth = b.op("And", truth, counted) if counted else truth
            labels = b.op("Max", count(truth, b.ints(0)), b.const(np.float32(1)))
            hits = count(b.op("And", truth, hit), b.ints(0))
            b.op("Div", hits, labels, out=node.outputs[1])

    def torch(self, node: Node[AccuracyParams]) -> nn.Module:
        from .torch import losses

        p = node.params
        both = len(node.outputs) == 2
        return losses.Accuracy(class_axis(node, p.axis), p.top_k, p.ignore_label, both)
