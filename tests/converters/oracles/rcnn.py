"""Region pooling in plain Python, from Fast R-CNN's and R-FCN's sources."""

from __future__ import annotations

import math

import numpy as np

F = np.float32


def away(x: float) -> int:
    """C's round."""
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


def roi_pooling(x: np.ndarray, rois: np.ndarray, size: tuple[int, int], scale: float) -> np.ndarray:
    """roi_pooling_layer.cpp."""
    _, channels, height, width = x.shape
    top = np.zeros((len(rois), channels, *size), np.float32)
    for region, (image, *corners) in enumerate(rois.reshape(-1, 5)):
        x1, y1, x2, y2 = (away(float(F(c) * F(scale))) for c in corners)
        step_y = F(max(y2 - y1 + 1, 1)) / F(size[0])
        step_x = F(max(x2 - x1 + 1, 1)) / F(size[1])
        for row, column in np.ndindex(*size):
            low = min(max(math.floor(F(row) * step_y) + y1, 0), height)
            high = min(max(math.ceil(F(row + 1) * step_y) + y1, 0), height)
            left = min(max(math.floor(F(column) * step_x) + x1, 0), width)
            right = min(max(math.ceil(F(column + 1) * step_x) + x1, 0), width)
            for c in range(channels):
                best, found = -np.inf, False
                for h in range(low, high):
                    for w in range(left, right):
                        best, found = max(best, float(x[int(image), c, h, w])), True
                top[region, c, row, column] = best if found else 0
    return top


def psroi_pooling(x: np.ndarray, rois: np.ndarray, dim: int, size: int, scale: float) -> np.ndarray:
    """psroi_pooling_layer.cu; a multiply-add is rounded once."""
    height, width = x.shape[2:]
    top = np.zeros((len(rois), dim, size, size), np.float32)

    def bounds(low: float, high: float, index: int, limit: int) -> tuple[int, int]:
        start, end = F(away(low)) * F(scale), F(away(high) + 1.0) * F(scale)
        step = max(F(end - start), F(0.1)) / F(size)
        first = math.floor(F(float(index) * float(step) + float(start)))
        last = math.ceil(F(float(index + 1) * float(step) + float(start)))
        return min(max(first, 0), limit), min(max(last, 0), limit)

    for region, (image, x1, y1, x2, y2) in enumerate(rois.reshape(-1, 5)):
        for c, row, column in np.ndindex(dim, size, size):
            low, high = bounds(float(y1), float(y2), row, height)
            left, right = bounds(float(x1), float(x2), column, width)
            if high <= low or right <= left:
                continue
            plane = x[int(image), (c * size + row) * size + column]
            total = sum(float(plane[h, w]) for h in range(low, high) for w in range(left, right))
            top[region, c, row, column] = total / ((high - low) * (right - left))
    return top
