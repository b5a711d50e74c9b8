"""`zoo pull` from servers that fail, indexes that mean harm, disks that are full, and kills."""

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler

import pytest

from tests.zoo.hub.web import (
    FILES,
    endless,
    files_below,
    half,
    half_without_length,
    hang_up,
    once,
    rewrite,
    status,
    tampered,
    too_long,
)

TRIED = "; tried 4 times"
NO_ADDRESS = "not an address; give https://HOST/PATH, a folder, or one of hf://, s3://"
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
    (hub / "index.json").write_text('{"schema": 3, "models": "whatever"}')
    for where in (web.url, hub):
        assert zoo("list", "--hub", where).refusal == (
            f"{where}/index.json: schema: 3 is newer than this tool, which reads 2; "
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
        ("ftp://host/x", f"hub 'ftp://host/x': {NO_ADDRESS}"),
        ("file:///tmp", f"hub 'file:///tmp': {NO_ADDRESS}"),
        ("s3://", f"hub 's3://': {NO_ADDRESS}"),
        ("s3::hf://a/b", f"hub 's3::hf://a/b': {NO_ADDRESS}"),
        ("hf://a/b::file://c", f"hub 'hf://a/b::file://c': {NO_ADDRESS}"),
        ("http://", f"hub 'http://': {NO_ADDRESS}"),
        ("http://h:x/", f"hub 'http://h:x/': {NO_ADDRESS}"),
    ],
)
def test_hubs_that_are_none(zoo, cache, where, said):
    assert zoo("list", "--hub", where).refusal == said


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing(zoo, cache, web, tmp_path, monkeypatch, call):
    zoo("list", "--hub", web.url)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if call == "fsync":
        monkeypatch.setattr("prototxt.files.os.fsync", full)
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


SLOWLY = """
import os, random, signal, sys, time
import requests, filelock  # before the fork, so that a child starts at once
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
