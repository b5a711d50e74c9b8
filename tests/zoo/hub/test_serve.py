"""`zoo serve`: what is answered, and what is not given away."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.zoo.hub.served import CONTENT, SECRET, raw
from zoo.hub.server import Server, components, span

ALWAYS = "no-cache"
FOR_EVER = "public, max-age=31536000, immutable"


Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def ask(server) -> Callable[..., Answer]:
    def ask(path: str, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection(*server.server_address[:2], timeout=10)
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        response = connection.getresponse()
        found = response.status, dict(response.getheaders()), response.read()
        connection.close()
        return found

    return ask


FILE = "/8_8_8/1.0/net.onnx"


def test_a_file(ask):
    status, headers, body = ask(FILE)
    assert (status, body) == (200, CONTENT)
    assert headers["Content-Length"] == "512"
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["X-Content-Type-Options"] == "nosniff"
    status, head, body = ask(FILE, "HEAD")
    assert (status, body) == (200, b"")
    assert {**head, "Date": ""} == {**headers, "Date": ""}
    assert ask("/8_8_8/1.0/empty.onnx")[::2] == (200, b"")
    assert ask(f"{FILE}?x=1")[2] == CONTENT
    assert ask("/8%5f8_8//1.0/net.onnx")[2] == CONTENT


@pytest.mark.parametrize(
    ("path", "kind", "caching"),
    [
        (FILE, "application/octet-stream", FOR_EVER),
        ("/index.json", "application/json", ALWAYS),
        ("/in.json", "application/json", ALWAYS),
        ("/vendor/ort.wasm", "application/wasm", ALWAYS),
        ("/vendor/ort.mjs", "text/javascript; charset=utf-8", ALWAYS),
        ("/vendor/page.html", "text/html; charset=utf-8", ALWAYS),
        ("/vendor/style.css", "text/css; charset=utf-8", ALWAYS),
        ("/vendor/card.md", "text/markdown; charset=utf-8", ALWAYS),
        ("/vendor/x.unknown", "application/octet-stream", ALWAYS),
        ("/site/", "text/html; charset=utf-8", ALWAYS),
    ],
)
def test_types_and_caching(ask, path, kind, caching):
    status, headers, _ = ask(path)
    assert (status, headers["Content-Type"], headers["Cache-Control"]) == (200, kind, caching)


def test_folders(ask):
    assert ask("/site/")[2] == b"<p>here"
    status, headers, _ = ask("/site")
    assert (status, headers["Location"]) == (301, "/site/")
    assert ask("/a%20b")[1]["Location"] == "/a%20b/"
    # Not a host of somebody else's.
    assert ask("//site")[1]["Location"] == "/site/"
    for path in ("/", "/8_8_8/", "/vendor/"):
        assert ask(path)[0] == 404


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=500-", 500, 512),
        ("bytes=500-9999", 500, 512),
        ("bytes=-5", 507, 512),
        ("bytes=-9999", 0, 512),
        ("Bytes= 0-511", 0, 512),
    ],
)
def test_ranges(ask, header, start, end):
    status, headers, body = ask(FILE, Range=header)
    assert (status, body) == (206, CONTENT[start:end])
    assert headers["Content-Range"] == f"bytes {start}-{end - 1}/512"
    assert headers["Content-Length"] == str(end - start)
    assert ask(FILE, "HEAD", Range=header)[::2] == (206, b"")


@pytest.mark.parametrize("header", ["bytes=512-", "bytes=512-600", "bytes=-0", "bytes=99999-"])
def test_ranges_that_are_not_there(ask, header):
    status, headers, _ = ask(FILE, Range=header)
    assert (status, headers["Content-Range"]) == (416, "bytes */512")
    assert ask("/8_8_8/1.0/empty.onnx", Range="bytes=0-")[0] == 416


@pytest.mark.parametrize(
    "header", ["bytes=5-3", "bytes=-", "bytes=a-b", "lines=0-1", "bytes=0-1,5-6", f"bytes={9**99}-"]
)  # fmt: skip
def test_ranges_that_nobody_understands_are_everything(ask, header):
    assert ask(FILE, Range=header)[::2] == (200, CONTENT)


@given(st.text(st.sampled_from("bytes=0123456789-, "), max_size=30) | st.text(), st.integers(0, 99))
def test_any_range_lies_in_the_file(header, size):
    found = span(header, size)
    if isinstance(found, tuple):
        assert 0 <= found[0] < found[1] <= size


def test_what_the_client_has_already(ask):
    _, headers, _ = ask(FILE)
    tag, date = headers["ETag"], headers["Last-Modified"]
    for given_ in (
        {"If_None_Match": tag},
        {"If_None_Match": f'"x", W/{tag}'},
        {"If_None_Match": "*"},
        {"If_Modified_Since": date},
        {"If_None_Match": tag, "If_Modified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
    ):
        status, found, body = ask(FILE, **given_)
        assert (status, body, found["ETag"]) == (304, b"", tag)
        assert found["Cache-Control"] == FOR_EVER
    for given_ in (
        {"If_None_Match": '"x"'},
        {"If_Modified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"If_Modified_Since": "whenever"},
        {"If_None_Match": '"x"', "If_Modified_Since": date},
    ):
        assert ask(FILE, **given_)[0] == 200
    assert ask(FILE, Range="bytes=0-1", If_Range=tag)[0] == 206
    assert ask(FILE, Range="bytes=0-1", If_Range=date)[0] == 206
    assert ask(FILE, Range="bytes=0-1", If_Range='"x"')[0] == 200
    assert ask(FILE, Range="bytes=0-1", If_Range="Thu, 01 Jan 1970 00:00:00 GMT")[0] == 200


def test_a_changed_file_has_another_tag(ask, folder):
    path = folder / "index.json"
    before = ask("/index.json")[1]["ETag"]
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
    status, headers, _ = ask("/index.json", If_None_Match=before)
    assert status == 200 and headers["ETag"] != before


OUTSIDE = [
    "/../secret.txt",
    "/8_8_8/../../secret.txt",
    "/%2e%2e/secret.txt",
    "/%2E%2E%2Fsecret.txt",
    "/..%2fsecret.txt",
    "/..%5csecret.txt",
    "/..\\secret.txt",
    "/%252e%252e/secret.txt",
    "/....//secret.txt",
    "/out.txt",
    "/outside/secret.txt",
    "/circle",
    "/.lock",
    "/%2elock",
    "/pipe",
    "/index.json/",
    "/index.json%00.txt",
    "/index.json%0a",
    "/%c0%ae%c0%ae/secret.txt",
    "/hub2/secret.txt",
    "/C:/secret.txt",
    "//../secret.txt",
    "/./../secret.txt",
    "/nothing",
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_outside_the_folder(ask, path):
    status, headers, body = ask(path)
    assert status == 404 and SECRET not in body
    assert headers["Cache-Control"] == "no-store"


def test_requests_that_are_no_path(server):
    for target in (b"secret.txt", b"../secret.txt", b"http://x/../secret.txt", b"\xff", b"*"):
        found = raw(server, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert found.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")) and SECRET not in found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.sampled_from(["..", ".", "/", "%2e", "%2f", "\\", "%5c", "out", "a", "%"])))
def test_no_path_leads_out(parts):
    found = components("/" + "".join(parts))
    for name in found or ():
        assert name not in ("", ".", "..") and "/" not in name and "\\" not in name


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods(ask, method):
    status, headers, _ = ask(FILE, method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_a_body_is_no_second_request(server):
    smuggled = b"GET /index.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    request = b"GET /site/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(
        smuggled
    )
    found = raw(server, request + smuggled)
    assert found.count(b"HTTP/1.1 200") == 1 and b"Connection: close" in found


def test_one_connection_serves_many_requests(server):
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=10)
    for path, status in ((FILE, 200), ("/no", 404), (FILE, 200), ("/site", 301), ("/site/", 200)):
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        assert response.status == status
        assert response.getheader("Connection") != "close"
    connection.close()


def test_clients_that_go_away_are_not_told_of(server, capfd):
    with socket.create_connection(server.server_address[:2]) as connection:
        connection.sendall(b"GET " + FILE.encode() + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    time.sleep(0.1)
    assert raw(server, b"GET /site/ HTTP/1.0\r\n\r\n").endswith(b"<p>here")
    assert capfd.readouterr() == ("", "")


def test_a_request_cannot_write_to_the_terminal(folder):
    lines: list[str] = []
    with Server(folder, log=lines.append) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        raw(server, b"GET /\x1b[2J\xe9 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        server.shutdown()
    assert len(lines) == 1 and lines[0].isprintable()


def test_refusals(zoo, folder, server):
    assert zoo("serve", "nowhere").refusal == "nowhere: no such folder; give the folder of a hub"
    port = server.server_address[1]
    assert zoo("serve", folder, "--port", port).refusal == (
        f"127.0.0.1:{port}: cannot be served on: Address already in use; "
        "give another --port or --host"
    )
    assert zoo("serve", folder, "--port", 70000).status == 2
    refusal = zoo("serve", folder, "--host", "no.such.host.invalid").refusal
    assert refusal.startswith("no.such.host.invalid:8000: cannot be served on: ")


@pytest.mark.parametrize("flags", [[], ["--json"], ["-q"]])
def test_control_c_ends_it(folder, flags):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "zoo", "serve", str(folder), "--port", str(port), *flags],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    if flags != ["-q"]:
        assert f"http://127.0.0.1:{port}" in process.stdout.readline()
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_hub_is_pulled_from_it(zoo, cache, published):
    with Server(published) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        assert zoo("pull", "2_3_4", "--hub", server.url, "-o", "out").status == 0
        server.shutdown()
