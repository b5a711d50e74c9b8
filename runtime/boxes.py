"""Boxes out of what detectors give: Caffe's rows, or a box and scores for each of many places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prototxt.preprocessing import Size

__all__ = ["from_pairs", "from_rows", "ultraface_priors"]

OVERLAP = 0.45
"""Of two boxes of a class that overlap by more (intersection over union) the better one stays."""

Found = list[tuple[int, float, np.ndarray]]
"""Class, score and corners (left, top, right, bottom) as shares of the input; best first."""

STRIDES = (8, 16, 32, 64)
SIDES = ((10, 16, 24), (32, 48), (64, 96), (128, 192, 256))
VARIANCES = (0.1, 0.2)
"""Anchors of Ultra-Light-Fast-Generic-Face-Detector-1MB (RFB-320 and -640, slim): pixels, and how
its boxes are told by them (its `vision/utils/box_utils.py`)."""


def from_rows(rows: np.ndarray, threshold: float) -> dict[int, Found]:
    """By image what Caffe's rows (K×7) tell: image, label, score, corners as shares.

    Rows of label -1 say that nothing was found.
    """
    found: dict[int, Found] = {}
    for image, label, score, *corners in rows.reshape(-1, 7).astype(np.float64):
        if label >= 0 and score >= threshold and np.isfinite(corners).all():
            found.setdefault(int(image), []).append((int(label), score, np.array(corners)))
    for boxes in found.values():
        boxes.sort(key=lambda box: -box[1])
    return found


def from_pairs(boxes: np.ndarray, scores: np.ndarray, size: Size, threshold: float) -> Found:
    """Boxes K×4 and scores K×C, of which the first class is the background; suppressed.

    The boxes are corners as shares of the input of `size` (height, width); where K is how many
    anchors `ultraface_priors` has for it, they are told by those.
    """
    from prototxt.opencv import cv2

    priors = ultraface_priors(size)
    if len(priors) == len(boxes):
        boxes = decoded(boxes, priors)
    found: Found = []
    for label in range(1, scores.shape[1]):
        chosen = np.flatnonzero(scores[:, label] >= threshold)
        chosen = chosen[np.isfinite(boxes[chosen]).all(1)]
        if not len(chosen):
            continue
        corners = boxes[chosen].astype(np.float64)
        sides = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
        kept = cv2.dnn.NMSBoxes(sides.tolist(), scores[chosen, label].tolist(), threshold, OVERLAP)
        for place in np.asarray(kept, int).reshape(-1):
            found.append((label, float(scores[chosen[place], label]), corners[place]))
    return sorted(found, key=lambda box: -box[1])


def ultraface_priors(size: Size) -> np.ndarray:
    """K×4: centre x, centre y, width and height, as shares of an input of `size`."""
    height, width = size
    found: list[Sequence[float]] = []
    for stride, sides in zip(STRIDES, SIDES, strict=True):
        rows, columns = -(-height // stride), -(-width // stride)
        for y in range(rows):
            for x in range(columns):
                centre = (x + 0.5) * stride / width, (y + 0.5) * stride / height
                found += [(*centre, side / width, side / height) for side in sides]
    return np.clip(np.array(found, np.float64), 0, 1)


def decoded(boxes: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """Corners of boxes that are told by priors: offsets of the centre, logarithms of the sides."""
    centre = boxes[:, :2] * VARIANCES[0] * priors[:, 2:] + priors[:, :2]
    with np.errstate(over="ignore"):
        sides = np.exp(boxes[:, 2:].astype(np.float64) * VARIANCES[1]) * priors[:, 2:]
    return np.hstack([centre - sides / 2, centre + sides / 2])
