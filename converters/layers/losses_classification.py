"""Losses against labels besides the softmax one: hinge, logistic, infogain, sigmoid."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import prototxt
from prototxt.files import is_there
from prototxt.net import LayerDefinition
from prototxt.schema import decode

from ..graph import Node, P, Shape, Value
from ..layer_type import NoParams
from ..legal import Integers, Interval, Legal
from ..registry import find, register
from ..shapes import known, product, text
from .losses import (
    Loss,
    LossParams,
    Normalization,
    all_and_outer,
    class_axis,
    divisor,
    like_first,
    one_label_each,
    rows_and_labels,
    same_count,
    size_of,
)
from .shaping import Flatten, Reshape, Split
from .softmax import Softmax

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


SMALLEST_PROBABILITY = np.float32(1e-20)
"""kLOG_THRESHOLD (loss_layer.hpp): no logarithm is taken of less."""


class LabelledLoss(Loss[P]):
    """A loss with one label for each image, whose values are all classes: N×C×H×W is N×CHW."""

    scores_classes = True

    def prepare(self, node: Node[P]) -> None:
        one_label_an_image(node)

    def shapes(self, node: Node[P]) -> list[Shape]:
        product(node.inputs[0].shape[1:])  # which class a label means is a matter of numbers
        return [()]

    def legal(self, node: Node[P]) -> dict[int, Legal]:
        return {1: Integers(0, product(node.inputs[0].shape[1:]) - 1)}


def one_label_an_image(node: Node[Any]) -> None:
    """Raise `node.error` where the labels are not as many as the images."""
    scores, labels = (v.shape for v in node.inputs[:2])
    if not scores or not labels or product(labels[1:]) != 1 or clash(scores[0], labels[0]):
        raise node.error(
            f"{text(labels)} labels for {text(scores)} scores", "one label for each image"
        )


def clash(a: int | str, b: int | str) -> bool:
    """Whether two dimensions are known to differ."""
    return isinstance(a, int) and isinstance(b, int) and a != b


class Norm(enum.Enum):
    """HingeLossParameter.Norm: margins as they are, or squared."""

    L1 = 1
    L2 = 2


@dataclass
class HingeLossParams:
    """HingeLossParameter."""

    norm: Norm = Norm.L1


@register("HingeLoss", message="hinge_loss_param")
class HingeLoss(LabelledLoss[HingeLossParams]):
    """One-vs-all hinge, its margins summed or squared (hinge_loss_layer.cpp)."""

    Params = HingeLossParams

    def onnx(self, node: Node[HingeLossParams], b: OnnxBuilder) -> None:
        scores, labels = node.inputs
        rows = b.op("Flatten", scores, axis=1)
        index = b.op("Cast", b.op("Reshape", labels, b.ints(-1, 1)), to=7)
        classes = b.const(np.arange(product(scores.shape[1:]))[None])
        own = b.op("Equal", classes, index)
        signed = b.op("Where", own, b.op("Neg", rows), rows)
        margins = b.op("Relu", b.op("Add", signed, b.const(np.float32(1))))
        if node.params.norm is Norm.L2:
            margins = b.op("Mul", margins, margins)
        total = b.op("ReduceSum", margins, keepdims=0)
        b.op("Div", total, size_of(b, scores, 0), out=node.outputs[0])

    def torch(self, node: Node[HingeLossParams]) -> nn.Module:
        from .torch import losses_classification

        return losses_classification.HingeLoss(node.params.norm is Norm.L1)


@register("MultinomialLogisticLoss")
class MultinomialLogisticLoss(LabelledLoss[NoParams]):
    """Minus the logarithm of the label's probability (multinomial_logistic_loss_layer.cpp)."""

    def onnx(self, node: Node[NoParams], b: OnnxBuilder) -> None:
        scores, labels = node.inputs
        index = b.op("Cast", b.op("Reshape", labels, b.ints(-1, 1)), to=7)
        picked = b.op("GatherElements", b.op("Flatten", scores, axis=1), index, axis=1)
        logs = b.op("Log", b.op("Max", picked, b.const(SMALLEST_PROBABILITY)))
        total = b.op("Neg", b.op("ReduceSum", logs, keepdims=0))
        b.op("Div", total, size_of(b, scores, 0), out=node.outputs[0])

    def torch(self, node: Node[NoParams]) -> nn.Module:
        from .torch import losses_classification

        return losses_classification.MultinomialLogisticLoss(float(SMALLEST_PROBABILITY))


@dataclass
class InfogainLossParams:
    """InfogainLossParameter and LossParameter of one layer, and which Caffe they are meant for."""

    source: str = ""
    axis: int | None = None
    loss: LossParams | None = field(default=None, init=False)
    matrix: np.ndarray | None = field(default=None, init=False)
    """The infogain matrix of `source`; None where it is the third bottom."""


@register("InfogainLoss", message="infogain_loss_param")
class InfogainLoss(Loss[InfogainLossParams]):
    """Cross entropy weighted by a matrix row for each label (infogain_loss_layer.cpp).

    Until 2017 it took probabilities, N×CHW of them and one label for each image; since then it
    takes scores, over an axis, and can give their softmax as second top. The two are told apart by
    whether a Softmax layer writes its bottom.
    """

    Params = InfogainLossParams
    scores_classes = True
    bottoms = (2, 3)
    tops = (1, 2)

    def messages(self) -> tuple[str, ...]:
        return ("infogain_loss_param", "loss_param")

    def read(
        self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]
    ) -> InfogainLossParams:
        params = super().read(layer, lenient, warn)
        message = layer.param("loss_param")
        if message is not None:
            params.loss = decode(message, LossParams, name="loss_param", lenient=lenient, warn=warn)
        return params

    def prepare(self, node: Node[InfogainLossParams]) -> None:
        p = node.params
        if of_2016(node):
            if p.axis is not None or p.loss is not None or len(node.outputs) == 2:
                raise node.error(
                    "reads a Softmax, as it did until 2017, with options of later versions",
                    "those take the scores: give it the Softmax's bottom",
                )
            one_label_an_image(node)
        else:
            if p.loss is not None and p.loss.normalize is not None:
                raise node.error("normalize is not for this layer", "use normalization")
            one_label_each(node, axis_of(node))
        classes = class_count(node)
        if len(node.inputs) == 3:
            if all(isinstance(d, int) for d in node.inputs[2].shape):
                check_matrix(node, product(node.inputs[2].shape), classes)
            return
        if p.matrix is None:
            p.matrix = read_matrix(node)
        check_matrix(node, p.matrix.size, classes)

    def shapes(self, node: Node[InfogainLossParams]) -> list[Shape]:
        return [(), node.inputs[0].shape][: len(node.outputs)]

    def notes(self, node: Node[InfogainLossParams]) -> list[str]:
        if of_2016(node):
            return []
        return [
            f"layer {node.name} takes scores, as InfogainLoss does since 2017 "
            "(before, it took probabilities)"
        ]

    def legal(self, node: Node[InfogainLossParams]) -> dict[int, Legal]:
        return {1: Integers(0, class_count(node) - 1)}

    def onnx(self, node: Node[InfogainLossParams], b: OnnxBuilder) -> None:
        scores, classes = node.inputs[0], class_count(node)
        if of_2016(node):
            rows = b.op("Flatten", scores, axis=1)
            logs = b.op("Log", b.op("Max", rows, b.const(SMALLEST_PROBABILITY)))
            index = b.op("Cast", b.op("Reshape", node.inputs[1], b.ints(-1, 1)), to=7)
            valid, count = None, size_of(b, scores, 0)
        else:
            axis, loss = axis_of(node), node.params.loss or LossParams()
            if len(node.outputs) == 2:
                b.op("Softmax", scores, axis=axis, out=node.outputs[1])
            logs = b.op("LogSoftmax", scores, axis=axis)
            logs = b.op("Max", logs, b.const(np.log(SMALLEST_PROBABILITY)))
            logs, index, counted = rows_and_labels(node, b, logs, axis, loss.ignore_label)
            valid = b.op("Cast", counted, to=1) if counted else None
            count = divisor(b, loss.mode(), *all_and_outer(node, b, axis), valid)
        if len(node.inputs) == 3:
            matrix = b.op("Reshape", node.inputs[2], b.ints(classes, classes))
        else:
            matrix = b.array(node, "infogain", matrix_of(node))
        weights = b.op("Gather", matrix, b.op("Squeeze", index, b.ints(1)), axis=0)
        terms = b.op("Mul", weights, logs)
        terms = b.op("Mul", terms, valid) if valid else terms
        total = b.op("Neg", b.op("ReduceSum", terms, keepdims=0))
        b.op("Div", total, count, out=node.outputs[0])

    def torch(self, node: Node[InfogainLossParams]) -> nn.Module:
        from .torch import losses_classification

        old, loss = of_2016(node), node.params.loss or LossParams()
        return losses_classification.InfogainLoss(
            None if len(node.inputs) == 3 else matrix_of(node),
            class_count(node),
            probabilities=old,
            axis=1 if old else axis_of(node),
            ignore_label=loss.ignore_label,
            normalization=loss.mode().name,
            smallest=float(SMALLEST_PROBABILITY),
            smallest_log=float(np.log(SMALLEST_PROBABILITY)),
            both=len(node.outputs) == 2,
        )


def of_2016(node: Node[InfogainLossParams]) -> bool:
    """Whether the first bottom is what a Softmax layer wrote, in whatever shape."""
    value: Value = node.inputs[0]
    while value.producer is not None:
        kind = find(value.producer.type)
        if not isinstance(kind, (Split, Flatten, Reshape)):
            return isinstance(kind, Softmax)
        value = value.producer.inputs[0]
    return False


def axis_of(node: Node[InfogainLossParams]) -> int:
    """The axis of the classes, 1 where none is stated."""
    return class_axis(node, 1 if node.params.axis is None else node.params.axis)


def class_count(node: Node[InfogainLossParams]) -> int:
    """How many classes there are: the matrix has as many rows and columns."""
    shape = node.inputs[0].shape
    return product(shape[1:]) if of_2016(node) else known(shape[axis_of(node)])


def matrix_of(node: Node[InfogainLossParams]) -> np.ndarray:
    """The matrix of `source`, classes×classes float32."""
    classes = class_count(node)
    return np.array(node.params.matrix, np.float32).reshape(classes, classes)


def read_matrix(node: Node[InfogainLossParams]) -> np.ndarray:
    """The blob of `source`, from the current folder, else beside the prototxt."""
    source = node.params.source
    if not source:
        raise node.error("no infogain matrix", "give infogain_loss_param.source or a bottom")
    folder = Path(node.position.path).parent if node.position else Path()
    for path in (Path(source), folder / source):
        if is_there(path):
            return prototxt.read_binaryproto(path)
    raise node.error(
        f"its source {source!r} is not there", f"looked in the current folder and in {folder}"
    )


def check_matrix(node: Node[Any], size: int, classes: int) -> None:
    """Raise `node.error` where a matrix is not classes×classes."""
    if size != classes * classes:
        raise node.error(f"an infogain matrix of {size} numbers for {classes} classes")


@register("SigmoidCrossEntropyLoss", message="loss_param")
class SigmoidCrossEntropyLoss(Loss[LossParams]):
    """Cross entropy of sigmoids with targets (sigmoid_cross_entropy_loss_layer.cpp).

    The 2016 version divides by the number of images, which is the default of later ones too; only
    those know `ignore_label` and `normalization`.
    """

    Params = LossParams

    def prepare(self, node: Node[LossParams]) -> None:
        same_count(node)

    def legal(self, node: Node[LossParams]) -> dict[int, Legal]:
        return {1: Interval(0, 1)}

    def onnx(self, node: Node[LossParams], b: OnnxBuilder) -> None:
        x, target = node.inputs[0], like_first(node, b)
        soft = b.op("Exp", b.op("Neg", b.op("Abs", x)))
        soft = b.op("Log", b.op("Add", soft, b.const(np.float32(1))))
        terms = b.op("Add", b.op("Sub", b.op("Relu", x), b.op("Mul", x, target)), soft)
        valid = None
        if node.params.ignore_label is not None:
            whole = b.op("Cast", target, to=7)
            counted = b.op("Not", b.op("Equal", whole, b.ints(node.params.ignore_label)))
            valid = b.op("Cast", counted, to=1)
            terms = b.op("Mul", terms, valid)
        how = node.params.mode(Normalization.BATCH_SIZE)
        count = divisor(b, how, size_of(b, x), size_of(b, x, 0), valid)
        b.op("Div", b.op("ReduceSum", terms, keepdims=0), count, out=node.outputs[0])

    def torch(self, node: Node[LossParams]) -> nn.Module:
        from .torch import losses_classification

        how = node.params.mode(Normalization.BATCH_SIZE)
        return losses_classification.SigmoidCrossEntropyLoss(node.params.ignore_label, how.name)
