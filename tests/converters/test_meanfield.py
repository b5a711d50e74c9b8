"""CRF as RNN's mean-field inference over its permutohedral lattice."""

from __future__ import annotations

import numpy as np
import pytest

import converters
from tests.converters.forks import agree, build, inputs, layer, refused
from tests.converters.oracles.meanfield import Lattice, lattices, meanfield

pytestmark = pytest.mark.oracle

MEAN = np.array([104.00698793, 116.66876762, 122.67891434], np.float32)


def params(alpha: float, beta: float, gamma: float, iterations: int, more: str = "") -> str:
    thetas = f"theta_alpha: {alpha} theta_beta: {beta} theta_gamma: {gamma}"
    return f"multi_stage_meanfield_param {{ {thetas} num_iterations: {iterations} {more} }}"


def photographs(count: int, height: int, width: int) -> np.ndarray:
    """Smooth whole colours with edges between, the mean taken off, as a network is fed."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:height, :width]
    images = np.empty((count, 3, height, width))
    for n in range(count):
        a, b, c = rng.uniform(-1, 1, 3)
        edge = np.where(a * (x - width / 2) + b * (y - height / 2) > c, 1.0, 0.0)
        for channel in range(3):
            low, high, slope = rng.uniform(20, 120), rng.uniform(120, 230), rng.uniform(-3, 3)
            images[n, channel] = low + edge * (high - low) + slope * x + rng.normal(0, 2, x.shape)
    images = np.clip(np.rint(images), 0, 255)
    return (images - MEAN[:, None, None]).astype(np.float32)


def case(count: int, classes: int, height: int, width: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    shape = (count, classes, height, width)
    unary, start = (rng.normal(0, 2, shape).astype(np.float32) for _ in range(2))
    return {"u": unary, "q": start, "x": photographs(count, height, width)}


def weights(classes: int) -> list[np.ndarray]:
    rng = np.random.default_rng(9)
    scales = 1.0, 1.5, -0.8
    blobs = [s * np.eye(classes) + rng.normal(0, 0.2, (classes, classes)) for s in scales]
    return [blob.reshape(1, 1, classes, classes).astype(np.float32) for blob in blobs]


def net(classes: int, text: str, height: int = 6, width: int = 6) -> str:
    scores = (1, classes, height, width)
    return inputs(u=scores, q=scores, x=(1, 3, height, width)) + layer(
        "MultiStageMeanfield", "u q x", text
    )


@pytest.mark.parametrize("size", [(9, 11), (8, 10)], ids=["odd", "fours"])
@pytest.mark.parametrize(
    ("count", "classes", "thetas", "iterations"),
    [
        (1, 4, (160, 3, 3), 3),
        (2, 3, (5, 20, 1.5), 2),
        (2, 2, (3, 60, 0.5), 4),
    ],
)
def test_meanfield(
    count: int,
    classes: int,
    thetas: tuple[float, float, float],
    iterations: int,
    size: tuple[int, int],
) -> None:
    feeds, blobs = case(count, classes, *size), weights(classes)
    expected = meanfield(feeds["u"], feeds["q"], feeds["x"], blobs, thetas, iterations)
    agree(net(classes, params(*thetas, iterations)), feeds, {"y": expected}, {"l": blobs})
