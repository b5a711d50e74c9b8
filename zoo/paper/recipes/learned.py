"""The `learned` encoder: it learns its switches together with the decoder.

The paper says that no error can be propagated back through switches. Exactly it cannot: where a
maximum lies does not change by degrees. Approximately it can. The decoder is always told the hard
switches; on the way back each window counts as a softmax (`switches.soft_unpool`), so that a place
where the decoder would rather have seen its value becomes likelier to win: the straight-through
estimator of Bengio, Léonard and Courville (2013). Architecture, bits and the exported network stay
the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from zoo.paper.recipes.decoder import Decoder
from zoo.paper.recipes.encoders import Encoder
from zoo.paper.recipes.modern import Modern
from zoo.paper.recipes.switches import Soft, pool_switches

__all__ = ["Learned", "soft_switches"]


Relu = Callable[[torch.Tensor], torch.Tensor]


def soft_switches(
    encoder: Encoder, x: torch.Tensor, temperature: float, relu: Relu = F.relu
) -> list[Soft]:
    """The switches of three levels (the first level first), and a way back to the encoder."""
    found = []
    for level in (1, 2, 3):
        x = relu(encoder.get_submodule(f"conv{level}_1")(x))
        values = encoder.get_submodule(f"conv{level}_2")(x)
        x = relu(values)
        found.append(Soft(pool_switches(x.detach())[1], values, temperature))
        x = F.max_pool2d(x, 2)
    return found


class Tunnel(nn.Module):
    """Encoder and decoder as one module that learns: N×3×H×W to the same."""

    def __init__(self, encoder: Encoder, decoder: Decoder, temperature: float) -> None:
        super().__init__()
        self.encoder, self.decoder, self.temperature = encoder, decoder, temperature
        encoder.requires_grad_(True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        rebuilt: torch.Tensor = self.decoder(
            soft_switches(self.encoder, images, self.temperature, self.decoder.relu)
        )
        return rebuilt


class Learned(Modern):
    """A training of encoder and decoder at once."""

    def learner(self) -> nn.Module:
        """Encoder and decoder: N×3×H×W images to images."""
        return Tunnel(self.encoder, self.decoder, self.recipe.temperature)

    def tell(self, images: torch.Tensor, places: Any) -> tuple[Any, ...]:
        """The whole images: it encodes them itself, where gradients are kept."""
        return (images,)
