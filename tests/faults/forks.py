"""`zoo` commands in forks of a process that has loaded everything: each begins at once."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LIGHT = """
numpy onnx onnxruntime cv2 lmdb filelock zoo.cli.app zoo.cli.convert zoo.cli.encode zoo.cli.decode
zoo.cli.data zoo.cli.prototxt zoo.cli.publish zoo.cli.pull zoo.hub zoo.hub.publishing
zoo.hub.examining zoo.data.build zoo.paper.coding converters.conversion converters.onnx_backend
runtime.session runtime.evaluation
""".split()
HEAVY = """
torch torch._dynamo matplotlib.figure matplotlib.backends.backend_agg zoo.cli.train
zoo.training.run zoo.paper.recipes.training
""".split()

Attack = Callable[[int], object]
"""Is given the number of the process that runs."""


def prepare(modules: list[str]) -> None:
    """Load what commands load; nothing that would start a thread."""
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in modules:
        importlib.import_module(name)


@dataclass(frozen=True)
class Ended:
    """How a process ended: the status as a shell has it, what it said, how long it took."""

    status: int
    said: str
    seconds: float

    @property
    def killed(self) -> bool:
        return self.status == 128 + signal.SIGKILL


def fork(
    words: list[str],
    folder: Path,
    attack: Attack | None = None,
    within: Callable[[], object] = lambda: None,
) -> Ended:
    """Run `zoo` with these words in `folder`; `within` is called first, in the new process."""
    log = folder / "said.txt"
    started = time.perf_counter()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.setsid()  # what it starts itself belongs to its group
        os.chdir(folder)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.argv = ["zoo", *words]
        status = 1
        try:
            within()
            from zoo.cli.app import main

            main()
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    if attack is not None:
        attack(child)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    while alive(child):
        time.sleep(0.001)
    said = log.read_text(errors="replace")
    return Ended(code if code >= 0 else 128 - code, said, time.perf_counter() - started)


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def run(words: list[str], folder: Path) -> Ended:
    """The same, which must succeed."""
    ended = fork(words, folder)
    assert ended.status == 0, (words, ended)
    return ended


def kill_after(seconds: float) -> Attack:
    """`kill -9` after a time."""

    def attack(process: int) -> None:
        time.sleep(seconds)
        os.kill(process, signal.SIGKILL)

    return attack


CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.link")


def kill_at(number: int) -> Callable[[], None]:
    """`kill -9` of this process and its own before their `number`-th change to a folder, from 1."""

    def within() -> None:
        seen = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal seen
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & 3
            if writes or event in CHANGES:
                seen += 1
                if seen == number:
                    os.killpg(os.getpgrp(), signal.SIGKILL)

        sys.addaudithook(hook)

    return within
