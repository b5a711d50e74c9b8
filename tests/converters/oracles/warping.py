"""FlowNet 2's FlowWarp and a light field's Python layers, in plain loops.

Written from flow_warp_layer.cpp (lmb-freiburg/flownet2, commit 476d400), the Python layers of
JunhyeongBak/Caffe_Light_Field (commit 17d5c65), and OpenCV's remap and warpAffine of float images
(imgwarp.cpp of OpenCV 3 and 4: places in steps of 1/32), which they call.
"""

from __future__ import annotations

import math

import numpy as np


def flow_warp(image: np.ndarray, flow: np.ndarray, fill: float) -> np.ndarray:
    count, channels, height, width = image.shape
    y = np.full(image.shape, fill, np.float32)
    for n, row, column in np.ndindex(count, height, width):
        x2 = np.float32(column) + flow[n, 0, row, column]
        y2 = np.float32(row) + flow[n, 1, row, column]
        if not (0 <= x2 < width and 0 <= y2 < height):
            continue
        left, top = int(x2), int(y2)
        right, below = min(left + 1, width - 1), min(top + 1, height - 1)
        a, b = float(x2) - left, float(y2) - top
        for c in range(channels):
            plane = image[n, c].astype(np.float64)
            y[n, c, row, column] = (
                (1 - a) * (1 - b) * plane[top, left]
                + a * (1 - b) * plane[top, right]
                + (1 - a) * b * plane[below, left]
                + a * b * plane[below, right]
            )
    return y


def remap(plane: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """cv2.remap of H×W, INTER_LINEAR and BORDER_REPLICATE."""
    height, width = plane.shape
    result = np.zeros(plane.shape, np.float32)
    for row, column in np.ndindex(height, width):
        sx, sy = (int(np.rint(np.float32(m[row, column]) * 32)) for m in (x, y))
        a, b = (sx & 31) / 32, (sy & 31) / 32
        total = 0.0
        for i, j in np.ndindex(2, 2):
            at = min(max((sy >> 5) + i, 0), height - 1), min(max((sx >> 5) + j, 0), width - 1)
            total += (b if i else 1 - b) * (a if j else 1 - a) * float(plane[at])
        result[row, column] = total
    return result


def sample(images: np.ndarray, flows: np.ndarray, count: int, colours: int) -> np.ndarray:
    """BilinearSamplerLayer3ch: of each image, the flow of y and, `count` planes on, that of x."""
    result = np.zeros_like(images)
    columns, rows = np.arange(images.shape[3]), np.arange(images.shape[2])[:, None]
    for n, i, c in np.ndindex(images.shape[0], count, colours):
        x, y = flows[n, i + count] + columns, flows[n, i] + rows
        result[n, i * colours + c] = remap(images[n, i * colours + c], x, y)
    return result


def shift(plane: np.ndarray, tx: float, ty: float) -> np.ndarray:
    """cv2.warpAffine of H×W by a translation, INTER_CUBIC and BORDER_REPLICATE."""
    height, width = plane.shape
    tx, ty = float(np.float32(tx)), float(np.float32(ty))
    result = np.zeros(plane.shape, np.float32)
    for row, column in np.ndindex(height, width):
        x = (round_even(-tx * 1024) + 16 + column * 1024) >> 5
        y = (round_even((row - ty) * 1024) + 16) >> 5
        total = 0.0
        for i, j in np.ndindex(4, 4):
            at = (
                min(max((y >> 5) - 1 + i, 0), height - 1),
                min(max((x >> 5) - 1 + j, 0), width - 1),
            )
            total += cubic((y & 31) / 32)[i] * cubic((x & 31) / 32)[j] * float(plane[at])
        result[row, column] = total
    return result


def round_even(value: float) -> int:
    return int(np.rint(value))


def cubic(t: float) -> list[float]:
    """Keys' kernel with a = -0.75, at distances 1 + t, t, 1 - t and the rest."""

    def near(d: float) -> float:
        return (1.25 * d - 2.25) * d * d + 1

    def far(d: float) -> float:
        return ((-0.75 * d + 3.75) * d - 6) * d + 3

    weights = [far(1 + t), near(t), near(1 - t)]
    return [*weights, 1 - math.fsum(weights)]
