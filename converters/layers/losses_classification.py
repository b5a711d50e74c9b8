"""Losses over labels other than SoftmaxWithLoss: pruned from inference graphs, trained with."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import prototxt
from prototxt.errors import ZooError
from prototxt.net import LayerDefinition
from prototxt.schema import decode

from ..graph import Node, Shape
from ..registry import register
from ..shapes import known, text
from .losses import Loss, LossParams, Normalization, class_axis, same_shape

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..onnx_backend import OnnxBuilder, Operand

ONE = np.float32(1)
SMALLEST = np.float32(1e-20)
"""kLOG_THRESHOLD: no probability counts as less."""


def batch_size(node: Node, b: OnnxBuilder) -> Operand:
    """The first dimension of the first bottom, as a float32 scalar."""
    return b.op("Cast", b.op("Squeeze", b.dim(node.inputs[0], 0), b.ints(0)), to=1)


def label_column(labels: Any, b: OnnxBuilder) -> Operand:
    """Labels of any shape as an int64 column."""
    return b.op("Cast", b.op("Reshape", labels, b.ints(-1, 1)), to=7)


@dataclass
class SigmoidLossParams:
    """LossParameter; unlike other losses this one divides by the batch unless told otherwise."""

    ignore_label: int | None = None
    normalization: Normalization | None = None
    normalize: bool | None = None


@register("SigmoidCrossEntropyLoss", message="loss_param")
class SigmoidCrossEntropyLoss(Loss):
    """Cross entropy of independent probabilities (sigmoid_cross_entropy_loss_layer.cpp).

    Divided by the batch, as in 2016 always; `loss_param` has an effect since.
    """

    Params = SigmoidLossParams

    def prepare(self, node: Node) -> None:
        same_shape(node)

    def normalization(self, node: Node) -> Normalization:
        p: SigmoidLossParams = node.params
        if p.normalization is not None:
            return p.normalization
        return Normalization.VALID if p.normalize else Normalization.BATCH_SIZE

    def onnx(self, node: Node, b: OnnxBuilder) -> None:
        scores, targets = node.inputs
        # max(x, 0) - x t + log(1 + exp(-|x|)), which overflows nowhere
        product = b.op("Mul", scores, targets)
        tail = b.op("Log", b.op("Add", b.op("Exp", b.op("Neg", b.op("Abs", scores))), b.const(ONE)))
        terms = b.op("Add", b.op("Sub", b.op("Relu", scores), product), tail)
        how = self.normalization(node)
        count: Operand = b.const(ONE)
        if node.params.ignore_label is not None:
            ignored = b.op("Equal", targets, b.const(np.float32(node.params.ignore_label)))
            kept = b.op("Cast", b.op("Not", ignored), to=1)
            terms = b.op("Mul", terms, kept)
            if how is Normalization.VALID:
                count = b.op("ReduceSum", kept, keepdims=0)
        elif how is Normalization.VALID:
            how = Normalization.FULL
        if how is Normalization.FULL:
            count = b.op("Cast", b.op("Size", scores), to=1)
        elif how is Normalization.BATCH_SIZE:
            count = batch_size(node, b)
        total = b.op("ReduceSum", terms, keepdims=0)
        b.op("Div", total, b.op("Max", count, b.const(ONE)), out=node.outputs[0])

    def torch(self, node: Node) -> nn.Module:
        import torch
        from torch import nn
        from torch.nn import functional as F

        how, ignore = self.normalization(node), node.params.ignore_label

        class SigmoidCrossEntropyModule(nn.Module):
            def forward(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
                terms = F.binary_cross_entropy_with_logits(scores, targets, reduction="none")
                kept = torch.ones_like(terms) if ignore is None else (targets != ignore).float()
                divisor = {
                    Normalization.FULL: scores.numel(),
                    Normalization.VALID: kept.sum(),
                    Normalization.BATCH_SIZE: scores.shape[0],
                    Normalization.NONE: 1,
                }[how]
                count = torch.as_tensor(divisor, device=scores.device).clamp(min=1)
                return (terms * kept).sum() / count

        return SigmoidCrossEntropyModule()


class Norm(enum.Enum):
    L1 = 1
    L2 = 2


@dataclass
class HingeLossParams:
    """HingeLossParameter."""

    norm: Norm = Norm.L1


@register("HingeLoss", message="hinge_loss_param")
class HingeLoss(Loss):
    """One against all: max(0, 1 - s x), s = 1 at the label, else -1 (hinge_loss_layer.cpp)."""

    Params = HingeLossParams

    def onnx(self, node: Node, b: OnnxBuilder) -> None:
        scores, labels = node.inputs
        rows = b.op("Reshape", scores, b.ints(0, -1))
        column = label_column(labels, b)
        width = b.op("Slice", b.op("Shape", rows), b.ints(1), b.ints(2))
        zero, one = b.const(np.int64(0)), b.const(np.int64(1))
        classes = b.op("Range", zero, b.op("Squeeze", width, b.ints(0)), one)
        own = b.op("Equal", column, b.op("Unsqueeze", classes, b.ints(0)))
        signed = b.op("Where", own, b.op("Neg", rows), rows)
        margin = b.op("Relu", b.op("Add", signed, b.const(ONE)))
        if node.params.norm is Norm.L2:
            margin = b.op("Mul", margin, margin)
        total = b.op("ReduceSum", margin, keepdims=0)
        b.op("Div", total, batch_size(node, b), out=node.outputs[0])

    def torch(self, node: Node) -> nn.Module:
        from torch import nn
        from torch.nn import functional as F

        squared = node.params.norm is Norm.L2

        class HingeLossModule(nn.Module):
            def forward(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
                rows = scores.flatten(1)
                own = F.one_hot(labels.reshape(-1).long(), rows.shape[1]).bool()
                margin = (1 + rows.where(~own, -rows)).relu()
                return (margin * margin if squared else margin).sum() / rows.shape[0]

        return HingeLossModule()


@register("MultinomialLogisticLoss")
class MultinomialLogisticLoss(Loss):
    """-log of the label's probability, over the batch (multinomial_logistic_loss_layer.cpp)."""

    def onnx(self, node: Node, b: OnnxBuilder) -> None:
        rows = b.op("Reshape", node.inputs[0], b.ints(0, -1))
        own = b.op("GatherElements", rows, label_column(node.inputs[1], b), axis=1)
        logs = b.op("Log", b.op("Max", own, b.const(SMALLEST)))
        total = b.op("Neg", b.op("ReduceSum", logs, keepdims=0))
        b.op("Div", total, batch_size(node, b), out=node.outputs[0])

    def torch(self, node: Node) -> nn.Module:
        from torch import nn

        class MultinomialLogisticModule(nn.Module):
            def forward(self, chances: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
                own = chances.flatten(1).gather(1, labels.reshape(-1, 1).long())
                return -floored(own).log().sum() / chances.shape[0]

        return MultinomialLogisticModule()


def floored(chances: torch.Tensor) -> torch.Tensor:
    """No less than `SMALLEST`; Caffe's gradient is that of the logarithm at the floor."""
    return chances + (chances.clamp(min=float(SMALLEST)) - chances).detach()


@dataclass
class InfogainParams:
    """InfogainLossParameter and LossParameter of one layer."""

    source: str = ""
    axis: int = 1
    loss: LossParams = field(default_factory=LossParams)
    chances: bool = False
    """The first bottom is probabilities (2016), not scores (today)."""
    matrix: np.ndarray | None = None


@dataclass
class InfogainLossParameter:
    """InfogainLossParameter as it is written."""

    source: str = ""
    axis: int = 1


@register("InfogainLoss", message="infogain_loss_param")
class InfogainLoss(Loss):
    """Cross entropy weighted by a matrix over (label, class) (infogain_loss_layer.cpp).

    In 2016 it took probabilities; since 2017 scores, of which it takes the softmax itself. A bottom
    that a Softmax layer wrote is the former; nobody takes the softmax of a softmax.
    """

    bottoms = (2, 3)
    tops = (1, 2)

    def messages(self) -> tuple[str, ...]:
        return ("infogain_loss_param", "loss_param")

    def read(
        self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]
    ) -> InfogainParams:
        def part(name: str, cls: type[Any]) -> Any:
            return decode(layer.param(name), cls, name=name, lenient=lenient, warn=warn)

        own = part("infogain_loss_param", InfogainLossParameter)
        return InfogainParams(own.source, own.axis, part("loss_param", LossParams))

    def prepare(self, node: Node) -> None:
        p: InfogainParams = node.params
        producer = node.inputs[0].producer
        p.chances = producer is not None and producer.type == "Softmax"
        shape = node.inputs[0].shape
        if p.axis % len(shape) != len(shape) - 1 and any(
            dim != 1 for dim in shape[p.axis % len(shape) + 1 :]
        ):
            raise node.error(f"its bottom is {text(shape)}: labels over planes are not supported")
        if len(node.inputs) == 3:
            return
        if not p.source:
            raise node.error("no infogain matrix", "give infogain_loss_param.source or a bottom")
        p.matrix = self.matrix(node, p.source)

    def matrix(self, node: Node, source: str) -> np.ndarray:
        path = Path(source)
        if not path.exists() and node.position is not None:
            path = Path(node.position.path).parent / source
        try:
            return np.asarray(prototxt.read_binaryproto(path), np.float32).squeeze()
        except ZooError as error:
            raise node.error(f"infogain matrix: {error}") from None

    def shapes(self, node: Node) -> list[Shape]:
        class_axis(node, node.params.axis)
        return [(), node.inputs[0].shape][: len(node.outputs)]

    def onnx(self, node: Node, b: OnnxBuilder) -> None:
        p: InfogainParams = node.params
        scores, labels = node.inputs[:2]
        axis = p.axis % len(scores.shape)
        classes = known(scores.shape[axis])
        chances: Operand = scores
        if not p.chances:
            chances = b.op("Softmax", scores, axis=axis)
        if len(node.outputs) == 2:
            b.op("Identity", chances, out=node.outputs[1])
        rows = b.op("Reshape", chances, b.ints(-1, classes))
        matrix = b.const(p.matrix) if p.matrix is not None else node.inputs[2]
        matrix = b.op("Reshape", matrix, b.ints(classes, classes))
        index = b.op("Reshape", label_column(labels, b), b.ints(-1))
        kept = None
        if p.loss.ignore_label is not None:
            ignored = b.op("Equal", index, b.ints(p.loss.ignore_label))
            kept = b.op("Cast", b.op("Not", ignored), to=1)
            index = b.op("Where", ignored, b.ints(0), index)
        logs = b.op("Log", b.op("Max", rows, b.const(SMALLEST)))
        terms = b.op("Mul", b.op("Gather", matrix, index), logs)
        each = b.op("ReduceSum", terms, b.ints(1), keepdims=0)
        if kept is not None:
            each = b.op("Mul", each, kept)
        total = b.op("Neg", b.op("ReduceSum", each, keepdims=0))
        how = self.normalization(node)
        if how is Normalization.NONE:
            count: Operand = b.const(ONE)
        elif how is Normalization.VALID and kept is not None:
            count = b.op("ReduceSum", kept, keepdims=0)
        else:
            count = b.op("Cast", b.op("Size", index), to=1)
        b.op("Div", total, b.op("Max", count, b.const(ONE)), out=node.outputs[0])

    def normalization(self, node: Node) -> Normalization:
        loss: LossParams = node.params.loss
        if loss.normalize is None:
            return loss.normalization
        return Normalization.VALID if loss.normalize else Normalization.BATCH_SIZE

    def torch(self, node: Node) -> nn.Module:
        import torch
        from torch import nn

        p: InfogainParams = node.params
        axis, how = p.axis % len(node.inputs[0].shape), self.normalization(node)
        ignore, both = p.loss.ignore_label, len(node.outputs) == 2

        class InfogainModule(nn.Module):
            matrix: torch.Tensor | None

            def __init__(self) -> None:
                super().__init__()
                stored = None if p.matrix is None else torch.from_numpy(p.matrix.copy())
                self.register_buffer("matrix", stored, persistent=False)

            def forward(
                self,
                scores: torch.Tensor,
                labels: torch.Tensor,
                given: torch.Tensor | None = None,
            ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
                chances = scores if p.chances else scores.softmax(axis)
                rows = chances.reshape(-1, scores.shape[axis])
                matrix = self.matrix if given is None else given
                assert matrix is not None
                index = labels.reshape(-1).long()
                kept = torch.ones_like(index) if ignore is None else (index != ignore).long()
                index = torch.where(kept > 0, index, 0)
                terms = matrix.reshape(rows.shape[1], -1)[index] * floored(rows).log()
                divisor = {
                    Normalization.VALID: kept.sum(),
                    Normalization.NONE: 1,
                }.get(how, len(index))
                count = torch.as_tensor(divisor, device=scores.device).clamp(min=1)
                loss = -(terms.sum(1) * kept).sum() / count
                return (loss, chances) if both else loss

        return InfogainModule()
