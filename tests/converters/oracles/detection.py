"""SSD's DetectionOutput in plain Python, from detection_output_layer.cpp and bbox_util.cpp."""

from __future__ import annotations

import math

import numpy as np

Box = tuple[float, float, float, float]


def decode(offset: Box, prior: Box, variance: Box, code: str, encoded: bool) -> Box:
    if encoded:
        variance = (1.0, 1.0, 1.0, 1.0)
    a, b, c, d = (v * o for v, o in zip(variance, offset, strict=True))
    width, height = prior[2] - prior[0], prior[3] - prior[1]
    if code == "CORNER":
        return prior[0] + a, prior[1] + b, prior[2] + c, prior[3] + d
    if code == "CORNER_SIZE":
        return (
            prior[0] + a * width,
            prior[1] + b * height,
            prior[2] + c * width,
            prior[3] + d * height,
        )
    x, y = (prior[0] + prior[2]) / 2 + a * width, (prior[1] + prior[3]) / 2 + b * height
    wide, high = math.exp(c) * width, math.exp(d) * height
    return x - wide / 2, y - high / 2, x + wide / 2, y + high / 2


def area(box: Box) -> float:
    return 0.0 if box[2] < box[0] or box[3] < box[1] else (box[2] - box[0]) * (box[3] - box[1])


def overlap(a: Box, b: Box) -> float:
    if b[0] > a[2] or b[2] < a[0] or b[1] > a[3] or b[3] < a[1]:
        return 0.0
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (area(a) + area(b) - width * height)


def suppress(
    boxes: list[Box], scores: list[float], least: float | None, limit: float, top_k: int
) -> list[int]:
    order = [i for i, score in enumerate(scores) if least is None or score > least]
    order.sort(key=lambda i: -scores[i])
    if top_k > -1:
        order = order[:top_k]
    stay: list[int] = []
    for index in order:
        if all(overlap(boxes[index], boxes[other]) <= limit for other in stay):
            stay.append(index)
    return stay


def detect(
    locations: np.ndarray,
    scores: np.ndarray,
    priors: np.ndarray,
    *,
    classes: int,
    share: bool = True,
    background: int = 0,
    code: str = "CORNER",
    encoded: bool = False,
    keep_top_k: int = -1,
    least: float | None = None,
    limit: float = 0.3,
    top_k: int = -1,
) -> np.ndarray:
    """The top: 1×1×K×7."""
    count = priors.shape[2] // 4
    prior = priors.reshape(2, count, 4).astype(np.float64)
    every: list[list[float]] = []
    for image in range(len(locations)):
        offsets = locations[image].reshape(count, 1 if share else classes, 4).astype(np.float64)
        score = scores[image].reshape(count, classes).astype(np.float64)
        found: list[tuple[float, int, Box]] = []
        for label in range(classes):
            if label == background:
                continue
            boxes = [
                decode(
                    tuple(offsets[i, 0 if share else label]),
                    tuple(prior[0, i]),
                    tuple(prior[1, i]),
                    code,
                    encoded,
                )
                for i in range(count)
            ]
            found.extend(
                (score[index, label], label, boxes[index])
                for index in suppress(boxes, list(score[:, label]), least, limit, top_k)
            )
        if -1 < keep_top_k < len(found):
            best = sorted(found, key=lambda f: -f[0])[:keep_top_k]
            found = sorted(best, key=lambda f: (f[1], -f[0]))
        every += [[image, label, value, *box] for value, label, box in found]
    if not every:
        every = [[image, *[-1.0] * 6] for image in range(len(locations))]
    return np.array(every, np.float32)[None, None]
