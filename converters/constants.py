"""Nodes whose inputs are known numbers, done at conversion.

Shape inference does not look into a Range: what is known of it stands as numbers instead, as it is
wherever a model's sizes are fixed. It also takes a row for a column, where the numbers of both are
known (ONNX 1.23): a column stands as a column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import helper

from .graph import Shape
from .shapes import is_fixed

__all__ = ["LONGEST", "fixed_dims", "folded"]

LONGEST = 1 << 16
"""How many numbers may stand in place of a node."""

Numbers = Sequence[np.ndarray]


def ranged(a: Numbers, attributes: Mapping[str, Any]) -> np.ndarray | None:
    start, limit, delta = (each.item() for each in a)
    if delta == 0 or abs((limit - start) / delta) > LONGEST:
        return None
    return np.arange(start, limit, delta, dtype=a[0].dtype)


def squeezed(a: Numbers, attributes: Mapping[str, Any]) -> np.ndarray:
    return np.squeeze(a[0], tuple(a[1].tolist()) if len(a) > 1 else None)


def unsqueezed(a: Numbers, attributes: Mapping[str, Any]) -> np.ndarray:
    return np.expand_dims(a[0], tuple(a[1].tolist()))


def cast(a: Numbers, attributes: Mapping[str, Any]) -> np.ndarray:
    return a[0].astype(helper.tensor_dtype_to_np_dtype(attributes["to"]))


ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
}
OTHERS: dict[str, Callable[[Numbers, Mapping[str, Any]], np.ndarray | None]] = {
    "Range": ranged,
    "Squeeze": squeezed,
    "Unsqueeze": unsqueezed,
    "Cast": cast,
}
"""Operators of whole numbers that are done here, as the ones above."""


def grows(numbers: Numbers) -> bool:
    """Whether numbers of these shapes, each with each, are more than any of them."""
    return np.broadcast(*numbers).size > max(each.size for each in numbers)


def fixed_dims(shape: Shape, attributes: Mapping[str, Any]) -> np.ndarray | None:
    """What Shape gives of a value of that shape, None where a dimension is open."""
    dims = shape[attributes.get("start", 0) : attributes.get("end", len(shape))]
    return np.array(dims, np.int64) if is_fixed(*dims) else None


def folded(
    op_type: str, numbers: Sequence[np.ndarray | None], attributes: Mapping[str, Any]
) -> np.ndarray | None:
    """What a node gives; None where that is not known, or would be long."""
    known = [each for each in numbers if each is not None]
    if op_type not in {*ARITHMETIC, *OTHERS} or not known or len(known) < len(numbers):
        return None
    if any(each.dtype not in (np.int64, np.int32) for each in known):
        return None
    if op_type in ARITHMETIC and grows(known):
        return None  # rows by columns: as numbers they would be as many as the plane has
    if op_type in ARITHMETIC:
        return np.asarray(ARITHMETIC[op_type](*known))
    return OTHERS[op_type](known, attributes)
