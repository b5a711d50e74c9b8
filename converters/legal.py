"""What a layer may be fed where not every number is legal: labels, indices, markers, regions.

A layer type says so by `LayerType.legal`; `legal_inputs` carries it up to the graph's inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .graph import Node, Value

__all__ = ["Boxes", "ImageInfo", "Integers", "Interval", "Legal", "Regions"]


@dataclass(frozen=True)
class Integers:
    """Whole numbers from `low` to `high`, both included. `some` asks for one above `low`."""

    low: int
    high: int
    some: bool = False


@dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`."""

    low: float
    high: float


@dataclass(frozen=True)
class Regions:
    """Rows image, x1, y1, x2, y2 in pixels: image below `images`, corners within the image."""

    images: int
    height: float
    width: float


@dataclass(frozen=True)
class Boxes:
    """SSD's priors, 1×2×4P: corners as shares of the image, then their variances."""


@dataclass(frozen=True)
class ImageInfo:
    """Faster R-CNN's im_info: height, width, scale."""

    height: int
    width: int


Legal = Integers | Interval | Regions | Boxes | ImageInfo


def classes(value: Value, axis: int = 1) -> Integers:
    """Labels of scores whose classes lie along `axis`."""
    size = value.shape[axis] if -len(value.shape) <= axis < len(value.shape) else 1
    return Integers(0, size - 1 if isinstance(size, int) else 0)


def rows(value: Value) -> Integers:
    """Indices of the rows of a value."""
    size = value.shape[0]
    return Integers(0, size - 1 if isinstance(size, int) else 0)


def plane_indices(node: Node[Any]) -> Integers:
    """Indices into the H×W plane of a node's first output."""
    height, width = node.outputs[0].shape[-2:]
    fixed = isinstance(height, int) and isinstance(width, int)
    return Integers(0, int(height) * int(width) - 1 if fixed else 0)


def regions(node: Node[Any], spatial_scale: float) -> Regions:
    """Regions of an image whose feature map is `node`'s first bottom."""
    count, _, height, width = node.inputs[0].shape
    sizes = [dim if isinstance(dim, int) else 1 for dim in (count, height, width)]
    scale = spatial_scale or 1.0
    return Regions(sizes[0], sizes[1] / scale, sizes[2] / scale)
