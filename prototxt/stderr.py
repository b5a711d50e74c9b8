"""What libraries written in C print by themselves, kept off stderr."""

from __future__ import annotations

import contextlib
import os
import threading

__all__ = ["silenced"]


class Silence:
    """The file descriptor of stderr, put aside while any thread wants quiet."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.wanted = 0
        self.saved: int | None = None
        self.sink: int | None = None

    def __enter__(self) -> None:
        with self.lock:
            self.wanted += 1
            if self.wanted == 1:
                with contextlib.suppress(OSError):  # there may be no stderr
                    if self.sink is None:
                        self.sink = os.open(os.devnull, os.O_WRONLY)
                    self.saved = os.dup(2)
                    os.dup2(self.sink, 2)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.wanted -= 1
            if not self.wanted and self.saved is not None:
                os.dup2(self.saved, 2)
                os.close(self.saved)
                self.saved = None


SILENCE = Silence()


def silenced() -> Silence:
    """Keep what libraries print off stderr in a `with` block, which costs some microseconds.

    Any number of threads may ask for it, and blocks may stand in one another.
    """
    return SILENCE
