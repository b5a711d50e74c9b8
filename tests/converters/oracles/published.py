"""Layers of published networks in plain loops.

Written from JAANet's au_mask_based_land_layer.cpp, division_layer.cpp and combination_layer.cpp
(ZhiwenShao/JAANet, commit 0251c05), DenseReg's CombineRegressions.py and CombineRegressionsHuman.py
(ralpguler/DenseReg, commits 4ac4818 and 4ee5137), margin_inner_product_layer.cpp
(wy1iu/sphereface, commit 966c44c), BVLC Caffe's pooling_layer.cu (StoPoolForwardTest) and the
interpolation layers of DeepLab.
"""

from __future__ import annotations

import math

import numpy as np

from tests.converters.oracles.windows import pooled_size

CENTRES = [
    (4, -1 / 2), (5, -1 / 2), (1, -1 / 3), (8, -1 / 3), (2, 1 / 3), (7, 1 / 3), (24, 1), (29, 1),
    (21, 0), (26, 0), (43, 0), (45, 0), (31, 0), (37, 0), (31, 0), (37, 0), (31, 0), (37, 0),
    (39, 1 / 2), (41, 1 / 2), (34, 0), (40, 0), (34, 0), (40, 0),
]  # fmt: skip


def c_round(value: float) -> int:
    """C's round: halves away from 0."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def unit_masks(
    marks: np.ndarray, size: int, ratio: float, scale: float, coefficient: float, fill: float
) -> list[np.ndarray]:
    side = c_round(size * scale)
    half = (size - 1) / 2 * ratio
    masks = [np.full((len(marks), 1, side, side), fill, np.float32) for _ in range(13)]
    for i, row in enumerate(marks.reshape(len(marks), -1).astype(np.float64)):
        ruler = abs(row[44] - row[50])
        for j, (mark, below) in enumerate(CENTRES):
            x, y = row[2 * mark], row[2 * mark + 1] + below * ruler
            low = [min(max(c_round((v - half) * scale), 0), side - 1) for v in (y, x)]
            high = [min(max(c_round((v + half) * scale), 0), side - 1) for v in (y, x)]
            for h in range(low[0], high[0] + 1):
                for w in range(low[1], high[1] + 1):
                    away = abs(h - y * scale) + abs(w - x * scale)
                    value = max(1 - away * coefficient * (100 / (size * scale)), fill)
                    masks[j // 2][i, 0, h, w] = value
                    masks[12][i, 0, h, w] = max(masks[12][i, 0, h, w], value)
    return masks


def combine(classes: np.ndarray, residuals: np.ndarray, body: bool) -> np.ndarray:
    """Of one image: classes 1×1×H×W, residuals 1×C×H×W."""
    count = residuals.shape[1]
    result = np.zeros(classes.shape)
    for y, x in np.ndindex(*classes.shape[2:]):
        own = int(classes[0, 0, y, x])
        value = float(residuals[0, own, y, x]) if 0 < own < count else 0.0
        if body:
            result[0, 0, y, x] = min(max(value, 0), 1)
        else:
            value = (float(classes[0, 0, y, x]) + value - 1) / (count - 1)
            result[0, 0, y, x] = value if value >= 0 else -1
    return result.astype(np.float32)


def stochastic(x: np.ndarray, kernel: tuple[int, int], stride: tuple[int, int]) -> np.ndarray:
    """At test: the sum of squares by the sum, which starts at FLT_MIN."""
    count, channels, height, width = x.shape
    rows, columns = (pooled_size(n, kernel[i], 0, stride[i]) for i, n in enumerate((height, width)))
    y = np.zeros((count, channels, rows, columns), np.float32)
    for n, c, i, j in np.ndindex(*y.shape):
        total, squares = float(np.finfo(np.float32).tiny), 0.0
        for h in range(i * stride[0], min(i * stride[0] + kernel[0], height)):
            for w in range(j * stride[1], min(j * stride[1] + kernel[1], width)):
                total += float(x[n, c, h, w])
                squares += float(x[n, c, h, w]) ** 2
        y[n, c, i, j] = squares / total if total > 0 else 0
    return y


def resize(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, corner on corner."""
    y = np.zeros((*x.shape[:2], height, width))
    for i, j in np.ndindex(height, width):
        at = [
            p * (size - 1) / (out - 1) if out > 1 else 0.0
            for p, size, out in ((i, x.shape[2], height), (j, x.shape[3], width))
        ]
        (top, left), (b, a) = [int(v) for v in at], [v - int(v) for v in at]
        below, right = min(top + 1, x.shape[2] - 1), min(left + 1, x.shape[3] - 1)
        upper = (1 - a) * x[:, :, top, left] + a * x[:, :, top, right]
        lower = (1 - a) * x[:, :, below, left] + a * x[:, :, below, right]
        y[:, :, i, j] = (1 - b) * upper + b * lower
    return y.astype(np.float32)
