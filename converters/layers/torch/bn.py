"""BN of DeconvNet, SegNet and PSPNet."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .parameters import parameter


class BN(nn.Module):
    """N×C×H×W normalised, scaled and shifted; blobs 1×C×1×1.

    Without `mean` and `variance` it is DeconvNet's and SegNet's: by the batch's own statistics, or,
    with `affine_only`, scale x + shift and nothing else. With them it is PSPNet's: by the running
    statistics always (`use_running`), never, or, where that is None, in evaluation mode; in
    training they move by 1 - `momentum`. With `tops` 2 and 3 it returns mean and variance too.
    """

    mean: torch.Tensor
    variance: torch.Tensor

    def __init__(
        self,
        weight: np.ndarray,
        bias: np.ndarray,
        mean: np.ndarray | None = None,
        variance: np.ndarray | None = None,
        *,
        eps: float,
        momentum: float = 0.9,
        affine_only: bool = False,
        use_running: bool | None = None,
        tops: int = 1,
    ) -> None:
        super().__init__()
        self.running = mean is not None
        self.eps, self.momentum, self.tops = eps, momentum, tops
        self.affine_only, self.use_running = affine_only, use_running
        self.weight, self.bias = parameter(weight), parameter(bias)
        if mean is not None:
            self.register_buffer("mean", torch.from_numpy(np.array(mean, np.float32)))
            self.register_buffer("variance", torch.from_numpy(np.array(variance, np.float32)))

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        if self.affine_only:
            return x * self.weight + self.bias
        stored = not self.training if self.use_running is None else self.use_running
        if self.running and stored:
            mean, variance = self.mean, self.variance
        else:
            mean = x.mean((0, 2, 3), keepdim=True)
            variance = (x - mean).pow(2).mean((0, 2, 3), keepdim=True)
            if self.running and self.training:
                with torch.no_grad():
                    self.mean.lerp_(mean, 1 - self.momentum)
                    self.variance.lerp_(variance, 1 - self.momentum)
        y = (x - mean) / (variance + self.eps).sqrt() * self.weight + self.bias
        return (y, mean, variance)[: self.tops] if self.tops > 1 else y
