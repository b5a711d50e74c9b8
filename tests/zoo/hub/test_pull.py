"""`zoo list`, `zoo pull` and `locate`, from hubs that are well."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import runtime
from tests.zoo.hub.web import (
    FILES,
    files_below,
    rewrite,
)
from zoo.errors import HubError
from zoo.hub import locate, open_hub
from zoo.hub.pulling import choose, find


def test_list(zoo, cache, hub, web):
    for where in (hub, web.url, f"{web.url}/", f"{web.url}/index.json"):
        run = zoo("list", "--hub", where)
        assert run.status == 0, run.err
        assert "2_3_4  1.0      reconstruct" in run.out
        assert run.out.splitlines()[-1].startswith("1 model in ")
        data = zoo("list", "--hub", where, "--json").json
        assert {file["name"] for file in data["models"][0]["files"]} == FILES
    own = zoo("list").out.splitlines()
    assert own[-1].endswith(" in the embedded hub")
    bits = {row.split()[0]: row.split()[3] for row in own[1:-1]}
    assert bits["8_8_8"] == "1.75" and bits["16_32_32-rate-1"] == "0.061"  # 0.183 of three channels


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
    content = (hub / "2_3_4/1.0/README.md").read_bytes()
    (hub / "2_3_4/1.0/net.onnx").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    rewrite(hub, lambda model: model["files"][0].update(sha256=digest, size=len(content)))
    second = locate("2_3_4", web.url)
    assert second.read_bytes() == content != first.read_bytes()
    assert first.is_file()


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
    (tmp_path / "out/.zoo-abc.part").mkdir()
    (tmp_path / "out/.zoo-abc.part/0").write_text("left by a killed process")
    assert zoo("pull", "2_3_4", "--hub", hub, "-o", "out").status == 0
    assert files_below(tmp_path / "out") == FILES | {"mine.txt"}
    assert (tmp_path / "out/net.onnx").read_bytes() == (hub / "2_3_4/1.0/net.onnx").read_bytes()


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
