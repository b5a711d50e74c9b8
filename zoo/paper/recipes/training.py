"""`zoo train --arch`: images and a recipe in, a trained network with its card out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import prototxt
from zoo.paper import architectures
from zoo.paper.recipes.images import Images
from zoo.paper.recipes.modern import fast_bfloat16, recipe_for
from zoo.paper.recipes.paper import classifier_prefix, paper_solver
from zoo.paper.recipes.run import Run, starting_weights
from zoo.paper.recipes.tunnel import (
    TunnelRun,
    finish_paper,
    note_pretraining,
    read_pretraining,
)
from zoo.training.distributed import Group, join
from zoo.training.run import Trained, choose_device, run_solver
from zoo.training.solver import Event

__all__ = ["ByModern", "ByPaper", "run_together", "train_modern", "train_paper"]

Say = Callable[[Event], None]


@dataclass(frozen=True)
class ByPaper:
    """How a training by the `paper` recipe ended; `card` is None where Ctrl-C ended it."""

    trained: Trained
    card: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """As `zoo train --json` prints it."""
        return {**(self.card or {}), **self.trained.as_dict()}


def train_paper(
    arch: str,
    images: Images,
    folder: Path,
    *,
    pretrained: bool = False,
    classes: Images | None = None,
    weights: Path | None = None,
    resume: Path | None = None,
    iterations: int | None = None,
    seed: int = 0,
    device: str = "auto",
    ema: float = 0.0,
    mixed: bool = False,
    say: Say = lambda _: None,
) -> ByPaper:
    """Train by the authors' solver; `folder` gets snapshots and the exported network.

    `ema` and `mixed` are as `zoo.training.solver.Solver` has them. With `pretrained` the encoder
    first learns to classify (event ``classify``, values: how many `classes`) the images `classes`
    (those of the reconstruction, where there are none), unless `weights` or a snapshot to `resume`
    are given (one of the classifier goes on with that); what it knew in its best test is taken, and
    it ends where ten tests were no better. Events ``train`` and ``test`` of the
    reconstruction tell its `rmse` (in [0,1]) as well; tested is what is held out. Raises ZooError.
    """
    how: dict[str, Any] = {"iterations": iterations, "seed": seed, "device": choose_device(device)}
    how |= {"ema": ema, "mixed": mixed}
    start = prototxt.read_weights(weights) if weights is not None else None
    learning = resume is not None and resume.name.startswith(classifier_prefix(arch, folder).name)
    if pretrained and (learning or (weights is None and resume is None)):
        named = classes or images
        classifier = paper_solver(arch, named, folder, classify=True, **how)
        if resume is not None:
            classifier.restore(resume)
            resume = None
        say(Event("classify", 0, {"classes": len(set(named.labels))}))
        trained = run_solver(classifier, say)
        if not trained.finished:
            return ByPaper(trained)
        note_pretraining(classifier, named)
        best = trained.best_weights
        start = classifier.network.weights() if best is None else prototxt.read_weights(best)
    solver = paper_solver(arch, images, folder, weights=start, **how)
    if resume is not None:
        solver.restore(resume)

    losses = {"train": "smoothed_loss", "test": next(iter(solver.network.losses))}

    def say_rmse(event: Event) -> None:
        if event.kind in losses:
            size = images.pool.shape[-1]
            rmse = architectures.rmse_of_loss(event.values[losses[event.kind]], size)
            event = replace(event, values={**event.values, "rmse": rmse})
        say(event)

    trained = run_solver(solver, say_rmse)
    if not trained.finished:
        return ByPaper(trained)
    kind = "pretrained" if pretrained else "random"
    known = None
    if pretrained and weights is None:
        known = read_pretraining(classifier_prefix(arch, folder))
    return ByPaper(trained, finish_paper(arch, images, solver, folder, seed, kind, known))


@dataclass(frozen=True)
class ByModern:
    """How a training by the `modern` recipe ended."""

    arch: str
    folder: Path
    card: dict[str, Any] | None
    """Of the finished network; None where Ctrl-C ended the training."""
    state: Path | None
    """What an unfinished one goes on from; None where nothing was done that could be kept."""

    def as_dict(self) -> dict[str, Any]:
        """As `zoo train --json` prints it."""
        if self.card is None:
            return {"arch": self.arch, "finished": False}
        return {**self.card, "output": str(self.folder), "finished": True}


def train_modern(
    arch: str,
    images: Images,
    folder: Path,
    *,
    encoder: str = "random",
    encoders: int | None = None,
    weights: Path | None = None,
    resume: Path | None = None,
    iterations: int | None = None,
    seed: int = 0,
    device: str = "auto",
    ema: float = 0.0,
    mixed: bool | None = None,
    say: Say = lambda _: None,
) -> ByModern | None:
    """Train by the `modern` recipe, with the processes that torchrun started.

    `folder` (or where the state to `resume` is) gets the state, the log and the exported network.

    `encoders` random ones are drawn, of which the best in brief trials stays (events as
    `zoo.paper.recipes.modern.Trials.run` has them), or begins to learn where `encoder` is
    ``learned``; then the switches are kept (events ``encode``, values: `done` of a `total`).
    `ema` is the recipe's; `mixed` whether layers compute in bfloat16 (None: where that is fast).
    Returns None in every process but the first. Raises ZooError.
    """
    device = choose_device(device)
    if mixed is None:
        mixed = fast_bfloat16(device)
    if resume is not None:
        folder = resume if resume.is_dir() else resume.parent
    start = origin = None
    if weights is not None:
        origin = weights.stem
        start = starting_weights(architectures.definition(arch), arch, weights)
    recipe = recipe_for(arch, iterations, seed, mixed, encoders, origin, encoder, ema)

    def begun(group: Group) -> Run:
        return TunnelRun(arch, images, recipe, folder, device, group, start)

    return run_together(begun, device, say, resume is not None)


def run_together(
    begun: Callable[[Group], Run], device: str, say: Say, resumed: bool
) -> ByModern | None:
    """Run a training with the processes that torchrun started; None in every one but the first."""
    with join(device) as group:
        run = begun(group)
        card = run.finished(say if group.first else lambda _: None, resumed)
        if not group.first:
            return None
        return ByModern(run.arch, run.files.folder, card, run.kept if card is None else None)
