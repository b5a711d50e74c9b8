"""Spatial dropout that is at rest."""

from __future__ import annotations

import torch
from torch import nn


class Scaled(nn.Module):
    """A tensor times a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def extra_repr(self) -> str:
        return f"factor={self.factor:g}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor
