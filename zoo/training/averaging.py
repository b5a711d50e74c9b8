"""Weights averaged over the steps of a training, which are often better than the last ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

__all__ = ["Average", "averaged"]


class Average:
    """The exponential moving average of tensors that a training changes.

    Each step keeps `decay` of what it is and takes the rest from the tensors; at first less is
    kept, so that what a training begins with is soon forgotten.
    """

    def __init__(self, tensors: Sequence[torch.Tensor], decay: float) -> None:
        self.tensors, self.decay = list(tensors), decay
        self.values: list[torch.Tensor] = []
        self.restart()

    def restart(self) -> None:
        """Begin with what the tensors are now."""
        self.values = [tensor.detach().clone() for tensor in self.tensors]

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Take the tensors in, as they are after that many steps."""
        decay = min(self.decay, steps / (steps + 9))
        get_ema_multi_avg_fn(decay)(self.values, [t.detach() for t in self.tensors], steps)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within it the tensors are the average; they come back after it."""
        kept = [tensor.detach().clone() for tensor in self.tensors]
        self._set(self.values)
        try:
            yield
        finally:
            self._set(kept)

    @torch.no_grad()
    def _set(self, values: Sequence[torch.Tensor]) -> None:
        for tensor, value in zip(self.tensors, values, strict=True):
            tensor.copy_(value)


def averaged(average: Average | None) -> AbstractContextManager[None]:
    """Within it the averaged tensors are there, where there is an average."""
    return average.applied() if average is not None else nullcontext()
