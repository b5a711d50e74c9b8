"""Other Pythons that this one starts: what they find, and how many threads they use."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import zoo

__all__ = ["end", "environment"]


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process, wait for it, and close the pipes to it."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def environment(threads: int | None = None, path: str | None = None) -> dict[str, str]:
    """The variables by which libraries learn how many threads to use, and where ours is.

    `path` is a folder of packages that go before the installed ones.
    """
    root = str(Path(zoo.__file__).parents[1])
    paths = [*([path] if path else []), root, os.environ.get("PYTHONPATH", "")]
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    limits = {} if threads is None else dict.fromkeys(names, str(threads))
    return {**os.environ, **limits, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
