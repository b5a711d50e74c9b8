"""Layers that compute nothing when a network is run: Silence, Dropout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prototxt.errors import Argument, Sentence
from prototxt.net import LayerDefinition

from ..errors import ConversionError
from ..graph import Node, Shape
from ..layer_type import LayerType, NoParams
from ..registry import register
from ..reversal import Reverser, Tops, first_top

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


@register("Silence")
class Silence(LayerType[NoParams]):
    """Swallows blobs that nothing reads, so that Caffe does not print them."""

    bottoms = (1, None)
    tops = (0, 0)
    discards = True

    def shapes(self, node: Node[NoParams]) -> list[Shape]:
        return []

    def onnx(self, node: Node[NoParams], b: OnnxBuilder) -> None:
        """Nothing: it has no output."""

    def torch(self, node: Node[NoParams]) -> nn.Module:
        from torch import nn

        return nn.Identity()


@dataclass
class DropoutParams:
    """DropoutParameter, with SegNet's `sample_weights_test` for Bayesian sampling."""

    dropout_ratio: float = 0.5
    scale_train: bool = True
    sample_weights_test: bool = False


@register("Dropout", message="dropout_param")
class Dropout(LayerType[DropoutParams]):
    """Drops at random in training, passes everything otherwise (dropout_layer.cpp).

    Bayesian SegNet's samples at test too, which no converted network does.
    """

    Params = DropoutParams
    passes_values = True
    keeps_grid = True

    def read(
        self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]
    ) -> DropoutParams:
        params = super().read(layer, lenient, warn)
        if params.sample_weights_test:
            error = ConversionError(
                "drops at random at test too (sample_weights_test, Bayesian SegNet)",
                subject=f"layer {layer.name!r} (Dropout)",
                position=layer.position,
                remedy=Sentence(Argument("lenient", True), " passes everything instead"),
            )
            if not lenient:
                raise error
            warn(error.sentence)
        return params

    def prepare(self, node: Node[DropoutParams]) -> None:
        if not 0 <= node.params.dropout_ratio < 1:
            raise node.error(f"dropout_ratio {node.params.dropout_ratio} is not in [0, 1)")

    def shapes(self, node: Node[DropoutParams]) -> list[Shape]:
        return [node.inputs[0].shape]

    def is_identity(self, node: Node[DropoutParams]) -> bool:
        return node.phase == "TEST"

    def onnx(self, node: Node[DropoutParams], b: OnnxBuilder) -> None:
        b.node("Identity", node)

    def torch(self, node: Node[DropoutParams]) -> nn.Module:
        from torch import nn

        return nn.Dropout(node.params.dropout_ratio)

    def reverse(self, node: Node[DropoutParams], tops: Tops, r: Reverser) -> None:
        """The identity, at test."""
        if node.phase != "TEST":
            raise node.error("cannot be reversed in training: it drops at random")
        r.accumulate(node.inputs[0], first_top(tops))
