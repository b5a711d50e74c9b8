"""`zoo serve` and clients that mean harm: nothing is given away, and the others are served."""

import contextlib
import gc
import itertools
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.zoo.hub import soak
from tests.zoo.hub.served import CONTENT, SECRET, raw, send
from zoo.hub import holding
from zoo.hub.holding import Held
from zoo.hub.server import Handler, Server, _date
from zoo.hub.wire import LARGEST_HEAD

FILE = "/8_8_8/1.0/net.onnx"


def get(path: str, *lines: str, version: str = "HTTP/1.1") -> bytes:
    """A request for one answer on one connection."""
    head = (f"GET {path} {version}", "Host: localhost", *lines, "Connection: close", "", "")
    return "\r\n".join(head).encode("latin-1")


def statuses(answer: bytes) -> list[int]:
    """Of one answer after another."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def still_serves(server: Server) -> bool:
    return raw(server, get("/site/")).endswith(b"<p>here")


PATHS = [
    "/../secret.txt",
    "/%2e%2e/secret.txt",
    "/%2e%2e%2fsecret.txt",
    "/.%2e/secret.txt",
    "/%252e%252e/secret.txt",
    "/%252e%252e%252fsecret.txt",
    "/%25252e%25252e/secret.txt",
    "/..%5csecret.txt",
    "/..%255csecret.txt",
    "/%5c%5chost%5cshare",
    "/%u002e%u002e/secret.txt",
    "/%c0%ae%c0%ae/secret.txt",
    "/%e0%80%ae%e0%80%ae/secret.txt",
    "/\xc0\xae\xc0\xae/secret.txt",
    "/..;/secret.txt",
    "/..%00/secret.txt",
    "/..%0d%0a/secret.txt",
    "/8_8_8/..%2f..%2fsecret.txt",
    "/8_8_8/%2e%2e/%2e%2e/secret.txt",
    "/8_8_8/1.0/net.onnx/../../../../secret.txt",
    "/index.json%00.html",
    "/index.json\0",
    "/index.json%20",
    "/index.json.",
    "/index.json::$DATA",
    "/CON",
    "/nul",
    "/.git/config",
    "/%2egit/config",
    "/8_8_8/.lock",
    "/out.txt",
    "/outside/secret.txt",
    "/outside/",
    "/circle/",
    "/pipe",
    "/~root",
    "/file:///etc/passwd",
    "//etc/passwd",
    "/" + "../" * 5000,
    "/" + "a/" * 20_000,
    "/" + "/" * 60_000 + "etc/passwd",
    "/" + "%2e%2e/" * 5000 + "etc/passwd",
    "/" + "a" * 60_000,
    "http://localhost/../secret.txt",
    "file:///etc/passwd",
    "*",
    "?",
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ascii(path)[:40])
def test_a_path_that_leads_out(server, path):
    answer = raw(server, get(path))
    assert statuses(answer) == [404]
    assert SECRET not in answer and len(answer) < 1000


def many(number: int, line: str) -> list[str]:
    return [line] * number


HEAD = "GET /site/ HTTP/1.1\r\nHost: localhost\r\n"
REFUSED = {
    "a request line of 70 KB": (get("/" + "a" * 70_000), 414),
    "an endless request line": (b"GET /" + b"a" * 5_000_000, 414),
    "a header line of 70 KB": (get("/site/", f"a: {'b' * 70_000}"), 431),
    "101 headers": (get("/site/", *many(101, "a: b")), 431),
    "headers of 180 KB together": (get("/site/", *many(20, f"a: {'b' * 9_000}")), 431),
    "endless headers": (HEAD.encode() + b"a: b\r\n" * 1_000_000, 431),
    "a greeting of TLS": (b"\x16\x03\x01\x02\x00\x01\x00" + bytes(range(256)) + b"\n\n", 400),
    "bytes": (bytes(range(255, 0, -1)) * 9, 400),
    "one word": (b"GET\r\n\r\n", 400),
    "four words": (b"GET / x HTTP/1.1\r\n\r\n", 400),
    "no version": (b"GET / HTTP/\r\n\r\n", 400),
    "a version of letters": (b"GET / HTTP/a.b\r\n\r\n", 400),
    "a version of many digits": (b"GET / HTTP/1." + b"1" * 99 + b"\r\n\r\n", 400),
    "another version": (b"GET / HTTP/2.0\r\n\r\n", 505),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "no host": (b"GET /site/ HTTP/1.1\r\n\r\n", 400),
    "two hosts": ((HEAD + "Host: localhost\r\n\r\n").encode(), 400),
    "POST": (f"POST {FILE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), 405),
    "PUT": (f"PUT {FILE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), 405),
    "DELETE": (f"DELETE {FILE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), 405),
    "PATCH": (f"PATCH {FILE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), 405),
    "OPTIONS": (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    "TRACE": (b"TRACE / HTTP/1.1\r\nHost: localhost\r\nCookie: secret\r\n\r\n", 405),
    "CONNECT": (b"CONNECT 10.0.0.1:22 HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
    "PROPFIND": (b"PROPFIND / HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
    "a method in small letters": (b"get / HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
    "a method of markup": (b"<script>alert(1)</script> / HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
    "a method of a class": (b"__class__ / HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(server, name):
    request, status = REFUSED[name]
    answer = raw(server, request)
    assert statuses(answer) == [status]
    assert b"Connection: close" in answer
    # Nothing of what was sent comes back.
    assert len(answer) < 1000 and b"script" not in answer and b"secret" not in answer
    assert still_serves(server)


ODD = {
    "HTTP/1.0 without a host": (b"GET /site/ HTTP/1.0\r\n\r\n", b"<p>here"),
    "HTTP/0.9": (b"GET /site/\r\n\r\n", b"<p>here"),
    "bare line feeds": (b"GET /site/ HTTP/1.1\nHost: localhost\nConnection: close\n\n", b"<p>here"),
    "a header without a colon": (get("/site/", "nothing"), b"<p>here"),
    "a folded header": (get("/site/", "a: b\r\n  c"), b"<p>here"),
    "100 headers": (get("/site/", *many(97, "a: b")), b"<p>here"),
    "a body announced and awaited": (
        get("/site/", "Expect: 100-continue", "Content-Length: 5"),
        b"<p>here",
    ),
    "bytes in a header": (get("/site/", "a: \xff\x00\x1b[2J"), b"<p>here"),
    "HEAD of what is not there": (b"HEAD /no HTTP/1.0\r\n\r\n", b"\r\n\r\n"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_and_answered(server, name):
    request, end = ODD[name]
    answer = raw(server, request)
    assert len(statuses(answer)) == 1 and answer.endswith(end)


RANGES = {
    "negative": "bytes=-5--1",
    "backwards": "bytes=9-5",
    "huge": f"bytes=0-{10**30}",
    "beyond the end, huge": f"bytes={10**30}-",
    "twice the same": "bytes=0-511,0-511",
    "overlapping": "bytes=0-300,200-400,100-500",
    "10,000 of them": "bytes=" + ",".join(["0-"] * 10_000),
    "of another unit": "parsecs=0-1",
    "digits of another script": "bytes=\xb2-\xb3",
    "hexadecimal": "bytes=0x0-0x5",
    "signed": "bytes=+1-+5",
    "a formula": "bytes=1e9-",
    "empty": "bytes=",
}


@pytest.mark.parametrize("name", RANGES)
def test_a_range_that_means_harm_is_the_whole_file_once(server, name):
    answer = raw(server, get(FILE, f"Range: {RANGES[name]}"))
    assert statuses(answer) == [200]
    assert answer.endswith(b"\r\n\r\n" + CONTENT) and len(answer) < len(CONTENT) + 1000


def test_a_range_of_the_greatest_number_that_is_read(server):
    found = raw(server, get(FILE, f"Range: bytes=1-{'9' * 18}"))
    assert statuses(found) == [206] and found.endswith(b"\r\n\r\n" + CONTENT[1:])
    found = raw(server, get(FILE, f"Range: bytes={'9' * 18}-"))
    assert statuses(found) == [416]


@given(
    st.text(st.characters(codec="latin-1"), max_size=60)
    | st.datetimes().map(lambda when: format_datetime(when))
    | st.from_regex(r"Thu, \d{1,6} [A-Z][a-z]{2} \d{1,6} \d{1,4}:\d\d:\d\d [+-]\d{1,9}")
)
def test_any_date_is_a_number_or_none(text):
    found = _date(text)
    assert found is None or isinstance(found, int)


HOSTS = {
    "localhost": True,
    "LOCALHOST:8000": True,
    "gallery.localhost:8000": True,
    "127.0.0.1:8000": True,
    "[::1]:8000": True,
    "192.168.0.7": True,
    "evil.example": False,
    "evil.example:8000": False,
    "127.0.0.1.evil.example": False,
    "localhost.evil.example": False,
    "evil-localhost": False,
    "localhost@evil.example": False,
    "0x7f000001": False,
    "": False,
    "[::1": False,
    "local host": False,
    "a" * 5000: False,
}


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host[:30])
def test_a_page_elsewhere_cannot_have_its_own_name_lead_here(server, host):
    """DNS rebinding: its scripts may read what answers to the page's name."""
    head = f"GET /site/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    answer = raw(server, head.encode())
    assert statuses(answer) == [200 if HOSTS[host] else 421]
    assert (b"<p>here" in answer) is HOSTS[host]


@contextlib.contextmanager
def served(folder: Path, host: str = "127.0.0.1", held: Held | None = None) -> Iterator[Server]:
    with Server(folder, host) as server:
        if held is not None:
            server.held = held
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def test_a_server_for_others_has_names_that_it_does_not_know(folder):
    with served(folder, "0.0.0.0") as server:
        head = b"GET /site/ HTTP/1.1\r\nHost: hub.lab.example\r\nConnection: close\r\n\r\n"
        assert statuses(raw(server, head)) == [200]
    with served(folder, "localhost") as server:
        assert statuses(raw(server, head)) == [421]


def test_requests_and_then_garbage_on_one_connection(server):
    request = get("/site/").replace(b"Connection: close\r\n", b"")
    assert statuses(raw(server, request * 50)) == [200] * 50
    assert statuses(raw(server, request * 2 + b"\0\1\2 garbage\r\n\r\n" + request)) == [
        200,
        200,
        400,
    ]
    # Where a body begins or ends is never guessed.
    for line in (b"Content-Length: 5", b"Content-Length: -1", b"Transfer-Encoding: chunked"):
        body = b"GET /site/ HTTP/1.1\r\nHost: localhost\r\n" + line + b"\r\n\r\n"
        assert statuses(raw(server, body + request)) == [200]


@contextlib.contextmanager
def connections(server: Server, count: int, request: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many clients that have sent that much and say no more."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            client = socket.create_connection(server.server_address[:2], timeout=10)
            found.append(stack.enter_context(client))
            client.sendall(request)
        yield found


def ended(client: socket.socket) -> bool:
    """Whether the server has hung up on a client."""
    client.settimeout(0.01)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


HOLDS = {
    "say nothing": b"",
    "have begun a line": b"GET /si",
    "have begun the headers": b"GET /site/ HTTP/1.1\r\nHost: localhost\r\na: ",
}


@pytest.mark.parametrize("name", HOLDS)
def test_a_hundred_held_connections_stop_nobody(folder, name):
    with served(folder) as server, connections(server, 100, HOLDS[name]) as clients:
        for _ in range(20):
            started = time.monotonic()
            assert still_serves(server)
            assert time.monotonic() - started < 5
        assert not any(ended(client) for client in clients[:3])


def test_three_hundred_held_connections_make_way(folder, monkeypatch):
    """There are never more threads than connections allowed; the eldest go first."""
    monkeypatch.setattr(holding, "SLACK", 0.3)
    before = threading.active_count()
    with served(folder, held=Held(most=100)) as server:
        with contextlib.ExitStack() as stack:
            clients: list[socket.socket] = []
            for _ in range(3):
                clients += stack.enter_context(connections(server, 100, b"GET /si"))
                time.sleep(0.4)
                assert threading.active_count() <= before + 101
            assert still_serves(server)
            assert len(server.held) <= 100
            assert ended(clients[0]) and ended(clients[150]) and not ended(clients[-1])
        wait_for(lambda: len(server.held) == 0)


def wait_for(condition: object, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def test_where_all_get_on_the_next_is_told_to_come_again(folder, monkeypatch):
    monkeypatch.setattr(holding, "SLACK", 60.0)
    with served(folder, held=Held(most=3)) as server:
        with connections(server, 3) as clients:
            answer = raw(server, get("/site/"))
            assert statuses(answer) == [503] and b"Retry-After: 1\r\n" in answer
            clients[1].sendall(get("/site/"))
            assert clients[1].recv(1 << 16).startswith(b"HTTP/1.1 200")
        wait_for(lambda: len(server.held) == 0)
        assert still_serves(server)


SLOW = {
    "nothing": [],
    "a line byte by byte": [b"G", b"E", b"T", *[b"/"] * 500],
    "headers byte by byte": [HEAD.encode(), *[b"a"] * 500],
    "header by header": [HEAD.encode(), *[b"a: b\r\n"] * 80],
    "empty lines": [b"\r\n"] * 500,
    "requests, and then nothing": [HEAD.encode() + b"\r\n"],
}


@pytest.mark.parametrize("name", SLOW)
def test_a_request_must_come_in_time(folder, name):
    """Not only some of it now and then."""
    with served(folder, held=Held(patience=0.3)) as server, connections(server, 1) as (client,):
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for part in itertools.chain(SLOW[name], itertools.repeat(b"")):
                client.sendall(part)
                if ended(client):
                    break
                assert time.monotonic() - started < 5
        wait_for(lambda: len(server.held) == 0)


@pytest.fixture
def large(folder: Path) -> Iterator[str]:
    """A file that no buffer between here and there holds."""
    path = folder / "large.onnx"
    path.write_bytes(bytes(32 << 20))
    yield "/large.onnx"
    path.unlink()


def test_who_does_not_read_is_hung_up_on(folder, large, monkeypatch):
    monkeypatch.setattr(Handler, "timeout", 0.3)
    with served(folder) as server, connections(server, 5, get(large)):
        assert still_serves(server)
        wait_for(lambda: len(server.held) == 0)


def test_who_reads_slowly_makes_way(folder, large, monkeypatch):
    monkeypatch.setattr(holding, "SLACK", 0.2)
    with served(folder, held=Held(most=10)) as server, connections(server, 10, get(large)):
        time.sleep(0.5)
        for _ in range(20):
            assert still_serves(server)
        assert len(server.held) <= 10


def test_who_hangs_up_early_leaves_nothing(folder, large):
    before = soak.state()
    with served(folder) as server:
        for _ in range(50):
            with connections(server, 1, get(large)) as (client,):
                client.recv(1000)
        wait_for(lambda: len(server.held) == 0)
    wait_for(lambda: soak.state()["files"] <= before["files"])
    wait_for(lambda: soak.state()["threads"] <= before["threads"])


def test_a_head_takes_bounded_memory(folder):
    """http.server by itself takes a hundred lines of 64 KiB of each client."""
    request = HEAD.encode() + (b"a: " + b"b" * 60_000 + b"\r\n") * 95
    with served(folder) as server, contextlib.ExitStack() as stack:
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        for _ in range(20):
            (client,) = stack.enter_context(connections(server, 1))
            with contextlib.suppress(ConnectionError):
                client.sendall(request)
        assert tracemalloc.get_traced_memory()[1] < 20 * 2 * LARGEST_HEAD


def test_a_long_line_of_the_log_is_cut(folder):
    lines: list[str] = []
    with Server(folder, log=lines.append) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        raw(server, get("/" + "\x1b" * 60_000))
        server.shutdown()
    assert len(lines) == 1 and lines[0].isprintable() and len(lines[0]) < 2100


def test_many_requests_leave_nothing(tmp_path):
    """`python -m tests.zoo.hub.soak` is the same with ten thousand."""
    given_ = soak.requests()
    with served(soak.prepare(tmp_path)) as server:
        address = server.server_address[:2]

        def ask(count: int) -> int:
            for request, patient in itertools.islice(given_, count):
                send(address, request, patient)
            wait_for(lambda: len(server.held) == 0)
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            memory, before = ask(60), soak.state()
            more = ask(300)
        finally:
            tracemalloc.stop()
        assert more - memory < 100_000
        # The thread of the last request ends a moment after it is no longer held.
        wait_for(lambda: all(soak.state()[kind] <= before[kind] for kind in ("files", "threads")))
        assert still_serves(server)
