"""Proposals of feature pyramids, from lib/rpn of unsky/FPN at commit a096edb, in plain numpy."""

from __future__ import annotations

import numpy as np


def anchors(base: int) -> np.ndarray:
    """generate_anchors of ratios 1/2, 1, 2 and scales 16, 32."""
    found = []
    for ratio in (0.5, 1, 2):
        wide = np.round(np.sqrt(base * base / ratio))
        high = np.round(wide * ratio)
        for scale in (16, 32):
            w, h, c = wide * scale, high * scale, (base - 1) / 2
            found.append([c - (w - 1) / 2, c - (h - 1) / 2, c + (w - 1) / 2, c + (h - 1) / 2])
    return np.array(found)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0]) + 1
    high = min(a[3], b[3]) - max(a[1], b[1]) + 1
    both = max(wide, 0) * max(high, 0)
    sizes = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
    return both / (sum(sizes) - both)


def propose(
    info: np.ndarray, offsets: list[np.ndarray], scores: list[np.ndarray], strides: list[int]
) -> np.ndarray:
    """Without the regions that are repeated at random."""
    found = []
    for stride in strides:
        place = (4, 8, 16, 32, 64).index(stride)
        high, wide = int(info[0, 0] / stride), int(info[0, 1] / stride)
        base = anchors(stride)
        for row in range(min(high, scores[place].shape[2])):
            for column in range(min(wide, scores[place].shape[3])):
                for a, (x1, y1, x2, y2) in enumerate(base):
                    score = scores[place][0, len(base) + a, row, column]
                    dx, dy, dw, dh = offsets[place][0, 4 * a : 4 * a + 4, row, column].astype(float)
                    w, h = x2 - x1 + 1, y2 - y1 + 1
                    x = dx * w + x1 + column * stride + w / 2
                    y = dy * h + y1 + row * stride + h / 2
                    w, h = w * np.exp(dw), h * np.exp(dh)
                    last = info[0, [1, 0, 1, 0]] - 1
                    box = np.clip([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 0, last)
                    if (box[2:] - box[:2] + 1 >= 16 * info[0, 2]).all():
                        found.append((score, box))
    found.sort(key=lambda pair: -pair[0])
    kept: list[np.ndarray] = []
    for _, box in found[:6000]:
        if all(overlap(box, other) <= 0.7 for other in kept):
            kept.append(box)
    return np.array([[0, *box] for box in kept[:1000]], np.float32)


def share_out(rois: np.ndarray, rows: int | None) -> list[np.ndarray]:
    rois = rois.reshape(-1, 5)
    area = (rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])
    area[area <= 0] = 1e-6
    level = np.floor(4 + np.log2(np.sqrt(area) / 224)).clip(2, 5)
    lists = []
    for step in (2, 3, 4, 5):
        own = rois[level == step]
        if rows is None:
            lists.append(own if len(own) else np.zeros((4, 5), np.float32))
        else:
            lists.append(np.concatenate([own, np.zeros((rows - len(own), 5), np.float32)]))
    return [np.concatenate(lists), *lists]
