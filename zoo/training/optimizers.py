"""Caffe's six solvers as torch optimizers (src/caffe/solvers/*.cpp).

A step is: clip the gradients (their sum over `iter_size` passes), divide by `iter_size`, add weight
decay, compute the update, subtract it. `history` holds the same arrays in the same order as a
.solverstate. Each blob is a parameter group of its own, with its `lr_mult` and `decay_mult`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch

from prototxt import SolverDefinition
from prototxt.errors import ZooError

__all__ = [
    "SGD",
    "SOLVERS",
    "AdaDelta",
    "AdaGrad",
    "Adam",
    "CaffeOptimizer",
    "Nesterov",
    "RMSProp",
    "make_optimizer",
]


def as_float(value: float) -> float:
    """A setting as Caffe holds it, in a C float: what is left of 1 differs (by 1e-5 for 0.999)."""
    return float(np.float32(value))


class CaffeOptimizer(torch.optim.Optimizer):
    """What all solvers share. Blobs without a gradient count as having a gradient of zero.

    That is how Caffe of 2016 lets weight decay touch BatchNorm's running statistics; of those that
    no solver is to change, `lr_mult` is 0.
    """

    slots = 1
    """How many history arrays a blob has."""

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        solver: SolverDefinition,
    ) -> None:
        super().__init__(list(groups), {"lr": solver.base_lr, "lr_mult": 1.0, "decay_mult": 1.0})
        self.solver = solver
        self.iteration = 0
        for group in self.param_groups:
            for blob in group["params"]:
                self.state[blob]["history"] = [torch.zeros_like(blob) for _ in range(self.slots)]

    @property
    def blobs(self) -> list[torch.Tensor]:
        """The parameters in the network's order, one to a group."""
        return [group["params"][0] for group in self.param_groups]

    @property
    def history(self) -> list[torch.Tensor]:
        """All first arrays, then all second ones: the order of a .solverstate."""
        return [self.state[b]["history"][slot] for slot in range(self.slots) for b in self.blobs]

    def load_history(self, arrays: Sequence[torch.Tensor]) -> None:
        """Take over the arrays of a .solverstate; ZooError where they are another network's."""
        ours = self.history
        if len(arrays) != len(ours):
            raise ZooError(
                f"the snapshot has {len(arrays)} history arrays, this solver needs {len(ours)}",
                remedy="it is of another network or solver",
            )
        for mine, stored in zip(ours, arrays, strict=True):
            if mine.numel() != stored.numel():
                raise ZooError(
                    f"a history array has {stored.numel()} numbers, this network's {mine.numel()}",
                    remedy="the snapshot is of another network",
                )
            mine.copy_(stored.reshape(mine.shape))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update from the gradients summed so far; `lr` of each group is the global rate."""
        solver = self.solver
        scale = self.clip_scale()
        for group in self.param_groups:
            (blob,) = group["params"]
            gradient = torch.zeros_like(blob) if blob.grad is None else blob.grad
            if scale != 1:
                gradient = gradient * scale
            if solver.iter_size != 1:
                gradient = gradient / solver.iter_size
            decay = solver.weight_decay * group["decay_mult"]
            if decay and solver.regularization_type == "L1":
                gradient = gradient + decay * blob.sign()
            elif decay:
                gradient = gradient.add(blob, alpha=decay)
            rate = group["lr"] * group["lr_mult"]
            blob.sub_(self.update(gradient, rate, self.state[blob]["history"]))
        self.iteration += 1

    def clip_scale(self) -> float:
        """What the gradients are multiplied by so that their norm is at most clip_gradients."""
        limit = self.solver.clip_gradients
        if limit < 0:
            return 1.0
        squares = sum(float(b.grad.double().pow(2).sum()) for b in self.blobs if b.grad is not None)
        norm = math.sqrt(squares)
        return limit / norm if norm > limit else 1.0

    def update(
        self, gradient: torch.Tensor, rate: float, history: list[torch.Tensor]
    ) -> torch.Tensor:
        """What is subtracted; writes `history` in place."""
        raise NotImplementedError


class SGD(CaffeOptimizer):
    """Momentum on updates that already hold the rate, unlike torch.optim.SGD's."""

    def update(
        self, gradient: torch.Tensor, rate: float, history: list[torch.Tensor]
    ) -> torch.Tensor:
        """history = momentum · history + rate · gradient."""
        return history[0].mul_(self.solver.momentum).add_(gradient, alpha=rate)


class Nesterov(CaffeOptimizer):
    """The update looks one momentum step ahead."""

    def update(
        self, gradient: torch.Tensor, rate: float, history: list[torch.Tensor]
    ) -> torch.Tensor:
        """(1 + momentum) · new history - momentum · old; the history is SGD's."""
        momentum = self.solver.momentum
        before = history[0].clone()
        history[0].mul_(momentum).add_(gradient, alpha=rate)
        return (1 + momentum) * history[0] - momentum * before


class AdaGrad(CaffeOptimizer):
    """Divided by the root of the sum of all squared gradients."""

    def update(
        self, gradient: torch.Tensor, rate: float, history: list[torch.Tensor]
    ) -> torch.Tensor:
        """rate · gradient / (√(sum of squares) + delta)."""
        history[0].addcmul_(gradient, gradient)
        return gradient / (history[0].sqrt() + self.solver.delta) * rate


class RMSProp(CaffeOptimizer):
    """Divided by the root of a running mean of squared gradients."""

    def update(
        self, gradient: torch.Tensor, rate: float, history: list[torch.Tensor]
    ) -> torch.Tensor:
        """rate · gradient / (√(mean of squares) + delta); the mean decays by rms_decay."""
        keep = as_float(self.solver.rms_decay)
        history[0].mul_(keep).addcmul_(gradient, gradient, value=1 - keep)
        return gradient / (history[0].sqrt() + self.solver.delta) * rate


class AdaDelta(CaffeOptimizer):
    """Scaled by the ratio of running means of squared updates and squared gradients."""

    slots = 2

    def update(
        self, gradient: torch.Tensor, rate: float, history: list[torch.Tensor]
    ) -> torch.Tensor:
        """rate · gradient · √((updates + delta) / (gradients + delta)), means of squares."""
        keep, delta = as_float(self.solver.momentum), self.solver.delta
        gradients, updates = history
        gradients.mul_(keep).addcmul_(gradient, gradient, value=1 - keep)
        step = gradient * ((updates + delta) / (gradients + delta)).sqrt()
        updates.mul_(keep).addcmul_(step, step, value=1 - keep)
        return step * rate


class Adam(CaffeOptimizer):
    """`delta` is added to the root before the bias correction, unlike torch.optim.Adam's eps."""

    slots = 2

    def update(
        self, gradient: torch.Tensor, rate: float, history: list[torch.Tensor]
    ) -> torch.Tensor:
        """rate · mean / (√(mean of squares) + delta), corrected for a start from 0."""
        first, second = as_float(self.solver.momentum), as_float(self.solver.momentum2)
        mean, square = history
        mean.mul_(first).add_(gradient, alpha=1 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        count = self.iteration + 1
        correction = math.sqrt(1 - second**count) / (1 - first**count)
        return mean / (square.sqrt() + self.solver.delta) * (rate * correction)


SOLVERS: dict[str, type[CaffeOptimizer]] = {
    "SGD": SGD,
    "Nesterov": Nesterov,
    "AdaGrad": AdaGrad,
    "RMSProp": RMSProp,
    "AdaDelta": AdaDelta,
    "Adam": Adam,
}


def make_optimizer(solver: SolverDefinition, groups: Iterable[dict[str, Any]]) -> CaffeOptimizer:
    """The optimizer that a solver asks for (see `rules.check_solver`)."""
    return SOLVERS[solver.type](groups, solver)
