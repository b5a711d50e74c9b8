"""Rows of detections compared: what is found counts, not in which order equal scores stand.

A row is Caffe's: image, label, score, xmin, ymin, xmax, ymax. Where nothing is found Caffe gives a
row for each image that is -1 but for its number; that is as much as no row at all.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

import numpy as np

from zoo.checking.comparison import TOLERANCE, Comparison, compare

COLUMNS = (slice(0, 2), slice(2, 3), slice(3, 7))
"""Image and label, which are equal or not; score and corners, relative to their own magnitude."""


def compare_detections(
    blob: str,
    left: tuple[str, np.ndarray],
    right: tuple[str, np.ndarray],
    tolerance: float = TOLERANCE,
) -> Comparison:
    """Compare 1×1×K×7 of both sides, K each side's own.

    Rows must stand in the same order, but for neighbours whose scores are equal within the
    tolerance: those are compared as a set.
    """
    (left_name, a), (right_name, b) = left, right
    if not (a.ndim == b.ndim == 4 and a.shape[3] == b.shape[3] == 7):
        return compare(blob, left, right, tolerance)
    one, other = found(a), found(b)
    if len(one) != len(other):
        shapes = (1, 1, len(one), 7), (1, 1, len(other), 7)
        return Comparison(
            blob, left_name, right_name, np.inf, np.inf, np.inf, (), False, False, None, shapes
        )
    apart = distance(one, other)
    if apart.size and apart.max() > tolerance:
        other = other[partners(one, other, tolerance)]
        apart = distance(one, other)
    with np.errstate(invalid="ignore"):
        absolute = np.where(apart == 0, 0.0, np.abs(one - other))
    absolute[np.isnan(absolute)] = np.inf
    worst = float(apart.max(initial=0))
    at: tuple[int, ...] = ()
    values, size = None, 0.0
    if worst:
        row, column = (int(i) for i in np.unravel_index(int(apart.argmax()), apart.shape))
        at, size = (0, 0, row, column), float(absolute[row, column])
        values = float(one[row, column]), float(other[row, column])
    mean = float(absolute.mean()) if absolute.size else 0.0
    ok = worst <= tolerance
    return Comparison(blob, left_name, right_name, size, worst, mean, at, ok, False, values)


def compare_all(
    order: Iterable[str],
    left: tuple[str, Mapping[str, np.ndarray]],
    right: tuple[str, Mapping[str, np.ndarray]],
    tolerance: float = TOLERANCE,
    detections: Container[str] = (),
) -> list[Comparison]:
    """Compare every blob that both sides have, in this order (that of the network).

    Those of `detections` are compared as rows.
    """
    return [
        (compare_detections if name in detections else compare)(
            name, (left[0], left[1][name]), (right[0], right[1][name]), tolerance
        )
        for name in order
        if name in left[1] and name in right[1]
    ]


def found(blob: np.ndarray) -> np.ndarray:
    """The rows that tell of something, K×7 in double precision."""
    rows = blob.reshape(-1, 7).astype(np.float64)
    told: np.ndarray = rows[(rows[:, 1:] != -1).any(1)]
    return told


def distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """K×7: how far apart, relative to the greatest magnitude of the column in `other`.

    Infinite where image or label differ, or where one is not a number and the other is.
    """
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.where(same, 0.0, np.abs(one - other))
    for columns in COLUMNS[1:]:
        sizes = np.abs(other[:, columns])
        apart[:, columns] /= max(float(sizes[np.isfinite(sizes)].max(initial=0)), 1e-6)
    apart[:, COLUMNS[0]] = np.where(same[:, COLUMNS[0]], 0.0, np.inf)
    apart[np.isnan(apart)] = np.inf
    return apart


def partners(one: np.ndarray, other: np.ndarray, tolerance: float) -> np.ndarray:
    """For each row of `one` the row of `other` to compare it with; each is taken once.

    Runs of one image whose neighbouring scores are equal within the tolerance take the nearest row
    of the same run; of any other row it is the one in the same place.
    """
    order = np.arange(len(one))
    scores = one[:, 2]
    finite = np.abs(scores[np.isfinite(scores)])
    limit = tolerance * max(float(finite.max(initial=0)), 1e-6)
    apart = ~(np.abs(np.diff(scores)) <= limit) | (np.diff(one[:, 0]) != 0)
    for run in np.split(order, np.flatnonzero(apart) + 1):
        left = list(run)
        for row in run if len(run) > 1 else ():
            beside = np.broadcast_to(one[row], (len(left), 7))
            nearest = int(distance(beside, other[left]).max(1).argmin())
            order[row] = left.pop(nearest)
    return order
