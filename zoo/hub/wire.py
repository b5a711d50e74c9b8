"""What either side of an HTTP connection may say before its body."""

from __future__ import annotations

import http.client
from typing import BinaryIO

LARGEST_HEAD = 1 << 17
"""Bytes of a request line or status line with all header lines."""


class Head:
    """The lines of a stream up to `LARGEST_HEAD` bytes; what follows is read from the stream.

    `http.client` and `http.server` limit one line and the number of lines, which together is a
    hundred times as much.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._left = stream, LARGEST_HEAD

    def readline(self, limit: int = -1) -> bytes:
        """As a file's. Raises http.client.LineTooLong past the limit, as both expect it."""
        if not self._left:
            raise http.client.LineTooLong("head")
        most = self._left if limit < 0 else min(limit, self._left)
        line = self._stream.readline(most)
        self._left -= len(line)
        return line

    def close(self) -> None:
        """Close the stream, as `http.client` does where the head is no good."""
        self._stream.close()
