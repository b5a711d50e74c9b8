"""DetectNet's clustering in plain Python.

From caffe/layers/detectnet/clustering.py of NVIDIA/caffe at commit 87a2554, and groupRectangles
and partition of OpenCV 3 (objdetect/src/cascadedetect.cpp, core/operations.hpp).
"""

from __future__ import annotations

import math

import numpy as np

Rect = tuple[int, int, int, int]


def similar(a: Rect, b: Rect, eps: float) -> bool:
    delta = eps * (min(a[2], b[2]) + min(a[3], b[3])) * 0.5
    return (
        abs(a[0] - b[0]) <= delta
        and abs(a[1] - b[1]) <= delta
        and abs(a[0] + a[2] - b[0] - b[2]) <= delta
        and abs(a[1] + a[3] - b[1] - b[3]) <= delta
    )


def partition(rects: list[Rect], eps: float) -> list[list[Rect]]:
    """Classes by their first member."""
    left, classes = list(range(len(rects))), []
    while left:
        own = [left.pop(0)]
        for index in own:
            more = [i for i in left if similar(rects[index], rects[i], eps)]
            own += more
            left = [i for i in left if i not in more]
        classes.append([rects[i] for i in sorted(own)])
    return classes


def group(rects: list[Rect], threshold: int, eps: float) -> list[tuple[Rect, int]]:
    means: list[tuple[Rect, int]] = []
    for own in partition(rects, eps):
        share = np.float32(1) / np.float32(len(own))
        sums = np.array(own, np.int64).sum(0).astype(np.float32)
        means.append((tuple(int(v) for v in np.round(sums * share)), len(own)))
    found = []
    for i, (a, n1) in enumerate(means):
        if n1 <= threshold:
            continue
        for j, (b, n2) in enumerate(means):
            if j == i or n2 <= threshold:
                continue
            dx, dy = int(np.round(b[2] * eps)), int(np.round(b[3] * eps))
            if (
                a[0] >= b[0] - dx
                and a[1] >= b[1] - dy
                and a[0] + a[2] <= b[0] + b[2] + dx
                and a[1] + a[3] <= b[1] + b[3] + dy
                and (n2 > max(3, n1) or n1 < 3)
            ):
                break
        else:
            found.append((a, n1))
    return found


def cluster(
    coverage: np.ndarray,
    corners: np.ndarray,
    *,
    size: tuple[int, int],
    stride: int,
    least: float,
    threshold: int,
    eps: float,
    min_height: int,
) -> list[np.ndarray]:
    """`size` is width and height."""
    tops = []
    for index in range(coverage.shape[1]):
        top = np.zeros((len(coverage), 50, 5), np.float32)
        for image in range(len(coverage)):
            rects = []
            for row in range(min(size[1] // stride, coverage.shape[2])):
                for column in range(min(size[0] // stride, coverage.shape[3])):
                    if coverage[image, index, row, column] < np.float32(least):
                        continue
                    x1, y1, x2, y2 = corners[image, :4, row, column].astype(float)
                    x1, x2 = x1 + column * stride, x2 + column * stride
                    y1, y2 = y1 + row * stride, y2 + row * stride
                    rects.append((int(x1), int(y1), int(x2 - x1), int(y2 - y1)))
            rows = [
                [x, y, x + w, y + h, math.log(n)]
                for (x, y, w, h), n in group(rects, threshold, eps)
                if h >= min_height
            ]
            if rows:
                top[image, : len(rows)] = np.array(rows, np.float16)
        tops.append(top)
    return tops
