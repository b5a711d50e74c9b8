"""The product of SphereFace's last layer."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .parameters import parameter


class NormalizedProduct(nn.Module):
    """x · w over all axes from `axis` on, of rows w of length 1; with `margin`, that number too."""

    def __init__(self, weight: np.ndarray, axis: int, margin: float | None) -> None:
        super().__init__()
        self.weight = parameter(weight)
        self.axis, self.margin = axis, margin

    def extra_repr(self) -> str:
        return f"axis={self.axis}"

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        y = x.flatten(self.axis) @ self.weight.T
        if self.margin is None:
            return y
        return y, torch.full((1,), self.margin, dtype=x.dtype, device=x.device)
