"""The contestants as processes: started, run in turns, asked for their memory, ended."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prototxt.errors import ZooError
from zoo.processes import end, environment

from .timing import Timing, calls_per_turn, interleave

__all__ = ["Measurement", "Worker", "compete"]

PAUSE = 0.02
"""Seconds before a turn: the threads of who had the last one spin on for a while."""


@dataclass
class Measurement:
    """One contestant's figures; `absent` says why there are none."""

    seconds: Timing | None = None
    start: float | None = None
    """Seconds from the start of the process to its first result."""
    peak_rss: int | None = None
    absent: str | None = None


class Worker:
    """A process that runs one contestant."""

    def __init__(self, name: str, spec: Mapping[str, Any], threads: int) -> None:
        self.name = name
        started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "zoo.benchmarks.worker", json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(threads, spec.get("path")),
        )
        first = self.answer()
        self.start = time.perf_counter() - started
        self.absent: str | None = first.get("absent")
        self.calls = 1

    def answer(self) -> dict[str, Any]:
        """Wait for the worker's next line; only `absent`, which says why, where it has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            return {"absent": f"its process ended with status {self.process.wait()}"}
        return dict(json.loads(line))

    def ask(self, line: str) -> dict[str, Any]:
        """Send a line (a number of calls, or ``end``) and wait for the answer to it."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
        return self.answer()

    def calibrate(self, turn: float) -> None:
        """Warm up, and choose how many calls make a turn of `turn` seconds."""
        self.calls = calls_per_turn(self.time_calls(), turn)

    def time_calls(self) -> float:
        """Seconds a call."""
        time.sleep(PAUSE)
        found = self.ask(str(self.calls))
        if "seconds" not in found:
            raise ZooError(f"{found.get('absent', 'no answer')}", subject=self.name)
        return float(found["seconds"])

    def end(self) -> int | None:
        """Ends the process; the most memory that it held."""
        peak = None
        if self.process.poll() is None and self.absent is None:
            peak = self.ask("end").get("peak_rss")
        end(self.process)
        return peak


@contextlib.contextmanager
def crew(specs: Mapping[str, Mapping[str, Any]], threads: int) -> Iterator[dict[str, Worker]]:
    workers: dict[str, Worker] = {}
    try:
        for name, spec in specs.items():
            workers[name] = Worker(name, spec, threads)
        yield workers
    finally:
        for worker in workers.values():
            worker.end()


def compete(
    specs: Mapping[str, Mapping[str, Any]],
    threads: int,
    rounds: int,
    turn: float,
    on_round: Callable[[], object] = lambda: None,
) -> dict[str, Measurement]:
    """Run all contestants in turns of `turn` seconds."""
    with crew(specs, threads) as workers:
        found = {
            name: Measurement(start=None if worker.absent else worker.start, absent=worker.absent)
            for name, worker in workers.items()
        }
        present = {name: worker for name, worker in workers.items() if not worker.absent}
        for worker in present.values():
            worker.calibrate(turn)
        turns = {name: worker.time_calls for name, worker in present.items()}
        seconds = interleave(turns, rounds, on_round)
        for name, worker in present.items():
            found[name].seconds = Timing.of(seconds[name])
            found[name].peak_rss = worker.end()
    return found
