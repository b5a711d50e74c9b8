"""`zoo train --arch`: a network of the paper from images to an exported model with its card."""

from __future__ import annotations

import dataclasses
import datetime
import io
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import converters
import prototxt
import runtime
from prototxt.arrays import NUMBERS, read_arrays
from prototxt.errors import ZooError
from zoo import __version__, extras
from zoo.paper import architectures
from zoo.paper.coding import add_tables
from zoo.paper.recipes.encoders import Encoder
from zoo.paper.recipes.images import Images
from zoo.paper.recipes.learned import Learned
from zoo.paper.recipes.modern import Modern, Recipe, Trials, keep_switches
from zoo.paper.recipes.paper import BATCH
from zoo.paper.recipes.switches import SwitchStore
from zoo.training.curves import draw_curve
from zoo.training.distributed import ALONE, Group
from zoo.training.log import Log
from zoo.training.run import interruptible
from zoo.training.solver import Event, Solver, spacing

__all__ = ["STATE", "Files", "TunnelRun", "export", "score", "starting_weights"]

STATE = "state.npz"
MOST_TESTS = 10
"""About as many times a training is tested on what is held out."""
COUNTED = 400
"""About on how many images it is counted how switches follow one another."""
SAVE_EVERY = 60.0
"""Seconds between snapshots."""


@dataclasses.dataclass(frozen=True)
class Files:
    """The files of one trained network, all in one folder and named by its arch."""

    folder: Path
    name: str

    def __getattr__(self, kind: str) -> Path:
        if kind.startswith("_"):
            raise AttributeError(kind)
        return self.folder / f"{self.name}.{kind}"

    @property
    def state(self) -> Path:
        """What a resumed run needs (.npz); replaced whole."""
        return self.folder / STATE

    @property
    def log(self) -> Path:
        """What was measured, one JSON object a line."""
        return self.folder / "metrics.jsonl"

    @property
    def curve(self) -> Path:
        """The error over the iterations, drawn from the log."""
        return self.folder / "loss.png"


class TunnelRun:
    """A `modern` training with its files: resumable, one state file that is whole or absent."""

    def __init__(
        self,
        arch: str,
        images: Images,
        recipe: Recipe,
        folder: Path,
        device: str = "cpu",
        group: Group = ALONE,
        start: Mapping[str, Sequence[np.ndarray]] | None = None,
    ) -> None:
        """`start` are the weights of a network to go on from; its encoder stays."""
        architectures.channels(arch)
        self.arch, self.images, self.recipe = arch, images, recipe
        self.files = Files(folder, architectures.model_name(arch, recipe.encoder))
        self.device, self.group = device, group
        self.start = start
        self.encoder_seed: int | None = None
        self.seconds = 0.0
        self.kind = Learned if recipe.encoder == "learned" else Modern
        self.trials = Trials(arch, images.pool, images.mean, recipe, device, self.kind)
        self.training: Modern | None = None
        self.kept: Path | None = None
        """The state to go on from, once there is one."""
        self.stop = False

    def run(self, resume: bool = False, share: float = 0.25) -> Iterator[Event]:
        """Choose the encoder, keep its switches (in at most `share` of the free memory), train.

        Of several processes the first alone writes files.
        """
        if not self.group.first:
            yield from self._run(None, resume, share)
            return
        with Log(self.files.log) as log:
            yield from self._run(log, resume, share)

    def _run(self, log: Log | None, resume: bool, share: float) -> Iterator[Event]:
        started = time.perf_counter()
        saved = self.load() if resume else None
        if saved is not None:
            encoder = Encoder(self.arch)
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
        for number, filled in enumerate(() if self.stop else self.switches(encoder, share), 1):
            store = filled
            yield Event("encode", 0, {"done": number, "total": -(-len(self.images.pool) // 32)})
            if self.stop:
                break
        if self.stop:
            # A state that was resumed, or one of another training, is worth more than none.
            if self.group.first and saved is None and self.trials.found:
                yield Event("snapshot", 0, path=self.save())
            return
        self.training = training = self.kind(
            self.arch, encoder, self.images.pool, self.images.mean, self.recipe, store,
            self.device, self.group,
        )  # fmt: skip
        if saved is not None:
            self.restore(training, saved)
        elif self.start is not None:
            training.decoder.load_blobs(self.start, 255)
        if log is not None:
            log.keep_until(training.iteration)
        yield Event("begin", training.iteration, {"max_iter": self.recipe.iterations})
        tested = spacing(self.recipe.iterations, MOST_TESTS)
        before, last_save = self.seconds, time.perf_counter()
        for event in training.run():
            training.stop = training.stop or self.stop
            if event.kind == "train" and log is not None:
                log.note(event.kind, event.iteration, event.values)
            yield event
            if event.kind == "train" and self.group.first and training.iteration % tested == 0:
                yield from self.test(training, log)
            now = time.perf_counter()
            self.seconds = before + now - started
            # After a step alone: what is to be told of it has been noted by then.
            if event.kind == "step" and self.group.first and now - last_save > SAVE_EVERY:
                last_save = now
                yield Event("snapshot", training.iteration, path=self.save())
        if self.group.first:
            yield Event("snapshot", training.iteration, path=self.save())

    def test(self, training: Modern, log: Log | None) -> Iterator[Event]:
        """Events ``testing`` and ``held_out``: the `rmse` over what is held out, if anything is."""
        if not len(self.images.held):
            return
        yield Event("testing", training.iteration)
        values = {"rmse": training.rmse(self.images.held)}
        if log is not None:
            log.note("held_out", training.iteration, values)
        yield Event("held_out", training.iteration, values)

    def switches(self, encoder: Encoder, share: float) -> Iterator[SwitchStore]:
        """Encode the pool, where its switches stay and fit into `share` of the free memory."""
        if self.recipe.encoder == "learned":
            return  # they change
        pool = self.images.pool
        bits = architectures.bits_per_pixel(self.arch) * 3 * pool.shape[-1] ** 2
        if len(pool) * bits / 8 <= share * free_memory():
            yield from keep_switches(encoder, pool, self.images.mean, self.arch, self.device)

    def save(self) -> Path:
        """Write what a resumed run needs: weights, moments, the recipe, where it was.

        Of a run whose training has not begun: the trials of encoders that are done.
        """
        training = self.training
        arrays = {} if training is None else arrays_of(training)
        about = {
            "arch": self.arch,
            "recipe": dataclasses.asdict(self.recipe),
            "iteration": 0 if training is None else training.iteration,
            "trials": [[*place, rmse] for place, rmse in self.trials.found.items()],
            "encoder_seed": self.encoder_seed,
            "seconds": self.seconds,
            "pool": len(self.images.pool),
            "mean": self.images.mean.ravel().tolist(),
        }
        content = io.BytesIO()
        np.savez(content, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]
        prototxt.atomic_write(self.files.state, content.getvalue())
        self.kept = self.files.state
        return self.kept

    def load(self) -> dict[str, np.ndarray] | None:
        """Read the state; None where the training had not begun (the trials are taken over).

        ZooError where it is of another network, recipe or set of images.
        """
        path = self.files.state
        arrays = read_arrays(path, NUMBERS + "U")
        try:
            about = json.loads(str(arrays.pop("about")))
        except (ValueError, KeyError):
            raise ZooError("not the state of a training", subject=path) from None
        ours = {
            "arch": self.arch,
            "recipe": dataclasses.asdict(self.recipe),
            "pool": len(self.images.pool),
            "mean": self.images.mean.ravel().tolist(),
        }
        if isinstance(about.get("recipe"), dict):  # earlier versions had fewer parts
            about["recipe"] = {**dataclasses.asdict(Recipe()), **about["recipe"]}
        for name, value in ours.items():
            if about.get(name) != value:
                raise ZooError(
                    f"its {name} is {about.get(name)}, not {value}",
                    subject=path,
                    remedy="give the options and the images that it began with",
                )
        self.trials.found = {tuple(place): rmse for *place, rmse in about.get("trials", [])}
        self.kept = path
        if not arrays:
            return None
        self.encoder_seed, self.seconds = about["encoder_seed"], about["seconds"]
        return {**arrays, "iteration": np.array(about["iteration"])}

    def restore(self, training: Modern, saved: dict[str, np.ndarray]) -> None:
        """Put a loaded state into a training: decoder, optimiser's moments, iteration."""
        training.decoder.load_state_dict(part(saved, "decoder"))
        training.iteration = int(saved["iteration"])
        if training.average is not None:
            averages = part(saved, "average")
            for number, mine in enumerate(training.average.values):
                mine.copy_(averages[str(number)])
        training.losses[:] = torch.from_numpy(saved.get("losses", np.empty(0))).to(training.device)
        parameters = training.parameters
        for name, value in part(saved, "optimizer").items():
            place, key, *several = name.split("/")
            state = training.optimizer.state[parameters[int(place)]]
            if several:  # they come in order
                state.setdefault(key, []).append(value)
            else:
                state[key] = value if value.ndim else value.item()
        training.settle()
        for group in training.optimizer.param_groups:
            group["step"] = training.iteration


def arrays_of(training: Modern) -> dict[str, np.ndarray]:
    """The numbers of a training: encoder, decoder, the optimiser's moments."""
    arrays: dict[str, np.ndarray] = {}
    for name, tensor in training.encoder.state_dict().items():
        arrays[f"encoder/{name}"] = tensor.cpu().numpy()
    for name, tensor in training.decoder.state_dict().items():
        arrays[f"decoder/{name}"] = tensor.cpu().numpy()
    for number, state in training.optimizer.state_dict()["state"].items():
        for name, value in state.items():
            key = f"optimizer/{number}/{name}"
            several = isinstance(value, list)
            found = {f"{key}/{n}": one for n, one in enumerate(value)} if several else {key: value}
            arrays |= {
                k: np.asarray(one.cpu() if torch.is_tensor(one) else one)
                for k, one in found.items()
            }
    if training.average is not None:
        for number, value in enumerate(training.average.values):
            arrays[f"average/{number}"] = value.cpu().numpy()
    if training.losses:
        arrays["losses"] = torch.stack(training.losses).cpu().numpy()
    return arrays


def part(arrays: dict[str, np.ndarray], name: str) -> dict[str, torch.Tensor]:
    """The tensors whose names begin with `name`/."""
    return {
        key.removeprefix(f"{name}/"): torch.from_numpy(array.copy("K"))
        for key, array in arrays.items()
        if key.startswith(f"{name}/")
    }


def starting_weights(arch: str, path: Path) -> dict[str, list[np.ndarray]]:
    """The weights of a network to go on from; ZooError where they are another network's."""
    stored = prototxt.read_weights(path)
    net = prototxt.parse_net(architectures.definition(arch), arch)
    converters.convert(net, stored)  # every blob there, and of its shape
    return stored


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


def card(arch: str, images: Images, rmse: float | None, recipe: dict[str, Any]) -> dict[str, Any]:
    """What a person should know of a trained network, as JSON."""
    return {
        "name": architectures.model_name(arch, recipe["encoder"]),
        "arch": arch,
        **recipe,
        "data": images.source,
        "training_images": images.count,
        "pool": len(images.pool),
        "held_out": len(images.held),
        "rmse_held_out": None if rmse is None else round(rmse, 6),
        "published": architectures.published(arch, recipe.get("encoder") == "pretrained"),
        "bits_per_pixel": architectures.bits_per_pixel(arch),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "version": __version__,
    }


def finish_paper(
    arch: str,
    images: Images,
    solver: Solver,
    folder: Path,
    seed: int,
    encoder: str,
) -> dict[str, Any]:
    """Export what the `paper` recipe trained, measure it, write its card; returns the card."""
    files, mean = Files(folder, arch), images.mean_image
    mean_file = folder / "mean.binaryproto"
    prototxt.write_binaryproto(mean_file, mean)
    export(arch, solver.network.weights(), str(mean_file), files, photographs(images))
    rmse = score(files.onnx, images.held, mean) if len(images.held) else None
    recipe = {
        "recipe": "paper",
        "iterations": solver.iteration,
        "batch": BATCH * solver.group.size,
        "seed": seed,
        "encoder": encoder,
        "seconds": round(solver.seconds, 1),
    }
    about = card(arch, images, rmse, recipe)
    prototxt.atomic_write(files.json, json.dumps(about, indent=2) + "\n")
    return about


def train_arch(
    run: TunnelRun, say: Callable[[Event], None], resume: bool = False
) -> dict[str, Any] | None:
    """Train, export, measure, draw; the card, or None where Ctrl-C came first."""
    extras.require("matplotlib")
    with interruptible(run):
        for event in run.run(resume):
            say(event)
    training = run.training
    if training is None or training.iteration < run.recipe.iterations:
        return None
    if not run.group.first:
        return {}
    mean = ",".join(f"{value:g}" for value in run.images.mean.ravel())
    export(run.arch, training.weights(), mean, run.files, photographs(run.images))
    held = run.images.held
    rmse = score(run.files.onnx, held, run.images.mean) if len(held) else None
    title = f"{run.files.name}, modern recipe"
    draw_curve(run.files.log, run.files.curve, title, held_out=rmse)
    recipe = {
        "recipe": "modern",
        **dataclasses.asdict(run.recipe),
        "encoder_seed": run.encoder_seed,
        "mean": run.images.mean.ravel().tolist(),
        "seconds": round(run.seconds, 1),
    }
    about = card(run.arch, run.images, rmse, recipe)
    prototxt.atomic_write(run.files.json, json.dumps(about, indent=2) + "\n")
    return about
