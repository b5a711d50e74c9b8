"""A download that breaks off goes on where it was; what came before is not believed."""

import hashlib
import re
import shutil
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.zoo.hub.web import FILES, Web, files_below, tampered, well
from zoo.hub import locate, open_hub, pull
from zoo.hub.fetching import part_name
from zoo.hub.places import kept_in
from zoo.hub.server import Server

NET = "/2_3_4/1.0/net.onnx"


@pytest.fixture(autouse=True)
def large(monkeypatch):
    """All files are large enough to be kept."""
    monkeypatch.setattr("zoo.hub.fetching.KEPT", 1)


class Ranges:
    """Answers Range, and hangs up after so many bytes of each answer."""

    def __init__(self, most: int, change: Callable[[str], str] = lambda text: text) -> None:
        self.most, self.change = most, change
        self.starts: list[int] = []
        self.sent = 0

    def __call__(self, handler: BaseHTTPRequestHandler, content: bytes) -> None:
        match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range") or "bytes=0-")
        assert match is not None
        start = int(match[1])
        self.starts.append(start)
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(content) - start))
        if start:
            span = self.change(f"bytes {start}-{len(content) - 1}/{len(content)}")
            handler.send_header("Content-Range", span)
        handler.end_headers()
        part = content[start : start + self.most]
        self.sent += len(part)
        handler.wfile.write(part)
        handler.close_connection = True


def whole(hub: Path) -> bytes:
    return (hub / NET[1:]).read_bytes()


def part_of(web: Web) -> Path:
    entry = open_hub(web.url).index.models[0]
    return kept_in(entry) / part_name(entry.files[0])


def test_each_attempt_goes_on(cache, hub, web):
    size = len(whole(hub))
    web.faults["net.onnx"] = fault = Ranges(-(-size // 3))
    told: list[int] = []
    assert locate("2_3_4", web.url, on_bytes=told.append).read_bytes() == whole(hub)
    assert fault.starts == [0, -(-size // 3), 2 * -(-size // 3)]
    assert fault.sent == sum(told) == size  # nothing came twice
    assert not part_of(web).exists()


def test_another_process_goes_on(zoo, cache, hub, web, monkeypatch):
    monkeypatch.setattr("zoo.hub.fetching.ATTEMPTS", 1)
    web.faults["net.onnx"] = fault = Ranges(1000)
    for number in (1, 2):
        assert "cut short" in zoo("pull", "2_3_4", "--hub", web.url).refusal
        assert part_of(web).read_bytes() == whole(hub)[: 1000 * number]
        # No model, and no leftover either.
        assert not (part_of(web).parent / "net.onnx").exists()
        assert zoo("pull", "2_3_4", "--hub", web.url, "--offline").status == 1
    fault.most = 1 << 30
    assert zoo("pull", "2_3_4", "--hub", web.url).status == 0
    assert fault.starts == [0, 1000, 2000]
    assert fault.sent == len(whole(hub))
    assert files_below(cache / "models") == FILES


def test_small_files_begin_anew(zoo, cache, hub, web, monkeypatch):
    monkeypatch.setattr("zoo.hub.fetching.KEPT", 1 << 20)
    web.faults["net.onnx"] = fault = Ranges(1000)
    assert "cut short" in zoo("pull", "2_3_4", "--hub", web.url).refusal
    assert fault.starts == [0] * 4
    assert files_below(cache / "models") == set()


def test_a_server_that_knows_no_ranges(cache, hub, web):
    part = part_of(web)
    part.parent.mkdir(parents=True)
    part.write_bytes(whole(hub)[:1000])
    told: list[int] = []
    assert locate("2_3_4", web.url, on_bytes=told.append).read_bytes() == whole(hub)
    assert sum(told) == len(whole(hub)) and min(told) == -1000
    assert web.asked.count(NET) == 1


def test_our_own_server(cache, hub):
    with Server(hub) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        entry = open_hub(server.url).index.models[0]
        part = kept_in(entry) / part_name(entry.files[0])
        part.parent.mkdir(parents=True)
        part.write_bytes(whole(hub)[:-7])
        told: list[int] = []
        assert locate("2_3_4", server.url, on_bytes=told.append).read_bytes() == whole(hub)
        assert told[-1] == 7
        server.shutdown()


@pytest.mark.parametrize("left", ["other bytes", "all and wrong", "too many", "all and right"])
def test_what_is_there_is_not_believed(cache, hub, web, left):
    content = whole(hub)
    before = {
        "other bytes": b"x" * 1000,
        "all and wrong": b"x" * len(content),
        "too many": content + b"x",
        "all and right": content,
    }[left]
    web.faults["net.onnx"] = fault = Ranges(1 << 30)
    part_of(web).parent.mkdir(parents=True)
    part_of(web).write_bytes(before)
    assert locate("2_3_4", web.url).read_bytes() == content
    assert (
        fault.starts
        == {
            "other bytes": [1000, 0],
            "all and wrong": [0],
            "too many": [0],
            "all and right": [],
        }[left]
    )


@pytest.mark.parametrize("span", ["bytes 0-9/10", "bytes 1001-1002/x", "lines 1000-", ""])
def test_a_server_that_sends_another_part(cache, hub, web, span):
    web.faults["net.onnx"] = fault = Ranges(1 << 30, lambda _: span)
    part_of(web).parent.mkdir(parents=True)
    part_of(web).write_bytes(whole(hub)[:1000])
    assert locate("2_3_4", web.url).read_bytes() == whole(hub)
    assert fault.starts == [1000, 0]


def test_a_server_that_has_no_such_part(cache, hub, web):
    def none(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        handler.send_error(416) if handler.headers.get("Range") else well(handler, content)

    web.faults["net.onnx"] = none
    part_of(web).parent.mkdir(parents=True)
    part_of(web).write_bytes(whole(hub)[:1000])
    assert locate("2_3_4", web.url).read_bytes() == whole(hub)


def test_what_is_wrong_is_not_kept(zoo, cache, web):
    web.faults["net.onnx"] = tampered
    assert "its sha256 is not the one" in zoo("pull", "2_3_4", "--hub", web.url).refusal
    assert files_below(cache / "models") == set()


@pytest.mark.parametrize("to", ["file", "nothing"])
def test_a_link_in_the_place_of_the_part(cache, hub, web, tmp_path, to):
    mine = tmp_path / "mine"
    if to == "file":
        mine.write_bytes(b"mine")
    part_of(web).parent.mkdir(parents=True)
    part_of(web).symlink_to(mine)
    assert locate("2_3_4", web.url).read_bytes() == whole(hub)
    assert mine.read_bytes() == b"mine" if to == "file" else not mine.exists()


@pytest.fixture
def mirror(hub, tmp_path):
    served = Web(Path(shutil.copytree(hub, tmp_path / "mirror hub")))
    yield served
    served.end()


def test_the_mirror_of_a_hub_that_is_gone(zoo, cache, hub, web, mirror, tmp_path, monkeypatch):
    web.end()
    given = ["--hub", web.url, "--hub", mirror.url]
    assert zoo("pull", "2_3_4", *given, "-o", "out").status == 0
    assert files_below(tmp_path / "out") == FILES
    assert zoo("list", *given, "--json").json["hub"] == mirror.url
    monkeypatch.setenv("ZOO_HUB", f"{web.url} {mirror.url}")
    assert locate("2_3_4").is_file()
    refusal = zoo("publish", tmp_path / "out/net.onnx").err
    assert "ZOO_HUB names several hubs; give one with --hub DIR" in refusal
    mirror.end()
    refusal = zoo("list").refusal
    assert refusal.startswith(f"no mirror answers: {web.url}/index.json: no answer;")
    assert f" | {mirror.url}/index.json: no answer;" in refusal


def test_a_file_is_from_whichever_has_it(zoo, cache, hub, web, mirror, tmp_path):
    """The part that came of one mirror is gone on with at another."""
    web.faults["net.encoder.onnx"] = tampered
    web.faults["net.onnx"] = Ranges(1000)
    mirror.faults["net.onnx"] = fault = Ranges(1 << 30)
    assert zoo("pull", "2_3_4", "--hub", web.url, "--hub", mirror.url, "-o", "out").status == 0
    assert fault.starts == [4000]
    assert set(mirror.asked) == {NET, "/2_3_4/1.0/net.encoder.onnx"}
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (hub / "2_3_4/1.0" / name).read_bytes()


def test_no_mirror_has_it(zoo, cache, hub, web, mirror):
    web.faults["net.onnx"] = mirror.faults["net.onnx"] = tampered
    refusal = zoo("pull", "2_3_4", "--hub", web.url, "--hub", mirror.url).refusal
    assert refusal.startswith(
        f"2_3_4/1.0/net.onnx: no mirror has it whole: {web.url}{NET}: its sha"
    )
    assert f" | {mirror.url}{NET}: its sha256" in refusal


def test_folders_are_mirrors(cache, hub, web, mirror, tmp_path):
    """All of one model's files are in one folder, as weights must lie beside their model."""
    spoilt = Path(shutil.copytree(hub, tmp_path / "spoilt"))
    (spoilt / "2_3_4/1.0/net.onnx").write_bytes(b"x")
    _, found = pull("2_3_4", [spoilt, web.url])
    assert {pulled.path.parent for pulled in found} == {part_of(web).parent}
    assert [pulled.fetched for pulled in found] == [True] * 4
    assert NET in web.asked and "/2_3_4/1.0/README.md" not in web.asked
    _, found = pull("2_3_4", [spoilt, hub])
    assert {pulled.path.parent for pulled in found} == {hub / "2_3_4/1.0"}
    assert hashlib.sha256(found[0].path.read_bytes()).hexdigest() == found[0].file.sha256


def test_a_folder_with_a_blank(cache, hub, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(hub, tmp_path / "a b"))
    monkeypatch.setenv("ZOO_HUB", str(folder))
    assert locate("2_3_4") == folder / "2_3_4/1.0/net.onnx"
