"""Layers before the first one that learns are computed once, and nothing else changes."""

import dataclasses

import numpy as np
import pytest
import torch

import prototxt
from tests.zoo.training.small import batches, classifier, feed_of, shapes_of
from zoo.paper import architectures
from zoo.training import frozen
from zoo.training.network import Network
from zoo.training.solver import Solver

BATCHES = batches(2)

FINE_TUNED = classifier(
    """layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }""",
    "param { lr_mult: 0 } param { lr_mult: 0 }",
)


def solver_of(text: str, period: int | None, caffe: str = "1.0") -> Solver:
    net = prototxt.parse_net(text).select("TRAIN")
    definition = dataclasses.replace(
        prototxt.parse_solver('base_lr: 0.01 lr_policy: "fixed" type: "AdaGrad"'), max_iter=7
    )
    return Solver(
        definition,
        Network(net, shapes_of(text, 2), None, 5, caffe),
        feed_of(BATCHES),
        period=period,
    )


def trained(solver: Solver) -> tuple[list[float], dict[str, list[np.ndarray]]]:
    return [solver.step() for _ in range(7)], solver.network.weights()


@pytest.mark.parametrize("text", [architectures.definition("2_3_4", 16), FINE_TUNED])
def test_nothing_changes(text: str) -> None:
    """The losses and all weights, bit for bit."""
    plain, start = (trained(solver_of(text, period)) for period in (None, 3))
    assert plain[0] == start[0] and len(set(plain[0])) == 7
    for name, blobs in plain[1].items():
        for one, other in zip(blobs, start[1][name], strict=True):
            assert np.array_equal(one, other), name


def counted(solver: Solver, layer: str) -> list[int]:
    """How many images a layer sees in each of seven steps."""
    seen = [0]
    module = solver.network.module.get_submodule(layer)
    module.register_forward_hook(lambda _, x, y: seen.__setitem__(0, seen[0] + len(x[0])))
    found = []
    for _ in range(7):
        before = seen[0]
        solver.step()
        found.append(seen[0] - before)
    return found


def test_an_encoder_sees_each_batch_once() -> None:
    text = architectures.definition("2_3_4", 16)
    assert counted(solver_of(text, 3), "conv2_2") == [2, 2, 2, 0, 0, 0, 0]
    assert counted(solver_of(text, 3), "deconv2_2") == [2] * 7


def test_what_draws_is_computed_each_time() -> None:
    assert counted(solver_of(FINE_TUNED, 3), "conv") == [2, 2, 2, 0, 0, 0, 0]
    assert counted(solver_of(FINE_TUNED, 3), "drop") == [2] * 7


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no longer fits is computed each time; masks are kept at four bytes."""
    text = architectures.definition("2_3_4", 16)
    masks = 4 * 2 * (2 * 8 * 8 + 3 * 4 * 4 + 4 * 2 * 2)
    constant = 4 * 2 * 4 * 2 * 2
    monkeypatch.setattr(frozen, "MOST_BYTES", 2 * (masks + constant))
    solver = solver_of(text, 3)
    assert counted(solver, "conv2_2") == [2, 2, 2, 0, 0, 2, 0]
    assert solver.start is not None and solver.start.bytes == frozen.MOST_BYTES


NORMALISED = FINE_TUNED.replace(
    'layer { name: "drop"',
    """layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" GLOBAL
  batch_norm_param { use_global_stats: true } }
layer { name: "drop\"""",
)


def test_statistics_that_a_solver_changes_are_not_frozen() -> None:
    """Until Caffe 1.0 solvers changed them, unless their lr_mult was 0."""
    frozen_too = NORMALISED.replace("GLOBAL", "param { lr_mult: 0 } " * 3)
    for text, caffe, seen in (
        (NORMALISED.replace("GLOBAL", ""), "1.0", 0),
        (NORMALISED.replace("GLOBAL", ""), "2016", 2),
        (frozen_too, "2016", 0),
        (frozen_too.replace("use_global_stats: true", ""), "1.0", 2),
    ):
        assert counted(solver_of(text, 3, caffe=caffe), "bn")[-1] == seen


def test_where_all_learns_there_is_nothing_to_keep() -> None:
    text = FINE_TUNED.replace("param { lr_mult: 0 }", "")
    solver = solver_of(text, 3)
    trained(solver)
    assert solver.start is not None and solver.start.bytes == 0
    assert not any(isinstance(m, torch.nn.Conv2d) for m in solver.start.start.modules())
