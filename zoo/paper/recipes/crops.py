"""Many training images from few: whole photographs and parts of them, resized as for the test."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

__all__ = ["cut_middle", "cut_pool", "make_pool"]


def make_pool(
    images: Iterable[np.ndarray],
    count: int,
    size: int = 128,
    seed: int = 0,
    smallest: float = 0.25,
) -> np.ndarray:
    """`count` variants of each H×W×3 image: N×3×size×size uint8.

    The first is the whole image, the others random parts with at least `smallest` of its area,
    somewhat stretched, half of them mirrored. All are resized by OpenCV's plain bilinear filter:
    what it aliases is part of what a network is tested on.
    """
    from prototxt.opencv import cv2

    rng = np.random.default_rng(seed)
    pool = []
    for image in images:
        height, width = image.shape[:2]
        for index in range(count):
            part = image
            if index:
                area = rng.uniform(smallest, 1.0)
                stretch = np.exp(rng.uniform(-0.25, 0.25))
                rows = min(height, max(size // 2, round(height * np.sqrt(area) * stretch)))
                columns = min(width, max(size // 2, round(width * np.sqrt(area) / stretch)))
                top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
                part = image[top : top + rows, left : left + columns]
            small = cv2.resize(part, (size, size), interpolation=cv2.INTER_LINEAR)
            if index % 2:
                small = small[:, ::-1]
            pool.append(small.transpose(2, 0, 1))
    return np.ascontiguousarray(np.stack(pool))


def cut_pool(
    images: Iterable[np.ndarray], count: int, size: int = 128, seed: int = 0
) -> np.ndarray:
    """`count` parts of each H×W×3 image: N×3×size×size uint8, half of them mirrored.

    The image is taken as it is or up to half as large (averaged by area, as cameras do), never
    smaller than a part: what codecs are for are pictures of such detail.
    """
    from prototxt.opencv import cv2

    rng = np.random.default_rng(seed)
    pool = []
    for image in images:
        for index in range(count):
            scale = max(min(1.0, rng.uniform(0.5, 1.2)), size / min(image.shape[:2]))
            rows, columns = (max(size, round(side * scale)) for side in image.shape[:2])
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            scaled = image if scale == 1 else cv2.resize(image, (columns, rows), interpolation=how)
            top, left = rng.integers(rows - size + 1), rng.integers(columns - size + 1)
            part = scaled[top : top + size, left : left + size]
            if index % 2:
                part = part[:, ::-1]
            pool.append(part.transpose(2, 0, 1))
    return np.ascontiguousarray(np.stack(pool))


def cut_middle(images: Iterable[np.ndarray], size: int) -> np.ndarray:
    """The middle of each H×W×3 image, scaled up if it is smaller: N×3×size×size uint8."""
    from prototxt.opencv import cv2

    found = []
    for image in images:
        scale = max(1.0, size / min(image.shape[:2]))
        rows, columns = (max(size, round(side * scale)) for side in image.shape[:2])
        scaled = image if scale == 1 else cv2.resize(image, (columns, rows))
        top, left = (rows - size) // 2, (columns - size) // 2
        found.append(scaled[top : top + size, left : left + size].transpose(2, 0, 1))
    return np.ascontiguousarray(np.stack(found))
