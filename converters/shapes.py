"""Arithmetic on dimensions that may be left open.

An open dimension is the text of an expression in the input's symbols (``height``,
``ceil(height/2)``); two dimensions are known to be equal when they are the same text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from prototxt.shapes import shape_text

from .graph import Dim, Shape

__all__ = [
    "MOST",
    "TOO_LARGE",
    "OpenDimension",
    "added",
    "convolved",
    "deconvolved",
    "factored",
    "fixed",
    "is_fixed",
    "known",
    "known_product",
    "overhang",
    "pooled",
    "product",
    "text",
]


MOST = 2**31 - 1
"""Numbers of a blob; Caffe refuses more, too (blob.cpp)."""
TOO_LARGE = "holds more than 2^31-1 numbers, Caffe's most"


class OpenDimension(Exception):
    """A layer needs a number where the dimension was left open; the builder then fixes it."""

    node: Any = None
    """The layer."""


def text(shape: Shape) -> str:
    """``1x3x128x128``, as errors and tables print a shape; a scalar is ``()``."""
    return shape_text(shape, "()")


def is_fixed(*dims: Dim) -> bool:
    """Whether every dimension is a number."""
    return all(isinstance(d, int) for d in dims)


def known(dim: Dim) -> int:
    """The number, or OpenDimension where it is a symbol."""
    if isinstance(dim, int):
        return dim
    raise OpenDimension(dim)


def fixed(shape: Shape) -> tuple[int, ...]:
    """The shape as numbers, or OpenDimension where one is a symbol."""
    return tuple(known(d) for d in shape)


def product(dims: Shape) -> int:
    """The number of elements; OpenDimension where a dimension is open."""
    return math.prod(fixed(dims))


def known_product(dims: Shape) -> int:
    """The product of those dimensions that are numbers."""
    return math.prod(dim for dim in dims if isinstance(dim, int))


def convolved(dim: Dim, kernel: int, pad: int, stride: int, dilation: int = 1) -> Dim:
    """Output size of a convolution: floor((dim + 2 pad - extent) / stride) + 1."""
    change = 2 * pad - (dilation * (kernel - 1) + 1)
    if not isinstance(dim, str):
        return (dim + change) // stride + 1
    if stride == 1:
        return plus(dim, change + 1)
    return f"floor(({plus(dim, change)})/{stride})+1"


def deconvolved(dim: Dim, kernel: int, pad: int, stride: int, dilation: int = 1) -> Dim:
    """Output size of a deconvolution: stride (dim - 1) + extent - 2 pad."""
    extent = dilation * (kernel - 1) + 1
    if isinstance(dim, int):
        return stride * (dim - 1) + extent - 2 * pad
    if stride == 1:
        return plus(dim, extent - 1 - 2 * pad)
    return plus(f"{stride}*({dim})", extent - stride - 2 * pad)


def pooled(
    dim: Dim, kernel: int, pad: int, stride: int, ceil: bool = True, clip: bool | None = None
) -> Dim:
    """Output size of a pooling (pooling_layer.cpp): rounded up, and clipped where padded.

    The clip drops a last window that would start in the padding behind the image. Caffe clips
    both axes where either is padded: `clip` says so; None is where this axis is.
    """
    clip = bool(pad) if clip is None else clip
    change = 2 * pad - kernel
    if not isinstance(dim, str):  # torch.export traces sizes that are no int either
        span = dim + change
        out = (-(-span // stride) if ceil else span // stride) + 1
        if clip and (out - 1) * stride >= dim + pad:
            out -= 1
        return out
    if kernel == stride and pad == 0:
        way = "ceil" if ceil else "floor"
        # Rounding down or up twice is rounding once: ceil(ceil(h/2)/2) is ceil(h/4).
        if nested := re.fullmatch(rf"{way}\((\w+)/(\d+)\)", dim):
            return f"{way}({nested[1]}/{int(nested[2]) * stride})"
        return f"{way}({dim}/{stride})"
    if stride == 1 and not (pad and kernel <= pad):
        return plus(dim, change + 1)
    if pad or (clip and stride > kernel):
        return f"pooled({dim},{kernel},{pad},{stride},{'ceil' if ceil else 'floor'})"
    return f"{'ceil' if ceil else 'floor'}(({plus(dim, change)})/{stride})+1"


def overhang(size: int, out: int, kernel: int, pad: int, stride: int) -> int:
    """How far the last of `out` windows reaches behind the axis (at least 0)."""
    return max(0, (out - 1) * stride + kernel - size - pad)


def factored(dim: str) -> tuple[int, str]:
    """The whole number that a symbol is a multiple of, and the rest: 3 and ``h`` of ``3*(h)``."""
    match = re.fullmatch(r"(\d+)\*\((.*)\)", dim)
    depth = 0
    for sign in match[2] if match else "":
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if depth < 0:  # the bracket that ends the text is not the one that begins it
            return 1, dim
    return (int(match[1]), match[2]) if match else (1, dim)


def added(dims: Sequence[Dim]) -> Dim:
    """The sum: a number where all are."""
    total = sum(dim for dim in dims if isinstance(dim, int))
    symbols = [dim for dim in dims if isinstance(dim, str)]
    return plus("+".join(symbols), total) if symbols else total


def plus(dim: str, change: int) -> str:
    return dim if change == 0 else f"{dim}{change:+d}"
