"""`zoo train --arch A-rate-N`: images in, a network for small files with its card out."""

from __future__ import annotations

import dataclasses
import datetime
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import converters
import prototxt
import runtime
from runtime.codec import dump
from runtime.switch_predictor import Scores, SwitchPredictor
from zoo import __version__
from zoo.compression import definitions
from zoo.compression.learning import RateLearning, RateRecipe
from zoo.paper.coding import add_entropy_model, open_coder
from zoo.paper.recipes.images import Images
from zoo.paper.recipes.modern import fast_bfloat16
from zoo.paper.recipes.run import Files, Run
from zoo.paper.recipes.training import ByModern, Say
from zoo.training.curves import draw_curve
from zoo.training.distributed import ALONE, Group, join
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
        start = starting_weights(name, weights)
        recipe = dataclasses.replace(recipe, rate=recipe.rate / 3, started_from=weights.stem)
    if iterations is not None:
        recipe = dataclasses.replace(recipe, iterations=iterations)
    if resume is not None:
        folder = resume if resume.is_dir() else resume.parent
    with join(device) as group:
        run = RateRun(name, images, recipe, folder, device, group, start)
        about = finished(run, say if group.first else lambda _: None, resume is not None)
        if not group.first:
            return None
        return ByModern(name, folder, about, run.kept if about is None else None)


def starting_weights(name: str, path: Path) -> dict[str, list[np.ndarray]]:
    """The weights of a network to go on from; ZooError where they are another network's."""
    stored = prototxt.read_weights(path)
    converters.convert(prototxt.parse_net(definitions.definition(name), name), stored)
    return stored


def finished(
    run: RateRun, say: Callable[[Event], None], resume: bool = False
) -> dict[str, Any] | None:
    """Train, export, measure, draw; the card, or None where Ctrl-C came first."""
    if not run.to_its_end(say, resume):
        return None
    if not run.group.first:
        return {}
    training = run.training
    assert training is not None
    mean = ",".join(f"{value:g}" for value in run.images.mean.ravel())
    none = Scores(np.zeros(0, np.int16), np.zeros((5, 0, 0), np.int8))
    entropy_model = SwitchPredictor([none, none, training.scores()])  # of the first two levels
    export(run.arch, training.weights(), entropy_model, mean, run.files)
    held = run.images.held
    found = measured(run.files.onnx, held) if len(held) else {}
    title = f"{run.arch}, its own recipe"
    draw_curve(run.files.log, run.files.curve, title, held_out=found.get("rmse_held_out"))
    about = {
        "name": run.arch,
        "arch": run.arch,
        "recipe": "rate",
        **dataclasses.asdict(run.recipe),
        "encoder": "learned",
        "mean": run.images.mean.ravel().tolist(),
        "seconds": round(run.seconds, 1),
        "data": run.images.source,
        "training_images": run.images.count,
        "pool": len(run.images.pool),
        "held_out": len(held),
        "rmse_held_out": None,
        "bits_per_pixel_held_out": None,
        "published": None,
        **found,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "version": __version__,
    }
    prototxt.atomic_write(run.files.json, json.dumps(about, indent=2) + "\n")
    return about


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
