"""What libraries written in C print by themselves, kept off stderr."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

__all__ = ["silenced"]


class Silence:
    """The file descriptor of stderr, put aside while anybody wants quiet."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.wanted = 0
        self.saved: int | None = None
        self.sink: int | None = None

    def begin(self) -> None:
        with self.lock:
            self.wanted += 1
            if self.wanted == 1:
                with contextlib.suppress(OSError):  # there may be no stderr
                    if self.sink is None:
                        self.sink = os.open(os.devnull, os.O_WRONLY)
                    self.saved = os.dup(2)
                    os.dup2(self.sink, 2)

    def end(self) -> None:
        with self.lock:
            self.wanted -= 1
            if not self.wanted and self.saved is not None:
                os.dup2(self.saved, 2)
                os.close(self.saved)
                self.saved = None


SILENCE = Silence()


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Keep what libraries print off stderr for a while; any number of threads may ask for it."""
    SILENCE.begin()
    try:
        yield
    finally:
        SILENCE.end()
