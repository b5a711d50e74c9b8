"""What tells more: switches, ReLU masks, or both (section 3.3 of Mahendran and Vedaldi's *Salient
deconvolutional networks*, in this project's terms).

One encoder, three decoders of one architecture, trained alike. A decoder that is not told the
switches puts every value into the first place of its window; one that is told the masks keeps only
what lies where the encoder's ReLU passed something.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from zoo.paper.recipes.encoders import draw
from zoo.paper.recipes.images import Images
from zoo.paper.recipes.modern import Modern, Recipe

__all__ = ["KINDS", "PUBLISHED", "compare"]

KINDS = ("switches", "masks", "both")
PUBLISHED = {("both", "switches"): -0.15, ("both", "masks"): -0.46, ("switches", "masks"): -0.36}
"""How much lower the L2 error of the first was than that of the second, over their network."""


class BottleneckTraining(Modern):
    """A training in which the decoder is told one of `KINDS`."""

    kind = "both"

    def bottleneck(self, images: torch.Tensor) -> tuple[Any, ...]:
        switches, masks = self.encoder.bottleneck(images)
        if self.kind == "masks":
            switches = [torch.zeros_like(level) for level in switches]
        return (switches, masks) if self.kind != "switches" else (switches,)


def compare(
    arch: str, images: Images, recipe: Recipe, device: str = "cpu"
) -> Iterator[tuple[str, float | None]]:
    """Train the three; yields (kind, None) after each step and (kind, RMSE) after each training.

    The RMSE is over the images held out, or over the pool's first 64 where there are none.
    """
    judges = images.held if len(images.held) else images.pool[:64]
    sample = torch.from_numpy(images.pool[:: max(1, len(images.pool) // 32)]).float() / 255
    sample = sample - torch.from_numpy(images.mean).float().view(1, 3, 1, 1) / 255
    encoder = draw(arch, recipe.seed, sample)
    for kind in KINDS:
        training = type("BottleneckTraining", (BottleneckTraining,), {"kind": kind})(
            arch, encoder, images.pool, images.mean, recipe, None, device
        )
        for event in training.run():
            if event.kind == "step":
                yield kind, None
        yield kind, training.rmse(judges)
