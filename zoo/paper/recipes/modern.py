"""The `modern` recipe: the same architecture, the same code budget, the least error soonest.

The encoder is the best of several random draws (see `Trials`); the decoder begins calibrated and
learns by SOAP (Vyas and others, 2024: Adam in the eigenbases of Shampoo) with a one-cycle rate on
64-pixel parts of the images, in bfloat16 where that is fast. The encoder never changes, so its
switches are computed once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from zoo.paper import architectures
from zoo.paper.recipes.decoder import Decoder
from zoo.paper.recipes.encoders import LAYERS, Encoder, draw
from zoo.paper.recipes.learning import Course, Learning
from zoo.paper.recipes.switches import SwitchStore
from zoo.training.averaging import averaged
from zoo.training.distributed import ALONE, Group
from zoo.training.solver import Event

__all__ = [
    "Modern",
    "Recipe",
    "Trials",
    "fast_bfloat16",
    "keep_switches",
    "recipe_for",
]

ALIVE = 1e-3
"""Weight of the channels' silence beside the error. Silent ones have no other gradient, and the
optimiser takes each gradient by its own measure, so that little is enough.
"""


@dataclass(frozen=True)
class Recipe(Course):
    """What a run is made of; two runs of equal recipes on equal images are equal."""

    candidates: int = 8
    """How many encoders are drawn."""
    trial: int = 60
    """Iterations of the first trial of each; the better half goes on to one twice as long."""
    encoder: str = "random"
    """`random` is never trained; `learned` is, with the decoder (see `learned`)."""
    temperature: float = 0.5
    """Of a learned encoder's windows on the way back."""


def recipe_for(
    arch: str,
    iterations: int | None,
    seed: int,
    bfloat16: bool,
    candidates: int | None = None,
    started_from: str | None = None,
    encoder: str = "random",
    ema: float = 0.0,
) -> Recipe:
    """The recipe for an arch: wide networks vary less from draw to draw, and cost more.

    A learned encoder need not be drawn well (of four draws of 8_8_8 the best in brief trials ended
    no better than the first); it needs short steps and more of them. One that was trained
    before, as `started_from` says, takes a third of the rate.
    """
    width = sum(architectures.channels(arch))
    narrow = width < 60
    if candidates is None:
        candidates = 1 if encoder == "learned" else 8 if narrow else 4
    recipe = Recipe(seed=seed, bfloat16=bfloat16, candidates=candidates, encoder=encoder, ema=ema)
    if narrow:
        recipe = replace(recipe, trial=500 if encoder == "learned" else 250)
    if encoder == "learned":
        # Encoder and decoder chase each other: the wider they are, the shorter the steps must be.
        rate, many = min(recipe.rate, 0.48 / width), 30_000 if narrow else 10_000
        recipe = replace(recipe, iterations=many, clip=0.03, rate=rate)
    elif width > 300:
        recipe = replace(recipe, iterations=12_000)
    if started_from is not None:
        recipe = replace(recipe.going_on(started_from), candidates=0)
    if iterations is not None:
        recipe = replace(recipe, iterations=iterations, trial=min(recipe.trial, iterations))
    return recipe


class Modern(Learning):
    """One training of a decoder on the switches of an encoder."""

    recipe: Recipe

    def __init__(
        self,
        arch: str,
        encoder: Encoder,
        pool: np.ndarray,
        mean: np.ndarray,
        recipe: Recipe,
        store: SwitchStore | None = None,
        device: str = "cpu",
        group: Group = ALONE,
    ) -> None:
        super().__init__(pool, mean, recipe, device, group)
        self.arch, self.encoder, self.store = arch, encoder, store
        self.encoder.to(self.device)
        self.decoder = Decoder(arch, recipe.seed).to(self.device)
        first = self.blob(pool[:: max(1, len(pool) // 16)][:16])
        self.decoder.calibrate(*self.bottleneck(first))
        self.learn(self.learner())

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The modules that a state keeps, by name."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    def learner(self) -> nn.Module:
        """What is trained; it is called with what `tell` gives."""
        return self.decoder

    def bottleneck(self, images: torch.Tensor) -> tuple[Any, ...]:
        """What the decoder is told of these images: here their switches."""
        return (self.encoder(images),)

    def tell(self, images: torch.Tensor, places: list[tuple[int, int, int]]) -> tuple[Any, ...]:
        """What the learner is told of these images, which lie at `places`."""
        if self.store is None:
            with torch.no_grad():
                return self.bottleneck(images)
        return (self.store.get(places, self.recipe.crop, self.device),)

    def error(
        self, images: torch.Tensor, places: list[tuple[int, int, int]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean squared error, pixels in [0,1], is told; silent channels count as well."""
        told = self.tell(images, places)
        with self.precision():
            self.decoder.relu.watch()
            rebuilt = self.module(*told)
        loss: torch.Tensor = (rebuilt.float() - images).square().mean()
        return loss + ALIVE * self.decoder.relu.silence().to(loss.device), loss

    def values(self, measured: torch.Tensor) -> dict[str, float]:
        """The mean squared error and its root."""
        loss = self.group.mean(measured)
        return {"loss": loss, "rmse": math.sqrt(loss)}

    def tested(self, images: np.ndarray) -> dict[str, float]:
        """The RMSE."""
        return {"rmse": self.rmse(images)}

    @torch.no_grad()
    def rmse(self, images: np.ndarray) -> float:
        """RMSE over whole N×3×H×W uint8 images, in float32."""
        total = 0.0
        with averaged(self.average):
            for start in range(0, len(images), 16):
                part = self.blob(images[start : start + 16])
                rebuilt = self.decoder(*self.bottleneck(part))
                total += float((rebuilt - part).square().mean((1, 2, 3)).sum())
        return math.sqrt(total / len(images))

    def weights(self) -> dict[str, list[np.ndarray]]:
        """Caffe's blobs by layer, for pixels of 0..255 minus the mean."""
        with averaged(self.average):
            return self.blobs()

    def blobs(self) -> dict[str, list[np.ndarray]]:
        """Of the weights as they are now."""
        stored = {}
        for name in LAYERS:
            layer = self.encoder.get_submodule(name)
            assert isinstance(layer, nn.Conv2d) and layer.bias is not None
            weight = layer.weight.detach().cpu().contiguous().numpy().copy()
            factor = np.float32(255 if name == LAYERS[0] else 1)
            stored[name] = [weight / factor, layer.bias.detach().cpu().numpy().copy()]
        return stored | self.decoder.blobs(255)


def keep_switches(
    encoder: Encoder, pool: np.ndarray, mean: np.ndarray, arch: str, device: str = "cpu"
) -> Iterator[SwitchStore]:
    """The switches of a whole pool, one yield a batch of 32 images (always the same store)."""
    store = SwitchStore(len(pool), pool.shape[-1], architectures.channels(arch))
    encoder.to(device)
    offset = torch.from_numpy(mean.astype(np.float32)).view(1, 3, 1, 1) / 255
    for start in range(0, len(pool), 32):
        part = torch.from_numpy(pool[start : start + 32]).float() / 255 - offset
        with torch.no_grad():
            store.put(start, encoder(part.to(device, memory_format=torch.channels_last)))
        yield store


class Trials:
    """The choice of an encoder: the best of several in brief trainings.

    `candidates` are drawn and trained for `trial` iterations each, the better half for twice as
    many, and so on. What they are compared on is a sixteenth of the pool that the trials do not
    see.
    """

    def __init__(
        self,
        arch: str,
        pool: np.ndarray,
        mean: np.ndarray,
        recipe: Recipe,
        device: str = "cpu",
        kind: type[Modern] = Modern,
    ) -> None:
        self.arch, self.pool, self.mean, self.kind = arch, pool, mean, kind
        self.recipe, self.device = recipe, device
        self.found: dict[tuple[int, int], float] = {}
        """RMSE by the iterations of a trial and its seed; those that are there are not run."""
        self.seed = recipe.seed * 1000
        """Of the encoder that is chosen, once `run` has come to its end."""
        self.stop = False
        """Set from outside: `run` ends after the step it is in."""

    def steps(self) -> int:
        """How many iterations all trials take together."""
        total, count, iterations = 0, self.recipe.candidates, self.recipe.trial
        while count > 1:
            total += count * iterations
            count, iterations = count // 2, 2 * iterations
        return total

    def draw(self, seed: int) -> Encoder:
        """The encoder of a seed."""
        sample = torch.from_numpy(self.pool[:: max(1, len(self.pool) // 32)]).float() / 255
        mean = torch.from_numpy(self.mean.astype(np.float32)).view(1, 3, 1, 1) / 255
        return draw(self.arch, seed, sample - mean)

    def run(self) -> Iterator[Event]:
        """Run them all; events ``trials`` first, ``trying`` after each step, ``trial``, ``chosen``.

        Values: how many `candidates` for how many `iterations`; the steps `done` of a `total`; the
        `seed`, `iterations` and `rmse` of each trial; the `seed` of the choice.
        """
        recipe = self.recipe
        seeds = [recipe.seed * 1000 + number for number in range(recipe.candidates)]
        iterations, done, total = recipe.trial, 0, self.steps()
        if not total:
            return
        yield Event("trials", 0, {"candidates": recipe.candidates, "iterations": iterations})
        judges, rest = self.pool[::16], np.delete(self.pool, np.s_[::16], 0)
        while len(seeds) > 1:
            for seed in seeds:
                if (iterations, seed) not in self.found:
                    training = self.kind(
                        self.arch, self.draw(seed), rest, self.mean,
                        replace(recipe, iterations=iterations), None, self.device,
                    )  # fmt: skip
                    for event in training.run():
                        if event.kind == "step":
                            done_now = done + event.iteration
                            yield Event("trying", 0, {"done": done_now, "total": total})
                        if self.stop:
                            return
                    self.found[iterations, seed] = training.rmse(judges[:64])
                done += iterations
                rmse = self.found[iterations, seed]
                yield Event("trial", 0, {"seed": seed, "iterations": iterations, "rmse": rmse})
                if self.stop:
                    return
            ranked = sorted((self.found[iterations, seed], seed) for seed in seeds)
            seeds = [seed for _, seed in ranked[: len(ranked) // 2]]
            iterations *= 2
        self.seed = seeds[0]
        yield Event("chosen", 0, {"seed": self.seed})


def fast_bfloat16(device: str) -> bool:
    """Whether bfloat16 is worth it: on GPUs, and on CPUs that multiply it (AMX, AVX-512 BF16)."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
