"""Interp and Reorg against loops in numpy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.forks import agree, build, inputs, layer, refused

pytestmark = pytest.mark.oracle


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def interpolate(x: np.ndarray, beg: int, end: int, size: tuple[int, int]) -> np.ndarray:
    """caffe_cpu_interp2: a place of the output is one of the cut input by (in - 1) / (out - 1)."""
    x = x[:, :, -beg : x.shape[2] + end, -beg : x.shape[3] + end].astype(np.float64)
    height, width = x.shape[2:]
    y = np.empty((*x.shape[:2], *size))
    rates = [
        (a - 1) / (b - 1) if b > 1 else 0.0 for a, b in zip((height, width), size, strict=True)
    ]
    for row, column in np.ndindex(*size):
        r, q = row * rates[0], column * rates[1]
        # What is within rounding of a whole number is that number.
        i, j = int(r + 1e-9), int(q + 1e-9)
        a, b = r - i, q - j
        down, right = int(i < height - 1), int(j < width - 1)
        y[:, :, row, column] = (1 - a) * (
            (1 - b) * x[:, :, i, j] + b * x[:, :, i, j + right]
        ) + a * ((1 - b) * x[:, :, i + down, j] + b * x[:, :, i + down, j + right])
    return y.astype(np.float32)


@pytest.mark.parametrize(
    ("params", "size"),
    [
        ("height: 17 width: 23", (17, 23)),
        ("height: 1 width: 1", (1, 1)),
        ("height: 1 width: 30", (1, 30)),
        ("height: 9 width: 12", (9, 12)),  # its own size: copied
        ("zoom_factor: 8", (65, 89)),
        ("zoom_factor: 1", (9, 12)),
        ("shrink_factor: 2", (5, 6)),
        ("shrink_factor: 3 zoom_factor: 2", (5, 7)),
        ("shrink_factor: 2 height: 3 width: 4", (5, 6)),
        ("zoom_factor: 2 height: 3 width: 4", (17, 23)),
        ("shrink_factor: 2 zoom_factor: 2 height: 3 width: 4", (3, 4)),
        ("zoom_factor: 2 pad_beg: -1 pad_end: -2", (11, 17)),
        ("height: 20 width: 21 pad_beg: -2", (20, 21)),
        ("shrink_factor: 2 pad_end: -1", (4, 6)),
        ("height: 8 width: 11 pad_end: -1", (8, 11)),
    ],
)
def test_interp(params: str, size: tuple[int, int]) -> None:
    x = draw(0, 2, 3, 9, 12)
    pads = dict(part.split(":") for part in params.replace(": ", ":").split() if "pad" in part)
    y = interpolate(x, int(pads.get("pad_beg", 0)), int(pads.get("pad_end", 0)), size)
    text = inputs(x=(1, 3, 16, 16)) + layer("Interp", "x", f"interp_param {{ {params} }}")
    agree(text, {"x": x}, {"y": y})


def test_interp_leaves_the_plane_open() -> None:
    text = inputs(x=(1, 3, 16, 16)) + layer("Interp", "x", "interp_param { zoom_factor: 8 }")
    assert build(text).outputs[0].shape == ("batch", 3, "8*(height)-7", "8*(width)-7")
    assert build(text).outputs[0].nominal == (1, 3, 121, 121)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ("", "give height and width, zoom_factor or shrink_factor"),
        ("height: 4", "give height and width"),
        ("height: 0 width: 4", "give height and width"),
        ("zoom_factor: 0", "must be at least 1"),
        ("zoom_factor: 2 pad_beg: 1", "must not be above 0: they cut"),
        ("height: 4 width: 4 pad_end: -16", "nothing is left of 16"),
    ],
)
def test_interp_refuses(params: str, match: str) -> None:
    text = inputs(x=(1, 3, 16, 16)) + layer("Interp", "x", f"interp_param {{ {params} }}")
    refused(text, match)


def reorg(x: np.ndarray, s: int, reverse: bool) -> np.ndarray:
    """darknet's reorg_cpu on flat memory, one element at a time."""
    n, c, height, width = x.shape
    narrow = c // (s * s)
    flat, top = x.reshape(n, -1), np.empty((n, x[0].size), np.float32)
    for k, j, i in np.ndindex(c, height, width):
        own = i + width * (j + height * k)
        channel, offset = k % narrow, k // narrow
        column, row = i * s + offset % s, j * s + offset // s
        other = column + width * s * (row + height * s * channel)
        if reverse:
            top[:, other] = flat[:, own]
        else:
            top[:, own] = flat[:, other]
    shape = (
        (n, narrow, height * s, width * s) if reverse else (n, c * s * s, height // s, width // s)
    )
    return top.reshape(shape)


@pytest.mark.parametrize(("stride", "shape"), [(1, (3, 4, 5)), (2, (8, 4, 6)), (3, (18, 6, 9))])
@pytest.mark.parametrize("reverse", [False, True])
def test_reorg(stride: int, shape: tuple[int, int, int], reverse: bool) -> None:
    x = draw(1, 2, *shape)
    params = f"reorg_param {{ stride: {stride} {'reverse: true' if reverse else ''} }}"
    agree(
        inputs(x=(1, *shape)) + layer("Reorg", "x", params),
        {"x": x},
        {"y": reorg(x, stride, reverse)},
    )


@pytest.mark.parametrize(
    ("shape", "params", "match"),
    [
        ((8, 4, 4), "", "give a stride above 0"),
        ((6, 4, 4), "stride: 2", "6 channels are not divisible by the square of stride 2"),
        ((8, 5, 4), "stride: 2", "5x4 is not divisible by stride 2"),
    ],
)
def test_reorg_refuses(shape: tuple[int, int, int], params: str, match: str) -> None:
    refused(inputs(x=(1, *shape)) + layer("Reorg", "x", f"reorg_param {{ {params} }}"), match)
