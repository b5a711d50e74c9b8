"""`zoo pull` from servers that mean harm: one line, soon, in little memory, and nothing is left."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import Run
from tests.zoo.hub.hostile import (
    BLOCK,
    BOMB,
    answer,
    chunked,
    forever,
    half_and_stall,
    raw,
    redirect,
    stall,
)
from tests.zoo.hub.web import Fault, Web, files_below
from zoo.hub.places import cache_folder

TRIED = "; tried 4 times"
ASTRAY = "redirected to what is no web address"
GIBBERISH = "its answer is not HTTP; is it the address of a hub?"
COMPRESSED = "sent compressed, which was not asked for"
CUT = "cut short: the connection ended before the file did" + TRIED
GONE = "is the address right, and the network there?" + TRIED
LATE = "not complete after 1 seconds"
COOKIES = (b"HTTP/1.1 200 OK\r\n", *[b"Set-Cookie: " + b"a=b;" * 16_000 + b"\r\n"] * 90)
TOO_MUCH = "gives more than the "


@contextlib.contextmanager
def bounded(seconds: float, mebibytes: int) -> Iterator[None]:
    tracemalloc.start()
    started = time.monotonic()
    try:
        yield
        assert time.monotonic() - started < seconds
        assert tracemalloc.get_traced_memory()[1] < mebibytes << 20
    finally:
        tracemalloc.stop()


ATTACKS = {
    # Where it leads.
    "redirect to a file": (redirect("file:///etc/passwd"), ASTRAY),
    "redirect to ftp": (redirect("ftp://127.0.0.1/x"), ASTRAY),
    "redirect to data": (redirect("data:,x"), ASTRAY),
    "redirect to half an address": (redirect("http://[::1/x"), ASTRAY),
    "redirect to no port": (redirect("http://127.0.0.1:99999/"), ASTRAY),
    "redirect to a name that is none": (redirect(f"http://{'a' * 99}.x/"), "cannot be fetched: "),
    "redirect to 60,000 letters": (redirect("?" + "a" * 60_000), "redirected more than"),
    "redirect to what a terminal obeys": (redirect("/\x1b[2J\x07"), "the server answered 404"),
    "redirect without an end": (redirect("?again"), "redirected more than 5 times"),
    "redirect with an endless body": (
        redirect("ftp://x/", body=forever(BLOCK)),
        ASTRAY,
    ),
    "redirect to nowhere": (answer(status="302 Found"), "the server answered 302"),
    # How much it says that it sends.
    "a length that is too short": (answer("Content-Length: 10"), ("not an index", "cut short: 10")),
    "a length that is too long": (answer("Content-Length: 99999999"), CUT),
    "a length beyond all measure": (answer(f"Content-Length: {10**40}"), CUT),
    "two lengths": (
        answer("Content-Length: 1", "Content-Length: 2"),
        "cannot be fetched: InvalidHeader",
    ),
    "a part that was not asked for": (
        answer(status="206 Partial Content"),
        "the server answered 206",
    ),
    "no content": (answer(status="204 No Content"), "the server answered 204"),
    "another protocol": (answer(status="101 Switching Protocols"), "the server answered 101"),
    # How it is packed.
    "a gzip bomb": (answer("Content-Encoding: gzip", body=lambda content: [BOMB]), COMPRESSED),
    "a gzip bomb in a gzip": (
        answer("Content-Encoding: gzip, gzip", body=lambda content: [BOMB]),
        COMPRESSED,
    ),
    "a deflate bomb": (
        answer("Content-Encoding: deflate", body=lambda content: [BOMB]),
        COMPRESSED,
    ),
    "packed as nobody knows": (answer("Content-Encoding: x"), COMPRESSED),
    # Without an end.
    "an endless body": (answer(body=forever(BLOCK)), TOO_MUCH),
    "an endless chunk": (chunked(b"ffffffffffff\r\n", then=BLOCK), TOO_MUCH),
    "a chunk of negative length": (chunked(b"-1\r\n", then=BLOCK), TOO_MUCH),
    "an endless length of a chunk": (chunked(then=b"0" * 65536), CUT),
    "an endless extension of a chunk": (chunked(b"5;", then=BLOCK), CUT),
    "a chunk without a length": (chunked(b"zz\r\n", then=BLOCK), CUT),
    "one endless header line": (
        raw(lambda content: (b"HTTP/1.1 200 OK\r\na: ", *([BLOCK] * 200))),
        GIBBERISH,
    ),
    "endless headers": (
        raw(lambda content: (b"HTTP/1.1 200 OK\r\n", *([b"a: b\r\n" * 1000] * 200))),
        GIBBERISH,
    ),
    "six megabytes of cookies": (raw(lambda content: COOKIES), GIBBERISH),
    "endless interim answers": (raw(forever(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)), GIBBERISH),
    "an endless status": (raw(forever(BLOCK)), GIBBERISH),
    # What is no HTTP.
    "a body alone": (raw(lambda content: [content]), GIBBERISH),
    "another protocol's greeting": (raw(lambda content: [b"SSH-2.0-x\r\n"]), GIBBERISH),
    "a status that is none": (raw(lambda content: [b"HTTP/1.1 abc OK\r\n\r\n"]), GIBBERISH),
    "a version that is none": (raw(lambda content: [b"HTTP/9.9 200 OK\r\n\r\n"]), GIBBERISH),
}


SLOW = {
    "endless trailers": (chunked(b"0\r\n", then=b"a: b\r\n" * 1000), LATE),
    "no answer": (stall, "no answer; " + GONE),
    "half a body, and then nothing": (half_and_stall, "no more bytes came; " + GONE),
    "a body byte by byte": (answer(body=forever(b" "), pause=0.02), LATE),
    "a head byte by byte": (raw(forever(b"H"), pause=0.02), LATE),
    "chunks byte by byte": (chunked(then=b"1", pause=0.02), LATE),
}


def refused(zoo: Callable[..., Run], web: Web, where: str, fault: Fault) -> str:
    """What is said after the address, of an attack that costs little and leaves nothing."""
    web.faults[where] = fault
    path = where if where == "index.json" else f"2_3_4/1.0/{where}"
    with bounded(seconds=20, mebibytes=8):
        refusal = zoo("pull", "2_3_4", "--hub", web.url, "-o", "out").refusal
    assert refusal.startswith(f"{web.url}/{path}: ")
    assert len(refusal) < 300 and refusal.isprintable()
    assert not Path("out").exists()
    assert files_below(cache_folder() / "models") == set()
    # Nor is a thread left behind.
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    return refusal.removeprefix(f"{web.url}/{path}: ")


@pytest.mark.parametrize("where", ["index.json", "net.onnx"])
@pytest.mark.parametrize("name", ATTACKS)
def test_an_answer_that_means_harm(zoo, cache, web, monkeypatch, name, where):
    monkeypatch.setattr("zoo.hub.index.LARGEST_INDEX", 1 << 20)
    fault, said = ATTACKS[name]
    if isinstance(said, tuple):
        said = said[where == "net.onnx"]
    assert refused(zoo, web, where, fault).startswith(said)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["index.json", "net.onnx"])
@pytest.mark.parametrize("name", SLOW)
def test_an_answer_that_does_not_come(zoo, hasty, web, name, where):
    fault, said = SLOW[name]
    assert refused(zoo, web, where, fault) == said


HONEST = {
    "no length": answer(),
    "a length that is none": answer("Content-Length: abc"),
    "a negative length": answer("Content-Length: -5"),
    "chunks": answer(
        "Transfer-Encoding: chunked",
        body=lambda content: [b"%x\r\n" % len(content), content, b"\r\n0\r\n\r\n"],
    ),
    "said to be as it is": answer("Content-Encoding: identity"),
    "cookies": answer("Set-Cookie: a=b", "Set-Cookie: ;;;"),
}


@pytest.mark.parametrize("name", HONEST)
def test_what_is_odd_and_whole_is_taken(zoo, cache, web, name):
    web.faults = {"index.json": HONEST[name], "net.onnx": HONEST[name]}
    assert zoo("pull", "2_3_4", "--hub", web.url, "-o", "out").status == 0


def test_a_server_that_takes_no_connection(zoo, hasty, cache):
    """Its queue is full, so that nobody is told anything."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with bounded(seconds=20, mebibytes=8):
            refusal = zoo("list", "--hub", url).refusal
    assert refusal == f"{url}/index.json: no answer; {GONE}"


TLS = {
    "another protocol": ([b"HTTP/1.0 200 OK\r\n\r\n"], "no TLS connection can be made"),
    "a handshake byte by byte": ([b"\x16\x03\x03\x40\x00", *[b"\0"] * 500], f"no answer; {GONE}"),
}


@pytest.mark.parametrize("name", TLS)
def test_a_handshake_that_means_harm(zoo, hasty, name):
    parts, said = TLS[name]

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                for part in parts:
                    connection.sendall(part)
                    time.sleep(0.02)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        with bounded(seconds=20, mebibytes=8):
            refusal = zoo("list", "--hub", url).refusal
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert refusal.startswith(f"{url}/index.json: {said}")


@pytest.fixture
def secure(hub: Path, tmp_path: Path) -> Iterator[tuple[Web, Path]]:
    """The hub over TLS, with a certificate that nobody signed."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *files], check=True, capture_output=True, timeout=60)
    web = Web(hub)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    web.server.socket = context.wrap_socket(web.server.socket, server_side=True)
    web.url = web.url.replace("http:", "https:")
    yield web, certificate
    web.end()


def test_a_certificate_that_nobody_signed(zoo, hasty, secure, monkeypatch):
    web, certificate = secure
    refusal = zoo("list", "--hub", web.url).refusal
    assert refusal == f"{web.url}/index.json: the server's certificate is not trusted"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert zoo("pull", "2_3_4", "--hub", web.url).status == 0
    # What is limited without TLS is limited with it.
    web.faults["index.json"] = answer(body=forever(b" "), pause=0.02)
    assert zoo("list", "--hub", web.url).refusal == f"{web.url}/index.json: {LATE}"


def test_certificates_that_are_not_there(zoo, cache, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "nowhere.pem")
    refusal = zoo("list", "--hub", "https://127.0.0.1:1").refusal
    assert refusal == "https://127.0.0.1:1/index.json: cannot be fetched: RequestException"
