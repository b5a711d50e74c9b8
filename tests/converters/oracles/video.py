"""C3D's layers over frames in plain loops.

Written from convolution3d_layer.cpp, deconvolution3d_layer.cpp and pool3d_layer.cpp of
facebookarchive/C3D (C3D-v1.0 and v1.1, commit ef7c013); slow on purpose.
"""

from __future__ import annotations

import math

import numpy as np

Three = tuple[int, int, int]


def convolve(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray, pad: Three, stride: Three
) -> np.ndarray:
    """Weights are outputs × inputs × depth × height × width; axes are frames, rows, columns."""
    kernel = w.shape[2:]
    sizes = [
        (size + 2 * p - k) // s + 1
        for size, k, p, s in zip(x.shape[2:], kernel, pad, stride, strict=True)
    ]
    y = np.zeros((x.shape[0], w.shape[0], *sizes))
    for n, o, *place in np.ndindex(*y.shape):
        total = float(bias[o])
        for c, *offset in np.ndindex(*w.shape[1:]):
            at = [i * s - p + k for i, s, p, k in zip(place, stride, pad, offset, strict=True)]
            if all(0 <= a < size for a, size in zip(at, x.shape[2:], strict=True)):
                total += float(x[(n, c, *at)]) * float(w[(o, c, *offset)])
        y[(n, o, *place)] = total
    return y.astype(np.float32)


def deconvolve(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray, pad: Three, stride: Three
) -> np.ndarray:
    """Weights are inputs × outputs × depth × height × width."""
    sizes = [
        (size - 1) * s - 2 * p + k
        for size, k, p, s in zip(x.shape[2:], w.shape[2:], pad, stride, strict=True)
    ]
    y = np.zeros((x.shape[0], w.shape[1], *sizes)) + bias.reshape(-1, 1, 1, 1)
    for n, c, *place in np.ndindex(*x.shape):
        for o, *offset in np.ndindex(*w.shape[1:]):
            at = [i * s - p + k for i, s, p, k in zip(place, stride, pad, offset, strict=True)]
            if all(0 <= a < size for a, size in zip(at, sizes, strict=True)):
                y[(n, o, *at)] += float(x[(n, c, *place)]) * float(w[(c, o, *offset)])
    return y.astype(np.float32)


def pool(x: np.ndarray, kernel: Three, stride: Three, pad: Three, average: bool) -> np.ndarray:
    """No window is dropped; an average's divisor ends at size + pad."""
    shape = x.shape[2:]
    sizes = [
        math.ceil((size + 2 * p - k) / s) + 1
        for size, k, p, s in zip(shape, kernel, pad, stride, strict=True)
    ]
    y = np.zeros((*x.shape[:2], *sizes), np.float32)
    for n, c, *place in np.ndindex(*y.shape):
        starts = [i * s - p for i, s, p in zip(place, stride, pad, strict=True)]
        ends = [
            min(start + k, size + p)
            for start, k, size, p in zip(starts, kernel, shape, pad, strict=True)
        ]
        divisor = math.prod(end - start for start, end in zip(starts, ends, strict=True))
        best, total = -np.float32(np.finfo(np.float32).max), 0.0
        spans = [
            range(max(start, 0), min(end, size))
            for start, end, size in zip(starts, ends, shape, strict=True)
        ]
        for frame in spans[0]:
            for row in spans[1]:
                for column in spans[2]:
                    value = x[n, c, frame, row, column]
                    best, total = max(best, value), total + float(value)
        y[(n, c, *place)] = total / divisor if average else best
    return y
