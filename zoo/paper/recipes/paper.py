"""The `paper` recipe: the authors' solver to the letter, on images in memory.

AdaGrad at a rate of 0.01, batches of 16 whole images, 50,000 iterations; the encoder stays as
Caffe's fillers drew it. With `--pretrained` it first learns to classify (`classify*`): images in an
order drawn once, as `convert_imageset --shuffle` writes them, or a folder's classes would come one
after the other; until it gets no better at those that are held out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import prototxt
from prototxt.errors import ZooError
from zoo.paper import architectures
from zoo.paper.recipes.images import Images
from zoo.training.network import Network
from zoo.training.solver import Feed, Solver, spacing

__all__ = ["array_feed", "classifier_prefix", "paper_solver"]

BATCH = 16
"""Images in one iteration."""
PATIENCE = 10
"""Tests that the classifier is given to become better than ever, of about fifty."""
CLASSES = 200
"""What the paper's classifier tells apart (ILSVRC 2014's detection classes)."""


def array_feed(
    images: np.ndarray, mean: np.ndarray, batch: int, labels: Sequence[int] | None = None
) -> Feed:
    """Batches of N×C×H×W uint8 images minus the mean, in order, again and again."""

    def feed(number: int) -> dict[str, np.ndarray]:
        places = (number * batch + np.arange(batch)) % len(images)
        # In one go: a second array of this size would cost more than all else here.
        found = {"data": np.subtract(images[places], mean, dtype=np.float32)}
        if labels is not None:
            found["label"] = np.asarray(labels, np.float32)[places]
        return found

    return feed


def classifier_prefix(arch: str, folder: Path) -> Path:
    """What the files of an encoder that learns classes begin with, in a folder of their own."""
    return folder / "classify" / f"classify{arch}"


def paper_solver(
    arch: str,
    images: Images,
    folder: Path,
    *,
    classify: bool = False,
    weights: Mapping[str, Sequence[np.ndarray]] | None = None,
    iterations: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    ema: float = 0.0,
    mixed: bool = False,
) -> Solver:
    """A solver ready to run; snapshots go to `folder`. What is subtracted is the images' mean.

    `weights` start it (a classifier's encoder, for one). Some fifty times it is tested on the
    images that are held out, if there are any. `ema` and `mixed` are as `Solver` has them. Raises
    ZooError for labels that the classifier has no output for.
    """
    if classify and not all(0 <= label < CLASSES for label in images.labels):
        raise ZooError(
            f"the paper's classifier tells {CLASSES} classes apart (labels 0 to {CLASSES - 1})",
            remedy="give images in one folder for each class, or a database with such labels",
        )
    size = images.pool.shape[-1]
    text = architectures.solver(arch, classify)
    definition = prototxt.parse_solver(text, f"the paper's solver of {arch}")
    if iterations is not None:
        definition = dataclasses.replace(definition, max_iter=iterations)
    net = prototxt.parse_net(architectures.definition(arch, size, classify), arch).select("TRAIN")
    pool, labels = images.pool, images.labels
    if classify:
        order = np.random.default_rng(seed).permutation(len(pool))
        pool, labels = pool[order], [labels[place] for place in order]
    stored = {k: list(v) for k, v in weights.items()} if weights else None
    mean = images.mean_image.astype(np.float32)

    def fed(pictures: np.ndarray, batch: int, named: Sequence[int]) -> tuple[Network, Feed]:
        shapes: dict[str, tuple[int, ...]] = {"data": (batch, 3, size, size)}
        if classify:
            shapes["label"] = (batch,)
        feed = array_feed(pictures, mean, batch, named if classify else None)
        return Network(net, shapes, stored, seed), feed

    tests = []
    if len(images.held):
        batch = max(n for n in range(1, BATCH + 1) if len(images.held) % n == 0)
        tests.append(fed(images.held, batch, images.held_labels))
        definition = dataclasses.replace(
            definition,
            test_iter=[len(images.held) // batch],
            test_interval=spacing(definition.max_iter),
            test_initialization=False,
        )
    network, feed = fed(pool, BATCH, labels)
    prefix = classifier_prefix(arch, folder) if classify else folder / f"net{arch}"
    period = math.lcm(len(pool), BATCH) // BATCH
    how: dict[str, Any] = {"ema": ema, "mixed": mixed, "period": period}
    how["patience"] = PATIENCE if classify else None
    return Solver(definition, network, feed, tests, device, seed, prefix, **how)
