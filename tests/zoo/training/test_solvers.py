"""Caffe's solvers: eight or ten iterations that Caffe itself ran, from the same weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import prototxt
from prototxt import SolverDefinition
from prototxt.errors import ZooError
from zoo.training.policies import current_step, learning_rate
from zoo.training.rules import check_solver

GOLDENS = Path(__file__).parents[2] / "goldens"
SOLVERS = sorted(p.parent for p in (GOLDENS / "solvers").glob("*/io.npz"))
TRAININGS = sorted(p.parent for p in (GOLDENS / "training").glob("*/io.npz"))
BATCH = 4


def solver_of(folder: Path, io: dict[str, np.ndarray], caffe: str = "2016"):
    """A solver at Caffe's initial weights whose batches are those that Caffe (of 2016) had."""
    from zoo.training.network import Network
    from zoo.training.solver import Solver

    definition = prototxt.read_solver(folder / "solver.prototxt")
    net = prototxt.read_net(folder / definition.net).select("TRAIN")
    rows = {name: io[name] for name in ("data", "label")}
    per_iteration = folder.parent.name == "solvers"

    def feed(number: int) -> dict[str, np.ndarray]:
        if per_iteration:
            return {k: v[number // definition.iter_size] for k, v in rows.items()}
        places = (np.arange(BATCH) + BATCH * number) % len(rows["data"])
        return {k: v[places] for k, v in rows.items()}

    read = {bottom for layer in net.layers for bottom in layer.bottoms if layer.type != "Silence"}
    shapes = {name: batch.shape for name, batch in feed(0).items() if name in read}
    start = prototxt.read_weights(folder / "initial.caffemodel")
    network = Network(net, shapes, start, caffe=caffe)
    return Solver(definition, network, feed)


def load(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "io.npz") as stored:
        return {k: stored[k] for k in stored.files}


@pytest.mark.parametrize("folder", SOLVERS + TRAININGS, ids=lambda p: p.name)
def test_the_same_losses_and_weights_as_caffe(folder: Path) -> None:
    io = load(folder)
    solver = solver_of(folder, io)
    expected = io["loss"] if "loss" in io else io["last_subbatch_loss"]
    for iteration, loss in enumerate(expected, 1):
        assert solver.step() == pytest.approx(float(loss), rel=1e-5)
        check(solver.network.weights(), io, f"iter{iteration}.")
    check(solver.network.weights(), io, "final.")


def check(weights: dict[str, list[np.ndarray]], io: dict[str, np.ndarray], prefix: str) -> None:
    for key in io:
        if key.startswith(prefix):
            layer, index = key.removeprefix(prefix).rsplit(".", 1)
            ours, caffes = weights[layer][int(index)].ravel(), io[key].ravel()
            worst = np.abs(ours - caffes).max() / max(np.abs(caffes).max(), 1e-6)
            assert worst <= 1e-5, f"{key}: off by {worst:.1e}"


@pytest.mark.parametrize("lr_mult", [None, 0, 1])
def test_since_caffe_1_0_no_solver_changes_running_statistics(
    lr_mult: float | None, tmp_path: Path
) -> None:
    """batch_norm_layer.cpp sets their lr_mult to 0; in training nothing else depends on them."""
    golden = next(folder for folder in TRAININGS if folder.name == "h5_bn_scale_sgd")
    folder = shutil.copytree(golden, tmp_path / "case")
    if lr_mult is not None:
        text = (folder / "net.prototxt").read_text()
        params = f"param {{ lr_mult: {lr_mult} }} " * 3
        (folder / "net.prototxt").write_text(
            text.replace('type: "BatchNorm"', f'{params} type: "BatchNorm"')
        )
    io = load(folder)
    solver, summed = solver_of(folder, io, "1.0"), 0.0
    start = prototxt.read_weights(folder / "initial.caffemodel")["bn"][2].item()
    for _ in range(10):
        solver.step()
        summed = 0.999 * summed + 1
    weights = solver.network.weights()
    check(weights, {k: v for k, v in io.items() if ".bn." not in k}, "final.")
    assert weights["bn"][2].item() == pytest.approx(0.999**10 * start + summed, rel=1e-6)
    assert abs(weights["bn"][2] / io["final.bn.2"] - 1) > 1e-3  # of 2016, which weight decay shrank


def test_whose_solvers_the_command_follows(zoo, tmp_path: Path) -> None:
    golden = next(folder for folder in TRAININGS if folder.name == "h5_bn_scale_sgd")
    folder = shutil.copytree(golden, tmp_path / "case")
    ends = {}
    for caffe in ("2016", "1.0"):
        solver = (folder / "solver.prototxt").read_text().replace("_train: false", "_train: true")
        (folder / "solver.prototxt").write_text(solver)
        run = zoo(
            *("train", folder / "solver.prototxt", "--caffe", caffe, "--json", "-o", tmp_path),
            *("--weights", folder / "initial.caffemodel", "--device", "cpu"),
        )
        ends[caffe] = prototxt.read_weights(Path(run.json["snapshot"]).with_suffix(".caffemodel"))
    check(ends["2016"], load(folder), "final.")
    assert ends["1.0"]["bn"][2] > ends["2016"]["bn"][2]


def test_there_are_goldens() -> None:
    assert len(SOLVERS) == 16 and len(TRAININGS) == 6


@pytest.mark.parametrize("folder", SOLVERS[:4], ids=lambda p: p.name)
def test_history_is_caffes(folder: Path) -> None:
    """The .solverstate that Caffe wrote after eight iterations, array by array."""
    io = load(folder)
    solver = solver_of(folder, io)
    for _ in range(8):
        solver.step()
    state = prototxt.read_solverstate(folder / "snap_iter_8.solverstate")
    assert len(state.history) == len(solver.optimizer.history)
    for ours, caffes in zip(solver.optimizer.history, state.history, strict=True):
        check({"history": [ours.numpy()]}, {"history.0": caffes}, "")


@pytest.mark.parametrize("folder", SOLVERS, ids=lambda p: p.name)
def test_resuming_changes_nothing(folder: Path, tmp_path: Path) -> None:
    """Three iterations, a snapshot, five more: bit for bit what eight in one go give."""
    io = load(folder)
    whole = solver_of(folder, io)
    for _ in range(8):
        whole.step()
    first = solver_of(folder, io)
    first.prefix = tmp_path / "snap"
    for _ in range(3):
        first.step()
    state = first.snapshot()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "snap_iter_3.caffemodel",
        "snap_iter_3.solverstate",
    ]
    second = solver_of(folder, io)
    second.restore(state)
    for _ in range(5):
        second.step()
    for layer, arrays in whole.network.weights().items():
        for a, b in zip(arrays, second.network.weights()[layer], strict=True):
            assert np.array_equal(a, b)


def test_snapshots_of_other_networks_are_refused(tmp_path: Path) -> None:
    here = GOLDENS / "solvers" / "adam"
    solver = solver_of(here, load(here))
    sgd = GOLDENS / "solvers" / "sgd_fixed" / "snap_iter_8.solverstate"
    with pytest.raises(ZooError, match="4 history arrays, this solver needs 8"):
        solver.restore(sgd)
    other = GOLDENS / "training" / "h5_unpool_adagrad" / "final.caffemodel"
    with pytest.raises(ZooError, match="has no layer of this network"):
        solver.load(prototxt.read_weights(other), other)


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ('lr_policy: "fixed"', [1, 1, 1]),
        ('lr_policy: "step" gamma: 0.5 stepsize: 2', [1, 1, 0.5]),
        ('lr_policy: "exp" gamma: 0.5', [1, 0.5, 0.25]),
        ('lr_policy: "inv" gamma: 1 power: 2', [1, 1 / 4, 1 / 9]),
        ('lr_policy: "multistep" gamma: 0.1 stepvalue: 1 stepvalue: 2', [1, 0.1, 0.01]),
        ('lr_policy: "poly" power: 2 max_iter: 4', [1, 0.5625, 0.25]),
        ('lr_policy: "sigmoid" gamma: -1 stepsize: 1', [1 / (1 + np.exp(-1)), 0.5, 1 / (1 + np.e)]),
    ],
)
def test_policies(text: str, rates: list[float]) -> None:
    solver = prototxt.parse_solver(f'net: "n" base_lr: 1 {text}')
    check_solver(solver)
    assert [learning_rate(solver, i) for i in range(3)] == pytest.approx(rates)


def test_steps_passed() -> None:
    solver = SolverDefinition(lr_policy="multistep", stepvalue=[2, 5])
    assert [current_step(solver, i) for i in (0, 1, 2, 4, 5, 9)] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("solver", "said"),
    [
        ('lr_policy: "slow"', "s:1:1: unknown lr_policy 'slow'; one of fixed, step, "),
        ("", "s: lr_policy is missing; one of fixed, step, "),
        ('lr_policy: "step"', "s: lr_policy step needs a stepsize above 0"),
        ('lr_policy: "poly"\nmax_iter: 0', "s:2:1: lr_policy poly needs a max_iter above 0"),
        ('lr_policy: "fixed" type: "LBFGS"', "s:1:20: unknown solver type 'LBFGS'; one of SGD, "),
        (
            'lr_policy: "fixed" type: "AdaGrad" momentum: 0.9',
            "s:1:36: AdaGrad takes no momentum; set momentum: 0",
        ),
        (
            'lr_policy: "fixed" regularization_type: "L3"',
            "s:1:20: unknown regularization_type 'L3'; one of L1, L2",
        ),
        ('lr_policy: "fixed" iter_size: 0', "s:1:20: iter_size is 0, must be above 0"),
    ],
)
def test_solvers_that_cannot_be(solver: str, said: str) -> None:
    with pytest.raises(ZooError) as caught:
        check_solver(prototxt.parse_solver(solver, "s"), prototxt.parse_text(solver, "s"), "s")
    assert str(caught.value).startswith(said)
    with pytest.raises(ZooError):
        check_solver(prototxt.parse_solver(solver, "s"))
