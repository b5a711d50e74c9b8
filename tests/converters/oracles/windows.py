"""Caffe's windows in plain loops: pooling, unpooling, convolution, deconvolution.

Written from pooling_layer.cpp, unpooling_layer.cpp and base_conv_layer.cpp; slow on purpose.
"""

from __future__ import annotations

import math

import numpy as np

Pair = tuple[int, int]
LOWEST = -np.float32(np.finfo(np.float32).max)


def pooled_size(size: int, kernel: int, pad: int, stride: int) -> int:
    """Rounded up; a last window that would start in the padding behind the image is dropped."""
    out = math.ceil((size + 2 * pad - kernel) / stride) + 1
    if pad and (out - 1) * stride >= size + pad:
        out -= 1
    return out


def pool(
    x: np.ndarray, kernel: Pair, pad: Pair, stride: Pair, average: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Values and masks (the first maximum's index in its own plane; -1 where there is none)."""
    count, channels, height, width = x.shape
    rows = pooled_size(height, kernel[0], pad[0], stride[0])
    columns = pooled_size(width, kernel[1], pad[1], stride[1])
    y = np.zeros((count, channels, rows, columns), np.float32)
    mask = np.full(y.shape, -1, np.int64)
    for n, c, i, j in np.ndindex(*y.shape):
        top, left = i * stride[0] - pad[0], j * stride[1] - pad[1]
        bottom, right = min(top + kernel[0], height + pad[0]), min(left + kernel[1], width + pad[1])
        divisor = (bottom - top) * (right - left)
        best, place, total = LOWEST, -1, 0.0
        for h in range(max(top, 0), min(bottom, height)):
            for w in range(max(left, 0), min(right, width)):
                total += float(x[n, c, h, w])
                if x[n, c, h, w] > best:
                    best, place = x[n, c, h, w], h * width + w
        y[n, c, i, j] = total / divisor if average else best
        mask[n, c, i, j] = place
    return y, mask


def unpool(x: np.ndarray, mask: np.ndarray, size: Pair) -> np.ndarray:
    """Zeros, with each value where its switch points; the last write wins."""
    count, channels = x.shape[:2]
    y = np.zeros((count, channels, size[0] * size[1]), np.float32)
    for n, c, i, j in np.ndindex(*x.shape):
        y[n, c, mask[n, c, i, j]] = x[n, c, i, j]
    return y.reshape(count, channels, *size)


def convolve(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    pad: Pair,
    stride: Pair,
    dilation: Pair,
    group: int,
) -> np.ndarray:
    """Cross-correlation; weights are outputs × (inputs / group) × kernel."""
    count, _, height, width = x.shape
    outputs, share, *kernel = weight.shape
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    rows = (height + 2 * pad[0] - extent[0]) // stride[0] + 1
    columns = (width + 2 * pad[1] - extent[1]) // stride[1] + 1
    y = np.zeros((count, outputs, rows, columns))
    for n, o, i, j in np.ndindex(*y.shape):
        first = o // (outputs // group) * share
        total = float(bias[o])
        for c, a, b in np.ndindex(share, *kernel):
            h = i * stride[0] - pad[0] + a * dilation[0]
            w = j * stride[1] - pad[1] + b * dilation[1]
            if 0 <= h < height and 0 <= w < width:
                total += float(x[n, first + c, h, w]) * float(weight[o, c, a, b])
        y[n, o, i, j] = total
    return y.astype(np.float32)


def deconvolve(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    pad: Pair,
    stride: Pair,
    dilation: Pair,
    group: int,
) -> np.ndarray:
    """The transpose of `convolve`; weights are inputs × (outputs / group) × kernel."""
    count, channels, rows, columns = x.shape
    _, share, *kernel = weight.shape
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    height = stride[0] * (rows - 1) + extent[0] - 2 * pad[0]
    width = stride[1] * (columns - 1) + extent[1] - 2 * pad[1]
    y = np.zeros((count, share * group, height, width)) + bias.reshape(-1, 1, 1)
    for n, c, i, j in np.ndindex(*x.shape):
        first = c // (channels // group) * share
        for o, a, b in np.ndindex(share, *kernel):
            h = i * stride[0] - pad[0] + a * dilation[0]
            w = j * stride[1] - pad[1] + b * dilation[1]
            if 0 <= h < height and 0 <= w < width:
                y[n, first + o, h, w] += float(x[n, c, i, j]) * float(weight[c, o, a, b])
    return y.astype(np.float32)
