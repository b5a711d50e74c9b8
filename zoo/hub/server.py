"""A hub's folder over HTTP: ranges, entity tags, types, and nothing outside the folder.

A client may hold a connection, send slowly or much, and ask for anything: what it costs is bounded,
and does not keep others from being served.

What a version's files are never changes, so they may be cached for ever; everything else is asked
for again, and answered 304 where it is the same.
"""

from __future__ import annotations

import contextlib
import email.utils
import ipaddress
import mimetypes
import os
import re
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote_to_bytes, urlsplit

from prototxt.errors import Argument, Sentence
from zoo import __version__
from zoo.errors import HubError
from zoo.hub.holding import Held
from zoo.hub.index import CARD, SIGNATURE, VERSION
from zoo.hub.wire import Head

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".onnx": "application/octet-stream",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webp": "image/webp",
}
"""Types that a machine's own table lacks or has wrong."""

IMMUTABLE = "public, max-age=31536000, immutable"
CHUNK = 1 << 18
LONGEST_LINE = 500
"""Characters of a line in the log."""

BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n"
)
_REWRITTEN = f"({re.escape(CARD)}|{re.escape(SIGNATURE)})"
_VERSIONED = re.compile(rf"(?!gallery/)[^/]+/{VERSION}/(?!{_REWRITTEN}$)[^/]+")


class Server(ThreadingHTTPServer):
    """Serves one folder. `log` gets one line a request. Port 0 takes a free one."""

    daemon_threads = True
    # A second server on the same port must be refused, also where the system would allow it.
    allow_reuse_address = os.name != "nt"
    request_queue_size = 128

    def __init__(
        self,
        folder: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        log: Callable[[str], object] | None = None,
    ) -> None:
        if not folder.is_dir():
            raise HubError("no such folder", subject=folder, remedy="give the folder of a hub")
        self.folder = folder.resolve()
        self.log = log or (lambda line: None)
        self.host, self.held = host, Held()
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise HubError(
                f"cannot be served on: {why}",
                subject=f"{host}:{port}",
                remedy=Sentence("give another ", Argument("port"), " or ", Argument("host")),
            ) from None

    @property
    def url(self) -> str:
        """Its address, with the port that it got; IPv6 in brackets."""
        host, port = self.server_address[:2]
        name = host.decode() if isinstance(host, bytes) else str(host)
        return f"http://{f'[{name}]' if ':' in name else name}:{port}"

    def answers_to(self, host: str) -> bool:
        """Whether a Host header names this server.

        One that only this machine reaches has no other name than localhost, the one that it was
        given, and addresses. A page that has its own name lead here could else read what is served.
        """
        if not ipaddress.ip_address(str(self.server_address[0])).is_loopback:
            return True
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in ("localhost", self.host.lower()) or name.endswith(".localhost"):
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def verify_request(self, request: Any, client_address: object) -> bool:
        """Whether there is room for one more connection; else it is told to come again."""
        if self.held.admit(request):
            return True
        with contextlib.suppress(OSError):
            request.setblocking(False)
            request.sendall(BUSY)
        return False

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, whose place is free then."""
        self.held.release(request)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Every now and then: end the connections on which nothing comes."""
        self.held.end_overdue()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is none of our business."""


@dataclass(frozen=True)
class ServedFile:
    """An open file and what the answer says of it."""

    file: BinaryIO
    size: int
    tag: str
    modified: float
    type: str
    caching: str


class Handler(BaseHTTPRequestHandler):
    """GET and HEAD of files; HTTP/1.1 with connections kept open."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = f"caffe-zoo/{__version__}"
    sys_version = ""
    # Also what is no HTTP gets a whole answer.
    default_request_version = "HTTP/1.0"
    timeout = 60
    """Seconds that a part of an answer may take."""

    def setup(self) -> None:
        """Keep the stream, of which each request's head takes a bounded part."""
        super().setup()
        self._stream = self.rfile

    def handle_one_request(self) -> None:
        """Wait for a request and answer it."""
        self.server.held.got_on(self.connection, asking=True)
        self.rfile = Head(self._stream)  # type: ignore[arg-type, assignment]
        super().handle_one_request()

    def parse_request(self) -> bool:
        """Read the head; False where it is refused, which the client has been told then."""
        if not super().parse_request():
            return False
        self.server.held.got_on(self.connection, asking=False)
        hosts = self.headers.get_all("Host", [])
        if len(hosts) > 1 or not (hosts or self.request_version == "HTTP/1.0"):
            self.send_error(HTTPStatus.BAD_REQUEST)
        elif hosts and not self.server.answers_to(hosts[0]):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        else:
            return True
        return False

    def handle_expect_100(self) -> bool:
        """Never ask for a body: nobody reads it."""
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse, without repeating anything of what was sent, and hang up."""
        self.close_connection = True
        self._short(HTTPStatus(code))

    def do_GET(self) -> None:
        """The file, or the span of it that Range asks for."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """The same headers, without the file."""
        self._answer(body=False)

    def _refuse_method(self) -> None:
        self.close_connection = True
        self._short(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD"})

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = _refuse_method

    def _answer(self, body: bool) -> None:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # a body that nobody reads would be taken for a request
        parts = components(self.path)
        if parts is None:
            return self._short(HTTPStatus.NOT_FOUND)
        path = inside(self.server.folder, parts)
        as_folder = self.path.partition("?")[0].endswith("/")
        if path is not None and path.is_dir() and not as_folder:
            # Built from the components, so that it can lead nowhere else.
            return self._short(
                HTTPStatus.MOVED_PERMANENTLY, {"Location": f"/{'/'.join(map(quote, parts))}/"}
            )
        if as_folder:
            path = inside(self.server.folder, [*parts, "index.html"])
        found = opened(path, parts) if path is not None else None
        if found is None:
            return self._short(HTTPStatus.NOT_FOUND)
        with found.file:
            self._send(found, body)

    def _send(self, found: ServedFile, body: bool) -> None:
        if self._unchanged(found):
            return self._head(HTTPStatus.NOT_MODIFIED, found, None)
        span = self._span(found)
        if span == "unsatisfiable":
            return self._short(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                {"Content-Range": f"bytes */{found.size}"},
            )
        start, end = (0, found.size) if span is None else (span[0], span[1])
        status = HTTPStatus.OK if span is None else HTTPStatus.PARTIAL_CONTENT
        self._head(status, found, (int(start), int(end)))
        if not body:
            return
        found.file.seek(int(start))
        left = int(end) - int(start)
        while left and (chunk := found.file.read(min(CHUNK, left))):
            self.wfile.write(chunk)
            self.server.held.got_on(self.connection, asking=False)
            left -= len(chunk)
        if left:  # shorter than it was: the length that was promised cannot be kept
            self.close_connection = True

    def _head(self, status: HTTPStatus, found: ServedFile, span: tuple[int, int] | None) -> None:
        self.send_response(status)
        self.send_header("ETag", found.tag)
        self.send_header("Last-Modified", email.utils.formatdate(found.modified, usegmt=True))
        self.send_header("Cache-Control", found.caching)
        if span is not None:
            self.send_header("Content-Type", found.type)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(span[1] - span[0]))
            if status == HTTPStatus.PARTIAL_CONTENT:
                stated = f"bytes {span[0]}-{span[1] - 1}/{found.size}"
                self.send_header("Content-Range", stated)
        self._common()

    def _common(self) -> None:
        self.send_header("X-Content-Type-Options", "nosniff")
        # With these a page may use several threads of WebAssembly.
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _short(self, status: HTTPStatus, headers: dict[str, str] | None = None) -> None:
        """An answer that is a line of text."""
        text = f"{status.value} {status.phrase}\n".encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Cache-Control", "no-store")
        self._common()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _unchanged(self, found: ServedFile) -> bool:
        """Whether the client has this version (RFC 9110, 13.1): the tag counts before the date."""
        tags = self.headers.get("If-None-Match")
        if tags is not None:
            listed = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
            return "*" in listed or found.tag in listed
        since = _date(self.headers.get("If-Modified-Since"))
        return since is not None and int(found.modified) <= since

    def _span(self, found: ServedFile) -> tuple[int, int] | str | None:
        """The bytes asked for as (start, end), None for all of them."""
        condition = self.headers.get("If-Range")
        if condition is not None and condition != found.tag:
            date = _date(condition)
            if date is None or int(found.modified) != date:
                return None
        return span(self.headers.get("Range"), found.size)

    def log_message(self, format: str, *args: object) -> None:
        """One line to the server's log; what a terminal would obey is escaped."""
        line = format % args
        if len(line) > LONGEST_LINE:
            line = f"{line[:LONGEST_LINE]}..."
        self.server.log("".join(c if c.isprintable() else repr(c)[1:-1] for c in line))


def components(target: str) -> list[str] | None:
    """The path of a request as names, each decoded by itself; None for what no file may have."""
    try:
        # Only a path: a name after // is one of a path too, and no host.
        path = target.partition("?")[0].partition("#")[0]
        names = [unquote_to_bytes(part).decode() for part in path.split("/")]
    except ValueError:
        return None
    if not path.startswith("/"):
        return None
    names = [name for name in names if name]
    for name in names:
        # What starts with a dot is a lock, a file half written, or a step out of the folder.
        if name.startswith(".") or not name.isprintable() or set(name) & set('/\\:*?"<>|'):
            return None
    return names


def inside(folder: Path, names: list[str]) -> Path | None:
    """The path of what lies in the folder, links followed; None where they lead out of it."""
    try:
        path = folder.joinpath(*names).resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: links that lead in a circle
        return None
    return path if path.is_relative_to(folder) else None


def opened(path: Path, names: list[str]) -> ServedFile | None:
    """Open a plain file; None for what is none. A pipe is not waited for."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    # `path` has no links in it any more; one that took its place since is not followed.
    flags |= getattr(os, "O_NOFOLLOW", 0)
    try:
        handle = os.open(path, flags)
    except OSError:
        return None
    state = os.fstat(handle)
    if not stat.S_ISREG(state.st_mode):
        os.close(handle)
        return None
    kind = TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0]
    versioned = _VERSIONED.fullmatch("/".join(names)) is not None
    return ServedFile(
        os.fdopen(handle, "rb"),
        state.st_size,
        f'"{state.st_mtime_ns:x}-{state.st_size:x}-{state.st_ino:x}"',
        state.st_mtime,
        kind or "application/octet-stream",
        IMMUTABLE if versioned else "no-cache",
    )


def span(header: str | None, size: int) -> tuple[int, int] | str | None:
    """A Range header as (start, end) (RFC 9110, 14.1.2).

    None where it asks for nothing that we understand, in which case everything is sent, as for
    several ranges at once; "unsatisfiable" where there are no such bytes.
    """
    match = re.fullmatch(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", header or "", re.IGNORECASE)
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        count = int(match[2])
        return (max(0, size - count), size) if count and size else "unsatisfiable"
    start, last = int(match[1]), int(match[2]) if match[2] else size - 1
    if match[2] and last < start:
        return None
    return (start, min(last + 1, size)) if start < size else "unsatisfiable"


def _date(text: str | None) -> int | None:
    if text is None:
        return None
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return int(email.utils.parsedate_to_datetime(text).timestamp())
    return None
