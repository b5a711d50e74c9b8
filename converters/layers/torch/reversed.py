"""Layers of a reversed network: what sends values back through the forward layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .convolution import TRANSPOSED
from .parameters import parameter


class ConvolutionTranspose(nn.Module):
    """A convolution's transpose: N×C'×spatial' to N×C×spatial.

    The spatial axes are `size`; where that is None, those of a second input, or else what the
    transpose gives without its pads.
    """

    def __init__(
        self,
        weight: np.ndarray,
        *,
        stride: tuple[int, ...],
        pad: tuple[int, ...],
        dilation: tuple[int, ...],
        groups: int,
        size: tuple[int, ...] | None,
    ) -> None:
        super().__init__()
        self.weight = parameter(weight)
        self.stride, self.pad, self.dilation = stride, pad, dilation
        self.groups, self.size = groups, size

    def forward(self, p: torch.Tensor, *like: torch.Tensor) -> torch.Tensor:
        function = TRANSPOSED[len(self.stride)]
        y = function(p, self.weight, None, self.stride, 0, 0, self.groups, self.dilation)
        wanted: Sequence[int] = (like[0] if like else y).shape[2:]
        if self.size is not None:
            wanted = self.size
        elif not like:
            wanted = [n - 2 * pad for n, pad in zip(wanted, self.pad, strict=True)]
        pads: list[int] = []
        for n, pad, have in zip(wanted, self.pad, y.shape[2:], strict=True):
            pads = [-pad, n + pad - have, *pads]
        return F.pad(y, pads)


class InnerProductTranspose(nn.Module):
    """Rows ...×D back to ...×`tail` by the weight D×K, or K×D with `transpose`; K is all of tail.

    `axis` axes stand before D.
    """

    def __init__(
        self, weight: np.ndarray, axis: int, transpose: bool, tail: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.weight = parameter(weight)
        self.axis, self.transpose, self.tail = axis, transpose, tail

    def forward(self, p: torch.Tensor) -> torch.Tensor:
        weight = self.weight.t() if self.transpose else self.weight
        return (p @ weight).reshape(*p.shape[: self.axis], *self.tail)


class ReLUMask(nn.Module):
    """1 where x is above 0, elsewhere the slope, which broadcasts to x."""

    slope: torch.Tensor

    def __init__(self, slope: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("slope", torch.from_numpy(slope.copy()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x > 0, torch.ones_like(x), self.slope.expand_as(x))


class LRNGradient(nn.Module):
    """LRN's back-propagation of p at x, both N×C×H×W.

    With s = k + alpha mean(x²): p s^-beta - 2 alpha beta x mean(p x s^(-beta-1)); the mean is over
    `size` channels or, with `within`, over squares of `size`, absent neighbours counted as 0.
    """

    def __init__(self, size: int, alpha: float, beta: float, k: float, within: bool) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k, self.within = size, alpha, beta, k, within

    def mean(self, x: torch.Tensor) -> torch.Tensor:
        """The mean over each number's neighbours."""
        size, pad = self.size, self.size // 2
        if self.within:
            return F.avg_pool2d(x, size, 1, pad)
        planes = F.avg_pool2d(x.flatten(2)[:, None], (size, 1), 1, (pad, 0))
        return planes.reshape(x.shape)

    def forward(self, p: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        base = self.k + self.alpha * self.mean(x * x)
        direct = p * base**-self.beta
        return direct - 2 * self.alpha * self.beta * x * self.mean(direct * x / base)


class Unflatten(nn.Module):
    """The numbers in the shape of a second input, or in `dims`, where -1 is what remains."""

    def __init__(self, dims: list[int]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, p: torch.Tensor, *like: torch.Tensor) -> torch.Tensor:
        return p.reshape(like[0].shape if like else self.dims)


class PadAxis(nn.Module):
    """Zeros before and behind the values along one axis."""

    def __init__(self, axis: int, before: int, behind: int) -> None:
        super().__init__()
        self.axis, self.before, self.behind = axis, before, behind

    def extra_repr(self) -> str:
        return f"axis={self.axis}, {self.before}, {self.behind}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pad(x, [0, 0] * (x.ndim - 1 - self.axis) + [self.before, self.behind])
