"""Where a hub may send `zoo pull`: anywhere on the internet, and into no private network."""

import io
import socket

import pytest
import requests
import urllib3.util.connection

from tests.zoo.hub.hostile import answer, forever, redirect
from tests.zoo.hub.web import Web, once
from zoo.hub.visits import is_public

Known = dict[str, list[list[str]]]
PUBLIC = "8.8.8.8"
"""An address of the internet, which leads to this machine here."""


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that are connected to."""
    found: list[str] = []
    real = urllib3.util.connection.create_connection

    def connect(address: tuple[str, int], *rest: object, **more: object) -> socket.socket:
        found.append(address[0])
        assert address[0] in ("127.0.0.1", PUBLIC)
        return real(("127.0.0.1", address[1]), *rest, **more)

    monkeypatch.setattr("zoo.hub.visits.create_connection", connect)
    return found


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Known:
    """Addresses by name; each look-up takes the next, and the last again and again."""
    known: Known = {}
    real = socket.getaddrinfo

    def look_up(host: str, port: int, *rest: int) -> list[tuple[object, ...]]:
        turns = known.get(host)
        if turns is None:
            return real(host, port, *rest)
        if rest and rest[-1] & socket.AI_NUMERICHOST:
            raise socket.gaierror("no number")
        addresses = turns.pop(0) if len(turns) > 1 else turns[0]
        return [row for address in addresses for row in real(address, port, *rest)]

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    return known


PRIVATE = {
    "http://169.254.169.254/latest/meta-data": "169.254.169.254",
    "http://127.0.0.2/": "127.0.0.2",
    "//10.0.0.1/": "10.0.0.1",
    "http://192.168.0.1:8080/": "192.168.0.1",
    "http://172.16.0.1/": "172.16.0.1",
    "http://100.64.0.1/": "100.64.0.1",
    "http://0.0.0.0/": "0.0.0.0",
    "http://255.255.255.255/": "255.255.255.255",
    "http://224.0.1.1/": "224.0.1.1",
    "http://[::1]/": "::1",
    "http://[fd00::1]/": "fd00::1",
    "http://[fe80::1]/": "fe80::1",
    "http://[::ffff:10.0.0.1]/": "::ffff:10.0.0.1",
    "http://[2002:a00:1::]/": "2002:a00:1::",
    "http://user:pass@10.0.0.1/": "10.0.0.1",
    # As the system reads them.
    "http://0x0a000001/": "10.0.0.1",
    "http://167772161/": "10.0.0.1",
    "http://10.1/": "10.0.0.1",
    "http://0177.0.0.2/": "127.0.0.2",
    # As names.
    "http://inside.example/": "10.0.0.1",
    "http://both.example/": "10.0.0.1",
}


@pytest.mark.parametrize("location", PRIVATE)
def test_no_redirect_leads_into_a_private_network(zoo, cache, web, connected, names, location):
    names |= {"inside.example": [["10.0.0.1"]], "both.example": [[PUBLIC, "10.0.0.1"]]}
    web.faults["net.onnx"] = redirect(location)
    refusal = zoo("pull", "2_3_4", "--hub", web.url).refusal
    assert refusal == (
        f"{web.url}/2_3_4/1.0/net.onnx: redirected to {PRIVATE[location]}, "
        "which is no public address; if that is meant, give it as the hub"
    )
    assert set(connected) == {"127.0.0.1"}
    assert web.asked.count("/2_3_4/1.0/net.onnx") == 1


def test_a_name_is_looked_up_once(zoo, cache, web, hub, connected, names):
    """Else it could have one address when it is checked and another when it is connected to."""
    other = Web(hub)
    names["turning.example"] = [[PUBLIC], ["10.0.0.1"]]
    port = other.server.server_port
    web.faults["index.json"] = redirect(f"http://turning.example:{port}/index.json")
    assert zoo("list", "--hub", web.url).status == 0
    assert connected == ["127.0.0.1", PUBLIC]
    other.end()


def test_public_addresses_and_its_own_are_a_hubs_to_send_to(zoo, cache, web, hub, connected, names):
    other = Web(hub)
    port = other.server.server_port
    names["storage.example"] = [[PUBLIC]]
    web.faults = {
        "index.json": once(redirect("?again", "308 Permanent Redirect")),
        "net.onnx": redirect(f"//storage.example:{port}/2_3_4/1.0/net.onnx", "301 Moved"),
        "README.md": redirect(f"http://127.0.0.1:{port}/2_3_4/1.0/README.md", "307 Temporary"),
    }
    assert zoo("pull", "2_3_4", "--hub", web.url).status == 0
    assert web.asked[:2] == ["/index.json", "/index.json?again"]
    assert other.asked == ["/2_3_4/1.0/net.onnx", "/2_3_4/1.0/README.md"]
    assert connected.count(PUBLIC) == 1
    other.end()


def test_no_redirect_leads_from_https_to_http(zoo, cache, monkeypatch):
    def get(session: requests.Session, url: str, **_: object) -> requests.Response:
        answer = requests.Response()
        answer.status_code, answer.raw = 302, io.BytesIO()
        answer.headers["Location"] = "http://hub.example/index.json"
        return answer

    monkeypatch.setattr(requests.Session, "get", get)
    refusal = zoo("list", "--hub", "https://hub.example").refusal
    assert refusal == "https://hub.example/index.json: redirected from https to http"


@pytest.fixture
def proxy(web, names, monkeypatch) -> Web:
    """The web server as a proxy, which is asked for whole addresses."""
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("http_proxy", web.url)
    return web


def test_a_proxy_is_asked_for_names_and_never_for_private_numbers(zoo, cache, proxy):
    """It looks names up by itself: here there may be no way to."""
    assert zoo("pull", "2_3_4", "--hub", "http://hub.invalid").status == 0
    proxy.faults["index.json"] = redirect("http://169.254.169.254/")
    assert zoo("list", "--hub", "http://hub.invalid").refusal == (
        "http://hub.invalid/index.json: redirected to 169.254.169.254, "
        "which is no public address; if that is meant, give it as the hub"
    )
    proxy.faults["index.json"] = redirect("http://other.invalid/2_3_4/1.0/README.md")
    assert zoo("list", "--hub", "http://hub.invalid").refusal.startswith(
        "http://hub.invalid/index.json: not an index of a hub: "
    )
    assert proxy.asked[-1] == "http://other.invalid/2_3_4/1.0/README.md"


def test_the_time_of_a_proxy_is_limited_too(zoo, hasty, proxy):
    proxy.faults["index.json"] = answer(body=forever(b" "), pause=0.02)
    refusal = zoo("list", "--hub", "http://hub.invalid").refusal
    assert refusal == "http://hub.invalid/index.json: not complete after 1 seconds"


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "1.1.1.1"])
def test_public_addresses(address):
    assert is_public(address)
