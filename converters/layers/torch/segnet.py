"""SegNet's Upsample without a mask."""

from __future__ import annotations

import torch
from torch import nn


class Repeat(nn.Module):
    """N×C×H×W with each number repeated `scale` times along both axes of the plane."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def extra_repr(self) -> str:
        return f"scale={self.scale}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)
