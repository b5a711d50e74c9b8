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


def anchors(scales: tuple[float, ...] = (8, 16, 32)) -> list[list[float]]:
    """generate_anchors.py: windows about that of 0, 0, 15, 15."""
    found = []
    for ratio in (0.5, 1, 2):
        width = round(math.sqrt(16 * 16 / ratio))
        height = round(width * ratio)
        for scale in scales:
            w, h = width * scale, height * scale
            found.append(
                [7.5 - (w - 1) / 2, 7.5 - (h - 1) / 2, 7.5 + (w - 1) / 2, 7.5 + (h - 1) / 2]
            )
    return found


def overlap(a: list[float], b: list[float]) -> float:
    """nms_kernel.cu: of boxes whose corners are pixels."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    sizes = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
    return width * height / (sum(sizes) - width * height)


def propose(
    scores: np.ndarray,
    offsets: np.ndarray,
    info: np.ndarray,
    stride: int,
    scales: tuple[float, ...] = (8, 16, 32),
    *,
    candidates: int = 6000,
    most: int = 300,
) -> tuple[np.ndarray, np.ndarray]:
    """proposal_layer.py: the regions and their scores."""
    base = anchors(scales)
    high, wide, scale = (float(v) for v in info.ravel())
    found: list[tuple[float, list[float]]] = []
    for row, column in np.ndindex(*scores.shape[2:]):
        for index, anchor in enumerate(base):
            x1, y1, x2, y2 = (
                c + s * stride for c, s in zip(anchor, (column, row) * 2, strict=True)
            )
            w, h = x2 - x1 + 1, y2 - y1 + 1
            dx, dy, dw, dh = (float(v) for v in offsets[0, 4 * index : 4 * index + 4, row, column])
            x, y = dx * w + x1 + 0.5 * w, dy * h + y1 + 0.5 * h
            w, h = math.exp(dw) * w, math.exp(dh) * h
            box = [x - 0.5 * w, y - 0.5 * h, x + 0.5 * w, y + 0.5 * h]
            box = [max(min(c, n - 1), 0.0) for c, n in zip(box, (wide, high) * 2, strict=True)]
            if min(box[2] - box[0], box[3] - box[1]) + 1 >= 16 * scale:
                found.append((float(scores[0, len(base) + index, row, column]), box))
    found.sort(key=lambda f: -f[0])
    kept: list[tuple[float, list[float]]] = []
    for score, box in found[:candidates]:
        if len(kept) < most and all(overlap(box, other) <= 0.7 for _, other in kept):
            kept.append((score, box))
    rois = np.array([[0, *box] for _, box in kept], np.float32).reshape(-1, 5)
    return rois, np.array([[score] for score, _ in kept], np.float32).reshape(-1, 1)
