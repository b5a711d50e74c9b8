"""The `convert` suite: a conversion beside copying the caffemodel, which nothing can undercut."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prototxt.errors import ZooError
from prototxt.files import weights_beside
from zoo.processes import environment

from .networks import Files, classifier, vgg16
from .timing import Timing, interleave

__all__ = ["LARGE", "LIMIT", "Settings", "Subject", "rows", "run", "within"]

CONVERT, COPY = "zoo convert", "copy"
LARGE = 17_024
"""Hidden units that make VGG-16 3 GB."""
LIMIT = 6 << 30
"""Bytes of address space within which the 3 GB model has to be converted."""
TIMES, PLUS, MEMORY = 2.0, 0.5, 1.5
"""The aim: at most 2 times the copy and 0.5 s, at most 1.5 times the file in memory."""


@dataclass(frozen=True)
class Settings:
    """How often to measure, and with which models."""

    threads: int
    rounds: int = 5
    large: bool = False
    side: int = 224
    width: float = 1.0
    hidden: int = 4096


@dataclass(frozen=True)
class Subject:
    """A model to convert; `cold` drops it from the page cache before each turn."""

    name: str
    files: Files
    cold: bool
    limit: int = 0


def run(
    folder: Path, settings: Settings, on_round: Callable[[], object] = lambda: None
) -> list[dict[str, Any]]:
    """Rows of each model, read from memory and from the disk."""
    result = []
    sizes = [("vgg16", settings.hidden, 0)]
    if settings.large:
        sizes.append(("vgg16, wide", LARGE, LIMIT))
    for name, hidden, limit in sizes:
        files = classifier(folder, "vgg", vgg16(settings.side, settings.width, hidden))
        for cold in (False, True):
            result += measure(Subject(name, files, cold, limit), settings, on_round)
        files.caffemodel.unlink()
    return result


def measure(
    subject: Subject, settings: Settings, on_round: Callable[[], object]
) -> list[dict[str, Any]]:
    peaks: list[int | None] = []

    def convert() -> float:
        ready(subject)
        seconds, peak = conversion(subject, settings.threads)
        peaks.append(peak)
        return seconds

    def copy() -> float:
        ready(subject)
        return copied(subject.files)

    found = interleave({CONVERT: convert, COPY: copy}, settings.rounds, on_round)
    size = subject.files.caffemodel.stat().st_size
    known = [peak for peak in peaks if peak is not None]
    return rows(subject, size, found, max(known) if known else None)


def ready(subject: Subject) -> None:
    """Bring the file into the page cache, or drop it from there; nothing else is being written."""
    os.sync()
    with subject.files.caffemodel.open("rb") as file:
        if subject.cold:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        else:
            while file.read(1 << 24):
                pass


def conversion(subject: Subject, threads: int) -> tuple[float, int | None]:
    """Seconds of a whole `zoo convert`, its start included, and the most memory that it held."""
    files = subject.files
    result = files.net.with_suffix(".json")
    command = [sys.executable, "-m", "zoo.benchmarks.measured", str(result), str(subject.limit)]
    command += ["convert", str(files.net), "--weights", str(files.caffemodel)]
    command += ["-o", str(files.onnx), "--quiet"]
    # As where it is installed: Python keeps what it compiled, whatever this process was told.
    compiled = str(files.net.parent / "compiled")
    variables = environment(threads)
    variables |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
    started = time.perf_counter()
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise ZooError(f"zoo convert: {done.stderr.strip().splitlines()[-1]}")
    for path in (files.onnx, weights_beside(files.onnx)):
        path.unlink(missing_ok=True)
    return seconds, json.loads(result.read_text())["peak_rss"]


def copied(files: Files) -> float:
    """Seconds of copying the weights to the disk, as whole as a conversion's output is."""
    target = files.caffemodel.with_suffix(".copy")
    started = time.perf_counter()
    with files.caffemodel.open("rb") as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 24)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - started
    target.unlink()
    return seconds


def rows(
    subject: Subject, size: int, found: Mapping[str, Sequence[float]], peak: int | None
) -> list[dict[str, Any]]:
    """Figures of both; `ratio` is how many times as long as the copy it takes."""
    timings = {name: Timing.of(seconds) for name, seconds in found.items()}
    copy = timings[COPY].median
    result = []
    for name, timing in timings.items():
        held = peak if name == CONVERT else None
        row: dict[str, Any] = {
            "network": subject.name,
            "bytes": size,
            "cache": "cold" if subject.cold else "warm",
            "contestant": name,
            "seconds": timing.median,
            "quartiles": [timing.low, timing.high],
            "ratio": timing.median / copy,
            "peak_rss": held,
            "memory_ratio": None if held is None else held / size,
            "address_space": subject.limit or None,
            "within": None,
        }
        if name == CONVERT:
            row["within"] = within(timing.median, copy, held, size)
        result.append(row)
    return result


def within(seconds: float, copy: float, peak: int | None, size: int) -> bool:
    """Whether a conversion met the aim, in time and in memory where that is known."""
    return seconds <= TIMES * copy + PLUS and (peak is None or peak <= MEMORY * size)
