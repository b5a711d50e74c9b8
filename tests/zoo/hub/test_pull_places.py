"""Where `zoo pull` writes: names that mean harm, links that lead elsewhere, what lies there."""

import copy
import dataclasses
import json
import os
import time

import pytest

from tests.zoo.hub.web import FILES, files_below, rewrite
from zoo.hub import Index, open_hub
from zoo.hub.places import kept_in

NOT_PLAIN = "is not a plain name; names have letters, digits and ._+- only, and no folders"
NAMES = [
    # Out of the folder.
    "..",
    ".",
    "../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "..\\x",
    "C:x",
    "\\\\host\\share",
    "a/../../b",
    "a\u2215b",
    "\uff0e\uff0e",
    # Hidden, an option, a home.
    ".bashrc",
    "-rf",
    "~",
    "~root",
    # What a terminal or a shell obeys.
    "a\x1b[2J",
    "a\nb",
    "a\rb",
    "a\tb",
    "a\x00b",
    "a\x7f",
    "a\u202egnp.exe",
    "a\u200bb",
    "$HOME",
    "a;b",
    "a b",
    "*",
    # Devices, and what Windows makes another name of.
    "CON",
    "con.onnx",
    "NUL.onnx",
    "aux",
    "PRN.a.b",
    "COM1",
    "lpt9.txt",
    "a.",
    "a ",
    "a:stream",
    "a|b",
    # No name at all.
    "",
    " ",
    "x" * 129,
    "\ud800",
]


@pytest.mark.parametrize("place", ["model", "file"])
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_that_means_harm(zoo, cache, hub, web, tmp_path, name, place):
    where = {"model": "models[0].name", "file": "models[0].files[0].name"}[place]
    rewrite(hub, lambda model: (model if place == "model" else model["files"][0]).update(name=name))
    refusal = zoo("pull", "2_3_4", "--hub", web.url, "-o", "out").refusal
    assert refusal.startswith(f"{web.url}/index.json: {where}: ") and refusal.endswith(NOT_PLAIN)
    assert refusal.isprintable() and refusal.isascii()
    assert not (tmp_path / "out").exists() and files_below(cache) == set()
    assert web.asked == ["/index.json"]


TWINS = {
    "of two models": (
        ["Net", "net"],
        None,
        "models: 'net@1.0' differs from 'Net@1.0' by case only",
    ),
    "of two files": (
        None,
        ["net.onnx", "NET.onnx"],
        "models[0].files: 'NET.onnx' differs from 'net.onnx' by case only",
    ),
    "of one model twice": (["net", "net"], None, "models: 'net@1.0' stands there twice"),
    "of one file twice": (
        None,
        ["net.onnx", "net.onnx"],
        "models[0].files: 'net.onnx' stands there twice",
    ),
}


@pytest.mark.parametrize("name", TWINS)
def test_names_that_are_one_where_case_is_ignored(zoo, cache, hub, web, name):
    models, files, said = TWINS[name]
    data = json.loads((hub / "index.json").read_text())
    (model,) = data["models"]
    if models:
        data["models"] = [{**copy.deepcopy(model), "name": one} for one in models]
    for file, one in zip(model["files"], files or (), strict=False):
        file["name"] = one
    (hub / "index.json").write_text(json.dumps(data))
    refusal = zoo("pull", "net", "--hub", web.url).refusal
    assert refusal == f"{web.url}/index.json: {said}"


def test_a_link_in_the_target_folder_is_not_written_through(zoo, cache, hub, web, tmp_path):
    """It is replaced by the file, and what it led to stays as it is."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    (outside / "precious").chmod(0o600)
    out = tmp_path / "out"
    out.mkdir()
    (out / "net.onnx").symlink_to(outside / "precious")
    (out / "net.encoder.onnx").symlink_to(outside / "not there yet")
    (out / "net.decoder.onnx").symlink_to("net.decoder.onnx")
    (out / ".zoo-x.part").symlink_to(outside)  # as a leftover is called; it stays, and is no way
    assert zoo("pull", "2_3_4", "--hub", web.url, "-o", "out").status == 0
    assert {path.name for path in out.iterdir()} == {*FILES, ".zoo-x.part"}
    for name in FILES:
        assert not (out / name).is_symlink()
        assert (out / name).read_bytes() == (hub / "2_3_4/1.0" / name).read_bytes()
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert (outside / "precious").read_text() == "mine"
    assert (outside / "precious").stat().st_mode & 0o777 == 0o600


def test_a_link_in_the_cache_is_not_written_through(zoo, cache, hub, web, tmp_path):
    (tmp_path / "precious").write_text("mine")
    folder = kept_in(open_hub(web.url).index.models[0])
    folder.mkdir(parents=True)
    (folder / "net.onnx").symlink_to(tmp_path / "precious")
    (folder / "left.part").symlink_to(tmp_path / "precious")
    assert zoo("pull", "2_3_4", "--hub", web.url).status == 0
    assert (tmp_path / "precious").read_text() == "mine"
    assert {path.name for path in folder.iterdir() if not path.is_symlink()} == FILES
    # Nor the index.
    (index,) = (cache / "indexes").iterdir()
    index.unlink()
    index.symlink_to(tmp_path / "precious")
    assert zoo("list", "--hub", web.url).status == 0
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.parametrize("level", ["version", "model"])
def test_a_folder_of_the_cache_that_is_a_link_is_refused(zoo, cache, web, tmp_path, level):
    """What lies where it leads would be swept away as the leftovers of a killed process."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.txt").write_text("mine")
    folder = kept_in(open_hub(web.url).index.models[0])
    link = folder if level == "version" else folder.parent
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    assert zoo("pull", "2_3_4", "--hub", web.url).refusal == (
        f"{link}: is a link, and nothing is written through one; remove it"
    )
    assert [path.name for path in elsewhere.iterdir()] == ["mine.txt"]


def test_a_lock_that_is_a_link_is_refused(zoo, cache, web, tmp_path):
    (tmp_path / "precious").write_text("mine")
    folder = kept_in(open_hub(web.url).index.models[0])
    folder.parent.mkdir(parents=True)
    lock = folder.with_name(f"{folder.name}.lock")
    lock.symlink_to(tmp_path / "precious")
    refusal = zoo("pull", "2_3_4", "--hub", web.url).refusal
    assert refusal.startswith(f"{lock}: cannot be made: ")
    assert (tmp_path / "precious").read_text() == "mine"


def test_what_an_earlier_pull_left_half_done_is_no_model(zoo, cache, hub, web, tmp_path):
    """Halves by their own name and by temporary ones, in the cache and in the target folder."""
    folder = kept_in(open_hub(web.url).index.models[0])
    for place in (folder, tmp_path / "out"):
        place.mkdir(parents=True)
        content = (hub / "2_3_4/1.0/net.onnx").read_bytes()
        (place / "net.onnx").write_bytes(content[: len(content) // 2])
        (place / "net.encoder.onnx").write_bytes(b"")
        (place / "net.decoder.onnx").write_bytes(content)  # whole, and another
        (place / ".zoo-abcdefgh.part").mkdir()
        (place / ".zoo-abcdefgh.part/0").write_bytes(content[:9])
    assert zoo("pull", "2_3_4", "--hub", web.url, "-o", "out").status == 0
    for place in (folder, tmp_path / "out"):
        assert {path.name for path in place.iterdir()} == FILES
        for name in FILES:
            assert (place / name).read_bytes() == (hub / "2_3_4/1.0" / name).read_bytes()


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_an_index_that_is_no_file_is_not_read(zoo, cache, hub, kind):
    """A pipe would be waited for, and a device has no end."""
    index = hub / "index.json"
    index.unlink()
    if kind == "pipe":
        os.mkfifo(index)
    elif kind == "device":
        index.symlink_to("/dev/zero")
    else:
        index.mkdir()
    assert zoo("list", "--hub", hub).refusal == (
        f"{index}: is no file; `zoo publish MODEL.onnx --hub DIR` makes one"
    )


def test_a_file_of_a_folder_that_is_none_is_not_read(zoo, cache, hub):
    path = hub / "2_3_4/1.0/net.onnx"
    path.unlink()
    os.mkfifo(path)
    refusal = zoo("pull", "2_3_4", "--hub", hub).refusal
    assert refusal == f"{path}: in the index, but not there; publish it again"


def test_ten_thousand_models_are_listed(zoo, cache, hub):
    """As many as an index may have; the newest of each is not looked for among all of them."""
    (entry,) = open_hub(hub).index.models
    index = Index(tuple(dataclasses.replace(entry, name=f"m{n}") for n in range(10_000)))
    started = time.process_time()
    assert sum(1 for _ in index.newest()) == 10_000
    assert time.process_time() - started < 2
    (hub / "index.json").write_text(json.dumps({"schema": 1, "models": [{}] * 10_001}))
    refusal = zoo("list", "--hub", hub).refusal
    assert refusal.endswith(": models: has 10001 items; at most 10000 are allowed")
