"""CropCenter, and demosaicnet's layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn


class CropCenter(nn.Module):
    """Without `sizes` of each axis at both ends."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)

    def extra_repr(self) -> str:
        return f"sizes={self.sizes}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for axis, size in enumerate(self.sizes):
            if size:
                x = x.narrow(axis, size, x.shape[axis] - 2 * size)
        return x


class CropLike(nn.Module):
    """The centre of N×C×H×W, as large as `like`."""

    def forward(self, x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        height, width = like.shape[2], like.shape[3]
        top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
        return x[:, :, top : top + height, left : left + width]


class Masked(nn.Module):
    """N×C×H×W with zeros wherever the mask (C×P×P, repeated) has them."""

    mask: torch.Tensor

    def __init__(self, mask: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("mask", torch.from_numpy(mask > 0), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        side = self.mask.shape[1]
        keep = self.mask.repeat(1, -(-x.shape[2] // side), -(-x.shape[3] // side))
        return torch.where(keep[:, : x.shape[2], : x.shape[3]], x, torch.zeros_like(x))


class PackBayer(nn.Module):
    """N×3×H×W to N×4×H/2×W/2: green, red, blue, green of each square."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        top, bottom = x[:, :, ::2], x[:, :, 1::2]
        parts = top[:, 1, :, ::2], top[:, 0, :, 1::2], bottom[:, 2, :, ::2], bottom[:, 1, :, 1::2]
        return torch.stack(parts, 1)


class ReplicateLike(nn.Module):
    """N numbers as N×1×H×W of the second's plane."""

    def forward(self, x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return x[:, None, None, None].expand(-1, 1, *like.shape[2:])
