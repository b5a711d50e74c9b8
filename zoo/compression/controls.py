"""What a code of switches owes to what: the same training with one thing changed.

    python -m zoo.compression.controls --data DIR... --hold-out 100 -o FILE.json

`scalars` is the question that nobody has answered in print: is *where* a maximum lies a worse code
than *what* it is? The same encoder, decoder and entropy model, the same two bits, but for each
window the maximum itself is told, in four levels (finite scalar quantisation: Mentzer and others,
2023), at the first place. The others leave out the pattern or what is known around a switch, or
take another way back through the switches than straight through.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import math
import sys
from pathlib import Path
from typing import Any

import torch

import prototxt
from zoo.compression.learning import RateLearning, RateRecipe
from zoo.compression.network import RateNetwork, one_of_four
from zoo.paper.recipes.images import Images, load_images
from zoo.paper.recipes.modern import fast_bfloat16

__all__ = ["KINDS", "compare"]

SPREAD = 0.15
"""Variance by which a scalar's chances fall off from it to its four levels, on the way back."""


class Scalars(RateNetwork):
    """Told is the maximum of each window, in four levels."""

    def code(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The level at the window's first place, and which it is."""
        count, channels, _, height, width = values.shape
        greatest = 1.5 * torch.tanh(values.amax(2))
        number = (greatest + 1.5).round().clamp(0, 3)
        level = greatest + (number - 1.5 - greatest).detach()
        told = torch.nn.functional.pad(level[:, :, None], (0, 0, 0, 0, 0, 3))
        levels = torch.arange(4, device=values.device).view(4, 1, 1)
        chances = torch.softmax(-(greatest[:, :, None] - levels + 1.5).square() / (2 * SPREAD), 2)
        hard = (number[:, :, None] == levels).float()
        coded = hard + chances - chances.detach()
        shape = (count, 4 * channels, height, width)
        return told.reshape(shape), coded.reshape(shape)


class Plain(RateNetwork):
    """Without the pattern."""

    def __init__(self, *how: Any) -> None:
        super().__init__(*how)
        self.pattern.data.zero_()
        self.pattern.requires_grad_(False)


class WithoutContext(RateNetwork):
    """Each channel's switches by their own frequencies."""

    def __init__(self, *how: Any) -> None:
        super().__init__(*how)
        self.entropy.before.zero_()
        self.entropy.earlier.zero_()


class ReinMax(RateNetwork):
    """The way back of Liu and others (2023), of second order."""

    def code(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Forward as ever."""
        switches = one_of_four(values, self.temperature)
        hard = switches.detach().view_as(values)
        first = torch.softmax(values / self.temperature, 2)
        scores = (((hard + first) / 2).clamp_min(1e-9).log() - values / self.temperature).detach()
        second = 2 * torch.softmax(scores + values / self.temperature, 2) - first / 2
        found = (hard + second - second.detach()).view_as(switches)
        return found, found


class Gumbel(RateNetwork):
    """Switches are drawn by their chances while it learns (Jang and others, 2017)."""

    def code(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Drawn where gradients are kept; else the greatest."""
        if torch.is_grad_enabled():
            noise = torch.rand_like(values).clamp(1e-9, 1 - 1e-9)
            values = values - self.temperature * torch.log(-torch.log(noise))
        return super().code(values)


KINDS: dict[str, type[RateNetwork]] = {
    "switches": RateNetwork,
    "scalars": Scalars,
    "without the pattern": Plain,
    "without context": WithoutContext,
    "ReinMax": ReinMax,
    "Gumbel": Gumbel,
}


def compare(
    widths: tuple[int, int, int], images: Images, recipe: RateRecipe, names: list[str]
) -> dict[str, dict[str, float]]:
    """RMSE, bits a pixel and the recipe's loss over what is held out, by what was changed."""
    found = {}
    for name in names:
        torch.manual_seed(recipe.seed)  # Gumbel's draws
        training = RateLearning(widths, images.pool, images.mean, recipe, kind=KINDS[name])
        for event in training.run():
            if event.kind == "train":
                said = f"{name}: {event.iteration} of {recipe.iterations}"
                sys.stderr.write(f"{said}, loss {event.values['loss']:.4f}\n")
        values = training.tested(images.held)
        values["psnr"] = -20 * math.log10(values["rmse"])
        values["loss"] = training.weight * values["rmse"] ** 2 + values["bits_per_pixel"]
        found[name] = {key: round(value, 5) for key, value in values.items()}
    return found


def main() -> None:
    """The command line above; a line on stdout for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--hold-out", type=int, default=100)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--iterations", type=int, default=1500)
    parser.add_argument("--number", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", type=Path, required=True)
    given = parser.parse_args()
    images = load_images(given.data, given.hold_out, seed=given.seed, own_scale=True)
    recipe = RateRecipe(
        iterations=given.iterations,
        number=given.number,
        seed=given.seed,
        bfloat16=fast_bfloat16("cpu"),
    )
    found = compare((16, 32, 32), images, recipe, given.only)
    about = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "data": images.source,
        "held_out": len(images.held),
        "widths": [16, 32, 32],
        "recipe": dataclasses.asdict(recipe),
        "found": found,
    }
    prototxt.atomic_write(given.o, json.dumps(about, indent=2) + "\n")
    for name, values in found.items():
        sys.stdout.write(f"{name}: {values}\n")


if __name__ == "__main__":
    main()
