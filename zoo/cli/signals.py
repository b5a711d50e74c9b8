"""Ctrl-C, and what else asks a process to end: a command then puts away what it has begun."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from zoo.processes import ENDING

SOON = 0.01
"""Seconds of work after which it is looked again whether a module has been loaded."""


class Terminated(KeyboardInterrupt):
    """As upon Ctrl-C, but by another signal, which `number` tells."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt or Terminated meanwhile.

    Only those that would end the process at once: one may be ignored (nohup), or somebody else's.
    While a module is loaded it is waited for, as one that is written in C may crash of an
    exception; a second signal ends the process even so.
    """
    came: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if hasattr(signal, "setitimer") and _loading(frame):
            if len(came) > 1:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            signal.setitimer(signal.ITIMER_VIRTUAL, SOON)
            return
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, *ENDING):
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, end)
        if hasattr(signal, "setitimer"):
            again = signal.signal(signal.SIGVTALRM, lambda _, frame: end(came.pop(), frame))
            before[signal.SIGVTALRM] = again
    try:
        yield
    finally:
        if signal.SIGVTALRM in before:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _loading(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
