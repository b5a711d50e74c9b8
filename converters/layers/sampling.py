"""Layers that draw at random in training and pass everything at test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..graph import Node, P
from ..registry import register
from .activations import Elementwise

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


class Drawn(Elementwise[P]):
    """The identity at test; in training too, which a note says then."""

    passes_values = True
    draws: ClassVar[str] = ""

    def notes(self, node: Node[P]) -> list[str]:
        if node.phase == "TEST":
            return []
        return [node.note(f"{self.draws} in training, here it passes everything")]

    def is_identity(self, node: Node[P]) -> bool:
        return True

    def onnx(self, node: Node[P], b: OnnxBuilder) -> None:
        b.node("Identity", node)

    def torch(self, node: Node[P]) -> nn.Module:
        from torch import nn

        return nn.Identity()


@dataclass
class NoiseParams:
    """NoiseParameter."""

    gaussian_std: float = 1.0
    uniform_range: float = 1.0
    bias: float = 0.0


@register("Noise", message="noise_param")
class Noise(Drawn[NoiseParams]):
    """Adds noise in training (noise_layer.cpp)."""

    fork = "caffe-windows (happynear), custom-caffe (goodluckcwl)"
    Params = NoiseParams
    draws = "adds noise"


@dataclass
class SeLuDropoutParams:
    """SeLuDropoutParameter."""

    dropout_ratio: float = 0.1
    alpha: float = -1.75809934


@register("SeLuDropout", message="selu_dropout_param")
class SeLuDropout(Drawn[SeLuDropoutParams]):
    """Dropout that keeps mean and variance, in training (selu_dropout_layer.cpp)."""

    fork = "Self-normalising networks in Caffe"
    Params = SeLuDropoutParams
    draws = "drops at random"
