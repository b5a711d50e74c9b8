"""What a solver has to say so that anything can be trained by it."""

from __future__ import annotations

from collections.abc import Iterator

from prototxt import Message, SolverDefinition
from prototxt.errors import ZooError
from zoo.training.optimizers import SOLVERS
from zoo.training.policies import POLICIES

__all__ = ["check_solver"]

RULES = ("L1", "L2")
"""What `regularization_type` may be."""


def check_solver(
    solver: SolverDefinition, message: Message | None = None, path: object = None
) -> None:
    """Refuse a solver that lacks what it needs, or that Caffe lacks, before any data is read.

    `message` is what it was read of: the error then has its place. `path` is its file.
    """
    for field, wrong, remedy in problems(solver):
        value = message.last(field) if message is not None else None
        position = None if value is None else value.position
        subject = None if path is None or position is not None else str(path)
        raise ZooError(wrong, subject=subject, position=position, remedy=remedy)


def problems(solver: SolverDefinition) -> Iterator[tuple[str, str, str | None]]:
    """The field, what is wrong with it, and what to do."""
    policy, type_, rule = solver.lr_policy, solver.type, solver.regularization_type
    if policy not in POLICIES:
        wrong = f"unknown lr_policy {policy!r}" if policy else "lr_policy is missing"
        yield "lr_policy", wrong, f"one of {', '.join(POLICIES)}"
    if policy == "step" and solver.stepsize <= 0:
        yield "stepsize", "lr_policy step needs a stepsize above 0", None
    if policy == "poly" and solver.max_iter <= 0:
        yield "max_iter", "lr_policy poly needs a max_iter above 0", None
    if type_ not in SOLVERS:
        yield "type", f"unknown solver type {type_!r}", f"one of {', '.join(SOLVERS)}"
    if rule not in RULES:
        wrong = f"unknown regularization_type {rule!r}"
        yield "regularization_type", wrong, f"one of {', '.join(RULES)}"
    if type_ in ("AdaGrad", "RMSProp") and solver.momentum:
        yield "momentum", f"{type_} takes no momentum", "set momentum: 0"
    if solver.iter_size < 1:
        yield "iter_size", f"iter_size is {solver.iter_size}, must be above 0", None
