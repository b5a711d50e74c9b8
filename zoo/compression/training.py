"""`zoo train --arch A-rate-N`: images in, a network for small files with its card out."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import converters
import prototxt
import runtime
from runtime.codec import dump
from runtime.switch_predictor import Scores, SwitchPredictor
from zoo.compression import definitions
from zoo.compression.learning import RateLearning, RateRecipe
from zoo.paper.coding import add_entropy_model, open_coder
from zoo.paper.recipes.images import Images
from zoo.paper.recipes.modern import fast_bfloat16
from zoo.paper.recipes.run import Files, Run, starting_weights, stated
from zoo.paper.recipes.training import ByModern, Say, run_together
from zoo.training.distributed import ALONE, Group
from zoo.training.run import choose_device
from zoo.training.solver import Event

__all__ = ["RateRun", "export", "train_rate"]


class RateRun(Run):
    """A training with its files."""

    recipe: RateRecipe
    training: RateLearning | None

    def __init__(
        self,
        name: str,
        images: Images,
        recipe: RateRecipe,
        folder: Path,
        device: str = "cpu",
        group: Group = ALONE,
        start: Mapping[str, Sequence[np.ndarray]] | None = None,
    ) -> None:
        """`start` are the weights of a network to go on from."""
        super().__init__(name, images, recipe, Files(folder, name), device, group)
        self.widths, _ = definitions.parsed(name)
        self.title = f"{name}, its own recipe"
        self.start = start

    def begin(self, saved: dict[str, np.ndarray] | None) -> Iterator[Event]:
        """Draw the network."""
        images = self.images
        self.training = RateLearning(
            self.widths, images.pool, images.mean, self.recipe, self.device, self.group
        )
        if saved is None and self.start is not None:
            self.training.network.load_blobs(self.start)
        yield from ()

    def export(self, mean: str) -> dict[str, Any]:
        """NAME.prototxt, NAME.caffemodel and NAME.onnx."""
        training, images = self.training, self.images
        assert training is not None
        none = Scores(np.zeros(0, np.int16), np.zeros((5, 0, 0), np.int8))
        entropy_model = SwitchPredictor([none, none, training.scores()])  # of the first two levels
        export(self.arch, training.weights(), entropy_model, mean, self.files)
        return {
            "name": self.arch,
            "arch": self.arch,
            "recipe": "rate",
            **dataclasses.asdict(self.recipe),
            "encoder": "learned",
            "mean": images.mean.ravel().tolist(),
            "seconds": round(self.seconds, 1),
            "rmse_held_out": None,
            "bits_per_pixel_held_out": None,
            **(measured(self.files.onnx, images.held) if len(images.held) else {}),
            "published": None,
            **stated(images, self.device),
        }


def export(
    name: str,
    weights: Mapping[str, Sequence[np.ndarray]],
    entropy_model: SwitchPredictor,
    mean: str,
    files: Files,
) -> None:
    """Write NAME.prototxt, NAME.caffemodel and NAME.onnx; `mean` is b,g,r."""
    prototxt.atomic_write(files.prototxt, definitions.definition(name))
    types = {layer.name: layer.type for layer in definitions.layers_of(name)}
    prototxt.write_weights(files.caffemodel, weights, {n: types[n] for n in weights}, name)
    how = prototxt.Preprocessing(mean)
    converters.convert(files.prototxt, files.caffemodel, preprocessing=how).save(files.onnx)
    add_entropy_model(files.onnx, entropy_model)


def train_rate(
    name: str,
    images: Images,
    folder: Path,
    *,
    weights: Path | None = None,
    resume: Path | None = None,
    iterations: int | None = None,
    seed: int = 0,
    device: str = "auto",
    ema: float = 0.0,
    mixed: bool | None = None,
    say: Say = lambda _: None,
) -> ByModern | None:
    """Train a network `A-rate-N`, with the processes that torchrun started.

    `folder` (or where the state to `resume` is) gets the state, the log and the exported network.
    `weights` are those of a network of another rate to go on from, by shorter steps. `ema` is the
    recipe's; `mixed` whether layers compute in bfloat16 (None: where that is fast).
    Returns None in every process but the first. Raises ZooError.
    """
    device = choose_device(device)
    _, number = definitions.parsed(name)
    bfloat16 = fast_bfloat16(device) if mixed is None else mixed
    recipe = RateRecipe(seed=seed, bfloat16=bfloat16, ema=ema, number=number)
    start = None
    if weights is not None:
        start = starting_weights(definitions.definition(name), name, weights)
        recipe = recipe.going_on(weights.stem)
    if iterations is not None:
        recipe = dataclasses.replace(recipe, iterations=iterations)
    if resume is not None:
        folder = resume if resume.is_dir() else resume.parent

    def begun(group: Group) -> Run:
        return RateRun(name, images, recipe, folder, device, group, start)

    return run_together(begun, device, say, resume is not None)


def measured(model: Path, images: np.ndarray) -> dict[str, float]:
    """Of real files of N×3×H×W uint8 images, by ONNX Runtime: RMSE, and bits a pixel."""
    coder, error, size = open_coder(model, "cpu"), runtime.RMSE(), 0
    for image in images:
        pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
        height, width = pixels.shape[:2]
        masks, header = coder.switches(pixels), coder.header(height, width)
        size += dump(io.BytesIO(), header, masks, coder.network.entropy_model).size
        error.add(coder.picture(masks, height, width)[None], pixels[None])
    bits = 8 * size / (len(images) * images[0, 0].size)
    return {"rmse_held_out": round(error.value, 6), "bits_per_pixel_held_out": round(bits, 6)}
