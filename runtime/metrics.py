"""What the paper measures: RMSE over pixels in [0, 1], and the bits that the switches take."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["RMSE", "bits_per_pixel"]


class RMSE:
    """Root of the mean squared error over every pixel, channel and image, summed in float64."""

    def __init__(self) -> None:
        self.total = 0.0
        self.count = 0
        self.per_image: list[float] = []

    def add(self, prediction: np.ndarray, target: np.ndarray) -> None:
        """Add N×C×H×W pairs on the 0..255 scale."""
        if prediction.shape != target.shape:
            raise ValueError(f"{prediction.shape} against {target.shape}")
        for a, b in zip(prediction, target, strict=True):
            difference = (a.astype(np.float64) - b) / 255
            squares = float(np.square(difference).sum())
            self.total += squares
            self.count += difference.size
            self.per_image.append(math.sqrt(squares / difference.size))

    @property
    def value(self) -> float:
        """The RMSE so far, pixels in [0, 1]; NaN before the first image."""
        return math.sqrt(self.total / self.count) if self.count else math.nan


def bits_per_pixel(n1: int, n2: int, n3: int) -> float:
    """Bits of all switches, per pixel and colour channel: 2 bits for each 2×2 window."""
    return 2 * (n1 / 4 + n2 / 16 + n3 / 64) / 3
