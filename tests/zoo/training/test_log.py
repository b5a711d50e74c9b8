"""metrics.jsonl: of one process, and the same whether a training was interrupted or not."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from prototxt import FormatError, ZooError
from tests.command import Run
from tests.faults.commands import make_solver, newest, results
from zoo.training.log import Log
from zoo.training.solver import Solver

ROWS = [("train", 1), ("train", 4), ("test", 4), ("train", 7), ("test", 8)]


@pytest.mark.parametrize(("iteration", "kept"), [(0, 0), (4, 2), (5, 3), (8, 4), (9, 5)])
def test_what_is_run_again_is_dropped(tmp_path, iteration, kept):
    """A test is of the weights after an iteration, which are tested again."""
    path = tmp_path / "metrics.jsonl"
    with Log(path) as log:
        for kind, number in ROWS:
            log.note(kind, number, {"loss": 0.5})
    rows = path.read_text().splitlines(keepends=True)
    with Log(path) as log:
        log.keep_until(iteration)
    assert path.read_text() == "".join(rows[:kept])


@pytest.mark.parametrize("cut", [1, 10])
def test_a_row_that_was_cut_short_is_dropped(tmp_path, cut):
    path = tmp_path / "metrics.jsonl"
    with Log(path) as log:
        log.note("train", 1, {"loss": 0.5})
        log.note("train", 2, {"loss": 0.25})
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with Log(path) as log:
        log.keep_until(2)
        log.note("train", 2, {"loss": 0.25})
    assert path.read_bytes() == whole


def test_two_processes_do_not_train_into_one_folder(tmp_path):
    path = tmp_path / "out" / "metrics.jsonl"
    with Log(path) as log:
        log.note("train", 1, {})
        with pytest.raises(ZooError, match="out: another process trains into this folder; wait"):
            Log(path)
    with Log(path) as log:
        log.keep_until(1)
    assert len(path.read_text().splitlines()) == 1


def test_a_full_disk_is_told(tmp_path):
    with Log(tmp_path / "metrics.jsonl") as log:

        class Full:
            def write(self, _: bytes) -> int:
                raise OSError(errno.ENOSPC, "No space left on device")

            def seek(self, *place: int) -> int:
                return log_file.seek(*place)

            def truncate(self, size: int) -> int:
                return log_file.truncate(size)

            def close(self) -> None:
                log_file.close()

        log_file, log._file = log._file, Full()
        with pytest.raises(FormatError, match=r"metrics.jsonl: cannot be written: No space left"):
            log.note("train", 1, {})


def before_step(monkeypatch: pytest.MonkeyPatch, moment: int, act: Callable[[], None]) -> None:
    """Let something happen in the midst of a training, when so many iterations are done."""
    step = Solver.step

    def stepping(self: Solver) -> float:
        if self.iteration == moment:
            act()
        return step(self)

    monkeypatch.setattr(Solver, "step", stepping)


def test_killed_and_resumed_everything_is_the_same(zoo, tmp_path, monkeypatch):
    """Tests, smoothed losses, the curve: all files but for times and speeds."""
    words = make_solver(tmp_path)

    def killed() -> None:
        raise RuntimeError("killed")

    def go_on(out: Path) -> Run:
        state = newest(out)
        return zoo(*words, "-o", out, *(["--resume", state] if state else []))

    for moment in (5, 18, 31):
        with monkeypatch.context() as patch:
            before_step(patch, moment, killed)
            assert "killed" in go_on(tmp_path / "killed").err
    for out in ("killed", "whole"):
        assert go_on(tmp_path / out).status == 0
    # A state names its model, which is in another folder.
    resumed, whole = (
        {name: found for name, found in results(tmp_path / out).items() if "state" not in name}
        for out in ("killed", "whole")
    )
    kinds = Counter(row["kind"] for row in whole["metrics.jsonl"])
    assert (kinds["train"], kinds["test"]) == (14, 6) and kinds["best"] > 0
    assert resumed == whole


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        (signal.SIGINT, 0, "note: stopped; go on with: zoo train "),
        (signal.SIGTERM, 143, "snapshot "),
        (signal.SIGHUP, 129, "snapshot "),
    ],
)
def test_a_signal_takes_a_snapshot(zoo, tmp_path, monkeypatch, how, status, said):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    before_step(monkeypatch, 8, lambda: signal.raise_signal(how))
    run = zoo(*make_solver(tmp_path), "-o", "out")
    assert (run.status, run.err) == (status, "error: terminated\n" if status else "")
    assert run.out.splitlines()[-1].startswith(said)
    assert newest(Path("out")) == Path("out/snap_iter_9.solverstate")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_row_is_there_whole_or_not_at_all(tmp_path):
    """The system writes what fits, and says so at the next call."""
    code = (
        "import resource, signal; from pathlib import Path; from zoo.training.log import Log\n"
        "from prototxt.errors import ZooError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "log = Log(Path('metrics.jsonl')); log.note('train', 1, {})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))\n"
        "try:\n    log.note('train', 2, {'text': 'x' * 100})\n"
        "except ZooError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert "metrics.jsonl: " in done.stdout and done.stderr == ""
    assert (tmp_path / "metrics.jsonl").read_text() == '{"kind": "train", "iteration": 1}\n'
