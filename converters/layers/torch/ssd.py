"""SSD's Permute, Normalize and PriorBox."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .parameters import parameter


class Permute(nn.Module):
    """The axes in another order."""

    def __init__(self, order: list[int]) -> None:
        super().__init__()
        self.order = order

    def extra_repr(self) -> str:
        return f"{self.order}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(self.order)


class Normalize(nn.Module):
    """N×C×... divided by its length over `axes` and scaled by a weight of C numbers, or of 1."""

    def __init__(self, weight: np.ndarray, axes: tuple[int, ...], eps: float) -> None:
        super().__init__()
        self.weight = parameter(weight)
        self.axes, self.eps = axes, eps

    def extra_repr(self) -> str:
        return f"axes={self.axes}, eps={self.eps:g}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        norm = (x.pow(2).sum(self.axes, keepdim=True) + self.eps).sqrt()
        return x / norm * self.weight.reshape(-1, *[1] * (x.ndim - 2))


class Priors(nn.Module):
    """The boxes and variances, 1×2×4P, whatever the features and the image are."""

    boxes: torch.Tensor

    def __init__(self, boxes: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("boxes", torch.from_numpy(boxes), persistent=False)

    def forward(self, features: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        return self.boxes


class FusedConcat(nn.Module):
    """Maps N×C×H×W, channels last, flattened, one behind the other: N×K×1×1."""

    def forward(self, *maps: torch.Tensor) -> torch.Tensor:
        parts = [x.permute(0, 2, 3, 1).flatten(1) for x in maps]
        return torch.cat(parts, 1)[:, :, None, None]
