"""Convolutions that PyTorch's modules do not have; BiasLayer's plane."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .parameters import parameter

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
"""By number of spatial axes."""


class GeneralConvolution(nn.Module):
    """Convolution over any axis, of several inputs, or over no spatial axis at all.

    Inputs ...×C×spatial, where C is at `axis` and as many spatial axes follow as `stride` has
    numbers; what stands before `axis` is a batch. Gives as many tensors ...×C'×spatial'.
    """

    def __init__(
        self,
        weight: np.ndarray,
        bias: np.ndarray | None,
        axis: int,
        *,
        stride: tuple[int, ...],
        pad: tuple[int, ...],
        dilation: tuple[int, ...],
        groups: int,
        transposed: bool,
    ) -> None:
        super().__init__()
        self.weight = parameter(weight)
        self.bias = None if bias is None else parameter(bias)
        self.axis, self.stride, self.pad, self.dilation = axis, stride, pad, dilation
        self.groups, self.transposed = groups, transposed

    def one(self, x: torch.Tensor) -> torch.Tensor:
        """The convolution of one input."""
        lead, axes = x.shape[: self.axis], len(self.stride)
        x = x.reshape(math.prod(lead), *x.shape[self.axis :])
        weight: torch.Tensor = self.weight
        if not axes:
            x, weight = x[..., None], weight[..., None]
        function = (TRANSPOSED if self.transposed else CONVOLUTIONS)[max(axes, 1)]
        y = function(
            x,
            weight,
            self.bias,
            stride=self.stride or 1,
            padding=self.pad or 0,
            dilation=self.dilation or 1,
            groups=self.groups,
        )
        return y.reshape(*lead, *y.shape[1 : 2 + axes])

    def forward(self, *xs: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        ys = tuple(self.one(x) for x in xs)
        return ys if len(ys) > 1 else ys[0]


class BiasPlane(nn.Module):
    """A bias for each channel (C) over the plane of N×...×H×W: N×C×H×W."""

    def __init__(self, bias: np.ndarray) -> None:
        super().__init__()
        self.bias = parameter(bias)

    def forward(self, like: torch.Tensor) -> torch.Tensor:
        n, _, height, width = like.shape
        return self.bias[None, :, None, None].expand(n, -1, height, width)
