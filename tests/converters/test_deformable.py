"""Deformable convolution against deformable_im2col.cu of unsky/FPN (a096edb) in plain numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.converters.forks import agree, inputs, layer, refused

pytestmark = pytest.mark.oracle


def bilinear(plane: np.ndarray, y: float, x: float) -> float:
    height, width = plane.shape
    if not (0 <= y < height and 0 <= x < width):
        return 0.0
    top, left = math.floor(y), math.floor(x)
    if top >= height - 1:
        top, y = height - 1, height - 1
    if left >= width - 1:
        left, x = width - 1, width - 1
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    a, b = y - top, x - left
    upper = (1 - b) * plane[top, left] + b * plane[top, right]
    lower = (1 - b) * plane[bottom, left] + b * plane[bottom, right]
    return float((1 - a) * upper + a * lower)


def convolve(
    x: np.ndarray,
    offsets: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    *,
    stride: int = 1,
    pad: int = 0,
    dilation: int = 1,
    group: int = 1,
    parts: int = 4,
) -> np.ndarray:
    outputs, inner, high, wide = weight.shape
    count, channels, _, _ = x.shape
    y = np.zeros((count, outputs, *offsets.shape[2:]))
    taps = high * wide
    for n, row, column in np.ndindex(count, *offsets.shape[2:]):
        values = np.zeros((channels, taps))
        for c, i, j in np.ndindex(channels, high, wide):
            tap, part = i * wide + j, c // (channels // parts)
            down, right = offsets[n, 2 * (part * taps + tap) :, row, column][:2].astype(float)
            place = row * stride - pad + i * dilation + down
            values[c, tap] = bilinear(
                x[n, c].astype(float), place, column * stride - pad + j * dilation + right
            )
        for o in range(outputs):
            first = o // (outputs // group) * inner
            y[n, o, row, column] = (values[first : first + inner].ravel() * weight[o].ravel()).sum()
    if bias is not None:
        y += bias[None, :, None, None]
    return y.astype(np.float32)


@pytest.mark.parametrize(
    ("params", "options", "shape", "kernel", "out"),
    [
        ("kernel_size: 3", {}, (2, 4, 6, 7), (3, 3), (4, 5)),
        (
            "kernel_size: 3 pad: 2 dilation: 2 stride: 2 group: 2 deformable_group: 1 engine: 1 "
            "bias_term: false",
            {"pad": 2, "dilation": 2, "stride": 2, "group": 2, "parts": 1},
            (1, 4, 7, 9),
            (3, 3),
            (4, 5),
        ),
        (
            "kernel_h: 2 kernel_w: 1 pad: 1 deformable_group: 2",
            {"pad": 1, "parts": 2},
            (1, 4, 3, 5),
            (2, 1),
            (4, 7),
        ),
    ],
)
def test_deformable(params: str, options: dict, shape: tuple, kernel: tuple, out: tuple) -> None:
    rng = np.random.default_rng(0)
    parts = options.get("parts", 4)
    feeds = {
        "x": rng.normal(size=shape).astype(np.float32),
        "o": (rng.normal(size=(shape[0], 2 * parts * kernel[0] * kernel[1], *out)) * 2).astype(
            np.float32
        ),
    }
    weight = rng.normal(size=(4, 4 // options.get("group", 1), *kernel)).astype(np.float32)
    bias = None if "bias_term" in params else rng.normal(size=4).astype(np.float32)
    text = inputs(x=(1, *shape[1:]), o=(1, *feeds["o"].shape[1:]))
    text += layer(
        "DeformableConvolution", "x o", f"deformable_convolution_param {{ num_output: 4 {params} }}"
    )
    blobs = [weight] if bias is None else [weight, bias]
    y = convolve(feeds["x"], feeds["o"], weight, bias, **options)
    own = {k: ("batch", v.shape[1], f"{k}_h", f"{k}_w") for k, v in feeds.items()}
    agree(text, feeds, {"y": y}, {"l": blobs}, shapes=own)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ("kernel_size: 3", "num_output is missing or 0"),
        ("kernel_size: 3 num_output: 4 group: 3", "num_output 4 is not divisible by group 3"),
        ("kernel_size: 3 num_output: 4", "needs 72 channels of offsets, not 18"),
        ("kernel_size: 3 num_output: 4 deformable_group: 3", "divisible by deformable_group 3"),
        (
            "kernel_size: 3 num_output: 4 deformable_group: 1 pad: 1",
            "needs offsets for 6x6 places, not 4x4",
        ),
    ],
)
def test_refused(params: str, match: str) -> None:
    text = inputs(x=(1, 4, 6, 6), o=(1, 18, 4, 4))
    params = f"deformable_convolution_param {{ {params} }}"
    refused(text + layer("DeformableConvolution", "x o", params), match, open_dims=False)
