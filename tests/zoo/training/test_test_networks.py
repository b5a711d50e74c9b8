"""The networks that a solver tests while it trains: which, on which data, what is told."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import prototxt
from prototxt.errors import ZooError

NET = """
name: "tested"
layer { name: "data" type: "HDF5Data" top: "data" top: "label" include { phase: TRAIN }
  hdf5_data_param { source: "train.txt" batch_size: 4 } }
layer { name: "data" type: "HDF5Data" top: "data" top: "label" include { phase: TEST }
  hdf5_data_param { source: "test.txt" batch_size: 3 } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "ip1" top: "ip1" }
layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" }
layer { name: "ip" type: "InnerProduct" bottom: "ip1" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "staged" type: "Accuracy" bottom: "ip" bottom: "label" top: "total" top: "each"
  include { phase: TEST stage: "more" } }
layer { name: "levelled" type: "HingeLoss" bottom: "ip" bottom: "label" top: "hinge"
  loss_weight: 0 include { phase: TEST min_level: 2 } }
"""
SOLVER = """net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 20 snapshot_prefix: "s"
"""
TRAIN, TEST = 12, 9


@pytest.fixture(autouse=True)
def data(tmp_path: Path) -> None:
    """train.h5 and test.h5 with their lists, and net.prototxt."""
    rng = np.random.default_rng(0)
    for name, count in (("train", TRAIN), ("test", TEST)):
        rows = rng.normal(0, 1, (count, 5)).astype(np.float32)
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["data"], file["label"] = rows, (rows[:, 0] > 0).astype(np.float32)
        (tmp_path / f"{name}.txt").write_text(f"{name}.h5\n")
    (tmp_path / "net.prototxt").write_text(NET)


def solver_file(folder: Path, extra: str, text: str = SOLVER) -> Path:
    path = folder / "solver.prototxt"
    path.write_text(text + extra)
    return path


def log(folder: Path, kind: str = "test") -> list[dict]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["kind"] == kind]


def by_hand(weights: Path, rows: list[int]) -> float:
    """The accuracy over rows of test.h5."""
    stored = prototxt.read_weights(weights)
    with h5py.File(weights.parent / "test.h5") as file:
        x, labels = file["data"][:][rows], file["label"][:][rows]
    x = x @ stored["ip1"][0].T + stored["ip1"][1]
    mean, variance, factor = (b.ravel() for b in stored["bn"])
    x = (x - mean / factor) / np.sqrt(variance / factor + 1e-5)
    x = x @ stored["ip"][0].T + stored["ip"][1]
    return float((x.argmax(1) == labels).mean())


def test_on_their_own_data(zoo, tmp_path):
    solver = solver_file(tmp_path, "test_iter: 3 test_interval: 10 test_compute_loss: true")
    run = zoo("train", solver, "--device", "cpu")
    assert run.status == 0, run.err
    assert "iteration 20, test: loss = " in run.out and ", accuracy = " in run.out
    tests = log(tmp_path)
    assert [row["iteration"] for row in tests] == [0, 10, 20]
    assert set(tests[0]) == {"kind", "iteration", "accuracy", "loss", "test_loss"}
    assert all(row["test_loss"] == pytest.approx(row["loss"]) for row in tests)
    share = by_hand(tmp_path / "s_iter_20.caffemodel", list(range(TEST)))
    assert tests[-1]["accuracy"] == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize("first", [True, False])
def test_a_test_goes_on_where_the_one_before_ended(zoo, tmp_path, first):
    """Two batches of three at a time, of nine rows."""
    extra = f"test_iter: 2 test_interval: 4 snapshot: 4 test_initialization: {str(first).lower()}"
    assert zoo("train", solver_file(tmp_path, extra), "--device", "cpu").status == 0
    tests = log(tmp_path)
    assert [row["iteration"] for row in tests] == [0, 4, 8, 12, 16, 20][not first :]
    for number, row in enumerate(tests):
        if row["iteration"]:
            rows = [(6 * number + i) % TEST for i in range(6)]
            share = by_hand(tmp_path / f"s_iter_{row['iteration']}.caffemodel", rows)
            assert row["accuracy"] == pytest.approx(share, abs=1e-6)


def test_the_training_is_not_disturbed(zoo, tmp_path):
    """To the bit, with dropout and running statistics."""
    found = []
    for extra in ("", "test_iter: 2 test_interval: 3 test_compute_loss: true"):
        assert zoo("train", solver_file(tmp_path, extra), "--device", "cpu", "-q").status == 0
        found.append((tmp_path / "s_iter_20.caffemodel").read_bytes())
    assert found[0] == found[1]


def test_a_resumed_training_repeats_its_tests(zoo, tmp_path):
    """No test is told twice, and each is as it was."""
    extra = "test_iter: 2 test_interval: 5 snapshot: 10"
    solver = solver_file(tmp_path, extra)
    assert zoo("train", solver, "--device", "cpu").status == 0
    whole = log(tmp_path)
    state = tmp_path / "s_iter_10.solverstate"
    assert zoo("train", solver, "--device", "cpu", "--resume", state).status == 0
    assert log(tmp_path) == whole
    assert [row["iteration"] for row in whole] == [0, 5, 10, 15, 20]


def test_states_choose_layers(zoo, tmp_path):
    """Stages of the network and of the solver add up; the solver's level goes first."""
    (tmp_path / "net.prototxt").write_text('state { level: 1 stage: "more" }' + NET)
    extra = """test_iter: 1 test_iter: 1 test_interval: 20 test_initialization: false
    test_state { phase: TEST stage: "other" } test_state { level: 2 }"""
    run = zoo("train", solver_file(tmp_path, extra), "--device", "cpu")
    assert run.status == 0, run.err
    first, second = (set(row) - {"kind", "iteration"} for row in log(tmp_path))
    assert first == {"accuracy", "loss", "total", "each[0]", "each[1]"}
    assert second == {*first, "hinge"}
    assert "each[1] = " in run.out


def test_the_state_of_the_training(zoo, tmp_path):
    text = NET.replace("min_level: 2 }", "min_level: 2 } include { level: 3 }")
    text = text.replace("loss_weight: 0", "loss_weight: 2")
    (tmp_path / "net.prototxt").write_text(text)
    losses = []
    for extra in ("", "train_state { level: 3 }"):
        run = zoo("train", solver_file(tmp_path, extra), "--device", "cpu", "--json")
        losses.append(run.json["loss"])
    assert losses[0] != losses[1]


def test_networks_of_their_own(zoo, tmp_path):
    """test_net_param, then test_net, then the rest by net."""
    small = NET[NET.index('layer { name: "data" type: "HDF5Data" top: "data" top: "label" incl') :]
    small = small[: small.index('layer { name: "loss"')]
    loss = 'layer {{ name: "x" type: "{0}" bottom: "ip" bottom: "label" top: "{0}" }}'
    (tmp_path / "other.prototxt").write_text(small + loss.format("HingeLoss"))
    inline = f"test_net_param {{ {small} {loss.format('Accuracy')} }}"
    extra = f'test_net: "other.prototxt" {inline} test_interval: 20 ' + "test_iter: 1 " * 3
    run = zoo("train", solver_file(tmp_path, extra), "--device", "cpu")
    assert run.status == 0, run.err
    named = [set(row) - {"kind", "iteration"} for row in log(tmp_path)[3:]]
    assert named == [{"Accuracy"}, {"HingeLoss"}, {"loss", "accuracy"}]


def test_an_npz_is_for_tests_too(zoo, tmp_path):
    rng = np.random.default_rng(1)
    rows = rng.normal(0, 1, (7, 4, 5)).astype(np.float32)
    np.savez(tmp_path / "io.npz", data=rows, label=(rows[..., 0] > 0).astype(np.float32))
    (tmp_path / "test.txt").unlink()
    solver = solver_file(tmp_path, "test_iter: 7 test_interval: 10")
    run = zoo("train", solver, "--device", "cpu", "--data", tmp_path / "io.npz", "--json")
    assert run.json["finished"]
    assert len(log(tmp_path)) == 3


def test_data_that_is_not_there(zoo, tmp_path):
    (tmp_path / "test.txt").unlink()
    solver = solver_file(tmp_path, "test_iter: 1 test_interval: 10")
    assert zoo("train", solver, "--device", "cpu").refusal == (
        "net.prototxt:5:1: layer 'data' (HDF5Data): its source 'test.txt' is not there, and the "
        f"solver's tests read it; looked in the current folder and in {tmp_path}; "
        "give --data an .npz for both, or leave test_iter out"
    )


def test_ctrl_c_ends_a_test(tmp_path):
    from zoo.training.run import open_solver

    solver = open_solver(solver_file(tmp_path, "test_iter: 5 test_interval: 10"), device="cpu")
    (network, feed), asked = solver.tests[0], []

    def stopping(number: int):
        asked.append(number)
        solver.stop = True
        return feed(number)

    solver.tests = [(network, stopping)]
    solver.prefix = tmp_path / "stopped"
    assert [event.kind for event in solver.run()] == ["testing", "snapshot"]
    assert (asked, solver.iteration) == ([0], 0)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("test_iter: 1", "test_iter without test_interval"),
        ("test_iter: 0 test_interval: 2", "test_iter is 0, must be above 0"),
        ("test_iter: 1 test_interval: 2 test_state {} test_state {}", "test_state is given 2"),
        (
            'test_net: "net.prototxt" test_interval: 2',
            "1 networks to test, but test_iter is given 0",
        ),
        ('train_net: "net.prototxt"', "names 2 networks to train: train_net, net"),
    ],
)
def test_what_makes_no_sense(zoo, tmp_path, extra, message):
    assert message in zoo("train", solver_file(tmp_path, extra), "--device", "cpu").refusal


def test_a_layer_of_another_shape_in_the_test(tmp_path):
    from zoo.training.run import open_solver

    other = NET.replace("num_output: 6", "num_output: 7")
    (tmp_path / "other.prototxt").write_text(other)
    extra = 'test_net: "other.prototxt" test_iter: 1 test_interval: 5'
    solver = open_solver(solver_file(tmp_path, extra), device="cpu")
    with pytest.raises(ZooError) as caught:
        next(solver.run())
    assert str(caught.value) == (
        "layer 'ip1': blob 0 is 7x5 in the TEST phase, 6x5 in the TRAIN phase"
    )


TESTED = "test_iter: 3 test_interval: 2 random_seed: 1 "


def test_the_best_is_kept(zoo, tmp_path):
    """By accuracy where there is one; what was best before a snapshot still counts after it."""
    solver = solver_file(tmp_path, TESTED + "snapshot: 10")
    run = zoo("train", solver, "--device", "cpu", "--json").json
    tests = log(tmp_path)
    first = max(tests, key=lambda row: row["accuracy"])
    best = {"iteration": first["iteration"], "name": "accuracy", "value": first["accuracy"]}
    assert run["best"] == best and 0 < first["iteration"] < 20
    assert by_hand(tmp_path / "s_best.caffemodel", list(range(TEST))) == pytest.approx(
        first["accuracy"]
    )
    assert run["best_weights"] == str(Path("s_best.caffemodel"))
    before = log(tmp_path, "best")
    assert [row["accuracy"] for row in before] == sorted({row["accuracy"] for row in before})
    resumed = zoo(
        "train", solver, "--device", "cpu", "--json", "--resume", "s_iter_10.solverstate"
    ).json
    assert resumed["best"] == best and log(tmp_path, "best") == before


def test_the_best_by_its_loss(zoo, tmp_path):
    text = NET.replace("include { phase: TEST } }\nlayer { name: \"staged", "include { phase: TEST "
                       "stage: \"never\" } }\nlayer { name: \"staged")  # fmt: skip
    (tmp_path / "net.prototxt").write_text(text)
    run = zoo("train", solver_file(tmp_path, TESTED), "--device", "cpu")
    assert "the best yet: " in run.out
    tests = log(tmp_path)
    assert "accuracy" not in tests[0]
    kept = log(tmp_path, "best")
    assert kept[-1]["loss"] == min(row["loss"] for row in tests)
    assert zoo("train", solver_file(tmp_path, ""), "--device", "cpu", "--json").json["best"] is None


def test_averaged_weights(zoo, tmp_path):
    """The average is what is tested and kept as the best; snapshots have both."""
    solver = solver_file(tmp_path, TESTED + "snapshot: 1")
    whole = zoo("train", solver, "--device", "cpu", "--ema", 0.8, "--json")
    assert whole.status == 0, whole.err
    steps = [prototxt.read_weights(tmp_path / f"s_iter_{n}.caffemodel") for n in range(1, 21)]
    average = steps[0]["ip"][0]  # of what it begins with a tenth is left after one step
    for number, step in enumerate(steps[1:], 2):
        decay = min(0.8, number / (number + 9))
        average = decay * average + (1 - decay) * step["ip"][0]
    kept = prototxt.read_weights(tmp_path / "s_iter_20_ema.caffemodel")["ip"][0]
    assert np.abs(kept - average).max() < 0.1 * np.abs(kept - steps[-1]["ip"][0]).max()
    tests = log(tmp_path)
    found = by_hand(tmp_path / "s_iter_20_ema.caffemodel", list(range(TEST)))
    assert found == pytest.approx(tests[-1]["accuracy"])
    name = "s_iter_20_ema.caffemodel"
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    words = ["--device", "cpu", "--ema", 0.8, "--resume", "s_iter_7.solverstate", "--quiet"]
    assert zoo("train", solver, *words).status == 0
    assert (tmp_path / name).read_bytes() == content and log(tmp_path) == tests


def test_mixed_precision(zoo, tmp_path):
    """Near what float32 gives, and not it."""
    losses = {}
    for word in ("--full-precision", "--mixed-precision"):
        run = zoo("train", solver_file(tmp_path, TESTED), "--device", "cpu", "--json", word)
        losses[word] = run.json["smoothed_loss"]
    full, mixed = losses.values()
    assert full != mixed and mixed == pytest.approx(full, rel=0.1)
