"""LRN within channels, BatchNorm, Scale and Bias, MVN."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .parameters import parameter


class LRNWithinChannel(nn.Module):
    """Each number of N×C×H×W divided by what its neighbours of a square of `size` make."""

    def __init__(self, size: int, alpha: float, beta: float) -> None:
        super().__init__()
        self.size, self.alpha, self.beta = size, alpha, beta

    def extra_repr(self) -> str:
        return f"size={self.size}, alpha={self.alpha:g}, beta={self.beta:g}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = F.avg_pool2d(x * x, self.size, 1, self.size // 2)
        return x / (1 + self.alpha * mean) ** self.beta


class BatchNorm(nn.Module):
    """N×C×... normalised per channel; mean and variance are C, the scale factor 1.

    By the stored statistics always (`use_global_stats`), never, or, where that is None, in
    evaluation mode. In training the batch's statistics, which Caffe sums into the running ones.
    """

    mean: torch.Tensor
    variance: torch.Tensor
    scale_factor: torch.Tensor

    def __init__(
        self,
        mean: np.ndarray,
        variance: np.ndarray,
        scale_factor: np.ndarray,
        *,
        eps: float,
        moving_average_fraction: float,
        use_global_stats: bool | None,
    ) -> None:
        super().__init__()
        self.eps, self.moving_average_fraction = eps, moving_average_fraction
        self.use_global_stats = use_global_stats
        self.register_buffer("mean", torch.from_numpy(np.array(mean, np.float32)))
        self.register_buffer("variance", torch.from_numpy(np.array(variance, np.float32)))
        self.register_buffer("scale_factor", torch.from_numpy(np.array(scale_factor, np.float32)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns = (-1, *[1] * (x.ndim - 2)) if x.ndim > 1 else (1,)
        chosen = self.use_global_stats
        use_stored = (not self.training) if chosen is None else chosen
        if use_stored:
            factor = self.scale_factor
            share = torch.where(factor == 0, torch.zeros_like(factor), 1 / factor)
            mean = (self.mean * share).reshape(columns)
            variance = (self.variance * share).reshape(columns)
        else:
            axes = [i for i in range(x.ndim) if i != 1]
            mean = x.mean(axes, keepdim=True)
            variance = (x - mean).pow(2).mean(axes, keepdim=True)
            if self.training:
                self.update(mean.flatten(), variance.flatten(), x.numel() // mean.numel())
        return (x - mean) / (variance + self.eps).sqrt()

    @torch.no_grad()
    def update(self, mean: torch.Tensor, variance: torch.Tensor, count: int) -> None:
        """Sum a batch's statistics, of `count` numbers a channel, into the running ones."""
        keep = self.moving_average_fraction
        self.scale_factor.mul_(keep).add_(1)
        self.mean.mul_(keep).add_(mean)
        unbiased = count / (count - 1) if count > 1 else 1
        self.variance.mul_(keep).add_(variance, alpha=unbiased)


class Broadcast(nn.Module):
    """Scale and Bias: the first operand is a factor with `multiply`; the rest is added.

    Operands are the second input, where there is one, and then the blobs, in their order, which
    keep their names. An operand of k axes spans those from `axis` on of the first input; a scalar
    all of them.
    """

    def __init__(self, blobs: Mapping[str, np.ndarray], axis: int, multiply: bool) -> None:
        super().__init__()
        for name, blob in blobs.items():
            self.register_parameter(name, parameter(blob))
        self.names, self.axis, self.multiply = tuple(blobs), axis, multiply

    def forward(self, x: torch.Tensor, *other: torch.Tensor) -> torch.Tensor:
        operands = [*other, *(getattr(self, name) for name in self.names)]
        for index, operand in enumerate(operands):
            after = x.ndim - self.axis - operand.ndim if operand.ndim else 0
            first = operand.reshape((*operand.shape, *[1] * after))
            x = x * first if self.multiply and index == 0 else x + first
        return x


class MVN(nn.Module):
    """N×C×H×W less its mean over each channel, or each image with `across_channels`.

    With `normalize_variance` also divided by the root of the variance, plus `eps`.
    """

    def __init__(self, across_channels: bool, normalize_variance: bool, eps: float) -> None:
        super().__init__()
        self.across_channels, self.normalize_variance = across_channels, normalize_variance
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        axes = (1, 2, 3) if self.across_channels else (2, 3)
        centred = x - x.mean(axes, keepdim=True)
        if not self.normalize_variance:
            return centred
        return centred / (centred.pow(2).mean(axes, keepdim=True).sqrt() + self.eps)
