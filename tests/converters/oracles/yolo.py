"""MobileNet-YOLO's detectors in plain Python.

From yolo_detection_output_layer.cpp, yolov3_detection_output_layer.cpp and bbox_util.cpp of
eric612/MobileNet-YOLO at commit 69b4441.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class Prediction(NamedTuple):
    x: float
    y: float
    w: float
    h: float
    label: int
    score: float


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def common(x1: float, w1: float, x2: float, w2: float) -> float:
    return min(x1 + w1 / 2, x2 + w2 / 2) - max(x1 - w1 / 2, x2 - w2 / 2)


def overlap(a: Prediction, b: Prediction) -> float:
    wide, high = common(a.x, a.w, b.x, b.w), common(a.y, a.h, b.y, b.h)
    both = 0.0 if wide < 0 or high < 0 else wide * high
    return both / (a.w * a.h + b.w * b.h - both)


def output(found: list[Prediction], images: int, limit: float) -> np.ndarray:
    """ApplyNms over the predictions of all images, best first."""
    found = sorted(found, key=lambda p: -p.score)
    gone: set[int] = set()
    for i, one in enumerate(found):
        if i not in gone:
            gone |= {j for j in range(i + 1, len(found)) if overlap(one, found[j]) >= limit}
    rows = [
        [0, p.label + 1, p.score, p.x - p.w / 2, p.y - p.h / 2, p.x + p.w / 2, p.y + p.h / 2]
        for i, p in enumerate(found)
        if i not in gone
    ]
    rows = rows or [[i, *[-1.0] * 6] for i in range(images)]
    return np.array(rows, np.float32)[None, None]


def yolo2(
    maps: list[np.ndarray],
    classes: int,
    boxes: int,
    biases: list[float],
    least: float,
    limit: float,
) -> np.ndarray:
    found = []
    for x in maps[:2]:
        side = x.shape[3]
        for b in range(len(x)):
            for j in range(side):
                for i in range(side):
                    for n in range(boxes):
                        v = x[b, n * (5 + classes) : (n + 1) * (5 + classes), j, i].astype(float)
                        e = np.exp(v[5:] - v[5:].max())
                        label = int(e.argmax())
                        score = sigmoid(v[4]) * e[label] / e.sum()
                        if score >= least:
                            box = (
                                (i + sigmoid(v[0])) / side,
                                (j + sigmoid(v[1])) / side,
                                math.exp(v[2]) * biases[2 * n] / side,
                                math.exp(v[3]) * biases[2 * n + 1] / side,
                            )
                            found.append(Prediction(*box, label, score))
    return output(found, len(maps[0]), limit)


def yolo3(
    maps: list[np.ndarray],
    classes: int,
    boxes: int,
    biases: list[float],
    scales: list[int],
    mask: list[int],
    least: float,
    limit: float,
) -> np.ndarray:
    found, offset = [], 0
    for t, x in enumerate(maps):
        high, wide = x.shape[2:]
        for b in range(len(x)):
            for s in range(high * wide):
                j, i = divmod(s, wide)
                for n in range(boxes):
                    v = x[b, n * (5 + classes) : (n + 1) * (5 + classes), j, i].astype(float)
                    anchor = mask[n + offset]
                    for c in range(classes):
                        score = sigmoid(v[5 + c]) * sigmoid(v[4])
                        if score > least:
                            box = (
                                (i + sigmoid(v[0])) / wide,
                                (j + sigmoid(v[1])) / high,
                                math.exp(v[2]) * biases[2 * anchor] / (wide * scales[t]),
                                math.exp(v[3]) * biases[2 * anchor + 1] / (high * scales[t]),
                            )
                            found.append(Prediction(*box, c, score))
        offset += len(mask) // len(maps)
    return output(found, len(maps[0]), limit)
