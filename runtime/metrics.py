"""What the paper measures: RMSE over pixels in [0, 1], and the bits that the switches take.

For comparison with other formats also PSNR and SSIM of pictures.
"""

from __future__ import annotations

import math

import numpy as np

from .errors import InferenceError

__all__ = ["RMSE", "bits_per_pixel", "psnr", "ssim"]

SMALLEST = 11
"""Pixels a side that SSIM's window takes."""


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


def psnr(rmse: float) -> float:
    """Peak signal-to-noise ratio in dB of an RMSE with pixels in [0, 1]; infinite for 0."""
    return -20 * math.log10(rmse) if rmse else math.inf


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of two H×W×3 uint8 pictures, the mean over their channels.

    As Wang et al. (2004) have it: Gaussian windows of 11×11 with sigma 1.5, K1 .01, K2 .03.
    """
    if min(a.shape[:2]) < SMALLEST:
        raise InferenceError(
            f"a picture of {a.shape[0]}x{a.shape[1]} is too small for SSIM",
            remedy=f"give images of {SMALLEST}x{SMALLEST} or more",
        )
    from skimage.metrics import structural_similarity

    return float(
        structural_similarity(
            a,
            b,
            channel_axis=2,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )
