"""The `paper` recipe: the authors' solver to the letter, on images in memory.

AdaGrad at a rate of 0.01, batches of 16 whole images, 50,000 iterations; the encoder stays as
Caffe's fillers drew it. With `--pretrained` it first learns to classify (`classify*`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import prototxt
from prototxt.errors import ZooError
from zoo.paper import architectures
from zoo.training.network import Network
from zoo.training.solver import Feed, Solver

__all__ = ["array_feed", "paper_solver"]

CLASSES = 200
"""What the paper's classifier tells apart (ILSVRC 2014's detection classes)."""


def array_feed(
    images: np.ndarray, mean: np.ndarray, batch: int, labels: Sequence[int] | None = None
) -> Feed:
    """Batches of N×C×H×W uint8 images minus the mean, in order, again and again."""

    def feed(number: int) -> dict[str, np.ndarray]:
        places = (number * batch + np.arange(batch)) % len(images)
        found = {"data": images[places].astype(np.float32) - mean}
        if labels is not None:
            found["label"] = np.asarray(labels, np.float32)[places]
        return found

    return feed


def paper_solver(
    arch: str,
    images: np.ndarray,
    mean: np.ndarray,
    folder: Path,
    *,
    classify: bool = False,
    labels: Sequence[int] | None = None,
    weights: Mapping[str, Sequence[np.ndarray]] | None = None,
    iterations: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Solver:
    """A solver ready to run; snapshots go to `folder`. `mean` is an image (3×S×S) or 3 numbers.

    `weights` start it (a classifier's encoder, for one). Raises ZooError for labels that the
    classifier has no output for.
    """
    if classify and (labels is None or not all(0 <= label < CLASSES for label in labels)):
        raise ZooError(
            f"the paper's classifier tells {CLASSES} classes apart (labels 0 to {CLASSES - 1})",
            remedy="give images in one folder for each class, or a database with such labels",
        )
    size = images.shape[-1]
    text = architectures.solver(arch, classify)
    definition = prototxt.parse_solver(text, f"the paper's solver of {arch}")
    if iterations is not None:
        definition = dataclasses.replace(definition, max_iter=iterations)
    net = prototxt.parse_net(architectures.definition(arch, size, classify), arch).select("TRAIN")
    batch = 16
    shapes: dict[str, tuple[int, ...]] = {"data": (batch, 3, size, size)}
    if classify:
        shapes["label"] = (batch,)
    stored = {k: list(v) for k, v in weights.items()} if weights else None
    network = Network(net, shapes, stored, seed)
    colour = mean if mean.ndim == 3 else mean.reshape(3, 1, 1)
    feed = array_feed(images, colour.astype(np.float32), batch, labels if classify else None)
    name = f"{'classify' if classify else 'net'}{arch}"
    return Solver(definition, network, feed, [], device, seed, folder / name)
