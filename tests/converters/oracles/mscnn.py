"""MS-CNN's proposals and interpolation in plain Python.

From box_output_layer.cpp, decode_bbox_layer.cpp, roi_align_layer.cpp, roi_pooling_layer.cpp and
math_functions.cpp of zhaoweicai/mscnn at commit 534bcac.
"""

from __future__ import annotations

import math

import numpy as np


def overlap(a: list[float], b: list[float]) -> float:
    """Of image, x, y, width, height, score."""
    if a[3] <= 0 or a[4] <= 0 or b[3] <= 0 or b[4] <= 0:
        return 0.0
    x1, y1 = max(a[1], b[1]), max(a[2], b[2])
    x2, y2 = min(a[1] + a[3], b[1] + b[3]), min(a[2] + a[4], b[2] + b[4])
    both = 0.0 if x1 >= x2 or y1 >= y2 else (x2 - x1) * (y2 - y1)
    return both / (a[3] * a[4] + b[3] * b[4] - both)


def box_output(
    maps: list[np.ndarray],
    fields: list[tuple[int, int]],
    rates: list[int],
    *,
    least: float,
    limit: float,
    whr: float = 2.0,
    xyr: float = 2.0,
    before: int = 0,
    after: int = 0,
    min_size: float = 15.0,
    mean: list[float] | None = None,
    std: list[float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    found: list[list[float]] = []
    for image in range(len(maps[0])):
        boxes: list[list[float]] = []
        for x, (wide, high), rate in zip(maps, fields, rates, strict=True):
            for row in range(x.shape[2]):
                for column in range(x.shape[3]):
                    v = x[image, :, row, column].astype(np.float64)
                    score = float(np.float32(v[1:-4].max()) - np.float32(v[0]))
                    if score < least:
                        continue
                    n = [v[-4 + i] * (std or [1] * 4)[i] + (mean or [0] * 4)[i] for i in range(4)]
                    n = [min(max(c, -1 / xyr), 1 / xyr) for c in n[:2]] + [
                        min(max(c, -math.log(whr)), math.log(whr)) for c in n[2:]
                    ]
                    w, h = wide * math.exp(n[2]), high * math.exp(n[3])
                    left = max(n[0] * wide + (column + 0.5) * rate - w / 2, 0)
                    top = max(n[1] * high + (row + 0.5) * rate - h / 2, 0)
                    w, h = min(w, x.shape[3] * rate - left), min(h, x.shape[2] * rate - top)
                    if w >= min_size and h >= min_size:
                        boxes.append([image, left, top, w, h, score])
        order = sorted(range(len(boxes)), key=lambda i: (boxes[i][5], i), reverse=True)
        ranked = [boxes[i] for i in order][: before or None]
        kept: list[list[float]] = []
        for box in ranked:
            if all(overlap(other, box) <= limit for other in kept):
                kept.append(box)
        found += kept[: after or None]
    if not found:
        rows = np.array([[0, 1, 1, 10, 10]], np.float32)
        return rows[:, :, None, None], np.zeros((1, 6, 1, 1), np.float32)
    rows = np.array([[i, x, y, x + w, y + h, s] for i, x, y, w, h, s in found], np.float32)
    return rows[:, :5, None, None], rows[:, :, None, None]


def decode_bbox(
    offsets: np.ndarray, regions: np.ndarray, mean: list[float], std: list[float]
) -> np.ndarray:
    rows = []
    for offset, region in zip(offsets.reshape(-1, 8), regions.reshape(-1, 5), strict=True):
        image, x1, y1, x2, y2 = map(float, region)
        bx, by, bw, bh = (float(offset[4 + i]) * std[i] + mean[i] for i in range(4))
        wide, high = x2 - x1 + 1, y2 - y1 + 1
        x, y = bx * wide + (x1 + x2) / 2, by * high + (y1 + y2) / 2
        w, h = wide * math.exp(bw), high * math.exp(bh)
        left, top = x - (w - 1) / 2, y - (h - 1) / 2
        rows.append([image, left, top, left + w - 1, top + h - 1])
    return np.array(rows, np.float32)[:, :, None, None]


def roi_align(
    x: np.ndarray, rois: np.ndarray, size: tuple[int, int], scale: float, pad: float
) -> np.ndarray:
    height, width = x.shape[2:]
    y = np.zeros((len(rois), x.shape[1], size[0] + 1, size[1] + 1), np.float32)
    for n, (image, x1, y1, x2, y2) in enumerate(rois.reshape(-1, 5).astype(float)):
        wide, high = (x2 - x1 + 1) * pad, (y2 - y1 + 1) * pad
        left, top = (x1 - wide) * scale - 0.5, (y1 - high) * scale - 0.5
        right, bottom = (x2 + wide) * scale - 0.5, (y2 + high) * scale - 0.5
        if right <= left or bottom <= top:
            continue
        for i in range(size[0] + 1):
            for j in range(size[1] + 1):
                h, w = top + i * (bottom - top) / size[0], left + j * (right - left) / size[1]
                if h < -0.5 or h > height - 0.5 or w < -0.5 or w > width - 0.5:
                    continue
                h0, w0 = math.floor(h), math.floor(w)
                h, w = min(max(h, 0), height - 1), min(max(w, 0), width - 1)
                h0, h1 = (min(max(k, 0), height - 1) for k in (h0, h0 + 1))
                w0, w1 = (min(max(k, 0), width - 1) for k in (w0, w0 + 1))
                a, b, plane = h - h0, w - w0, x[int(image)].astype(float)
                y[n, :, i, j] = (
                    (1 - a) * (1 - b) * plane[:, h0, w0]
                    + (1 - a) * b * plane[:, h0, w1]
                    + a * (1 - b) * plane[:, h1, w0]
                    + a * b * plane[:, h1, w1]
                )
    return y


def away(x: float) -> int:
    """C's round."""
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


def roi_pool(
    x: np.ndarray, rois: np.ndarray, size: tuple[int, int], scale: float, pad: float
) -> np.ndarray:
    y = np.zeros((len(rois), x.shape[1], *size), np.float32)
    for n, (image, x1, y1, x2, y2) in enumerate(rois.reshape(-1, 5).astype(float)):
        wide, high = (x2 - x1 + 1) * pad, (y2 - y1 + 1) * pad
        bounds = []
        for low, high_end, bins, limit in (
            (y1 - high, y2 + high, size[0], x.shape[2]),
            (x1 - wide, x2 + wide, size[1], x.shape[3]),
        ):
            start, end = away(low * scale), away(high_end * scale)
            step = max(end - start + 1, 1) / bins
            bounds.append(
                [
                    (
                        min(max(math.floor(i * step) + start, 0), limit),
                        min(max(math.ceil((i + 1) * step) + start, 0), limit),
                    )
                    for i in range(bins)
                ]
            )
        for i, (top, bottom) in enumerate(bounds[0]):
            for j, (left, right) in enumerate(bounds[1]):
                if bottom > top and right > left:
                    y[n, :, i, j] = x[int(image), :, top:bottom, left:right].max((1, 2))
    return y
