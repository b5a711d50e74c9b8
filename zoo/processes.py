"""This process and those that it starts: what libraries find, and how many threads they use."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import signal
import subprocess
import tempfile
from pathlib import Path

import zoo

__all__ = ["ENDING", "end", "environment", "private_caches"]

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""The signals by which a process is asked to end, besides Ctrl-C."""

CACHES = ("MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR")
"""Where matplotlib keeps its list of fonts (0.1 s of work) and torch what it compiles (nothing)."""


@functools.cache
def private_caches() -> None:
    """Let libraries write in a folder that goes with this process, not in home or beside others.

    Before they are loaded; a variable that is set already stays.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="zoo-", ignore_cleanup_errors=True)
    except FileNotFoundError:  # there is no place for it
        # matplotlib does without; torch wants one as it is loaded, and writes nothing into it.
        os.environ.setdefault(CACHES[1], str(Path(zoo.__file__).parent))
        return
    atexit.register(folder.cleanup)
    for name in CACHES:
        os.environ.setdefault(name, folder.name)


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
