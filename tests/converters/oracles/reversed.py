"""Reversed layers in plain loops, from the paper's definitions (Mahendran and Vedaldi, 2016).

Every function takes one image's C×H×W in float64.
"""

from __future__ import annotations

import numpy as np


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int, pad: int):
    """Cross-correlation."""
    k = weight.shape[2]
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    rows, columns = ((n - k) // stride + 1 for n in x.shape[1:])
    y = np.zeros((weight.shape[0], rows, columns))
    for f, i, j in np.ndindex(*y.shape):
        window = x[:, i * stride : i * stride + k, j * stride : j * stride + k]
        y[f, i, j] = (window * weight[f]).sum() + bias[f]
    return y


def convolve_transposed(p: np.ndarray, weight: np.ndarray, stride: int, pad: int, size):
    """Each value writes its filter, times itself, where its window lies."""
    k = weight.shape[2]
    full = np.zeros((weight.shape[1], size[0] + 2 * pad, size[1] + 2 * pad))
    for f, i, j in np.ndindex(*p.shape):
        full[:, i * stride : i * stride + k, j * stride : j * stride + k] += p[f, i, j] * weight[f]
    return full[:, pad : pad + size[0], pad : pad + size[1]]


def pool(x: np.ndarray, k: int, stride: int):
    """Maximum over windows, rounded up; the places of the first maxima."""
    c, height, width = x.shape
    rows, columns = (-(-(n - k) // stride) + 1 for n in (height, width))
    y, places = np.zeros((c, rows, columns)), np.zeros((c, rows, columns, 2), int)
    for f, i, j in np.ndindex(c, rows, columns):
        best = -np.inf
        for a in range(i * stride, min(i * stride + k, height)):
            for b in range(j * stride, min(j * stride + k, width)):
                if x[f, a, b] > best:
                    best, places[f, i, j] = x[f, a, b], (a, b)
        y[f, i, j] = best
    return y, places


def unpool(p: np.ndarray, places: np.ndarray, size):
    """Each value at its switch; what coincides is summed (equation 9)."""
    x = np.zeros((p.shape[0], *size))
    for f, i, j in np.ndindex(*p.shape):
        a, b = places[f, i, j]
        x[f, a, b] += p[f, i, j]
    return x


def unpool_centre(p: np.ndarray, k: int, stride: int, size):
    """Each value at the middle of its window, kept inside."""
    x = np.zeros((p.shape[0], *size))
    for f, i, j in np.ndindex(*p.shape):
        a, b = (min(n * stride + (k - 1) // 2, s - 1) for n, s in zip((i, j), size, strict=True))
        x[f, a, b] += p[f, i, j]
    return x


def lrn_base(x: np.ndarray, size: int, alpha: float, k: float):
    """k + alpha / size times the sum of squares over the neighbouring channels."""
    base = np.full_like(x, k)
    for f in range(len(x)):
        for g in range(max(0, f - size // 2), min(len(x), f + size // 2 + 1)):
            base[f] += alpha / size * x[g] ** 2
    return base


def lrn(x: np.ndarray, size: int, alpha: float, beta: float, k: float):
    return x / lrn_base(x, size, alpha, k) ** beta


def lrn_backward(p: np.ndarray, x: np.ndarray, size: int, alpha: float, beta: float, k: float):
    """The derivative of <p, lrn(x)>, term by term."""
    base, result = lrn_base(x, size, alpha, k), np.zeros_like(x)
    for f in range(len(x)):
        result[f] += p[f] * base[f] ** -beta
        for g in range(max(0, f - size // 2), min(len(x), f + size // 2 + 1)):
            slope = -beta * base[g] ** (-beta - 1) * 2 * alpha / size * x[f]
            result[f] += p[g] * x[g] * slope
    return result


def relu_reversed(p: np.ndarray, x: np.ndarray, rule: str):
    """The four rules; x is what the ReLU read."""
    if rule in ("relu", "mask+relu"):
        p = np.maximum(p, 0)
    if rule in ("mask", "mask+relu"):
        p = np.where(x > 0, p, 0)
    return p
