"""`zoo publish`: what is fit for a hub, and a folder that is never half changed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from zoo import hub as hubs
from zoo.errors import HubError
from zoo.hub import index as schema
from zoo.hub import places
from zoo.hub.index import Metric
from zoo.paper import architectures


@pytest.fixture
def models(zoo, small) -> list[str]:
    """A network whole and in two parts."""
    assert zoo("convert", small, "--mean", "104,117,123").status == 0
    assert zoo("convert", small, "--mean", "104,117,123", "--split").status == 0
    return ["small.onnx", "small.encoder.onnx", "small.decoder.onnx"]


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def edited(source: str, target: str, drop: str = "", **metadata: str) -> str:
    """A copy of a model with other metadata."""
    model = onnx.load(source)
    stated = {item.key: item.value for item in model.metadata_props if item.key != drop}
    del model.metadata_props[:]
    helper.set_model_props(model, stated | {k.replace("__", "."): v for k, v in metadata.items()})
    onnx.save(model, target)
    return target


def test_what_the_index_says(zoo, models, tmp_path):
    (tmp_path / "card.md").write_text("# Small\n")
    (tmp_path / "eval.json").write_text(
        json.dumps({"rmse": 0.25, "data": "/home/me/photographs", "images": 7})
    )
    run = zoo(
        *("publish", *models, "--hub", "hub/new", "--version", "1.2", "--card", "card.md"),
        *("--licence", "BSD-2-Clause", "--source", "https://example.org/a b"),
        *("--encoder", "random", "--metrics", "eval.json", "--json"),
    )
    data = run.json
    assert (data["name"], data["version"], data["outcome"]) == ("2_3_4", "1.2", "published")
    assert data["notes"] == ["this network is untrained: its weights were drawn by fillers, seed 0"]
    folder = tmp_path / "hub/new"
    (entry,) = schema.read((folder / "index.json").read_bytes(), "x").models
    assert (entry.arch, entry.task, entry.encoder) == ("2_3_4", "reconstruct", "random")
    assert (entry.licence, entry.source) == ("BSD-2-Clause", "https://example.org/a b")
    assert entry.metrics == (Metric("rmse", 0.25, "photographs", 7),)
    assert entry.preprocessing is not None
    assert entry.preprocessing.mean == (104, 117, 123)
    assert entry.preprocessing.input_size == (16, 16)
    whole, encoder, decoder = (file.network for file in entry.models)
    assert (whole.part, whole.targets, whole.opset) == ("whole", ("cpu", "cuda", "portable"), 18)
    assert (encoder.part, decoder.part) == ("encoder", "decoder")
    assert [tensor.name for tensor in whole.inputs] == ["data"]
    assert whole.inputs[0].shape == ("batch", 3, "height", "width")
    assert [tensor.dtype for tensor in decoder.inputs] == ["int64"] * 3
    for file in entry.models:
        source = tmp_path / file.name
        assert (folder / "2_3_4/1.2" / file.name).read_bytes() == source.read_bytes()
    assert entry.card is not None and entry.card.name == "README.md"
    assert hubs.locate("2_3_4@1.2", folder) == folder / "2_3_4/1.2/small.onnx"


@pytest.mark.parametrize("target", ["cpu", "cuda", "portable"])
def test_targets(zoo, small, tmp_path, target):
    assert zoo("convert", small, "--mean", "1", "--target", target).status == 0
    found = hubs.publish([tmp_path / "small.onnx"], tmp_path / "hub").entry.targets
    runs = {"cpu": ("cpu",), "cuda": ("cpu", "cuda"), "portable": ("cpu", "cuda", "portable")}
    assert found == runs[target]


def test_the_same_bytes_again(zoo, models, tmp_path):
    (tmp_path / "card.md").write_text("# Small\n")
    first = ["publish", *models, "--hub", "hub", "--card", "card.md"]
    assert zoo(*first, "--json").json["outcome"] == "published"
    before = tree(tmp_path / "hub")
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "hub").rglob("*.*")}
    assert zoo(*first, "--json").json["outcome"] == "unchanged"
    # The card that is there stays where none is given.
    assert zoo(*first[:-2], "--json").json["outcome"] == "unchanged"
    assert tree(tmp_path / "hub") == before
    for path, stamp in stamps.items():
        assert path.stat().st_mtime_ns == stamp
    assert zoo(*first, "--licence", "MIT", "--json").json["outcome"] == "mended"
    assert zoo(*first, "--source", "here").status == 0
    (entry,) = schema.read((tmp_path / "hub/index.json").read_bytes(), "x").models
    assert (entry.licence, entry.source) == ("MIT", "here")


def test_other_bytes_are_refused(zoo, small, models, tmp_path):
    (tmp_path / "card.md").write_text("# Small\n")
    command = ["publish", *models, "--hub", "hub", "--card", "card.md"]
    zoo(*command)
    before = tree(tmp_path / "hub")
    hint = "a version never changes; give another --version"
    assert zoo("convert", small, "--mean", "104,117,123", "--seed", 1).status == 0
    assert zoo("convert", small, "--mean", "104,117,123", "--seed", 1, "--split").status == 0
    assert zoo(*command).refusal == (
        f"2_3_4@1.0 is published already, and small.decoder.onnx has other bytes; {hint}"
    )
    zoo("convert", small, "--mean", "104,117,123", "--split")
    zoo("convert", small, "--mean", "104,117,123")
    assert zoo("publish", "small.onnx", "--hub", "hub").refusal == (
        f"2_3_4@1.0 is published already, and small.decoder.onnx is missing; {hint}"
    )
    shutil.copy("small.onnx", "more.onnx")
    assert zoo("publish", *models, "more.onnx", "--hub", "hub").refusal == (
        f"2_3_4@1.0 is published already, and more.onnx is new; {hint}"
    )
    assert tree(tmp_path / "hub") == before
    assert zoo(*command, "--version", "1.1").status == 0
    assert before.items() - {("index.json", before["index.json"])} <= tree(tmp_path / "hub").items()


def test_models_that_are_not_fit(zoo, small, models, tmp_path):
    (tmp_path / "text.onnx").write_text("nothing")
    (tmp_path / "dir.onnx").mkdir()
    edited("small.onnx", "bare.onnx", drop="zoo.input_size")
    edited("small.onnx", "costly.onnx", zoo__cost="{")
    edited("small.onnx", "rough.onnx", zoo__cost="{}")
    edited("small.onnx", "int4.onnx", zoo__precision="int4")
    edited("small.onnx", "other.onnx", zoo__arch="9_9_9")
    edited("small.onnx", "part.onnx", zoo__part="half")
    shutil.copy("small.onnx", "a b.onnx")
    for given, said in {
        "none.onnx": "none.onnx: no such file",
        "dir.onnx": "dir.onnx: is a directory; name an .onnx file",
        "bare.onnx": "bare.onnx: its metadata lacks zoo.input_size; convert it again",
        "costly.onnx": "costly.onnx: its zoo.cost is no JSON; convert it again",
        "rough.onnx": "rough.onnx: zoo.cost.sample: is missing",
        "int4.onnx": "int4.onnx: its zoo.precision is 'int4'; convert it again",
        "part.onnx": "part.onnx: its zoo.part is 'half'; convert it again",
        "a b.onnx": "a b.onnx: a published file's name has letters, digits and ._+- only; "
        "rename it",
    }.items():
        assert zoo("publish", given, "--hub", "hub").refusal == said
    refusal = zoo("publish", "text.onnx", "--hub", "hub").refusal
    assert refusal == "text.onnx: not an ONNX model; convert it again"
    assert zoo("publish", "small.onnx", "other.onnx", "--hub", "hub").refusal == (
        "other.onnx: its zoo.arch is 9_9_9, but 2_3_4 in small.onnx; "
        "publish files of one model only"
    )
    assert zoo("publish", "small.onnx", "small.onnx", "--hub", "hub").refusal == (
        "2_3_4@1.0: models[0].files: 'small.onnx' stands there twice"
    )
    assert not (tmp_path / "hub").exists()


def model_of(path: Path, nodes: list[onnx.NodeProto], shape: list[int | str]) -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value("data", TensorProto.FLOAT, shape)],
        [value("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    metadata = {
        "caffe.prototxt": "x",
        "zoo.version": "1",
        "zoo.weights": "caffemodel",
        "zoo.channel_order": "BGR",
    }
    helper.set_model_props(model, metadata)
    onnx.save(model, path)


def test_a_model_that_is_wrong_inside(zoo, tmp_path):
    node = helper.make_node
    model_of(tmp_path / "log.onnx", [node("Log", ["data"], ["y"])], [1, 4])
    assert zoo("publish", "log.onnx", "--hub", "hub").refusal == (
        "log.onnx: output 'y' of zeros is not finite"
    )
    model_of(tmp_path / "loose.onnx", [node("Relu", ["nothing"], ["y"])], [1, 4])
    refusal = zoo("publish", "loose.onnx", "--hub", "hub").refusal
    assert refusal.startswith("loose.onnx: cannot be checked: Nodes in a graph must be topolog")
    model_of(tmp_path / "fine.onnx", [node("Relu", ["data"], ["y"])], [1, 4])
    data = zoo("publish", "fine.onnx", "--hub", "hub", "--json").json
    assert (data["name"], data["notes"]) == ("fine", [])
    entry = hubs.open_hub(tmp_path / "hub").index.models[0]
    assert (entry.task, entry.arch, entry.preprocessing) == ("other", None, None)


def test_weights_beside_the_model(zoo, models, tmp_path):
    (tmp_path / "big").mkdir()
    onnx.save(
        onnx.load("small.onnx"),
        "big/big.onnx",
        save_as_external_data=True,
        location="big.weights",
        size_threshold=64,  # shapes stay, as the checker reads them
    )
    assert zoo("publish", "big/big.onnx", "--hub", "hub").status == 0
    entry = hubs.open_hub(tmp_path / "hub").index.models[0]
    assert [(file.name, file.kind) for file in entry.files] == [
        ("big.onnx", "model"),
        ("big.weights", "data"),
        ("README.md", "card"),
    ]
    import runtime

    runtime.load(hubs.locate("2_3_4", tmp_path / "hub"))
    (tmp_path / "big/big.weights").unlink()
    assert zoo("publish", "big/big.onnx", "--hub", "hub", "--version", "2").status == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["--name", "../x"],
            "'../x' is not a plain name; --name takes letters, digits and ._+- only",
        ),
        (
            ["--version", "v1"],
            '2_3_4@v1: models[0].version: must be numbers with dots, as 1.0, not "v1"',
        ),
        (["--licence", "a\nb"], '2_3_4@1.0: models[0].licence: has control characters: "a\\nb"'),
        (["--card", "none.md"], "none.md: no such file"),
        (["--card", "bad.md"], "bad.md: not a text in UTF-8; a card is Markdown"),
        (["--metrics", "none.json"], "none.json: no such file"),
        (
            ["--metrics", "bad.md"],
            "bad.md: not a result of `zoo eval`; `zoo eval ... --json > FILE` writes one",
        ),
    ],
)
def test_flags_that_are_wrong(zoo, models, tmp_path, flags, said):
    (tmp_path / "bad.md").write_bytes(b"\xff\xfe\xff")
    assert zoo("publish", "small.onnx", "--hub", "hub", *flags).refusal == said
    assert not (tmp_path / "hub").exists()


def test_hubs_that_cannot_be_published_to(zoo, models, tmp_path, monkeypatch):
    monkeypatch.delenv("ZOO_HUB", raising=False)
    assert zoo("publish", "small.onnx").status == 2
    run = zoo("publish", "small.onnx", "--hub", "https://example.org/hub")
    assert run.status == 2 and "only a folder can be published to" in run.err
    (tmp_path / "file").write_text("x")
    refusal = zoo("publish", "small.onnx", "--hub", "file").refusal
    assert refusal == "file: is a file, not a folder; give a folder"
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub/index.json").write_text('{"schema": 3}')
    refusal = zoo("publish", "small.onnx", "--hub", "hub").refusal
    assert refusal.startswith("hub/index.json: schema: 3 is newer than this tool")
    assert tree(tmp_path / "hub") == {"index.json": b'{"schema": 3}'}
    monkeypatch.setenv("ZOO_HUB", "other")
    assert zoo("publish", "small.onnx").status == 0
    assert (tmp_path / "other/index.json").is_file()


@pytest.mark.parametrize("call", range(1, 6))
@pytest.mark.parametrize("fresh", [True, False])
def test_a_full_disk_leaves_the_hub_as_it_was(zoo, models, tmp_path, monkeypatch, call, fresh):
    """The disk is full at the Nth file: three models, the card and the index are written."""
    if not fresh:
        assert zoo("publish", *models, "--hub", "hub").status == 0
    before = tree(tmp_path / "hub")
    calls = []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == call:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("prototxt.files.os.fsync", full)
    refusal = zoo("publish", *models, "--hub", "hub", "--version", "2").refusal
    name = [*models, "README.md", "index.json"][call - 1]
    place = "hub/index.json" if call == 5 else f"hub/2_3_4/2/{name}"
    assert refusal == f"{place}: cannot be written: No space left on device"
    assert tree(tmp_path / "hub") == before
    assert (tmp_path / "hub").exists() is not fresh
    assert not (tmp_path / "hub/2_3_4/2").exists()


def test_files_that_a_killed_publisher_left_are_taken_over(zoo, models, tmp_path):
    folder = tmp_path / "hub/2_3_4/1.0"
    folder.mkdir(parents=True)
    (folder / "small.onnx").write_bytes(b"half")
    assert zoo("publish", *models, "--hub", "hub").status == 0
    assert (folder / "small.onnx").read_bytes() == (tmp_path / "small.onnx").read_bytes()


def test_a_file_that_changes_meanwhile(zoo, models, tmp_path, monkeypatch):
    real = schema.read

    def meanwhile(text, source):
        (tmp_path / "small.onnx").write_bytes(b"other")
        return real(text, source)

    monkeypatch.setattr(schema, "read", meanwhile)
    with pytest.raises(HubError, match=r"small\.onnx: changed while it was published"):
        hubs.publish([tmp_path / "small.onnx"], tmp_path / "hub")
    assert not (tmp_path / "hub").exists()


def test_four_publishers_at_once(zoo, models, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "zoo", "publish", *models, "--hub", "hub", "--name", name],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for name in ("a", "b", "c", "d")
    ]
    for process in running:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert hubs.open_hub(tmp_path / "hub").index.names() == ("a", "b", "c", "d")
    for name in ("a", "b", "c", "d"):
        assert zoo("pull", name, "--hub", "hub").status == 0  # checks every digest


def test_a_network_of_the_paper_that_classifies(zoo, tmp_path):
    (tmp_path / "c.prototxt").write_text(architectures.definition("2_2_2", classify=True))
    assert zoo("convert", "c.prototxt", "--mean", "104,117,123").status == 0
    data = zoo("publish", "c.onnx", "--hub", "hub", "--json").json
    assert data["name"] == "classify2_2_2"
    with pytest.raises(HubError, match="no model '2_2_2'"):
        hubs.locate("2_2_2", tmp_path / "hub")


def test_one_at_a_time_writes_to_a_hub(tmp_path, monkeypatch):
    """The folder is locked, not a file in it; also against another thread of this process."""
    with places.locked_folder(tmp_path):
        monkeypatch.setattr(places, "LOCK_SECONDS", 0)
        with pytest.raises(HubError) as caught, places.locked_folder(tmp_path):
            pass
        assert str(caught.value).endswith("for 0 minutes; wait for it, or end it")
        if os.name == "posix":
            assert list(tmp_path.iterdir()) == []
    with places.locked_folder(tmp_path):
        pass


def test_measures_of_a_task_are_metrics(tmp_path):
    from zoo.hub.publishing import read_metrics

    path = tmp_path / "eval.json"
    measured = {"top1": 0.654, "top5": 0.846}
    path.write_text(json.dumps({"measures": measured, "data": "photos/val", "images": 500}))
    assert read_metrics(path) == (
        Metric("top1", 0.654, "val", 500),
        Metric("top5", 0.846, "val", 500),
    )
