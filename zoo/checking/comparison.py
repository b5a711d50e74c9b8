"""How far two computations of the same blobs lie apart, and where."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from prototxt.shapes import shape_text

Blobs = dict[str, np.ndarray]

TOLERANCE = 1e-4
"""Of a float blob: largest difference allowed, relative to the blob's largest magnitude."""

FLIPS = 1e-5
"""Of a mask that came without the blob that was pooled: share of switches that may choose another
of equal values. Caffe itself flips about one in a million from one BLAS thread to two."""


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
    values: tuple[float, float] | None = None
    """What both have there, left first; None where nothing differs or the shapes do."""
    shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    """Both shapes, where they differ."""
    input: str = ""
    """Which input it was found on."""
    layer: str = ""
    """The layer that makes the blob, and its place: ``'conv1' (Convolution), net.prototxt:7``."""
    rounding: bool = False
    """Farther apart than the tolerance, and `ok` all the same: rounding alone decided."""
    unjudged: str = ""
    """Why nothing can be said of it, and `ok` means nothing: it leaves what float32 can hold."""

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, for `--json`."""
        return asdict(self)

    def sentence(self) -> str:
        """`blob 'x' departs: torch against onnx, ...` in one line."""
        if self.shapes:
            size = " against ".join(shape_text(s, "a scalar") for s in self.shapes)
        else:
            values = " against ".join(f"{v:.9g}" for v in self.values or ())
            where = f"at [{', '.join(map(str, self.at))}]" + (f" ({values})" if values else "")
            if self.mask:
                size = f"{self.max_abs:.0f} switches differ ({self.max_rel:.3%}), the first {where}"
            else:
                size = f"max abs {self.max_abs:.4g}, max rel {self.max_rel:.4g} {where}"
        found = f"blob {self.blob!r} departs, {self.left} against {self.right}"
        found += f", on {self.input}" if self.input else ""
        return f"{found}: {size}" + (f"; layer {self.layer}" if self.layer else "")


def compare(
    blob: str,
    left: tuple[str, np.ndarray],
    right: tuple[str, np.ndarray],
    tolerance: float = TOLERANCE,
) -> Comparison:
    """Compare one blob: float ones within the tolerance, masks to the last index."""
    (left_name, a), (right_name, b) = left, right
    mask = np.issubdtype(a.dtype, np.integer)

    def found(worst: float, share: float, mean: float, flat: int | None, ok: bool) -> Comparison:
        at = () if flat is None else tuple(int(i) for i in np.unravel_index(flat, a.shape))
        values = None if flat is None else (float(a.flat[flat]), float(b.flat[flat]))
        shapes = None if a.shape == b.shape else (a.shape, b.shape)
        return Comparison(
            blob, left_name, right_name, worst, share, mean, at, ok, mask, values, shapes
        )

    if a.shape != b.shape:
        return found(np.inf, np.inf, np.inf, None, False)
    if not a.size:
        return found(0.0, 0.0, 0.0, None, True)
    if mask:
        wrong = a != b.astype(a.dtype)
        count = int(wrong.sum())
        share = count / a.size
        return found(count, share, share, int(wrong.argmax()) if count else None, not count)
    x, y = a.astype(np.float64), b.astype(np.float64)
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(x - y))
    apart = np.where(np.isnan(apart), np.inf, apart)
    finite = np.abs(y[np.isfinite(y)])
    scale = max(float(finite.max()) if finite.size else 0.0, 1e-6)
    worst = float(apart.max())
    place = int(apart.argmax()) if worst else None
    return found(worst, worst / scale, float(apart.mean()), place, worst <= tolerance * scale)


def same(name: str, left: np.ndarray, right: np.ndarray, tolerance: float) -> bool:
    """Whether two arrays of one blob agree, as `compare` judges it."""
    return compare(name, ("", left), ("", right), tolerance).ok


def near_ties(
    left: np.ndarray, right: np.ndarray, plane: np.ndarray, tolerance: float = TOLERANCE
) -> bool:
    """Whether two N×C×h×w masks differ only where rounding may have decided.

    For a mask of which nobody knows what was pooled: `plane` is what we pooled there, N×C×H×W. Each
    pair of switches must point at values of it that are equal within the tolerance; values that are
    the same number are a tie that a rule decides and not rounding, so that few of them may differ.
    """
    if left.shape != right.shape or left.shape[:2] != plane.shape[:2]:
        return False
    values = plane.reshape(*plane.shape[:2], -1).astype(np.float64)
    one, other = (mask.astype(np.int64).reshape(*left.shape[:2], -1) for mask in (left, right))
    size = values.shape[-1]
    if min(one.min(), other.min()) < 0 or max(one.max(), other.max()) >= size:
        return False
    apart = np.take_along_axis(values, one, -1) - np.take_along_axis(values, other, -1)
    tied = int(((apart == 0) & (one != other)).sum())
    if tied > FLIPS * left.size:
        return False
    return bool(np.abs(apart).max() <= tolerance * max(float(np.abs(values).max()), 1e-6))
