"""Caffe's losses and their gradients, number by number, in float64.

Each function takes the bottoms as arrays and returns the loss and the gradients of the bottoms that
have one (None for labels), as Forward_cpu and Backward_cpu of the layer's file compute them.
"""

from __future__ import annotations

import math

import numpy as np

Result = tuple[float, list[np.ndarray | None]]

FLT_MIN = 1.1754943508222875e-38
LOG_THRESHOLD = 1e-20


def truncated(value: float) -> int:
    """static_cast<int>"""
    return math.trunc(float(value))


def normalizer(mode: str, outer: int, inner: int, valid: int) -> float:
    """get_normalizer of softmax_loss_layer.cpp and others."""
    counts = {"FULL": outer * inner, "VALID": valid, "BATCH_SIZE": outer, "NONE": 1}
    return max(1.0, float(counts[mode]))


def softmax(column: np.ndarray) -> np.ndarray:
    shifted = np.exp(column.astype(np.float64) - column.max())
    return np.asarray(shifted / shifted.sum())


def labelled(
    scores: np.ndarray,
    labels: np.ndarray,
    axis: int,
    ignore: int | None,
    mode: str,
    matrix: np.ndarray | None,
    least: float,
) -> tuple[float, np.ndarray, np.ndarray]:
    """Loss, gradient and softmax of SoftmaxWithLoss (no matrix) and InfogainLoss (since 2017)."""
    axis %= scores.ndim
    outer = int(np.prod(scores.shape[:axis], dtype=int))
    inner = int(np.prod(scores.shape[axis + 1 :], dtype=int))
    classes = scores.shape[axis]
    x, flat = scores.reshape(outer, classes, inner), labels.reshape(-1)
    gradient, soft = np.zeros(x.shape), np.zeros(x.shape)
    loss, count = 0.0, 0
    for i in range(outer):
        for j in range(inner):
            soft[i, :, j] = p = softmax(x[i, :, j])
            label = truncated(flat[i * inner + j])
            if ignore is not None and label == ignore:
                continue
            weights = np.eye(classes)[label] if matrix is None else matrix[label]
            for c in range(classes):
                loss -= float(weights[c]) * math.log(max(p[c], least))
                gradient[i, c, j] = p[c] * float(weights.sum()) - float(weights[c])
            count += 1
    divisor = normalizer(mode, outer, inner, count)
    shape = scores.shape
    return loss / divisor, gradient.reshape(shape) / divisor, soft.reshape(shape)


def softmax_loss(
    scores: np.ndarray,
    labels: np.ndarray,
    axis: int = 1,
    ignore: int | None = None,
    mode: str = "VALID",
) -> Result:
    """softmax_loss_layer.cpp"""
    loss, gradient, _ = labelled(scores, labels, axis, ignore, mode, None, FLT_MIN)
    return loss, [gradient, None]


def infogain_loss(
    scores: np.ndarray,
    labels: np.ndarray,
    matrix: np.ndarray,
    axis: int = 1,
    ignore: int | None = None,
    mode: str = "VALID",
) -> Result:
    """infogain_loss_layer.cpp since 2017"""
    size = scores.shape[axis]
    found = labelled(scores, labels, axis, ignore, mode, matrix.reshape(size, size), LOG_THRESHOLD)
    return found[0], [found[1], None, None]


def infogain_loss_2016(probabilities: np.ndarray, labels: np.ndarray, matrix: np.ndarray) -> Result:
    """infogain_loss_layer.cpp until 2017"""
    num = len(probabilities)
    p = probabilities.reshape(num, -1).astype(np.float64)
    dim = p.shape[1]
    rows, gradient, loss = matrix.reshape(dim, dim), np.zeros(p.shape), 0.0
    for i in range(num):
        label = truncated(labels.reshape(-1)[i])
        for j in range(dim):
            held = max(p[i, j], LOG_THRESHOLD)
            loss -= float(rows[label, j]) * math.log(held)
            gradient[i, j] = -float(rows[label, j]) / held / num
    return loss / num, [gradient.reshape(probabilities.shape), None, None]


def multinomial_logistic_loss(probabilities: np.ndarray, labels: np.ndarray) -> Result:
    """multinomial_logistic_loss_layer.cpp: a gradient at the label alone."""
    num = len(probabilities)
    p = probabilities.reshape(num, -1).astype(np.float64)
    gradient, loss = np.zeros(p.shape), 0.0
    for i in range(num):
        label = truncated(labels.reshape(-1)[i])
        held = max(p[i, label], LOG_THRESHOLD)
        loss -= math.log(held)
        gradient[i, label] = -1 / held / num
    return loss / num, [gradient.reshape(probabilities.shape), None]


def hinge_loss(scores: np.ndarray, labels: np.ndarray, norm: str = "L1") -> Result:
    """hinge_loss_layer.cpp"""
    num = len(scores)
    x = scores.reshape(num, -1).astype(np.float64)
    margins = np.zeros(x.shape)
    for i in range(num):
        label = truncated(labels.reshape(-1)[i])
        for j in range(x.shape[1]):
            margins[i, j] = max(0.0, 1 + (-x[i, j] if j == label else x[i, j]))
    gradient = np.sign(margins) / num if norm == "L1" else 2 * margins / num
    for i in range(num):
        gradient[i, truncated(labels.reshape(-1)[i])] *= -1
    loss = margins.sum() if norm == "L1" else (margins * margins).sum()
    return float(loss) / num, [gradient.reshape(scores.shape), None]


def sigmoid_cross_entropy_loss(
    x: np.ndarray, targets: np.ndarray, ignore: int | None = None, mode: str = "BATCH_SIZE"
) -> Result:
    """sigmoid_cross_entropy_loss_layer.cpp"""
    gradient, loss, valid = np.zeros(x.size), 0.0, 0
    for i, (value, target) in enumerate(zip(x.ravel().tolist(), targets.ravel(), strict=True)):
        if ignore is not None and truncated(target) == ignore:
            continue
        positive = value >= 0
        loss -= value * (float(target) - positive) - math.log(
            1 + math.exp(value - 2 * value * positive)
        )
        gradient[i] = 1 / (1 + math.exp(-value)) - float(target)
        valid += 1
    divisor = normalizer(mode, len(x), x.size // len(x), valid)
    return loss / divisor, [(gradient / divisor).reshape(x.shape), None]


def euclidean_loss(a: np.ndarray, b: np.ndarray) -> Result:
    """euclidean_loss_layer.cpp"""
    d = a.astype(np.float64) - b.reshape(a.shape)
    gradient = d / len(a)
    return float((d * d).sum()) / len(a) / 2, [gradient, -gradient.reshape(b.shape)]


def contrastive_loss(
    a: np.ndarray, b: np.ndarray, similar: np.ndarray, margin: float = 1.0, legacy: bool = False
) -> Result:
    """contrastive_loss_layer.cpp"""
    num = len(a)
    d = (a.astype(np.float64) - b.reshape(a.shape)).reshape(num, -1)
    gradient, loss = np.zeros(d.shape), 0.0
    for i in range(num):
        squared = float(d[i] @ d[i])
        if truncated(similar.reshape(-1)[i]):
            loss += squared
            gradient[i] = d[i] / num
            continue
        length = math.sqrt(squared)
        gap = margin - squared if legacy else margin - length
        loss += max(gap, 0.0) if legacy else max(gap, 0.0) ** 2
        beta = -1 / num if legacy else -1 / num * gap / (length + 1e-4)
        if gap > 0:
            gradient[i] = beta * d[i]
    return loss / num / 2, [gradient.reshape(a.shape), -gradient.reshape(b.shape), None]


def smooth_l1_loss(
    a: np.ndarray, b: np.ndarray, *weights: np.ndarray, sigma: float = 1.0
) -> Result:
    """smooth_L1_loss_layer.cu of Fast R-CNN (up to one weight) and Faster R-CNN (none or two)"""
    num, squared = len(a), sigma * sigma
    inside = weights[0].ravel() if weights else np.ones(a.size)
    outside = weights[1].ravel() if len(weights) == 2 else np.ones(a.size)
    gradient, loss = np.zeros(a.size), 0.0
    for i, (x, y) in enumerate(zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)):
        d = inside[i] * (x - y)
        near = abs(d) < 1 / squared
        loss += outside[i] * (0.5 * d * d * squared if near else abs(d) - 0.5 / squared)
        gradient[i] = (squared * d if near else np.sign(d)) / num
        if len(weights) == 2:
            gradient[i] *= inside[i] * outside[i]
    shaped = gradient.reshape(a.shape)
    return loss / num, [shaped, -shaped.reshape(b.shape), *(None for _ in weights)]
