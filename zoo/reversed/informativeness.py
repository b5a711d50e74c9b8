"""What tells more: switches, ReLU masks, or both.

Section 3.3 of Mahendran and Vedaldi's *Salient deconvolutional networks*, in this project's terms.

One encoder, three decoders of one architecture, trained alike. A decoder that is not told the
switches puts every value into the first place of its window; one that is told the masks keeps only
what lies where the encoder's ReLU passed something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from zoo.paper.recipes.encoders import Encoder, draw
from zoo.paper.recipes.images import Images
from zoo.paper.recipes.modern import Modern, Recipe, fast_bfloat16, recipe_for
from zoo.progress import OnProgress, counted, unheard
from zoo.training.run import choose_device

__all__ = ["KINDS", "PUBLISHED", "Informativeness", "compare", "measure"]

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
    arch: str, images: Images, recipe: Recipe, device: str = "cpu", thresholds: bool = True
) -> Iterator[tuple[str, float | None]]:
    """Train the three; yields (kind, None) after each step and (kind, RMSE) after each training.

    The RMSE is over the images held out, or over the pool's first 64 where there are none. Without
    `thresholds` the encoder's biases are 0, so that its ReLUs pass about half of all values.
    """
    judges = images.held if len(images.held) else images.pool[:64]
    sample = torch.from_numpy(images.pool[:: max(1, len(images.pool) // 32)]).float() / 255
    sample = sample - torch.from_numpy(images.mean).float().view(1, 3, 1, 1) / 255
    encoder = draw(arch, recipe.seed, sample)
    if not thresholds:
        without_thresholds(encoder)
    for kind in KINDS:
        training = type("BottleneckTraining", (BottleneckTraining,), {"kind": kind})(
            arch, encoder, images.pool, images.mean, recipe, None, device
        )
        for event in training.run():
            if event.kind == "step":
                yield kind, None
        yield kind, training.rmse(judges)


def without_thresholds(encoder: Encoder) -> None:
    """Set its biases to 0."""
    for name, parameter in encoder.named_parameters():
        if name.endswith("bias"):
            parameter.data.zero_()


@dataclass(frozen=True)
class Informativeness:
    """The RMSE of each decoder (in [0,1]), by what it was told."""

    arch: str
    rmse: dict[str, float]
    held_out: int
    """Images that it was measured on; 0 for the pool's own."""

    @property
    def changes(self) -> list[dict[str, Any]]:
        """For each pair of PUBLISHED, by which share the error of the first is above the second's.

        Below 0 where it is lower.
        """
        return [
            {
                "told": first,
                "instead_of": second,
                "rmse_change": round(self.rmse[first] / self.rmse[second] - 1, 4),
                "published_change": published,
            }
            for (first, second), published in PUBLISHED.items()
        ]

    def as_dict(self) -> dict[str, Any]:
        """As `zoo informativeness --json` prints it."""
        return {
            "arch": self.arch,
            "rmse": self.rmse,
            "changes": self.changes,
            "held_out": self.held_out,
        }


def measure(
    arch: str,
    images: Images,
    iterations: int = 1500,
    *,
    seed: int = 0,
    device: str = "auto",
    thresholds: bool = True,
    on_progress: OnProgress = unheard,
    on_trained: Callable[[str, float], object] = lambda *_: None,
) -> Informativeness:
    """Train the three decoders, each `iterations` steps of the `modern` recipe, and compare them.

    `thresholds` as `compare` takes it. `on_trained` is called with what each was told and its RMSE.
    Raises ZooError.
    """
    device = choose_device(device)
    recipe = recipe_for(arch, iterations, seed, fast_bfloat16(device), 1)
    step = counted(on_progress, len(KINDS) * iterations)
    found: dict[str, float] = {}
    for kind, rmse in compare(arch, images, recipe, device, thresholds):
        if rmse is None:
            step()
        else:
            found[kind] = rmse
            on_trained(kind, rmse)
    return Informativeness(arch, found, len(images.held))
