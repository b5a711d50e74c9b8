"""Rebuilt networks and trainings on a CUDA device: the numbers of a CPU, but for rounding."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import converters
import prototxt
from tests.converters.checker import Case
from tests.converters.test_goldens import CASES, case_id
from tests.gpu.test_provider import PROOF
from tests.zoo.training.small import batches, classifier, feed_of, shapes_of
from zoo.paper import architectures
from zoo.paper.recipes.images import load_images
from zoo.paper.recipes.modern import recipe_for
from zoo.paper.recipes.tunnel import TunnelRun
from zoo.training.network import Network
from zoo.training.run import choose_device
from zoo.training.solver import Solver

NORMALIZED = classifier(
    """layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }"""
)


def check_rebuilt(folder: Path, device: str) -> None:
    choose_device(device)
    case = Case(folder)
    graph = case.graph()
    module = converters.to_torch(graph).eval().to(device)
    with torch.no_grad():
        found = module(*(torch.from_numpy(case.feeds[v.name]).to(device) for v in graph.inputs))
    assert {value.device.type for value in found.values()} == {device}
    case.compare(graph, [found[v.name].cpu().numpy() for v in graph.outputs])


@pytest.mark.gpu
@pytest.mark.parametrize("folder", CASES, ids=case_id)
def test_rebuilt(folder: Path, provider: str) -> None:
    """PyTorch's layers there: Caffe's numbers, its masks to the last index."""
    check_rebuilt(folder, provider)


def solver_of(text: str, device: str, folder: Path) -> Solver:
    rules = 'base_lr: 0.001 lr_policy: "fixed" type: "Adam" momentum: 0.9 test_interval: 4'
    definition = dataclasses.replace(
        prototxt.parse_solver(rules), max_iter=8, test_iter=[2], snapshot_after_train=False
    )
    shapes, feed = shapes_of(text, 4), feed_of(batches(4))
    nets = [Network(prototxt.parse_net(text).select(p), shapes, None, 5) for p in ("TRAIN", "TEST")]
    tests = [(nets[1], feed)]
    prefix = folder / "net"
    return Solver(definition, nets[0], feed, tests, choose_device(device), 0, prefix, period=3)


def measured(solver: Solver) -> list[float]:
    """The losses of the steps that are left, and of the tests."""
    (name,) = solver.network.losses
    told = {"train": "loss", "step": "loss", "test": name}
    return [event.values[told[event.kind]] for event in solver.run() if event.kind in told]


def check_solver(text: str, device: str, folder: Path) -> None:
    """Eight steps are those of a CPU; the last four again after a snapshot."""
    expected = measured(solver_of(text, "cpu", folder))
    solver = solver_of(text, device, folder)
    np.testing.assert_allclose(measured(solver), expected, rtol=1e-3)
    for each in (solver.network, solver.tests[0][0]):
        assert {tensor.device.type for _, _, tensor, _ in each.blobs} == {device}
    half = solver_of(text, device, folder)
    half.definition = dataclasses.replace(half.definition, max_iter=4)
    measured(half)
    resumed = solver_of(text, device, folder)
    resumed.restore(half.snapshot())
    again = measured(resumed)
    np.testing.assert_allclose(again, expected[-len(again) :], rtol=1e-3)
    assert len(again) == 6  # a test, four steps, a test


TEXTS = {"batch norm": NORMALIZED, "tunnel": architectures.definition("2_3_4", 16)}


@pytest.mark.gpu
@pytest.mark.parametrize("name", TEXTS)
def test_solver(name: str, provider: str, tmp_path: Path) -> None:
    check_solver(TEXTS[name], provider, tmp_path)


def check_recipe(device: str, encoder: str, folder: Path) -> None:
    """Stopped at the second of four iterations and gone on with: what goes through ends so."""
    images = load_images(None, hold_out=1, variants=2, size=64)
    recipe = recipe_for("2_3_4", 4, 0, bfloat16=False, encoder=encoder)
    runs = [TunnelRun("2_3_4", images, recipe, folder / n, choose_device(device)) for n in "aab"]
    for number, run in enumerate(runs):
        for event in run.run(resume=number == 1):
            run.stop = number == 0 and (event.kind, event.iteration) == ("step", 1)
    last = [run.training for run in runs]
    assert [training.iteration for training in last if training is not None] == [2, 4, 4]
    ends = [training.rmse(images.held) for training in last[1:] if training is not None]
    assert ends[0] == pytest.approx(ends[1], rel=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("encoder", ["random", "learned"])
def test_recipe(encoder: str, provider: str, tmp_path: Path) -> None:
    check_recipe(provider, encoder, tmp_path)


@pytest.mark.parametrize("folder", PROOF, ids=case_id)
def test_the_rebuilt_test_works_on_the_cpu(folder: Path) -> None:
    check_rebuilt(folder, "cpu")


@pytest.mark.slow
def test_the_training_tests_work_on_the_cpu(tmp_path: Path) -> None:
    for text in TEXTS.values():
        check_solver(text, "cpu", tmp_path)
    check_recipe("cpu", "random", tmp_path)
    check_recipe("cpu", "learned", tmp_path / "learned")
