"""Losses of distances: contrastive pairs, and the smooth L1 of box regression."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prototxt.net import LayerDefinition

from ..errors import layer_error
from ..graph import Node
from ..legal import Integers, Legal
from ..registry import register
from ..shapes import is_fixed, product, text
from .losses import Loss, like_first, same_count, size_of

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


@dataclass
class ContrastiveLossParams:
    """ContrastiveLossParameter."""

    margin: float = 1.0
    legacy_version: bool = False


@register("ContrastiveLoss", message="contrastive_loss_param")
class ContrastiveLoss(Loss[ContrastiveLossParams]):
    """Draws similar pairs together, others `margin` apart (contrastive_loss_layer.cpp).

    Bottoms: N×C, N×C, and N times whether a pair is similar. The legacy version takes the squared
    distance from the margin. The gradient divides by the distance + 1e-4, as Caffe's does.
    """

    Params = ContrastiveLossParams
    bottoms = (3, 3)

    def prepare(self, node: Node[ContrastiveLossParams]) -> None:
        same_count(node)
        features, similar = node.inputs[0].shape, node.inputs[2].shape
        if len(features) < 2 or product(features[2:]) != 1:
            raise node.error(f"its bottoms are {text(features)}, not vectors")
        many = product(similar[1:]) != 1 or (
            is_fixed(features[0], *similar[:1]) and features[:1] != similar[:1]
        )
        if not similar or many:
            raise node.error(f"{text(similar)} labels for pairs of {text(features)}")

    def legal(self, node: Node[ContrastiveLossParams]) -> dict[int, Legal]:
        return {2: Integers(0, 1)}

    def onnx(self, node: Node[ContrastiveLossParams], b: OnnxBuilder) -> None:
        p, first = node.params, node.inputs[0]
        difference = b.op("Flatten", b.op("Sub", first, like_first(node, b)), axis=1)
        squared = b.op("ReduceSum", b.op("Mul", difference, difference), b.ints(1), keepdims=0)
        margin = b.const(np.float32(p.margin))
        if p.legacy_version:
            apart = b.op("Relu", b.op("Sub", margin, squared))
        else:
            gap = b.op("Relu", b.op("Sub", margin, b.op("Sqrt", squared)))
            apart = b.op("Mul", gap, gap)
        similar = b.op("Cast", b.op("Reshape", node.inputs[2], b.ints(-1)), to=7)
        similar = b.op("Not", b.op("Equal", similar, b.ints(0)))
        total = b.op("ReduceSum", b.op("Where", similar, squared, apart), keepdims=0)
        count = b.op("Mul", size_of(b, first, 0), b.const(np.float32(2)))
        b.op("Div", total, count, out=node.outputs[0])

    def torch(self, node: Node[ContrastiveLossParams]) -> nn.Module:
        from .torch import losses_distance

        return losses_distance.ContrastiveLoss(node.params.margin, node.params.legacy_version)


@dataclass
class SmoothL1LossParams:
    """SmoothL1LossParameter."""

    sigma: float = 1.0


@register("SmoothL1Loss", message="smooth_l1_loss_param")
class SmoothL1Loss(Loss[SmoothL1LossParams]):
    """Quadratic near 0, linear from 1/sigma² on, per image (smooth_L1_loss_layer.cu).

    The third bottom weighs the differences, the fourth (Faster R-CNN's) their losses. Fast R-CNN
    has but the third, and its gradient leaves the weights out: they are 0 or 1 there.
    """

    Params = SmoothL1LossParams
    fork = "Fast R-CNN (rbgirshick/caffe-fast-rcnn)"
    bottoms = (2, 4)

    def read(
        self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]
    ) -> SmoothL1LossParams:
        if layer.param("loss_param") is not None:
            raise layer_error(
                layer,
                "loss_param is not supported",
                "it is R-FCN's; without it the loss is divided by the number of images",
            )
        return super().read(layer, lenient, warn)

    def prepare(self, node: Node[SmoothL1LossParams]) -> None:
        same_count(node, *range(1, len(node.inputs)))
        if node.params.sigma <= 0:
            raise node.error(f"sigma is {node.params.sigma}, must be above 0")

    def onnx(self, node: Node[SmoothL1LossParams], b: OnnxBuilder) -> None:
        squared = node.params.sigma**2
        d = b.op("Sub", node.inputs[0], like_first(node, b))
        if len(node.inputs) > 2:
            d = b.op("Mul", d, like_first(node, b, 2))
        size = b.op("Abs", d)
        near = b.op("Mul", b.op("Mul", d, d), b.const(np.float32(0.5 * squared)))
        far = b.op("Sub", size, b.const(np.float32(0.5 / squared)))
        is_near = b.op("Less", size, b.const(np.float32(1 / squared)))
        terms = b.op("Where", is_near, near, far)
        if len(node.inputs) > 3:
            terms = b.op("Mul", terms, like_first(node, b, 3))
        total = b.op("ReduceSum", terms, keepdims=0)
        b.op("Div", total, size_of(b, node.inputs[0], 0), out=node.outputs[0])

    def torch(self, node: Node[SmoothL1LossParams]) -> nn.Module:
        from .torch import losses_distance

        return losses_distance.SmoothL1Loss(node.params.sigma)
