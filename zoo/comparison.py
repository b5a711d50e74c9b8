"""How far two computations of the same blobs lie apart, and where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

TOLERANCE = 1e-4
"""Of a float blob: largest difference allowed, relative to the blob's largest magnitude."""

FLIPS = 1e-5
"""Of a mask: share of switches that rounding may flip. Caffe itself flips about one in a million
from one BLAS thread to two, where two values of a window are equal but for rounding."""


@dataclass(frozen=True)
class Comparison:
    """One blob of `left` against the same blob of `right`."""

    blob: str
    left: str
    right: str
    max_abs: float
    """Largest absolute difference; of masks the number of switches that differ."""
    max_rel: float
    """The same relative to the largest magnitude in `right`; of masks the share that differs."""
    mean_abs: float
    at: tuple[int, ...]
    """Index of the largest difference (of a mask: of the first one)."""
    ok: bool
    mask: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        """`blob 'x' departs: torch against onnx, ...` in one line."""
        where = f"at [{', '.join(map(str, self.at))}]" if self.at else ""
        if self.mask:
            size = f"{self.max_abs:.0f} switches differ ({self.max_rel:.3%}), the first {where}"
        else:
            size = f"max abs {self.max_abs:.4g}, max rel {self.max_rel:.4g} {where}"
        return f"blob {self.blob!r} departs, {self.left} against {self.right}: {size}"


def compare(
    blob: str,
    left: tuple[str, np.ndarray],
    right: tuple[str, np.ndarray],
    tolerance: float = TOLERANCE,
    flipped: bool = False,
) -> Comparison:
    """Compare one blob. `flipped` says that a switch before it differs (within what is allowed):
    then single values may be far apart, and the mean difference is what must be small.
    """
    (left_name, a), (right_name, b) = left, right
    mask = np.issubdtype(a.dtype, np.integer)
    if a.shape != b.shape:
        inf = float("inf")
        return Comparison(blob, left_name, right_name, inf, inf, inf, (), False, mask)
    if not a.size:
        return Comparison(blob, left_name, right_name, 0.0, 0.0, 0.0, (), True, mask)
    if mask:
        wrong = a != b.astype(a.dtype)
        count = int(wrong.sum())
        at = np.unravel_index(int(wrong.argmax()), a.shape) if count else ()
        share = count / a.size
        return Comparison(
            blob, left_name, right_name, count, share, share, _index(at), share <= FLIPS, True
        )
    x, y = a.astype(np.float64), b.astype(np.float64)
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(x - y))
    apart = np.where(np.isnan(apart), np.inf, apart)
    finite = np.abs(y[np.isfinite(y)])
    scale = max(float(finite.max()) if finite.size else 0.0, 1e-6)
    worst = float(apart.max())
    mean = float(apart.mean())
    at = np.unravel_index(int(apart.argmax()), apart.shape) if worst else ()
    ok = (mean if flipped else worst) <= tolerance * scale
    return Comparison(
        blob, left_name, right_name, worst, worst / scale, mean, _index(at), ok, False
    )


def compare_all(
    order: Iterable[str],
    left: tuple[str, Mapping[str, np.ndarray]],
    right: tuple[str, Mapping[str, np.ndarray]],
    tolerance: float = TOLERANCE,
) -> list[Comparison]:
    """Compare every blob that both sides have, in this order (that of the network)."""
    found: list[Comparison] = []
    names = [name for name in order if name in left[1] and name in right[1]]
    masks = [name for name in names if np.issubdtype(left[1][name].dtype, np.integer)]
    flipped = any(
        not np.array_equal(left[1][name], right[1][name].astype(left[1][name].dtype))
        for name in masks
    )
    for name in names:
        found.append(
            compare(name, (left[0], left[1][name]), (right[0], right[1][name]), tolerance, flipped)
        )
    return found


def near_ties(
    left: np.ndarray, right: np.ndarray, plane: np.ndarray, tolerance: float = TOLERANCE
) -> bool:
    """Whether two N×C×h×w masks differ only where rounding decides: every pair of switches points
    at values of the pooled N×C×H×W blob `plane` that are equal within the tolerance.
    """
    if left.shape != right.shape or left.shape[:2] != plane.shape[:2]:
        return False
    values = plane.reshape(*plane.shape[:2], -1).astype(np.float64)
    one, other = (mask.astype(np.int64).reshape(*left.shape[:2], -1) for mask in (left, right))
    size = values.shape[-1]
    if min(one.min(), other.min()) < 0 or max(one.max(), other.max()) >= size:
        return False
    apart = np.take_along_axis(values, one, -1) - np.take_along_axis(values, other, -1)
    return bool(np.abs(apart).max() <= tolerance * max(float(np.abs(values).max()), 1e-6))


def _index(at: Iterable[Any]) -> tuple[int, ...]:
    return tuple(int(i) for i in at)
