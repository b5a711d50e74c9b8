"""Unpooling without a mask of switches; by one it is `pooling.MaxUnpool`."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .pooling import MaxUnpool


class AsNumbers(nn.Module):
    """A mask, int64, as float32."""

    def forward(self, mask: torch.Tensor) -> torch.Tensor:
        return mask.float()


class CornerUnpool(nn.Module):
    """N×C×h×w, each value to the place of N×C×`size` that the mask (1×1×h×w, int64) names."""

    mask: torch.Tensor

    def __init__(self, mask: np.ndarray, size: tuple[int, int] | None) -> None:
        super().__init__()
        self.register_buffer("mask", torch.from_numpy(mask), persistent=False)
        self.unpool = MaxUnpool(size, False, (1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.unpool(x, self.mask.expand(*x.shape))
        return y


class WindowUnpool(nn.Module):
    """N×C×h×w, each value times its share (1×1×h×w, or one for all) all over its window.

    Overlaps add up; `fit` rows and columns are then added behind, or cut where negative.
    """

    share: torch.Tensor

    def __init__(
        self,
        share: np.ndarray,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        fit: tuple[int, int],
    ) -> None:
        super().__init__()
        self.register_buffer("share", torch.from_numpy(share), persistent=False)
        self.kernel, self.stride, self.fit = kernel, stride, fit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ones = x.new_ones(x.shape[1], 1, *self.kernel)
        y = F.conv_transpose2d(x * self.share, ones, stride=self.stride, groups=x.shape[1])
        return F.pad(y, (0, self.fit[1], 0, self.fit[0]))
