"""Losses and Accuracy: pruned from an inference graph unless they are asked for."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from prototxt.net import LayerDefinition
from prototxt.schema import UInt, decode

from ..graph import Node, Shape
from ..registry import LayerType, register
from ..shapes import known, text

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..onnx_backend import OnnxBuilder, Operand


SMALLEST_LOG = np.float32(np.log(np.finfo(np.float32).tiny))
"""Caffe's losses take no logarithm of less than FLT_MIN."""


class Normalization(enum.Enum):
    FULL = 0
    VALID = 1
    BATCH_SIZE = 2
    NONE = 3


@dataclass
class LossParams:
    """LossParameter."""

    ignore_label: int | None = None
    normalization: Normalization = Normalization.VALID
    normalize: bool | None = None


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


class Loss(LayerType):
    """Compares a prediction with a target; gives one number."""

    bottoms = (2, 2)
    is_loss = True

    def shapes(self, node: Node) -> list[Shape]:
        return [()] * len(node.outputs)


def class_axis(node: Node, axis: int) -> int:
    """The axis of the scores' classes, whose number must be known."""
    shape = node.inputs[0].shape
    if not -len(shape) <= axis < len(shape):
        raise node.error(f"axis {axis} is outside its {text(shape)} scores")
    known(shape[axis])
    return axis % len(shape)


def same_shape(node: Node) -> None:
    a, b = (v.shape for v in node.inputs[:2])
    clash = len(a) != len(b) or any(
        isinstance(x, int) and isinstance(y, int) and x != y for x, y in zip(a, b, strict=True)
    )
    if clash:
        raise node.error(f"its bottoms differ: {text(a)} and {text(b)}")


@register("EuclideanLoss")
class EuclideanLoss(Loss):
    """Half the sum of squared differences per image (euclidean_loss_layer.cpp)."""

    def prepare(self, node: Node) -> None:
        same_shape(node)

    def onnx(self, node: Node, b: OnnxBuilder) -> None:
        difference = b.op("Sub", *node.inputs)
        total = b.op("ReduceSum", b.op("Mul", difference, difference), keepdims=0)
        count = b.op("Cast", b.op("Squeeze", b.dim(node.inputs[0], 0), b.ints(0)), to=1)
        b.op("Div", total, b.op("Mul", count, b.const(np.float32(2))), out=node.outputs[0])

    def torch(self, node: Node) -> nn.Module:
        from torch import nn

        class EuclideanLossModule(nn.Module):
            def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
                return (prediction - target).pow(2).sum() / (2 * prediction.shape[0])

        return EuclideanLossModule()


@dataclass
class ContrastiveLossParams:
    """ContrastiveLossParameter."""

    margin: float = 1.0
    legacy_version: bool = False


@register("ContrastiveLoss", message="contrastive_loss_param")
class ContrastiveLoss(Loss):
    """Pulls similar pairs together, others `margin` apart (contrastive_loss_layer.cpp).

    d² where the label is not 0, else max(margin - d, 0)²; legacy: max(margin - d², 0). Half the
    mean over the batch.
    """

    Params = ContrastiveLossParams
    bottoms = (3, 3)

    def prepare(self, node: Node) -> None:
        same_shape(node)
        if any(known(dim) != 1 for dim in node.inputs[0].shape[2:]):
            raise node.error(f"its bottoms are {text(node.inputs[0].shape)}, not vectors")

    def onnx(self, node: Node, b: OnnxBuilder) -> None:
        first, second, labels = node.inputs
        p: ContrastiveLossParams = node.params
        rows = b.op("Reshape", b.op("Sub", first, second), b.ints(0, -1))
        squared = b.op("ReduceSum", b.op("Mul", rows, rows), b.ints(1), keepdims=0)
        margin = b.const(np.float32(p.margin))
        if p.legacy_version:
            apart = b.op("Relu", b.op("Sub", margin, squared))
        else:
            apart = b.op("Relu", b.op("Sub", margin, b.op("Sqrt", squared)))
            apart = b.op("Mul", apart, apart)
        flat = b.op("Reshape", labels, b.ints(-1))
        similar = b.op("Not", b.op("Equal", b.op("Cast", flat, to=7), b.ints(0)))
        total = b.op("ReduceSum", b.op("Where", similar, squared, apart), keepdims=0)
        count = b.op("Cast", b.op("Squeeze", b.dim(first, 0), b.ints(0)), to=1)
        b.op("Div", total, b.op("Mul", count, b.const(np.float32(2))), out=node.outputs[0])

    def torch(self, node: Node) -> nn.Module:
        import torch
        from torch import nn

        p: ContrastiveLossParams = node.params

        class ContrastiveLossModule(nn.Module):
            def forward(
                self, first: torch.Tensor, second: torch.Tensor, labels: torch.Tensor
            ) -> torch.Tensor:
                rows = (first - second).flatten(1)
                squared = rows.square().sum(1)
                if p.legacy_version:
                    apart = (p.margin - squared).relu()
                else:
                    # Caffe's gradient divides by d + 1e-4; so does that of this root's second form.
                    root = squared.detach().sqrt()
                    slope = (squared - squared.detach()) / (2 * (root + 1e-4))
                    apart = (p.margin - (root + slope)).relu().square()
                similar = labels.reshape(-1).long() != 0
                return torch.where(similar, squared, apart).sum() / (2 * rows.shape[0])

        return ContrastiveLossModule()


@register("SoftmaxWithLoss", message="softmax_param")
class SoftmaxWithLoss(Loss):
    """Cross entropy of the softmax over `axis` (softmax_loss_layer.cpp); 2nd top: the softmax."""

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

    def shapes(self, node: Node) -> list[Shape]:
        class_axis(node, node.params.axis)
        return [(), node.inputs[0].shape][: len(node.outputs)]

    def normalization(self, node: Node) -> Normalization:
        loss: LossParams = node.params.loss
        if loss.normalize is None:
            return loss.normalization
        return Normalization.VALID if loss.normalize else Normalization.BATCH_SIZE

    def onnx(self, node: Node, b: OnnxBuilder) -> None:
        scores, labels = node.inputs
        rank, axis = len(scores.shape), node.params.axis % len(scores.shape)
        if len(node.outputs) == 2:
            b.op("Softmax", scores, axis=axis, out=node.outputs[1])
        perm = [*(i for i in range(rank) if i != axis), axis]
        logs: Operand = b.op("LogSoftmax", scores, axis=axis)
        logs = b.op("Transpose", logs, perm=perm) if perm != list(range(rank)) else logs
        rows = b.op("Reshape", logs, b.ints(-1, known(scores.shape[axis])))
        index = b.op("Cast", b.op("Reshape", labels, b.ints(-1, 1)), to=7)
        valid = None
        if node.params.loss.ignore_label is not None:
            ignored = b.op("Equal", index, b.ints(node.params.loss.ignore_label))
            index = b.op("Where", ignored, b.ints(0), index)
            valid = b.op("Cast", b.op("Not", ignored), to=1)
        picked = b.op("GatherElements", rows, index, axis=1)
        picked = b.op("Max", picked, b.const(SMALLEST_LOG))
        if valid is not None:
            picked = b.op("Mul", picked, valid)
        total = b.op("Neg", b.op("ReduceSum", picked, keepdims=0))
        how = self.normalization(node)
        if how is Normalization.VALID and valid is not None:
            count = b.op("ReduceSum", valid, keepdims=0)
        elif how is Normalization.NONE:
            count = b.const(np.float32(1))
        else:
            dims = b.ints(1)
            for i in range(axis if how is Normalization.BATCH_SIZE else rank):
                if i != axis:
                    dims = b.arithmetic("Mul", dims, b.dim(scores, i))
            count = b.op("Cast", b.op("Squeeze", dims, b.ints(0)), to=1)
        count = b.op("Max", count, b.const(np.float32(1)))
        b.op("Div", total, count, out=node.outputs[0])

    def torch(self, node: Node) -> nn.Module:
        import torch
        from torch import nn
        from torch.nn import functional as F

        axis = node.params.axis % len(node.inputs[0].shape)
        ignore = node.params.loss.ignore_label
        how, both = self.normalization(node), len(node.outputs) == 2

        class SoftmaxLossModule(nn.Module):
            def forward(
                self, scores: torch.Tensor, labels: torch.Tensor
            ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
                spatial = scores.shape[:axis] + scores.shape[axis + 1 :]
                rows = scores.movedim(axis, -1).reshape(-1, scores.shape[axis])
                target = labels.reshape(spatial).reshape(-1).long()
                valid = torch.ones_like(target) if ignore is None else (target != ignore).long()
                safe = torch.where(valid > 0, target, 0)
                picked = F.log_softmax(rows, 1).gather(1, safe[:, None])[:, 0]
                # The floor is one of the value; Caffe's gradient is there as anywhere.
                floor = (picked.clamp(min=float(SMALLEST_LOG)) - picked).detach()
                total = -((picked + floor) * valid).sum()
                divisor = {
                    Normalization.FULL: target.numel(),
                    Normalization.VALID: valid.sum(),
                    Normalization.BATCH_SIZE: int(np.prod(scores.shape[:axis])),
                    Normalization.NONE: 1,
                }[how]
                loss = total / torch.as_tensor(divisor, device=scores.device).clamp(min=1)
                return (loss, scores.softmax(axis)) if both else loss

        return SoftmaxLossModule()


@dataclass
class AccuracyParams:
    """AccuracyParameter."""

    top_k: UInt = 1
    axis: int = 1
    ignore_label: int | None = None


@register("Accuracy", message="accuracy_param")
class Accuracy(Loss):
    """The share of labels among the `top_k` greatest scores (accuracy_layer.cpp).

    As Caffe sorts pairs of score and index, of equal scores the larger index is the greater.
    """

    Params = AccuracyParams
    tops = (1, 2)

    def shapes(self, node: Node) -> list[Shape]:
        return [(), (node.inputs[0].shape[self.axis(node)],)][: len(node.outputs)]

    def axis(self, node: Node) -> int:
        return class_axis(node, node.params.axis)

    def onnx(self, node: Node, b: OnnxBuilder) -> None:
        """A label counts when fewer than top_k classes beat its score, or tie behind it."""
        scores, labels = node.inputs
        axis, p = self.axis(node), node.params
        classes = known(scores.shape[axis])
        rank = len(scores.shape)
        last = [*(i for i in range(rank) if i != axis), axis]
        rows = b.op("Transpose", scores, perm=last) if last != list(range(rank)) else scores
        rows = b.op("Reshape", rows, b.ints(-1, classes))
        truth = b.op("Reshape", labels, b.ints(-1, 1))
        index = b.op("Cast", truth, to=7)
        ignored = None
        if p.ignore_label is not None:
            ignored = b.op("Equal", index, b.ints(p.ignore_label))
            index = b.op("Where", ignored, b.ints(0), index)
        own = b.op("GatherElements", rows, index, axis=1)
        behind = b.op("Greater", b.const(np.arange(classes)[None]), index)
        tie = b.op("And", b.op("Equal", rows, own), behind)
        beaten = b.op("Cast", b.op("Or", b.op("Greater", rows, own), tie), to=7)
        ahead = b.op("ReduceSum", beaten, b.ints(1), keepdims=1)
        hit = b.op("Less", ahead, b.ints(p.top_k))
        if len(node.outputs) == 2:
            self.per_class(node, b, index, hit, ignored)
        if ignored is None:
            b.op("ReduceMean", b.op("Cast", hit, to=1), keepdims=0, out=node.outputs[0])
            return
        counted = b.op("Not", ignored)
        hits = b.op("Cast", b.op("And", hit, counted), to=1)
        counts = b.op("ReduceSum", b.op("Cast", counted, to=1), keepdims=0)
        total = b.op("ReduceSum", hits, keepdims=0)
        b.op("Div", total, counts, out=node.outputs[0])

    def per_class(
        self, node: Node, b: OnnxBuilder, index: Operand, hit: Operand, ignored: Operand | None
    ) -> None:
        """The second top: the same share among each class's own labels, 0 for a class of none."""
        classes = known(node.inputs[0].shape[self.axis(node)])
        own = b.op("Equal", index, b.const(np.arange(classes)[None]))
        if ignored is not None:
            own = b.op("And", own, b.op("Not", ignored))
        hits = b.op("ReduceSum", b.op("Cast", b.op("And", own, hit), to=1), b.ints(0), keepdims=0)
        counts = b.op("ReduceSum", b.op("Cast", own, to=1), b.ints(0), keepdims=0)
        counts = b.op("Max", counts, b.const(np.float32(1)))
        b.op("Div", hits, counts, out=node.outputs[1])

    def torch(self, node: Node) -> nn.Module:
        import torch
        from torch import nn

        axis, p, both = self.axis(node), node.params, len(node.outputs) == 2

        class AccuracyModule(nn.Module):
            def forward(
                self, scores: torch.Tensor, labels: torch.Tensor
            ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
                rows = scores.movedim(axis, -1).reshape(-1, scores.shape[axis])
                index = labels.reshape(-1, 1).long()
                counted = torch.ones_like(index, dtype=torch.bool)
                if p.ignore_label is not None:
                    counted = index != p.ignore_label
                index = torch.where(counted, index, 0)
                own = rows.gather(1, index)
                behind = torch.arange(rows.shape[1], device=rows.device) > index
                ahead = ((rows > own) | ((rows == own) & behind)).sum(1, keepdim=True)
                hit = (ahead < p.top_k) & counted
                accuracy = hit.sum().float() / counted.sum().float()
                if not both:
                    return accuracy
                own = (torch.arange(rows.shape[1], device=rows.device) == index) & counted
                return accuracy, (own & hit).sum(0) / own.sum(0).clamp(min=1)

        return AccuracyModule()
