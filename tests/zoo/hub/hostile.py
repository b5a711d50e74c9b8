"""What a server may answer that means harm, as bytes on the wire."""

import contextlib
import gzip
import itertools
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler

from tests.zoo.hub.web import Fault

Parts = Callable[[bytes], Iterable[bytes]]
"""From the file that was asked for to what is sent."""

BLOCK = b"x" * 65536
BOMB = gzip.compress(bytes(1 << 26))
"""64 MiB in 64 KiB."""


def raw(parts: Parts, pause: float = 0.0) -> Fault:
    """Sends the parts as they are until they end or the other side has had enough."""

    def fault(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            for part in parts(content):
                handler.wfile.write(part)
                time.sleep(pause)

    return fault


def answer(
    *lines: str, status: str = "200 OK", body: Parts = lambda content: [content], pause: float = 0.0
) -> Fault:
    """Sends a status and header lines as they are, and a body."""
    head = "\r\n".join((f"HTTP/1.1 {status}", *lines, "Connection: close", "", ""))
    return raw(lambda content: itertools.chain([head.encode("latin-1")], body(content)), pause)


def chunked(*parts: bytes, then: bytes, pause: float = 0.0) -> Fault:
    """Sends parts of a chunked body as they are, the last of them for ever."""
    return answer(
        "Transfer-Encoding: chunked",
        body=lambda content: itertools.chain(parts, itertools.repeat(then)),
        pause=pause,
    )


def redirect(location: str, status: str = "302 Found", body: Parts = lambda content: []) -> Fault:
    return answer(f"Location: {location}", status=status, body=body)


def forever(part: bytes) -> Parts:
    return lambda content: itertools.repeat(part)


def stall(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    """Says nothing until the other side goes."""
    handler.close_connection = True
    with contextlib.suppress(OSError):
        handler.connection.recv(1)


def half_and_stall(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content)
    handler.wfile.write(head + content[: len(content) // 2])
    stall(handler, content)
