"""`zoo train --arch`: a network of the paper from images to an exported model with its card."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import converters
import prototxt
import runtime
from prototxt.files import is_there
from zoo.paper import architectures
from zoo.paper.coding import add_tables
from zoo.paper.recipes.encoders import Encoder
from zoo.paper.recipes.images import Images
from zoo.paper.recipes.learned import Learned
from zoo.paper.recipes.modern import Modern, Recipe, Trials, keep_switches
from zoo.paper.recipes.paper import BATCH
from zoo.paper.recipes.run import Files, Run, part, stated
from zoo.paper.recipes.switches import SwitchStore
from zoo.training.distributed import ALONE, Group
from zoo.training.solver import Event, Solver

__all__ = ["TunnelRun", "export", "score"]

COUNTED = 400
"""About on how many images it is counted how switches follow one another."""


class TunnelRun(Run):
    """A `modern` training with its files."""

    recipe: Recipe
    training: Modern | None

    def __init__(
        self,
        arch: str,
        images: Images,
        recipe: Recipe,
        folder: Path,
        device: str = "cpu",
        group: Group = ALONE,
        start: Mapping[str, Sequence[np.ndarray]] | None = None,
        share: float = 0.25,
    ) -> None:
        """`start` are the weights of a network to go on from; its encoder stays.

        Switches that stay are kept, where they fit into `share` of the free memory.
        """
        architectures.channels(arch)
        files = Files(folder, architectures.model_name(arch, recipe.encoder))
        super().__init__(arch, images, recipe, files, device, group)
        self.title = f"{files.name}, modern recipe"
        self.start, self.share = start, share
        self.encoder_seed: int | None = None
        self.kind = Learned if recipe.encoder == "learned" else Modern
        self.trials = Trials(arch, images.pool, images.mean, recipe, device, self.kind)

    def begin(self, saved: dict[str, np.ndarray] | None) -> Iterator[Event]:
        """Choose the encoder and keep its switches."""
        if saved is not None:
            encoder = Encoder(self.arch)  # which `restore` fills
            encoder.load_state_dict(part(saved, "encoder"))
        elif self.start is not None:
            encoder = Encoder(self.arch)
            encoder.load_blobs(self.start, 255)
        else:
            for event in self.trials.run():
                self.trials.stop = self.stop
                yield event
            self.encoder_seed = None if self.stop else self.trials.seed
            encoder = self.trials.draw(self.trials.seed)
        store: SwitchStore | None = None
        for number, filled in enumerate(() if self.stop else self.switches(encoder), 1):
            store = filled
            yield Event("encode", 0, {"done": number, "total": -(-len(self.images.pool) // 32)})
            if self.stop:
                break
        if self.stop:
            return
        self.training = self.kind(
            self.arch, encoder, self.images.pool, self.images.mean, self.recipe, store,
            self.device, self.group,
        )  # fmt: skip
        if saved is None and self.start is not None:
            self.training.decoder.load_blobs(self.start, 255)

    def export(self, mean: str) -> dict[str, Any]:
        """ARCH.prototxt, ARCH.caffemodel and ARCH.onnx."""
        training, held = self.training, self.images.held
        assert training is not None
        export(self.arch, training.weights(), mean, self.files, photographs(self.images))
        rmse = score(self.files.onnx, held, self.images.mean) if len(held) else None
        recipe = {
            "recipe": "modern",
            **dataclasses.asdict(self.recipe),
            "encoder_seed": self.encoder_seed,
            "mean": self.images.mean.ravel().tolist(),
            "seconds": round(self.seconds, 1),
        }
        return card(self.arch, self.images, rmse, recipe, self.device)

    def stopped(self) -> bool:
        """Whether trials of encoders are done."""
        return bool(self.trials.found)

    def switches(self, encoder: Encoder) -> Iterator[SwitchStore]:
        """Encode the pool, where its switches stay and fit into memory."""
        if self.recipe.encoder == "learned":
            return  # they change
        pool = self.images.pool
        bits = architectures.bits_per_pixel(self.arch) * 3 * pool.shape[-1] ** 2
        if len(pool) * bits / 8 <= self.share * free_memory():
            yield from keep_switches(encoder, pool, self.images.mean, self.arch, self.device)

    def about(self) -> dict[str, Any]:
        """The trials that are done, and what they came to."""
        trials = [[*place, rmse] for place, rmse in self.trials.found.items()]
        return {**super().about(), "trials": trials, "encoder_seed": self.encoder_seed}

    def remember(self, about: dict[str, Any]) -> None:
        """Take the trials over."""
        super().remember(about)
        self.trials.found = {tuple(place): rmse for *place, rmse in about.get("trials", [])}
        self.encoder_seed = about.get("encoder_seed")


def free_memory() -> float:
    """Bytes of memory that could be taken now; infinity where the system does not tell."""
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError):
        return float("inf")


def export(
    arch: str,
    weights: dict[str, list[np.ndarray]],
    mean: str,
    files: Files,
    images: Iterable[np.ndarray],
) -> None:
    """Write ARCH.prototxt, ARCH.caffemodel and ARCH.onnx; `mean` is a file or b,g,r.

    On `images` (H×W×3 uint8) it is counted how its switches follow one another, for small files.
    """
    text = architectures.definition(arch)
    prototxt.atomic_write(files.prototxt, text)
    types = {layer.name: layer.type for layer in architectures.layers(arch)}
    prototxt.write_weights(files.caffemodel, weights, {n: types[n] for n in weights}, arch)
    how = prototxt.Preprocessing(mean)
    converters.convert(files.prototxt, files.caffemodel, preprocessing=how).save(files.onnx)
    add_tables(files.onnx, images)


def photographs(images: Images) -> Iterator[np.ndarray]:
    """Some of the pool, H×W×3 uint8 BGR."""
    for image in images.pool[:: max(1, len(images.pool) // COUNTED)]:
        yield np.ascontiguousarray(image.transpose(1, 2, 0))


def score(model: Path, images: np.ndarray, mean: np.ndarray) -> float:
    """RMSE of an .onnx, as `zoo eval` measures it, over N×3×S×S uint8 images."""
    pairs = [(str(i), np.ascontiguousarray(a.transpose(1, 2, 0))) for i, a in enumerate(images)]
    loaded = runtime.load(model)
    return runtime.evaluate(loaded, pairs, mean, size=images.shape[-2:]).rmse


def card(
    arch: str, images: Images, rmse: float | None, recipe: dict[str, Any], device: str
) -> dict[str, Any]:
    """What a person should know of a trained network, as JSON."""
    return {
        "name": architectures.model_name(arch, recipe["encoder"]),
        "arch": arch,
        **recipe,
        "rmse_held_out": None if rmse is None else round(rmse, 6),
        "published": architectures.published(arch, recipe.get("encoder") == "pretrained"),
        "bits_per_pixel": architectures.bits_per_pixel(arch),
        **stated(images, device),
    }


def note_pretraining(classifier: Solver, images: Images) -> None:
    """Write beside an encoder's weights how it learned classes: NAME.json."""
    best = classifier.best
    about = {
        "classes": len(set(images.labels)),
        "training_images": images.count,
        "data": images.source,
        "iterations": classifier.iteration,
        "taken": classifier.iteration if best is None else best.iteration,
        "seconds": round(classifier.seconds, 1),
    }
    note = classifier.prefix.with_suffix(".json")
    prototxt.atomic_write(note, json.dumps(about, indent=2) + "\n")


def read_pretraining(prefix: Path) -> dict[str, Any] | None:
    """What `note_pretraining` wrote; None where there is nothing."""
    note = prefix.with_suffix(".json")
    if not is_there(note):
        return None
    about: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
    return about


def finish_paper(
    arch: str,
    images: Images,
    solver: Solver,
    folder: Path,
    seed: int,
    encoder: str,
    pretraining: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Export what the `paper` recipe trained, measure it, write its card; returns the card.

    `pretraining` is how its encoder learned classes, where that is known.
    """
    files, mean = Files(folder, arch), images.mean_image
    mean_file = folder / "mean.binaryproto"
    prototxt.write_binaryproto(mean_file, mean)
    export(arch, solver.network.weights(), str(mean_file), files, photographs(images))
    rmse = score(files.onnx, images.held, mean) if len(images.held) else None
    recipe: dict[str, Any] = {
        "recipe": "paper",
        "iterations": solver.iteration,
        "batch": BATCH * solver.group.size,
        "seed": seed,
        "encoder": encoder,
        "seconds": round(solver.seconds, 1),
    }
    if pretraining is not None:
        recipe["pretraining"] = pretraining
    about = card(arch, images, rmse, recipe, str(solver.device))
    prototxt.atomic_write(files.json, json.dumps(about, indent=2) + "\n")
    return about
