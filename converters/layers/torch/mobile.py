"""Activations of networks for phones and of SENet."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class LeakyReLU6(nn.Module):
    """max(x, 0) + slope min(x, 0), at most 6."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def extra_repr(self) -> str:
        return f"slope={self.slope:g}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.leaky_relu(x, self.slope).clamp(max=6)


class SeLU(nn.Module):
    """lambda x above 0, lambda alpha (exp(x) - 1) below."""

    def __init__(self, lambda_: float, alpha: float) -> None:
        super().__init__()
        self.lambda_, self.alpha = lambda_, alpha

    def extra_repr(self) -> str:
        return f"lambda={self.lambda_:g}, alpha={self.alpha:g}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lambda_ * F.elu(x, self.alpha)


class Axpy(nn.Module):
    """a x + y: a is N×C(×1×1), x and y are N×C×H×W."""

    def forward(self, a: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        gate = a.reshape(*a.shape[:2], *[1] * (x.ndim - 2))
        return gate * x + y
