"""Losses over distances: contrastive, smooth L1."""

from __future__ import annotations

import torch
from torch import nn

from .losses import straight_through


def distance(difference: torch.Tensor) -> torch.Tensor:
    """The length of each row; the gradient is difference / (length + 1e-4)."""
    fixed = difference.detach()
    length = fixed.pow(2).sum(1).sqrt()
    return straight_through((difference * fixed).sum(1) / (length + 1e-4), length)


class ContrastiveLoss(nn.Module):
    """Pairs of N×... drawn together where the label is not 0, else apart up to `margin`.

    With `legacy_version` the margin is one of squared distances.
    """

    def __init__(self, margin: float, legacy_version: bool) -> None:
        super().__init__()
        self.margin, self.legacy_version = margin, legacy_version

    def forward(
        self, first: torch.Tensor, second: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        difference = first.flatten(1) - second.flatten(1)
        squared = difference.pow(2).sum(1)
        if self.legacy_version:
            apart = (self.margin - squared).relu()
        else:
            apart = (self.margin - distance(difference)).relu().pow(2)
        similar = labels.reshape(-1).long() != 0
        return torch.where(similar, squared, apart).sum() / (2 * len(first))


class SmoothL1Loss(nn.Module):
    """Squares of small differences and amounts of large ones, of N×..., summed per image.

    The border is 1 / `sigma`². Perhaps with weights, as many as values, of the differences
    (inside) and of the terms (outside).
    """

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(
        self, prediction: torch.Tensor, target: torch.Tensor, *weights: torch.Tensor
    ) -> torch.Tensor:
        squared = self.sigma**2
        d = prediction - target.reshape(prediction.shape)
        inside, outside = (*(w.reshape(d.shape) for w in weights), None, None)[:2]
        if inside is not None:
            d = d * inside if outside is not None else straight_through(d, d * inside)
        near, far = 0.5 * squared * d.pow(2), d.abs() - 0.5 / squared
        terms = torch.where(d.abs() < 1 / squared, near, far)
        terms = terms if outside is None else terms * outside
        return terms.sum() / prediction.shape[0]
