"""Reduction."""

from __future__ import annotations

import torch
from torch import nn


class Reduction(nn.Module):
    """`coeff` times the SUM, ASUM, SUMSQ or MEAN over all axes from `axis` on."""

    def __init__(self, operation: str, axis: int, coeff: float) -> None:
        super().__init__()
        self.operation, self.axis, self.coeff = operation, axis, coeff

    def extra_repr(self) -> str:
        return f"{self.operation}, axis={self.axis}, coeff={self.coeff}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        axes = tuple(range(self.axis, x.ndim))
        if self.operation == "ASUM":
            x = x.abs()
        elif self.operation == "SUMSQ":
            x = x.square()
        y = x.mean(axes) if self.operation == "MEAN" else x.sum(axes)
        return y * self.coeff
