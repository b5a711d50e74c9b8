"""`zoo list`, `zoo pull` and `locate`: from hubs that are well, and from hubs that are not."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import runtime
from zoo.errors import HubError
from zoo.hub import locate, open_hub
from zoo.hub.pulling import choose, find

FILES = {"net.onnx", "net.encoder.onnx", "net.decoder.onnx", "card.md"}
Fault = Callable[[BaseHTTPRequestHandler, bytes], None]


class Web:
    """Serves a folder, honestly but for the faults set for a file's name."""

    def __init__(self, folder: Path) -> None:
        self.faults: dict[str, Fault] = {}
        self.asked: list[str] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append(self.path)
                path = folder / self.path.lstrip("/")
                if not path.is_file():
                    return self.send_error(404)
                fault = web.faults.get(path.name)
                return (fault or well)(self, path.read_bytes())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def answer(handler: BaseHTTPRequestHandler, content: bytes, length: int | None) -> None:
    handler.send_response(200)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
    handler.wfile.write(content)


def well(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    answer(handler, content, len(content))


def half(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    answer(handler, content[: len(content) // 2], len(content))


def half_without_length(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    answer(handler, content[: len(content) // 2], None)


def tampered(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    well(handler, content[:-1] + bytes([content[-1] ^ 1]))


def too_long(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    well(handler, content + b"x")


def endless(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"x" * 65536)
    except OSError:
        pass


def hang_up(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.close_connection = True


def status(number: int) -> Fault:
    return lambda handler, content: handler.send_error(number)


def once(fault: Fault) -> Fault:
    """The fault at the first request only."""
    left = [fault]
    return lambda handler, content: (left.pop() if left else well)(handler, content)


@pytest.fixture
def web(hub: Path) -> Iterator[Web]:
    served = Web(hub)
    yield served
    served.end()


def rewrite(hub: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the index as someone would who means harm."""
    data = json.loads((hub / "index.json").read_text())
    change(data["models"][0])
    (hub / "index.json").write_text(json.dumps(data))


def files_below(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_list(zoo, cache, hub, web):
    for where in (hub, web.url, f"{web.url}/", f"{web.url}/index.json"):
        run = zoo("list", "--hub", where)
        assert run.status == 0, run.err
        assert "2_3_4  1.0      reconstruct" in run.out
        assert run.out.splitlines()[-1].startswith("1 model in ")
        data = zoo("list", "--hub", where, "--json").json
        assert {file["name"] for file in data["models"][0]["files"]} == FILES
    assert zoo("list").out.splitlines()[-1].endswith(" in the embedded hub")


def test_the_hub_of_the_environment(zoo, cache, hub, monkeypatch):
    monkeypatch.setenv("ZOO_HUB", str(hub))
    assert zoo("list", "--json").json["hub"] == str(hub)
    assert locate("2_3_4") == hub / "2_3_4/1.0/net.onnx"


@pytest.mark.parametrize("output", [[], ["-o", "out/deep"]])
@pytest.mark.parametrize("remote", [True, False])
def test_a_pulled_model_is_the_published_one(zoo, cache, hub, web, tmp_path, output, remote):
    data = zoo("pull", "2_3_4", "--hub", web.url if remote else hub, *output, "--json").json
    assert (data["name"], data["version"]) == ("2_3_4", "1.0")
    assert {Path(row["path"]).name for row in data["files"]} == FILES
    for row in data["files"]:
        path = Path(row["path"])
        assert path.read_bytes() == (hub / "2_3_4/1.0" / path.name).read_bytes()
        assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert row["fetched"] is remote
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask()
    if output:
        assert files_below(tmp_path / "out") == FILES
    before = list(web.asked)
    again = zoo("pull", "2_3_4@1.0", "--hub", web.url if remote else hub, *output, "--json").json
    assert [row["fetched"] for row in again["files"]] == [False] * 4
    assert web.asked[len(before) :] == (["/index.json"] if remote else [])


def umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found


def test_locate(cache, hub, web):
    path = locate("2_3_4", web.url)
    assert path.name == "net.onnx" and cache in path.parents
    assert runtime.load(path).metadata["zoo.arch"] == "2_3_4"
    # Only what is needed was fetched.
    assert files_below(cache / "models") == {"net.onnx"}
    assert locate("2_3_4@1.0", web.url, target="portable", part="decoder").name.endswith(
        "decoder.onnx"
    )
    with pytest.raises(HubError) as caught:
        locate("2_3_4", hub, target="cuda")
    assert str(caught.value) == (
        "2_3_4@1.0: no whole network for cuda; it has net.onnx (whole; cpu), "
        "net.encoder.onnx (encoder; cpu, cuda, portable), "
        "net.decoder.onnx (decoder; cpu, cuda, portable)"
    )


def test_offline(zoo, cache, hub, web):
    assert zoo("pull", "2_3_4", "--hub", web.url, "--offline").refusal == (
        f"hub {web.url}: never fetched, and --offline forbids to; fetch it once without --offline"
    )
    zoo("list", "--hub", web.url)
    assert zoo("pull", "2_3_4", "--hub", web.url, "--offline").refusal == (
        "2_3_4@1.0: not in the cache, and --offline forbids to fetch it; "
        "`zoo pull 2_3_4@1.0` fetches it"
    )
    zoo("pull", "2_3_4", "--hub", web.url)
    web.end()
    asked = len(web.asked)
    assert zoo("list", "--hub", web.url, "--offline", "--json").json["models"]
    data = zoo("pull", "2_3_4", "--hub", web.url, "--offline", "--json").json
    assert not any(row["fetched"] for row in data["files"])
    assert locate("2_3_4", web.url, offline=True).is_file()
    assert len(web.asked) == asked
    assert zoo("pull", "2_3_4", "--hub", web.url).refusal == (
        f"{web.url}/index.json: no answer; is the address right, and the network there?; "
        "tried 4 times"
    )


def test_names_and_versions(cache, hub):
    models = json.loads((hub / "index.json").read_text())["models"]
    first = models[0]
    models += [
        {**first, "version": "1.10"},
        {**first, "version": "1.9"},
        {**first, "name": "pre", "encoder": "pretrained"},
        {**first, "name": "other", "arch": "4_4_4"},
        {**first, "name": "twin_a", "arch": "5_5_5"},
        {**first, "name": "twin_b", "arch": "5_5_5"},
    ]
    (hub / "index.json").write_text(json.dumps({"schema": 1, "models": models}))
    opened = open_hub(hub)
    assert find(opened, "2_3_4").label == "2_3_4@1.10"
    assert find(opened, "2_3_4@1.9").label == "2_3_4@1.9"
    assert find(opened, "4_4_4").name == "other"
    assert choose(find(opened, "pre")).name == "net.onnx"
    for wanted, said in {
        "5_5_5": "arch 5_5_5 fits several models; name one of twin_a, twin_b",
        "2_3_4@2.0": f"no version '2.0' of 2_3_4 in the hub {hub}; it has 1.0, 1.9, 1.10",
        "othr": f"no model 'othr' in the hub {hub}; did you mean other?",
        "9_9_9": f"no model '9_9_9' in the hub {hub}; it has 2_3_4, other, pre, twin_a, twin_b",
    }.items():
        with pytest.raises(HubError) as caught:
            find(opened, wanted)
        assert str(caught.value) == said


TRIED = "; tried 4 times"
DAMAGED = (
    "its sha256 is not the one in the index; the file or the index was damaged or tampered with"
)
FAULTS = {
    "tampered": (tampered, f"URL: {DAMAGED}{TRIED}", 4),
    "half": (half, "URL: cut short: the connection ended before the file did" + TRIED, 4),
    "half without length": (
        half_without_length,
        "URL: cut short: HALF of SIZE bytes came" + TRIED,
        4,
    ),
    "too long": (too_long, "URL: gives more than the SIZE bytes that it may have" + TRIED, 4),
    "endless": (endless, "URL: gives more than the SIZE bytes that it may have" + TRIED, 4),
    "no answer": (
        hang_up,
        "URL: no answer; is the address right, and the network there?" + TRIED,
        4,
    ),
    "500": (status(500), "URL: the server answered 500" + TRIED, 4),
    "503": (status(503), "URL: the server answered 503" + TRIED, 4),
    "404": (status(404), "URL: the server answered 404; is it the address of a hub?", 1),
    "403": (status(403), "URL: the server answered 403", 1),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_file_that_does_not_come_well(zoo, cache, hub, web, tmp_path, name):
    fault, said, attempts = FAULTS[name]
    web.faults["net.encoder.onnx"] = fault
    size = (hub / "2_3_4/1.0/net.encoder.onnx").stat().st_size
    url = f"{web.url}/2_3_4/1.0/net.encoder.onnx"
    said = said.replace("URL", url).replace("HALF", str(size // 2)).replace("SIZE", str(size))
    assert zoo("pull", "2_3_4", "--hub", web.url, "-o", "out").refusal == said
    assert web.asked.count("/2_3_4/1.0/net.encoder.onnx") == attempts
    assert not (tmp_path / "out").exists()
    # What came well stays, the rest leaves nothing, and the next attempt goes on from there.
    assert files_below(cache / "models") == {"net.onnx"}
    web.faults.clear()
    assert zoo("pull", "2_3_4", "--hub", web.url, "-o", "out").status == 0
    assert files_below(tmp_path / "out") == files_below(cache / "models") == FILES


@pytest.mark.parametrize("name", FAULTS)
def test_an_index_that_does_not_come_well(zoo, cache, web, name, monkeypatch):
    zoo("list", "--hub", web.url)
    kept = {path: path.read_bytes() for path in cache.rglob("*.json")}
    monkeypatch.setattr("zoo.hub.index.LARGEST_INDEX", 100_000)
    web.faults["index.json"] = FAULTS[name][0]
    run = zoo("list", "--hub", web.url)
    if name == "half without length" or name in ("tampered", "too long"):
        assert run.refusal.startswith(f"{web.url}/index.json: not an index of a hub: ")
    else:
        assert run.refusal.startswith(f"{web.url}/index.json: ")
    assert {path: path.read_bytes() for path in cache.rglob("*.json")} == kept and kept


@pytest.mark.parametrize("name", ["tampered", "half", "half without length", "no answer", "500"])
def test_what_passes_is_tried_again(zoo, cache, web, name):
    web.faults["net.onnx"] = once(FAULTS[name][0])
    assert zoo("pull", "2_3_4", "--hub", web.url).status == 0
    assert web.asked.count("/2_3_4/1.0/net.onnx") == 2


INDEXES = {
    "a path out of the hub": (
        lambda model: model["files"][0].update(name="../../etc/x"),
        'models[0].files[0].name: "../../etc/x" is not a plain name; '
        "names have letters, digits and ._+- only, and no folders",
    ),
    "an absolute path": (
        lambda model: model["files"][0].update(name="/etc/x"),
        'models[0].files[0].name: "/etc/x" is not a plain name; '
        "names have letters, digits and ._+- only, and no folders",
    ),
    "a name out of the hub": (
        lambda model: model.update(name=".."),
        'models[0].name: ".." is not a plain name; '
        "names have letters, digits and ._+- only, and no folders",
    ),
    "10 GB": (
        lambda model: model["files"][0].update(size=10**10),
        "models[0].files[0].size: 10000000000 bytes are more than the 4 GiB allowed",
    ),
    "a digest that is none": (
        lambda model: model["files"][0].update(sha256="x"),
        'models[0].files[0].sha256: must be 64 hex digits, not "x"',
    ),
}


@pytest.mark.parametrize("name", INDEXES)
@pytest.mark.parametrize("remote", [True, False])
def test_an_index_that_means_harm(zoo, cache, hub, web, tmp_path, name, remote):
    zoo("pull", "2_3_4", "--hub", web.url)
    before = {path: path.read_bytes() for path in cache.rglob("*") if path.is_file()}
    change, said = INDEXES[name]
    rewrite(hub, change)
    where = web.url if remote else str(hub)
    refusal = zoo("pull", "2_3_4", "--hub", where, "-o", "out").refusal
    assert refusal == f"{where}/index.json: {said}"
    assert not (tmp_path / "out").exists()
    assert {path: path.read_bytes() for path in cache.rglob("*") if path.is_file()} == before


def test_an_index_of_a_newer_schema(zoo, cache, hub, web):
    (hub / "index.json").write_text('{"schema": 2, "models": "whatever"}')
    for where in (web.url, hub):
        assert zoo("list", "--hub", where).refusal == (
            f"{where}/index.json: schema: 2 is newer than this tool, which reads 1; "
            "update caffe-zoo"
        )


@pytest.mark.parametrize("key", ["sha256", "size"])
def test_an_index_that_is_wrong_about_a_file(zoo, cache, hub, web, tmp_path, key):
    wrong = {"sha256": "ab" * 32, "size": 7}[key]
    rewrite(hub, lambda model: model["files"][0].update({key: wrong}))
    url = f"{web.url}/2_3_4/1.0/net.onnx"
    why = {"sha256": DAMAGED, "size": "gives more than the 7 bytes that it may have"}[key]
    assert zoo("pull", "2_3_4", "--hub", web.url, "-o", "out").refusal == f"{url}: {why}{TRIED}"
    path = hub / "2_3_4/1.0/net.onnx"
    assert zoo("pull", "2_3_4", "--hub", hub, "-o", "out").refusal == (
        f"{path}: its size or sha256 is not the one in the index; "
        "the file or the index was damaged or tampered with"
    )
    path.unlink()
    refusal = zoo("pull", "2_3_4", "--hub", hub, "-o", "out").refusal
    assert refusal == f"{path}: in the index, but not there; publish it again"
    assert not (tmp_path / "out").exists()
    assert files_below(cache / "models") == set()


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("nowhere", "hub nowhere: no such folder; `zoo publish MODEL.onnx --hub DIR` makes one"),
        (
            ".",
            "hub .: there is no index.json in it; `zoo publish MODEL.onnx --hub DIR` makes one",
        ),
        ("ftp://host/x", "hub 'ftp://host/x': not an address; give https://HOST/PATH or a folder"),
        ("http://", "hub 'http://': not an address; give https://HOST/PATH or a folder"),
        ("http://h:x/", "hub 'http://h:x/': not an address; give https://HOST/PATH or a folder"),
    ],
)
def test_hubs_that_are_none(zoo, cache, where, said):
    assert zoo("list", "--hub", where).refusal == said


def test_a_damaged_cache_is_mended(zoo, cache, web):
    path = locate("2_3_4", web.url)
    good = path.read_bytes()
    for bad in (good[:100], good[:-1] + b"x", b""):
        path.write_bytes(bad)
        with pytest.raises(HubError, match="not in the cache"):
            locate("2_3_4", web.url, offline=True)
        assert locate("2_3_4", web.url).read_bytes() == good


def test_two_hubs_with_different_models_of_one_name(zoo, cache, hub, web, tmp_path):
    first = locate("2_3_4", web.url)
    content = (hub / "2_3_4/1.0/card.md").read_bytes()
    (hub / "2_3_4/1.0/net.onnx").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    rewrite(hub, lambda model: model["files"][0].update(sha256=digest, size=len(content)))
    second = locate("2_3_4", web.url)
    assert second.read_bytes() == content != first.read_bytes()
    assert first.is_file()


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing(zoo, cache, web, tmp_path, monkeypatch, call):
    zoo("list", "--hub", web.url)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if call == "fsync":
        monkeypatch.setattr("zoo.hub.fetching.os.fsync", full)
        refusal = zoo("pull", "2_3_4", "--hub", web.url, "-o", "out").refusal
        assert refusal.endswith(
            ": No space left on device; ZOO_CACHE names another folder for the cache"
        )
        assert files_below(cache / "models") == set()
        assert not (tmp_path / "out").exists()
    else:
        zoo("pull", "2_3_4", "--hub", web.url)
        monkeypatch.setattr("prototxt.files.os.replace", full)
        refusal = zoo("pull", "2_3_4", "--hub", web.url, "-o", "out").refusal
        assert refusal == (
            "out/net.onnx: cannot be written: No space left on device; give another -o"
        )
        assert files_below(tmp_path / "out") == set()
        assert files_below(cache / "models") == FILES


def test_a_folder_in_the_way(zoo, cache, hub, tmp_path):
    (tmp_path / "out/net.onnx").mkdir(parents=True)
    refusal = zoo("pull", "2_3_4", "--hub", hub, "-o", "out").refusal
    assert refusal == "out/net.onnx: is a directory; give another -o"
    (tmp_path / "file").write_text("x")
    refusal = zoo("pull", "2_3_4", "--hub", hub, "-o", "file").refusal
    assert refusal == "file: is a file, not a folder; give a folder"


def test_what_lies_in_the_folder_stays(zoo, cache, hub, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    (tmp_path / "out/net.onnx").write_text("an older one")
    (tmp_path / "out/.net.onnx.abc.part").write_text("left by a killed process")
    assert zoo("pull", "2_3_4", "--hub", hub, "-o", "out").status == 0
    assert files_below(tmp_path / "out") == FILES | {"mine.txt"}
    assert (tmp_path / "out/net.onnx").read_bytes() == (hub / "2_3_4/1.0/net.onnx").read_bytes()


SLOWLY = """
import os, random, signal, sys, time
import requests, pooch, filelock  # before the fork, so that a child starts at once
import zoo.hub.fetching
from pathlib import Path
from zoo.hub import pull
from zoo.hub.index import File
from zoo.hub.pulling import is_good

url, out, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
zoo.hub.fetching.CHUNK = 1 << 12
random.seed(seed)
killed = 0
for number in range(20):
    child = os.fork()
    if not child:
        pull("2_3_4", url, output=out)
        os._exit(0)
    time.sleep(random.random() * 0.15)
    os.kill(child, signal.SIGKILL)
    killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    # Whatever moment that was: a file that has its name is whole.
    entry = zoo.hub.open_hub(url).index.models[0]
    for folder in (out, *(zoo.hub.places.kept_in(entry),)):
        for file in entry.files:
            assert not (folder / file.name).exists() or is_good(folder / file.name, file)
pull("2_3_4", url, output=out)
print(killed)
"""


def test_killed_at_any_moment_and_run_again(cache, hub, web, tmp_path):
    def slowly(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        import time

        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        try:
            for start in range(0, len(content), 2000):
                handler.wfile.write(content[start : start + 2000])
                time.sleep(0.01)
        except OSError:
            pass

    web.faults = {name: slowly for name in FILES}
    out = tmp_path / "out"
    run = subprocess.run(
        [sys.executable, "-c", SLOWLY, web.url, out, "1"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) >= 5
    for folder in (out, next((cache / "models/2_3_4").glob("1.0-????????????????"))):
        # Neither a broken file nor the leftovers of the killed ones.
        assert {path.name for path in folder.iterdir()} == FILES
        for name in FILES:
            assert (folder / name).read_bytes() == (hub / "2_3_4/1.0" / name).read_bytes()


def test_eight_at_once(cache, hub, web, tmp_path):
    command = [sys.executable, "-m", "zoo", "pull", "2_3_4", "--hub", web.url, "-o", "out"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = [
        subprocess.Popen(
            command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(8)
    ]
    for process in running:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    for name in FILES:
        assert web.asked.count(f"/2_3_4/1.0/{name}") == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (hub / "2_3_4/1.0" / name).read_bytes()
