"""Losses over classes and distances, Accuracy, and what all losses share.

A loss gives one number. Labels are float or whole numbers, as many as there are rows of scores,
in any shape.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F


def labelled_rows(
    scores: torch.Tensor, labels: torch.Tensor, axis: int, ignore: int | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores over `axis` as rows (R×C), their labels (R×1), and which rows count (R×1, bool).

    The label of a row that is ignored is 0.
    """
    rows = scores.movedim(axis, -1).reshape(-1, scores.shape[axis])
    index = labels.reshape(-1, 1).long()
    counted = torch.ones_like(index, dtype=torch.bool) if ignore is None else index != ignore
    return rows, torch.where(counted, index, 0), counted


def divisor(
    normalization: str, all_of: int, images: int, valid: torch.Tensor
) -> torch.Tensor | int:
    """get_normalizer: what a sum of losses is divided by, at least 1.

    `normalization` is FULL, VALID, BATCH_SIZE or NONE; `valid` tells which of all losses count.
    """
    if normalization == "VALID":
        return valid.sum().clamp(min=1)
    return max(1, {"FULL": all_of, "BATCH_SIZE": images, "NONE": 1}[normalization])


def straight_through(x: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """`value`, with the gradient that `x` has: Caffe's gradients know of no clamping."""
    return value.detach() + (x - x.detach())


class EuclideanLoss(nn.Module):
    """Half the sum of squared differences per image; N×... and as many targets."""

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        difference = prediction - target.reshape(prediction.shape)
        return difference.pow(2).sum() / (2 * prediction.shape[0])


class SoftmaxLoss(nn.Module):
    """Cross entropy of the softmax over `axis`; with `both` also the softmax.

    No logarithm is taken as less than `smallest_log`; `normalization` is as `divisor` has it.
    """

    def __init__(
        self,
        axis: int,
        ignore_label: int | None,
        normalization: str,
        smallest_log: float,
        both: bool,
    ) -> None:
        super().__init__()
        self.axis, self.ignore_label, self.normalization = axis, ignore_label, normalization
        self.smallest_log, self.both = smallest_log, both

    def forward(
        self, scores: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        rows, index, valid = labelled_rows(scores, labels, self.axis, self.ignore_label)
        picked = F.log_softmax(rows, 1).gather(1, index)
        picked = straight_through(picked, picked.clamp(min=self.smallest_log))
        images = math.prod(scores.shape[: self.axis])
        total = -(picked * valid).sum()
        value = total / divisor(self.normalization, len(rows), images, valid)
        return (value, scores.softmax(self.axis)) if self.both else value


class Accuracy(nn.Module):
    """The share of labels among the `top_k` greatest scores over `axis`.

    With `both` also each class's share (C), 0 for a class that no label has. Of equal scores the
    larger index is the greater.
    """

    def __init__(self, axis: int, top_k: int, ignore_label: int | None, both: bool) -> None:
        super().__init__()
        self.axis, self.top_k, self.ignore_label, self.both = axis, top_k, ignore_label, both

    def forward(
        self, scores: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        rows, index, counted = labelled_rows(scores, labels, self.axis, self.ignore_label)
        classes = torch.arange(rows.shape[1], device=rows.device)
        own = rows.gather(1, index)
        ahead = ((rows > own) | ((rows == own) & (classes > index))).sum(1, keepdim=True)
        hit = (ahead < self.top_k) & counted
        accuracy = hit.sum().float() / counted.sum().float()
        if not self.both:
            return accuracy
        truth = (classes == index) & counted
        return accuracy, (truth & hit).sum(0) / truth.sum(0).clamp(min=1).float()
