"""A training and its files: resumable, one state file that is whole or absent."""

from __future__ import annotations

import dataclasses
import datetime
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import converters
import prototxt
from prototxt.arrays import NUMBERS, read_arrays
from prototxt.errors import ZooError
from zoo import __version__, extras
from zoo.paper.recipes.images import Images
from zoo.paper.recipes.learning import Course, Learning
from zoo.training.curves import draw_curve
from zoo.training.distributed import ALONE, Group
from zoo.training.log import Log
from zoo.training.run import device_name, interruptible
from zoo.training.solver import Event, spacing

__all__ = ["STATE", "Files", "Run", "starting_weights", "stated"]

STATE = "state.npz"
MOST_TESTS = 10
"""About as many times a training is tested on what is held out."""
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


class Run:
    """A training by a recipe; `begin` says how it comes about."""

    training: Learning | None
    title: str
    """Of the curve."""

    def __init__(
        self,
        arch: str,
        images: Images,
        recipe: Course,
        files: Files,
        device: str = "cpu",
        group: Group = ALONE,
    ) -> None:
        self.arch, self.images, self.recipe, self.files = arch, images, recipe, files
        self.device, self.group = device, group
        self.seconds = 0.0
        self.training = None
        self.kept: Path | None = None
        """The state to go on from, once there is one."""
        self.stop = False

    def run(self, resume: bool = False) -> Iterator[Event]:
        """Train to the end, or until `stop`. Of several processes the first alone writes files."""
        if not self.group.first:
            yield from self._run(None, resume)
            return
        with Log(self.files.log) as log:
            yield from self._run(log, resume)

    def to_its_end(self, say: Callable[[Event], None], resume: bool = False) -> bool:
        """Run it, telling its events; whether it came to its end, not to Ctrl-C's."""
        extras.require("matplotlib")
        with interruptible(self):
            for event in self.run(resume):
                say(event)
        training = self.training
        return training is not None and training.iteration >= self.recipe.iterations

    def finished(self, say: Callable[[Event], None], resume: bool = False) -> dict[str, Any] | None:
        """Train, export, measure, draw; the card.

        None where Ctrl-C came first; empty in every process but the first, which does all that.
        """
        if not self.to_its_end(say, resume):
            return None
        if not self.group.first:
            return {}
        card = self.export(",".join(f"{value:g}" for value in self.images.mean.ravel()))
        draw_curve(self.files.log, self.files.curve, self.title, held_out=card["rmse_held_out"])
        prototxt.atomic_write(self.files.json, json.dumps(card, indent=2) + "\n")
        return card

    def export(self, mean: str) -> dict[str, Any]:
        """Write and measure what was trained; its card. `mean` is b,g,r."""
        raise NotImplementedError

    def begin(self, saved: dict[str, np.ndarray] | None) -> Iterator[Event]:
        """Set `training` anew or by the state to go on from, unless `stop` comes before."""
        raise NotImplementedError

    def stopped(self) -> bool:
        """Whether something was done before the training that is worth a state."""
        return False

    def _run(self, log: Log | None, resume: bool) -> Iterator[Event]:
        started = time.perf_counter()
        saved = self.load() if resume else None
        yield from self.begin(saved)
        training = self.training
        if training is None:
            # A state that was resumed, or one of another training, is worth more than none.
            if self.group.first and saved is None and self.stopped():
                yield Event("snapshot", 0, path=self.save())
            return
        if saved is not None:
            restore(training, saved)
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

    def test(self, training: Learning, log: Log | None) -> Iterator[Event]:
        """Events ``testing`` and ``held_out``: what is told of what is held out, if anything is."""
        if not len(self.images.held):
            return
        yield Event("testing", training.iteration)
        values = training.tested(self.images.held)
        if log is not None:
            log.note("held_out", training.iteration, values)
        yield Event("held_out", training.iteration, values)

    def about(self) -> dict[str, Any]:
        """What a state says besides what it has to agree on."""
        return {"seconds": self.seconds}

    def agreed(self) -> dict[str, Any]:
        """What a state and the run that goes on from it have to agree on."""
        return {
            "arch": self.arch,
            "recipe": dataclasses.asdict(self.recipe),
            "pool": len(self.images.pool),
            "mean": self.images.mean.ravel().tolist(),
        }

    def save(self) -> Path:
        """Write what a resumed run needs: weights, moments, the recipe, where it was."""
        training = self.training
        arrays = {} if training is None else arrays_of(training)
        iteration = 0 if training is None else training.iteration
        about = {**self.agreed(), **self.about(), "iteration": iteration}
        content = io.BytesIO()
        np.savez(content, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]
        prototxt.atomic_write(self.files.state, content.getvalue())
        self.kept = self.files.state
        return self.kept

    def load(self) -> dict[str, np.ndarray] | None:
        """Read the state; None where the training had not begun.

        ZooError where it is of another network, recipe or set of images.
        """
        path = self.files.state
        arrays = read_arrays(path, NUMBERS + "U")
        try:
            about = json.loads(str(arrays.pop("about")))
        except (ValueError, KeyError):
            raise ZooError("not the state of a training", subject=path) from None
        if isinstance(about.get("recipe"), dict):  # earlier versions had fewer parts
            about["recipe"] = {**dataclasses.asdict(type(self.recipe)()), **about["recipe"]}
        for name, value in self.agreed().items():
            if about.get(name) != value:
                raise ZooError(
                    f"its {name} is {about.get(name)}, not {value}",
                    subject=path,
                    remedy="give the options and the images that it began with",
                )
        self.remember(about)
        self.kept = path
        return {**arrays, "iteration": np.array(about["iteration"])} if arrays else None

    def remember(self, about: dict[str, Any]) -> None:
        """Take from a state what `about` has put there."""
        self.seconds = about.get("seconds", 0.0)


def starting_weights(definition: str, name: str, path: Path) -> dict[str, list[np.ndarray]]:
    """The weights of a network to go on from; ZooError where they are another network's."""
    stored = prototxt.read_weights(path)
    converters.convert(prototxt.parse_net(definition, name), stored)  # each blob, and its shape
    return stored


def stated(images: Images, device: str) -> dict[str, Any]:
    """What every card says of the images that were learned from, and of where and when."""
    return {
        "data": images.source,
        "training_images": images.count,
        "pool": len(images.pool),
        "held_out": len(images.held),
        "device": device_name(device),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "version": __version__,
    }


def restore(training: Learning, saved: dict[str, np.ndarray]) -> None:
    """Put a loaded state into a training: weights, the optimiser's moments, iteration."""
    for name, module in training.parts.items():
        module.load_state_dict(part(saved, name))
    training.iteration = int(saved["iteration"])
    if training.average is not None:
        averages = part(saved, "average")
        for number, mine in enumerate(training.average.values):
            mine.copy_(averages[str(number)])
    training.losses[:] = torch.from_numpy(saved.get("losses", np.empty(0))).to(training.device)
    parameters = training.parameters
    for name, value in part(saved, "optimizer").items():
        place, key, *several = name.split("/")
        parameter = parameters[int(place)]
        state = training.optimizer.state[parameter]
        if several:  # they come in order
            state.setdefault(key, []).append(value.to(parameter.device))
        else:
            state[key] = value.to(parameter.device) if value.ndim else value.item()
    training.settle()
    for group in training.optimizer.param_groups:
        group["step"] = training.iteration


def arrays_of(training: Learning) -> dict[str, np.ndarray]:
    """The numbers of a training: its parts, the optimiser's moments."""
    arrays: dict[str, np.ndarray] = {}
    for part_name, module in training.parts.items():
        for name, tensor in module.state_dict().items():
            arrays[f"{part_name}/{name}"] = tensor.cpu().numpy()
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
