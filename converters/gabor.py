"""The `gabor` filler of Intel's Caffe (include/caffe/gabor.hpp).

First layers as AlexNet, GoogLeNet, VGG and a CIFAR network learn them. Nothing of it is drawn at
random.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["gabor"]

PI = math.pi


@dataclass
class Wave:
    """A kernel: a cosine under a Gaussian.

    The cosine has frequency `omega`, phase `phi` and direction `theta`, the Gaussian the width
    `sigma`; both times `height` and the colour (r, g, b).
    """

    height: float
    sigma: float = 0.6
    omega: float = PI
    phi: float = 0.0
    theta: float = 0.0
    colour: tuple[float, float, float] = (1, 1, 1)


def gabor(shape: tuple[int, ...]) -> np.ndarray:
    """Kernels K×3×S×S; ValueError for a shape that Intel's Caffe has none for."""
    waves = {(32, 5): cifar, (64, 7): googlenet, (64, 3): vgg, (96, 11): alexnet}
    kernel = shape[::2] if len(shape) == 4 and shape[1] == 3 and shape[2] == shape[3] else ()
    if kernel not in waves:
        raise ValueError(
            f"the gabor filler has 32x3x5x5, 64x3x7x7, 64x3x3x3 and 96x3x11x11, not {shape}"
        )
    size = shape[3]
    wave, half = waves[shape[0], size], PI * (size - 1) / 2
    places = 2.0 * np.arange(size) / (size - 1) - 1
    x, y = places[None, :], places[:, None]
    kernels = []
    for index in range(shape[0]):
        w = wave(index, half)
        bell = np.exp(-(x * x + y * y) / (2 * w.sigma * w.sigma))
        along = x * np.cos(w.theta) - y * np.sin(w.theta)
        value = w.height * bell * np.cos(along * w.omega + w.phi)
        kernels.append([share * value for share in w.colour])
    return np.array(kernels, np.float32)


def cifar(i: int, half: float) -> Wave:
    if i < 8:
        wave = Wave(0.5, omega=half, theta=i * PI / 8)
    elif i < 14:
        wave = Wave(0.5, omega=half / 2, theta=((i - 2) % 6) * PI / 6 + PI / 12)
    elif i < 16:
        wave = Wave(0.5, 0.75, half / 8, (i % 2) * PI, colour=(1, -1, 1))
    else:
        wave = Wave(0.5, omega=half / 4, phi=PI / 2, theta=(i % 4) * PI / 2 + PI / 4 + PI / 8)
    if i >= 30:
        wave.theta, wave.colour = (i % 2) * PI / 2 + PI / 4 + PI / 8, (1, 1, 0)
    elif i >= 28:
        wave.theta, wave.colour = (i % 2) * PI / 2 + PI / 4 - PI / 8, (-1, 1, -1)
    elif i >= 24:
        wave.colour = (-1, 1, 1)
    elif i >= 20:
        wave.colour = (1, 0, -1)
    return wave


def edges(i: int, half: float, height: float, sigma: float, turns: int) -> Wave:
    """What all but CIFAR's begin with: eight frequencies, by `turns` directions."""
    turn, frequency = divmod(i, 8)
    return Wave(
        height / (1 + frequency / 8),
        sigma + 0.2 * frequency / 8,
        half / (1 + frequency / 2),
        (i % 2) * PI + PI * 12 / 32,
        turn * PI / turns,
    )


def googlenet(i: int, half: float) -> Wave:
    if i < 32:
        return edges(i, half, 1.0, 0.4, 4)
    if i < 40:
        return Wave(0.5, 0.45, half, PI, (i % 8) * PI / 8)
    if i < 46:
        phase, size = divmod(i - 1, 3)
        height, sigma = 1 / (1 + size / 2), 1 / (2.5 - size / 2)
        return Wave(height, sigma, PI / 4, phase * PI, colour=(0.25, -1, 1))
    slow, quarter, tilt = half / 12, PI / 2, (i % 8) * PI
    if i < 48:
        return Wave(2 / 3, 1, slow, quarter, tilt + PI / 8, (1, 0.1, -0.5))
    if i < 56:
        return Wave(2 / 3, 1, slow, quarter, tilt / 4 + PI / 32, (-0.5, 0.1, 1))
    if i < 60:
        return Wave(1, 1, slow, quarter, tilt / 2 + PI / 8, (0.25, -1, 1))
    return Wave(2 / 3, 1, slow, quarter, tilt / 2 + PI / 8, (-1, -1, 1))


def vgg(i: int, half: float) -> Wave:
    wave = googlenet(i, half)
    wave.sigma = 1
    return wave


def alexnet(i: int, half: float) -> Wave:
    third, quarter = 1 / 3, PI / 2
    if i < 48:
        return edges(i, half, third, 0.5, 6)
    if i < 56:
        phase, size = divmod(i, 4)
        height, sigma = third / (1 + size / 2), 1 / (2.5 - size / 2)
        return Wave(height, sigma, PI / 4, phase * PI, colour=(0.25, -1, 1))
    four, eight = (i % 4) * PI / 2, (i % 8) * PI / 4 + PI / 32
    if i < 60:
        return Wave(third / 1.5, 0.75, half / 8, quarter, four + PI / 8, (-1, 1, -0.5))
    if i < 64:
        return Wave(third / 3, 2, half / 8, quarter, four + PI / 8, (1, -0.5, -0.75))
    if i < 72:
        return Wave(third / 1.5, 0.75, half / 4, quarter, eight, (1, 0.1, -0.75))
    if i < 80:
        return Wave(third / 1.5, 1, half / 12, quarter, eight, (-0.5, 0.1, 1))
    if i < 88:
        return Wave(third / 2.5, 1, half / 8, quarter, eight, (-1, -1, 1))
    if i < 92:
        return Wave(third, 0.6, half / 16, quarter, four + PI / 16)
    return Wave(third / 4, 0.75, half / 4, quarter, eight, (-1, -1, 1))
