"""What float32 can hold: blobs beyond it say nothing of whether a model is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from converters import Graph

MAX = float(np.finfo(np.float32).max)
"""Caffe's own mark: a maximum over nothing is -MAX. It is no overflow."""

LARGEST = float(np.sqrt(MAX))
"""1.8e19: the product of two greater numbers is infinite."""


def beyond(blob: np.ndarray) -> str:
    """How a blob leaves float32's useful range: ``is infinite``; empty where it does not."""
    if not np.issubdtype(blob.dtype, np.floating) or not blob.size:
        return ""
    if np.isnan(blob).any():
        return "is not a number"
    sizes = np.abs(blob)
    largest = float(sizes[sizes != MAX].max(initial=0))
    if np.isinf(largest):
        return "is infinite"
    return f"reaches {largest:.2g}" if largest > LARGEST else ""


def all_beyond(blob: np.ndarray) -> bool:
    """Whether a blob of floats has no number in it at all, so that two of them agree by nothing."""
    floats = np.issubdtype(blob.dtype, np.floating) and blob.size
    return bool(floats and not np.isfinite(blob).any())


def out_of_range(graph: Graph, blobs: Mapping[str, np.ndarray]) -> dict[str, str]:
    """By blob of the network, why it is not to be judged; a blob that is, is not in it.

    `blobs` are those of one side: inputs and, as far as it has them, what is inside. What is made
    of a blob beyond float32's range is beyond judgement, too.
    """
    found: dict[str, str] = {}

    def look(names: Iterable[str], before: Iterable[str]) -> None:
        cause = next((found[name] for name in before if name in found), "")
        for name in names:
            own = beyond(blobs[name]) if name in blobs else ""
            reason = cause or (own and f"blob {name!r} {own}")
            if reason:
                found[name] = reason

    for value in graph.inputs:
        look([value.name], ())
    for node in graph.nodes:
        look([v.name for v in node.outputs], [v.name for v in node.inputs])
    return found
