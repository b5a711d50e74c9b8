"""How a network `A-rate-N` learns: the error and the bits of its switches at once.

Encoder, decoder and entropy model are trained together, by the loss 255²·λ·D + R: D is the mean
squared error, pixels in [0,1]; R the bits a pixel that the entropy model gives the switches; λ that
of the network's rate N (`definitions.RATES`). Decoder and entropy model are told the hard switches;
on the way back each window counts as a softmax (`network.one_of_four`): in the decoder, in what its
own switch costs, and in what it tells of those to come.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from runtime.switch_predictor import Scores
from zoo.compression.definitions import RATES
from zoo.compression.network import RateNetwork
from zoo.paper.recipes.learning import Course, Learning
from zoo.training.averaging import averaged
from zoo.training.distributed import ALONE, Group

__all__ = ["RateLearning", "RateRecipe"]

PIXELS = 64
"""Of a window of the third level's switches."""


@dataclass(frozen=True)
class RateRecipe(Course):
    """What a run is made of; two runs of equal recipes on equal images are equal."""

    iterations: int = 30_000
    rate: float = 3e-3
    warmup: float = 0.05
    clip: float = 0.1
    number: int = 1
    """N: which of `RATES` is taken."""
    ramp: float = 0.1
    """Share of the iterations in which the bits come to count in full."""
    temperature: float = 1.0
    """Of the windows on the way back."""


class RateLearning(Learning):
    """One training."""

    recipe: RateRecipe

    def __init__(
        self,
        widths: tuple[int, int, int],
        pool: np.ndarray,
        mean: np.ndarray,
        recipe: RateRecipe,
        device: str = "cpu",
        group: Group = ALONE,
        kind: type[RateNetwork] = RateNetwork,
    ) -> None:
        super().__init__(pool, mean, recipe, device, group)
        self.network = kind(widths, recipe.seed, recipe.temperature).to(self.device)
        self.learn(self.network)

    def error(
        self, images: torch.Tensor, places: list[tuple[int, int, int]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss; told are D and R."""
        with self.precision():
            coded = self.module(images)
        error = (coded.images.float() - images).square().mean()
        bits = coded.bits.mean() / PIXELS
        counting = min(1.0, self.iteration / max(1.0, self.recipe.ramp * self.recipe.iterations))
        loss = self.weight * error + counting * bits
        return loss, torch.stack([error, bits]).detach()

    @property
    def weight(self) -> float:
        """Of the mean squared error, pixels in [0,1]."""
        return 255**2 * RATES[self.recipe.number - 1]

    def values(self, measured: torch.Tensor) -> dict[str, float]:
        """Loss, root of the mean squared error, bits a pixel."""
        error, bits = (self.group.mean(each) for each in measured)
        loss = self.weight * error + bits
        return {"loss": loss, "rmse": math.sqrt(error), "bits_per_pixel": bits}

    @torch.no_grad()
    def tested(self, images: np.ndarray) -> dict[str, float]:
        """RMSE and bits a pixel of whole images, in float32."""
        error = bits = 0.0
        with averaged(self.average):
            for start in range(0, len(images), 8):
                part = self.blob(images[start : start + 8])
                coded = self.network(part)
                error += float((coded.images - part).square().mean((1, 2, 3)).sum())
                bits += float(coded.bits.mean((1, 2)).sum()) / PIXELS
        return {"rmse": math.sqrt(error / len(images)), "bits_per_pixel": bits / len(images)}

    def weights(self) -> dict[str, list[np.ndarray]]:
        """Caffe's blobs by layer, for pixels of 0..255 minus the mean."""
        with averaged(self.average):
            return self.network.blobs()

    def scores(self) -> Scores:
        """The entropy model in whole numbers."""
        with averaged(self.average):
            return self.network.entropy.quantised()
