"""The connections that a server holds: so many at most, and none that does not get on."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

CONNECTIONS = 128
"""At once, each with its thread."""

PATIENCE = 20.0
"""Seconds in which a request must be there from its first to its last header line, and in which an
open connection must bring the next."""

SLACK = 1.0
"""Seconds without progress after which a connection makes way for another, where there are too
many."""


class Held:
    """Connections by when they last got on: began, brought a request, took a part of an answer."""

    def __init__(self, most: int = CONNECTIONS, patience: float = PATIENCE) -> None:
        self.most, self.patience = most, patience
        self._left = threading.Condition()
        self._since: dict[socket.socket, float] = {}
        self._asking: set[socket.socket] = set()

    def __len__(self) -> int:
        return len(self._since)

    def admit(self, connection: socket.socket) -> bool:
        """Hold one more; False where there are too many and all of them get on.

        Of too many the one that has not got on for longest is ended first.
        """
        with self._left:
            if len(self._since) >= self.most:
                slowest = min(self._since, key=self._since.__getitem__)
                if time.monotonic() - self._since[slowest] >= SLACK:
                    _end(slowest)
                    self._left.wait_for(lambda: len(self._since) < self.most, SLACK)
            if len(self._since) >= self.most:
                return False
            self._since[connection] = time.monotonic()
            self._asking.add(connection)
            return True

    def got_on(self, connection: socket.socket, asking: bool) -> None:
        """Note that a connection got on; `asking` says that its next request is waited for."""
        with self._left:
            if connection in self._since:
                self._since[connection] = time.monotonic()
                (self._asking.add if asking else self._asking.discard)(connection)

    def release(self, connection: socket.socket) -> None:
        """Forget a connection, before it is closed."""
        with self._left:
            self._asking.discard(connection)
            if self._since.pop(connection, None) is not None:
                self._left.notify_all()

    def end_overdue(self) -> None:
        """End the connections whose request has been waited for too long."""
        with self._left:
            latest = time.monotonic() - self.patience
            for connection in self._asking:
                if self._since[connection] < latest:
                    _end(connection)


def _end(connection: socket.socket) -> None:
    """Wake the thread that waits for it, which then closes it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
