"""Losses over classes: hinge, multinomial logistic, information gain, sigmoid cross entropy."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .losses import divisor, labelled_rows, straight_through


def logarithm(probabilities: torch.Tensor, smallest: float) -> torch.Tensor:
    """The logarithm of what is at least `smallest`; its gradient is 1/p there, as everywhere."""
    return straight_through(probabilities, probabilities.clamp(min=smallest)).log()


class HingeLoss(nn.Module):
    """Margins of scores N×..., flattened to N×C, summed per image; squared unless `l1`."""

    def __init__(self, l1: bool) -> None:
        super().__init__()
        self.l1 = l1

    def forward(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        rows = scores.flatten(1)
        signs = torch.ones_like(rows).scatter(1, labels.reshape(-1, 1).long(), -1.0)
        margins = (1 + signs * rows).relu()
        return (margins if self.l1 else margins.pow(2)).sum() / len(rows)


class MultinomialLogisticLoss(nn.Module):
    """The negative logarithm of the label's probability, of N×..., flattened to N×C.

    A probability counts as `smallest` at least.
    """

    def __init__(self, smallest: float) -> None:
        super().__init__()
        self.smallest = smallest

    def forward(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        picked = scores.flatten(1).gather(1, labels.reshape(-1, 1).long())
        return -logarithm(picked, self.smallest).sum() / scores.shape[0]


class InfogainLoss(nn.Module):
    """Logarithms weighted by a label's row of a matrix C×C, its own or, if that is None, given.

    With `probabilities` of probabilities N×..., flattened to N×C (as of 2016), per image; else
    of the softmax of scores over `axis`, and with `both` the softmax too. A probability counts as
    `smallest` at least, whose logarithm is `smallest_log`; `normalization` is as `divisor` has it.
    """

    infogain: torch.Tensor | None

    def __init__(
        self,
        infogain: np.ndarray | None,
        classes: int,
        *,
        probabilities: bool,
        axis: int,
        ignore_label: int | None,
        normalization: str,
        smallest: float,
        smallest_log: float,
        both: bool,
    ) -> None:
        super().__init__()
        stored = None if infogain is None else torch.from_numpy(infogain)
        self.register_buffer("infogain", stored, persistent=False)
        self.classes, self.probabilities, self.axis = classes, probabilities, axis
        self.ignore_label, self.normalization = ignore_label, normalization
        self.smallest, self.smallest_log, self.both = smallest, smallest_log, both

    def forward(
        self, scores: torch.Tensor, labels: torch.Tensor, given: torch.Tensor | None = None
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        matrix = self.infogain if given is None else given.reshape(self.classes, self.classes)
        assert matrix is not None
        if self.probabilities:
            index = labels.reshape(-1).long()
            terms = matrix[index] * logarithm(scores.flatten(1), self.smallest)
            return -terms.sum() / scores.shape[0]
        rows, column, valid = labelled_rows(scores, labels, self.axis, self.ignore_label)
        logs = rows.log_softmax(1)
        logs = straight_through(logs, logs.clamp(min=self.smallest_log))
        total = -(matrix[column[:, 0]] * logs * valid).sum()
        images = math.prod(scores.shape[: self.axis])
        value = total / divisor(self.normalization, len(rows), images, valid)
        return (value, scores.softmax(self.axis)) if self.both else value


class SigmoidCrossEntropyLoss(nn.Module):
    """Cross entropy of sigmoids N×... with as many targets; `normalization` as for `divisor`."""

    def __init__(self, ignore_label: int | None, normalization: str) -> None:
        super().__init__()
        self.ignore_label, self.normalization = ignore_label, normalization

    def forward(self, x: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        target = targets.reshape(x.shape)
        terms = F.binary_cross_entropy_with_logits(x, target, reduction="none")
        valid = torch.ones_like(x, dtype=torch.bool)
        if self.ignore_label is not None:
            valid = target.long() != self.ignore_label
        count = divisor(self.normalization, x.numel(), x.shape[0], valid)
        return (terms * valid).sum() / count
