"""Learning rates over iterations (SGDSolver::GetLearningRate in sgd_solver.cpp)."""

from __future__ import annotations

import math

from prototxt import SolverDefinition

__all__ = ["POLICIES", "current_step", "learning_rate"]

POLICIES = ("fixed", "step", "exp", "inv", "multistep", "poly", "sigmoid")


def learning_rate(solver: SolverDefinition, iteration: int) -> float:
    """The rate of the step that follows `iteration` finished ones."""
    base, gamma = solver.base_lr, solver.gamma
    if solver.lr_policy == "step":
        return base * gamma ** (iteration // solver.stepsize)
    if solver.lr_policy == "exp":
        return base * gamma**iteration
    if solver.lr_policy == "inv":
        return float(base * (1 + gamma * iteration) ** -solver.power)
    if solver.lr_policy == "multistep":
        return base * gamma ** current_step(solver, iteration)
    if solver.lr_policy == "poly":
        return float(base * (1 - iteration / solver.max_iter) ** solver.power)
    if solver.lr_policy == "sigmoid":
        return base / (1 + math.exp(-gamma * (iteration - solver.stepsize)))
    return base


def current_step(solver: SolverDefinition, iteration: int) -> int:
    """How many steps lie behind: what a solverstate stores beside the iteration."""
    if solver.lr_policy == "step":
        return iteration // solver.stepsize
    if solver.lr_policy != "multistep":
        return 0
    passed = 0
    for value in solver.stepvalue:
        # Caffe looks at one stepvalue after the other: a smaller one behind a larger waits.
        if iteration < value:
            break
        passed += 1
    return passed
