"""The `zoo train` command: Caffe's results, snapshots that survive anything, clear refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import prototxt

GOLDENS = Path(__file__).parents[2] / "goldens" / "solvers"
CASES = sorted(p.parent for p in GOLDENS.glob("*/io.npz"))


def arguments(case: Path) -> list[object]:
    return [
        "train",
        case / "solver.prototxt",
        "--weights",
        case / "initial.caffemodel",
        "--data",
        case / "io.npz",
        "--device",
        "cpu",
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name)
def test_ends_where_caffe_ends(zoo, case, tmp_path):
    run = zoo(*arguments(case), "-o", tmp_path / "out", "--json")
    assert (run.json["iterations"], run.json["finished"]) == (8, True)
    with np.load(case / "io.npz") as io:
        assert run.json["loss"] == pytest.approx(float(io["loss"][-1]), rel=1e-5)
    ours = prototxt.read_weights(tmp_path / "out" / "snap_iter_8.caffemodel")
    for layer, blobs in prototxt.read_weights(case / "final.caffemodel").items():
        for a, b in zip(ours[layer], blobs, strict=True):
            assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max()
    log = (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["iteration"] for line in log] == list(range(1, 9))


def test_weights_that_the_solver_names(zoo, tmp_path):
    """Of two files the last has the last word; --weights goes before both."""
    case = GOLDENS / "sgd_momentum"
    start = prototxt.read_weights(case / "initial.caffemodel")
    wrong = {"ip": [blob + 1 for blob in start["ip"]], "conv": [blob + 1 for blob in start["conv"]]}
    types = {"ip": "InnerProduct", "conv": "Convolution"}
    for name, layers in (("a", ["ip", "conv"]), ("b", ["ip"])):
        blobs = wrong if name == "a" else start
        prototxt.write_weights(tmp_path / name, {n: blobs[n] for n in layers}, types)
    prototxt.write_weights(tmp_path / "c", {"conv": start["conv"]}, types)
    solver = long_solver(tmp_path, iterations=1, snapshot=0)
    text = solver.read_text()
    found = {}
    words = ["train", solver, "--data", case / "io.npz", "--device", "cpu", "--json"]
    for given in ("a, b", "a,b,c", "a"):
        solver.write_text(f'{text} weights: "{given}"')
        found[given] = zoo(*words).json["loss"]
    with np.load(case / "io.npz") as io:
        assert found["a,b,c"] == pytest.approx(float(io["loss"][0]), rel=1e-5)
    assert len(set(found.values())) == 3
    run = zoo(*words, "--weights", case / "initial.caffemodel")
    assert run.json["loss"] == found["a,b,c"]
    solver.write_text(f'{text} weights: "gone"')
    assert f"{solver}: names 'gone', which is not there" in zoo(*words[:-1]).refusal


def long_solver(tmp_path: Path, iterations: int, snapshot: int) -> Path:
    text = (GOLDENS / "sgd_momentum" / "solver.prototxt").read_text()
    text = text.replace("max_iter: 8", f"max_iter: {iterations}")
    text = text.replace("snapshot: 8", f"snapshot: {snapshot}").replace("0.1", "0.001")
    text = text.replace("net.prototxt", str(GOLDENS / "sgd_momentum" / "net.prototxt"))
    path = tmp_path / "solver.prototxt"
    path.write_text(text)
    return path


def run_to_the_end(solver: Path, folder: Path, zoo, *more: object) -> dict:
    case = GOLDENS / "sgd_momentum"
    options = ["--data", case / "io.npz", "--device", "cpu", "-o", folder, "--json"]
    return zoo("train", solver, *options, *more).json


def spawn(solver: Path, folder: Path, *more: object) -> subprocess.Popen[str]:
    case = GOLDENS / "sgd_momentum"
    options = ["--data", case / "io.npz", "--device", "cpu", "-o", folder, *more]
    return subprocess.Popen(
        [sys.executable, "-m", "zoo", "train", *map(str, [solver, *options])],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def newest(folder: Path) -> Path:
    states = folder.glob("*.solverstate")
    return max(states, key=lambda p: int(p.stem.rpartition("_")[2]))


def wait_for_snapshot(folder: Path, process: subprocess.Popen[str], iteration: int) -> None:
    for _ in range(1200):
        if (folder / f"snap_iter_{iteration}.solverstate").exists():
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    raise AssertionError("no snapshot in a minute")


def same_weights(a: Path, b: Path) -> bool:
    ours, theirs = prototxt.read_weights(a), prototxt.read_weights(b)
    return ours.keys() == theirs.keys() and all(
        np.array_equal(x, y) for k in ours for x, y in zip(ours[k], theirs[k], strict=True)
    )


@pytest.mark.slow
def test_killed_and_resumed_is_bit_for_bit_the_same(zoo, tmp_path):
    """`kill -9` in the midst of work, with a snapshot every second iteration."""
    solver = long_solver(tmp_path, iterations=600, snapshot=2)
    process = spawn(solver, tmp_path / "killed")
    wait_for_snapshot(tmp_path / "killed", process, 20)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    state = newest(tmp_path / "killed")
    assert prototxt.read_solverstate(state).iter < 600
    for path in (tmp_path / "killed").glob("snap*"):
        assert path.suffix in (".caffemodel", ".solverstate")
    run_to_the_end(solver, tmp_path / "killed", zoo, "--resume", state)
    run_to_the_end(solver, tmp_path / "whole", zoo)
    name = "snap_iter_600.caffemodel"
    assert same_weights(tmp_path / "killed" / name, tmp_path / "whole" / name)
    rows = (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()
    iterations = [json.loads(row)["iteration"] for row in rows]
    assert iterations == sorted(set(iterations))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_takes_a_snapshot_and_says_how_to_go_on(tmp_path):
    solver = long_solver(tmp_path, iterations=1_000_000, snapshot=50)
    process = spawn(solver, tmp_path / "out")
    wait_for_snapshot(tmp_path / "out", process, 50)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    state = newest(tmp_path / "out")
    given = f"--data {GOLDENS}/sgd_momentum/io.npz --resume {state} -o {tmp_path}/out --device cpu"
    assert said.splitlines()[-1] == f"note: stopped; go on with: zoo train {solver} {given}"
    assert prototxt.read_solverstate(state).history


def test_refusals(zoo, tmp_path):
    case = GOLDENS / "adam"
    lost = tmp_path / "lost.prototxt"
    lost.write_text('net: "gone.prototxt" base_lr: 1 lr_policy: "fixed"')
    np.savez(tmp_path / "short.npz", data=np.zeros((2, 4, 1, 8, 8), np.float32))
    for words, message in (
        ([tmp_path / "s.prototxt"], f"{tmp_path}/s.prototxt: no such file"),
        (
            [lost],
            f"{lost}: names 'gone.prototxt', which is not there; looked in the current folder and "
            f"in {tmp_path}",
        ),
        (
            [case / "solver.prototxt", "--data", tmp_path / "short.npz"],
            f"{tmp_path}/short.npz: no array 'label'; the network's inputs are data, label",
        ),
        (
            [case / "solver.prototxt", "--data", case / "io.npz", "--device", "tpu"],
            "unknown device 'tpu'; one of auto, cpu, cuda, cuda:N",
        ),
    ):
        run = zoo("train", *words, "-o", tmp_path / "out")
        assert (run.status, run.err) == (1, f"error: {message}\n")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_loses_no_snapshot(zoo, tmp_path, monkeypatch):
    """The snapshot that does not fit leaves nothing; the one before stays, and can be resumed."""
    solver = long_solver(tmp_path, 8, 4)
    case = GOLDENS / "sgd_momentum"
    words = ["train", solver, "--data", case / "io.npz", "--device", "cpu", "-o", tmp_path / "out"]
    real, count = os.fsync, iter(range(100))

    def full(handle: int) -> None:
        if next(count) >= 2:  # the second snapshot's model
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    refusal = zoo(*words, "-q").refusal
    assert "_iter_8.caffemodel: cannot be written: No space left on device" in refusal
    monkeypatch.undo()
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert [name for name in written if "snap" in name] == [
        "snap_iter_4.caffemodel",
        "snap_iter_4.solverstate",
    ]
    monkeypatch.chdir(tmp_path)
    state = tmp_path / "out" / "snap_iter_4.solverstate"
    assert zoo(*words, "--resume", state, "--json").json["iterations"] == 8


def test_a_snapshot_of_another_network_is_refused(zoo, tmp_path):
    solver = long_solver(tmp_path, 8, 4)
    case = GOLDENS / "sgd_momentum"
    prototxt.write_weights(tmp_path / "other.caffemodel", {"elsewhere": [np.zeros((1, 2))]})
    state = prototxt.SolverState(4, str(tmp_path / "other.caffemodel"), [], 0)
    prototxt.write_solverstate(tmp_path / "other.solverstate", state)
    run = zoo(
        "train", solver, "--data", case / "io.npz", "--resume", tmp_path / "other.solverstate"
    )
    assert run.refusal == (
        f"{tmp_path}/other.caffemodel: has no layer of this network; is it of another one?"
    )


def test_one_set_of_data_for_a_solver(zoo, tmp_path):
    solver = long_solver(tmp_path, iterations=1, snapshot=0)
    refused = zoo("train", solver, "--data", "a", "--data", "b")
    assert refused.status == 2
    assert refused.err == "error: --data is given several times; that goes with --arch only\n"
