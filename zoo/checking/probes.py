"""Inputs that find faults: what `zoo verify` feeds a network when it is given none.

Random numbers alone hide much: no two of them are equal, so nothing is learned of ties; none is far
from 0, so a clamp or an overflow is never met; each place is like any other, so a shift goes by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from converters.legal import Legal, Regions

Generator = np.random.Generator
Shape = tuple[int, ...]


def random(rng: Generator, shape: Shape, std: float) -> np.ndarray:
    """Normally distributed around 0, with standard deviation `std`."""
    return std * rng.standard_normal(shape)


def zeros(rng: Generator, shape: Shape, std: float) -> np.ndarray:
    """All 0: every window is a tie, every norm and variance is 0."""
    return np.zeros(shape)


def constant(rng: Generator, shape: Shape, std: float) -> np.ndarray:
    """One number for each image and channel: every window is a tie."""
    return std * rng.standard_normal(shape[:2] + (1,) * len(shape[2:])) * np.ones(shape)


def ties(rng: Generator, shape: Shape, std: float) -> np.ndarray:
    """Four values, and zeros of both signs, so that the greatest of a window is seldom alone."""
    levels = np.array([-1.0, -0.0, 0.0, 0.5, 1.0]) * std
    return levels[rng.integers(0, levels.size, shape)]


def blocks(rng: Generator, shape: Shape, std: float) -> np.ndarray:
    """Patches of 3 in each direction with one value, against windows in no step with them."""
    coarse = rng.integers(-2, 3, [*shape[:2], *(-(-n // 3) for n in shape[2:])]) * (std / 2)
    for axis in range(2, len(shape)):
        coarse = np.repeat(coarse, 3, axis)
    return coarse[tuple(slice(n) for n in shape)]


def negative(rng: Generator, shape: Shape, std: float) -> np.ndarray:
    """Below 0 throughout, where a pool that pads with 0 or begins from 0 goes wrong."""
    return -std * (0.01 + np.abs(rng.standard_normal(shape)))


def large(rng: Generator, shape: Shape, std: float) -> np.ndarray:
    """Ten thousand times the usual, of both signs."""
    return 1e4 * std * rng.standard_normal(shape)


def tiny(rng: Generator, shape: Shape, std: float) -> np.ndarray:
    """Around the smallest normal float32, half of them denormal."""
    return float(np.finfo(np.float32).tiny) * rng.standard_normal(shape)


def one_hot(rng: Generator, shape: Shape, std: float) -> np.ndarray:
    """A single number in each image: what comes out lies where it must, or elsewhere."""
    found = np.zeros((shape[0] if shape else 1, int(np.prod(shape[1:]))))
    if found.size:
        found[np.arange(len(found)), rng.integers(0, found.shape[1], len(found))] = std
    return found.reshape(shape)


KINDS: dict[str, Callable[[Generator, Shape, float], np.ndarray]] = {
    "random": random,
    "zeros": zeros,
    "constant": constant,
    "ties": ties,
    "blocks": blocks,
    "negative": negative,
    "large": large,
    "tiny": tiny,
    "one-hot": one_hot,
}


def probe(
    kind: str,
    shapes: Mapping[str, Shape],
    legal: Mapping[str, Legal],
    seed: int = 0,
    std: float = 1.0,
) -> dict[str, np.ndarray]:
    """Float32 blobs of these shapes, of one of KINDS as far as each blob's `legal` allows."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind)] if kind != "random" else seed)
    found = {}
    for name, shape in shapes.items():
        if name in legal:
            array = allowed(rng, legal[name], kind, shape)
        else:
            array = KINDS[kind](rng, shape, std)
        found[name] = np.ascontiguousarray(array, np.float32)
    return found


def allowed(rng: Generator, legal: Legal, kind: str, shape: Shape) -> np.ndarray:
    """Legal numbers; of kind `zeros` the least of them, else any."""
    from converters.legal import Boxes, ImageInfo, Integers, Interval, Regions

    least = kind == "zeros"
    if isinstance(legal, Integers):
        array = rng.integers(legal.low, legal.high + 1, shape).astype(np.float64)
        array = np.full(shape, float(legal.low)) if least else array
        if legal.some and array.size:
            array.flat[0] = legal.high
        return array
    if isinstance(legal, Interval):
        if kind == "random":
            return rng.uniform(legal.low, legal.high, shape)
        return KINDS[kind](rng, shape, legal.high).clip(legal.low, legal.high)
    if isinstance(legal, ImageInfo):
        return np.resize([legal.height, legal.width, 1.0], shape)
    if isinstance(legal, Boxes):
        return boxes(rng, shape)
    assert isinstance(legal, Regions)
    return np.zeros(shape) if least else regions(rng, legal, shape)


def regions(rng: Generator, legal: Regions, shape: Shape) -> np.ndarray:
    """Rows image, x1, y1, x2, y2; some larger than the image by a pixel, as proposals are."""
    count = int(np.prod(shape)) // 5
    image = rng.integers(0, legal.images, count)
    x = np.sort(rng.integers(0, int(legal.width) + 1, (count, 2)), 1)
    y = np.sort(rng.integers(0, int(legal.height) + 1, (count, 2)), 1)
    return np.stack([image, x[:, 0], y[:, 0], x[:, 1], y[:, 1]], 1).reshape(shape)


def boxes(rng: Generator, shape: Shape) -> np.ndarray:
    """1×2×4P: corners of boxes inside the image, and the customary variances."""
    count = shape[2] // 4
    centre, half = rng.uniform(0.2, 0.8, (count, 2)), rng.uniform(0.05, 0.2, (count, 2))
    corners = np.concatenate([centre - half, centre + half], 1)
    return np.stack([corners.ravel(), np.tile([0.1, 0.1, 0.2, 0.2], count)])[None]
