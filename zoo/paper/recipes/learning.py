"""What trainings on parts of images share: batches by number, SOAP, a one-cycle rate, bfloat16."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from pytorch_optimizer import SOAP
from torch import nn

from zoo.training.averaging import Average
from zoo.training.distributed import ALONE, Group
from zoo.training.solver import Event, spacing

__all__ = ["Course", "Learning"]


@dataclass(frozen=True)
class Course:
    """What every recipe says; two runs of equal recipes on equal images are equal."""

    iterations: int = 4000
    batch: int = 16
    crop: int = 64
    rate: float = 1e-2
    decay: float = 1e-4
    warmup: float = 0.15
    seed: int = 0
    bfloat16: bool = False
    clip: float = 0.0
    """Longest gradient, as one vector; 0 leaves all as they are."""
    ema: float = 0.0
    """Of the averaged weights, which are those that are measured and exported (see `Average`);
    0 for the last ones.
    """
    started_from: str | None = None
    """What the file of the weights is called that it goes on from."""

    def going_on(self, weights: str) -> Self:
        """The same by shorter steps, for a network that was trained before: the weights' name."""
        return replace(self, rate=self.rate / 3, started_from=weights)


class Learning:
    """One training on parts of images; `learn` says of what, `error` by what.

    `pool` is N×3×S×S uint8 (BGR); `mean` is 3×1×1, 0..255. Batches are drawn by the seed and
    the iteration's number, so that a resumed run sees what it would have seen.
    """

    recipe: Course

    def __init__(
        self,
        pool: np.ndarray,
        mean: np.ndarray,
        recipe: Course,
        device: str = "cpu",
        group: Group = ALONE,
    ) -> None:
        self.pool, self.recipe = pool, recipe
        self.device, self.group = torch.device(device), group
        self.mean = torch.from_numpy(mean.astype(np.float32)).view(1, 3, 1, 1) / 255
        self.iteration = 0
        self.losses: list[torch.Tensor] = []
        """What was measured in the iterations since the last that was told."""
        self.stop = False
        """Set from outside (Ctrl-C): the loop ends after the step it is in."""

    def learn(self, module: nn.Module) -> None:
        """What is trained."""
        self.module = module
        self.group.share(module)
        self.parameters = list(module.parameters())
        self.optimizer = SOAP(self.parameters, self.recipe.rate, weight_decay=self.recipe.decay)
        self.average = Average(self.parameters, self.recipe.ema) if self.recipe.ema else None

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The modules that a state keeps, by name."""
        return {"module": self.module}

    def error(
        self, images: torch.Tensor, places: list[tuple[int, int, int]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What is to become small for these images, which lie at `places`, and what is told."""
        raise NotImplementedError

    def values(self, measured: torch.Tensor) -> dict[str, float]:
        """The mean of what `error` told, by name."""
        raise NotImplementedError

    def tested(self, images: np.ndarray) -> dict[str, float]:
        """What is told of whole images (N×3×H×W uint8), in float32."""
        raise NotImplementedError

    def weights(self) -> dict[str, list[np.ndarray]]:
        """Caffe's blobs by layer, for pixels of 0..255 minus the mean."""
        raise NotImplementedError

    def rate(self) -> float:
        """One cycle: a cosine up to the recipe's rate, then one down to nothing."""
        recipe = self.recipe
        top = max(1, round(recipe.warmup * recipe.iterations))
        if self.iteration < top:
            part, low, high = self.iteration / top, recipe.rate / 25, recipe.rate
        else:
            part = (self.iteration - top) / max(1, recipe.iterations - top)
            low, high = recipe.rate, recipe.rate * 1e-5
        return low + (high - low) * (1 - math.cos(math.pi * part)) / 2

    def places(self) -> list[tuple[int, int, int]]:
        """(image, top, left) of this iteration's parts; offsets are multiples of 8."""
        rng = np.random.default_rng((self.recipe.seed, self.iteration))
        count, free = self.recipe.batch, (self.pool.shape[-1] - self.recipe.crop) // 8 + 1
        images = rng.integers(len(self.pool), size=count)
        offsets = 8 * rng.integers(free, size=(count, 2))
        drawn = [(int(i), int(y), int(x)) for i, (y, x) in zip(images, offsets, strict=True)]
        share = count // self.group.size
        return drawn[self.group.rank * share :][:share]

    def images_at(self, places: list[tuple[int, int, int]]) -> torch.Tensor:
        """The parts at these places, in units of 1 minus the mean."""
        crop = self.recipe.crop
        parts = np.stack([self.pool[i, :, y : y + crop, x : x + crop] for i, y, x in places])
        return self.blob(parts)

    def blob(self, images: np.ndarray) -> torch.Tensor:
        """N×3×H×W uint8 in units of 1 minus the mean."""
        return (torch.from_numpy(images).float() / 255 - self.mean).to(
            self.device, memory_format=torch.channels_last
        )

    def step(self) -> torch.Tensor:
        """One iteration; what `error` told before its update."""
        places = self.places()
        images = self.images_at(places)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        loss, measured = self.error(images, places)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.group.average(self.parameters)
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        self.optimizer.step()
        self.settle()
        self.iteration += 1
        if self.average is not None:
            self.average.update(self.iteration)
        return measured.detach()

    def precision(self) -> torch.autocast:
        """The context in which layers compute."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bfloat16)

    def settle(self) -> None:
        """Have the optimiser's moments lie in memory as their weights do.

        How they lie decides how sums are rounded: so a resumed run is the run that went through.
        """
        for parameter, state in self.optimizer.state.items():
            for name in ("exp_avg", "exp_avg_sq"):
                if state[name].stride() != parameter.stride():
                    state[name] = torch.empty_like(parameter).copy_(state[name])

    def run(self) -> Iterator[Event]:
        """Train to the end, saying some fifty times how it goes."""
        every = spacing(self.recipe.iterations)
        started, since, losses = time.perf_counter(), self.iteration, self.losses
        while self.iteration < self.recipe.iterations and not self.stop:
            losses.append(self.step())
            if self.iteration % every == 0 or self.iteration == self.recipe.iterations:
                mean = torch.stack(losses).mean(0)
                losses.clear()
                elapsed = time.perf_counter() - started
                speed = (self.iteration - since) * self.recipe.batch / elapsed
                left = (self.recipe.iterations - self.iteration) * self.recipe.batch / speed
                values: dict[str, Any] = {
                    **self.values(mean),
                    "lr": self.rate(),
                    "images_per_second": speed,
                    "seconds_left": left,
                }
                yield Event("train", self.iteration, values)
            yield Event("step", self.iteration)
