"""Layers that compute nothing when a network is run: Silence, Dropout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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

    Bayesian SegNet's samples at test too, for the mean of many runs; the converted network passes
    everything then, which stands for that mean, and a note says so.
    """

    Params = DropoutParams
    passes_values = True
    keeps_grid = True

    def each_image(self, node: Node[DropoutParams]) -> bool:
        return True

    def prepare(self, node: Node[DropoutParams]) -> None:
        if not 0 <= node.params.dropout_ratio < 1:
            raise node.error(f"dropout_ratio {node.params.dropout_ratio} is not in [0, 1)")

    def notes(self, node: Node[DropoutParams]) -> list[str]:
        if not node.params.sample_weights_test or node.phase != "TEST":
            return []
        return [
            node.note(
                "drops at random at test too (sample_weights_test, Bayesian SegNet); here it "
                "passes everything"
            )
        ]

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
