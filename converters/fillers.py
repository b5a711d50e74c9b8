"""Caffe's weight fillers (filler.hpp), drawn by numpy's generator and seeded per layer.

The draw of a blob depends on the seed, its layer's name and its index alone, so that adding a
layer elsewhere changes nothing. The distributions are Caffe's; the random numbers are not.
"""

from __future__ import annotations

import enum
import math
import zlib
from dataclasses import dataclass

import numpy as np

from .gabor import gabor

__all__ = ["Diagonal", "Filler", "VarianceNorm", "fill"]


class VarianceNorm(enum.Enum):
    """FillerParameter.VarianceNorm: which fan the variance is divided by."""

    FAN_IN = 0
    FAN_OUT = 1
    AVERAGE = 2


@dataclass
class Filler:
    """FillerParameter."""

    type: str = "constant"
    value: float = 0.0
    min: float = 0.0
    max: float = 1.0
    mean: float = 0.0
    std: float = 1.0
    sparse: int = -1
    variance_norm: VarianceNorm = VarianceNorm.FAN_IN


@dataclass
class Diagonal(Filler):
    """`value` on the diagonal of the last two axes, 0 elsewhere; no prototxt can ask for it."""


def fill(filler: Filler, shape: tuple[int, ...], seed: int, layer: str, index: int) -> np.ndarray:
    """A float32 array of `shape`; ValueError (one line) for a filler that Caffe would refuse."""
    for name in ("value", "min", "max", "mean", "std"):
        number = getattr(filler, name)
        if not abs(number) <= float(np.finfo(np.float32).max):
            raise ValueError(f"{name} of the filler is {number:g}, which is no float32 number")
    if not shape:
        return fill(filler, (1,), seed, layer, index).reshape(())
    rng = np.random.default_rng([seed, zlib.crc32(layer.encode()), index])
    count = math.prod(shape)
    legacy = shape if len(shape) <= 4 else (*shape[:2], math.prod(shape[2:]))
    fan_in = count // max(legacy[0], 1)
    fan_out = count // max(legacy[1], 1) if len(legacy) > 1 else count
    norm = {
        VarianceNorm.FAN_IN: fan_in,
        VarianceNorm.FAN_OUT: fan_out,
        VarianceNorm.AVERAGE: (fan_in + fan_out) / 2,
    }[filler.variance_norm]
    if isinstance(filler, Diagonal):
        return np.broadcast_to(filler.value * np.eye(shape[-2], shape[-1]), shape).astype(
            np.float32
        )
    if filler.type == "constant":
        return np.full(shape, filler.value, np.float32)
    if filler.type == "uniform":
        return rng.uniform(filler.min, filler.max, shape).astype(np.float32)
    if filler.type == "gaussian":
        drawn = rng.normal(filler.mean, filler.std, shape)
        if filler.sparse >= 0:
            # Caffe keeps on average `sparse` of the weights of each output alive.
            drawn *= rng.random(shape) < filler.sparse / max(shape[0], 1)
        return drawn.astype(np.float32)
    if filler.type == "xavier":
        scale = math.sqrt(3.0 / norm)
        return rng.uniform(-scale, scale, shape).astype(np.float32)
    if filler.type == "msra":
        return rng.normal(0.0, math.sqrt(2.0 / norm), shape).astype(np.float32)
    if filler.type == "positive_unitball":
        drawn = rng.random((shape[0], count // shape[0]))
        shares: np.ndarray = drawn / drawn.sum(axis=1, keepdims=True)
        return shares.reshape(shape).astype(np.float32)
    if filler.type == "bilinear":
        return bilinear(shape)
    if filler.type == "gabor":
        return gabor(shape)
    raise ValueError(
        f"unknown filler {filler.type!r}; Caffe has constant, uniform, gaussian, xavier, msra, "
        "positive_unitball and bilinear, Intel's gabor besides"
    )


def bilinear(shape: tuple[int, ...]) -> np.ndarray:
    """The upsampling kernel of BilinearFiller, the same in every plane."""
    if len(shape) != 4 or shape[2] != shape[3]:
        raise ValueError(f"the bilinear filler needs a square 4-D blob, not {shape}")
    size = shape[3]
    factor = math.ceil(size / 2.0)
    centre = (2 * factor - 1 - factor % 2) / (2.0 * factor)
    ramp = 1 - np.abs(np.arange(size) / factor - centre)
    return np.broadcast_to(np.outer(ramp, ramp), shape).astype(np.float32)
