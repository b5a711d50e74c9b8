"""`zoo import`: folders as people publish them, made here; and the published ones."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prototxt
from tests.command import Run
from zoo.importing.finding import Found, find
from zoo.importing.readme import read_readme

Zoo = Callable[..., Run]

INPUT = """
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }
"""
DATA = """
layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "x" batch_size: 1 }
        transform_param { crop_size: 4 } }
"""
FC = """
layer { name: "%s" type: "InnerProduct" bottom: "data" top: "fc"
        inner_product_param { num_output: 2 } }
"""
PROB = 'layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }\n'
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }\n'
README = """---
name: A Small Model
caffemodel: %s
caffemodel_url: http://localhost/%s
license: BSD-2-Clause
sha1: %s
caffe_commit: 709dc15af4a06bebda027c1eb2b3f3e3375d5077
---

It tells cats from dogs.
"""


def weights(path: Path, layer: str = "fc1", inputs: int = 48) -> Path:
    rng = np.random.default_rng(len(layer))
    blobs = [rng.normal(size=(2, inputs)).astype(np.float32), np.zeros(2, np.float32)]
    prototxt.write_weights(path, {layer: blobs})
    return path


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """One with everything beside it, one whose definition lies elsewhere, and what is none."""
    root = tmp_path / "models"
    small = root / "small"
    small.mkdir(parents=True)
    (small / "deploy.prototxt").write_text(INPUT + FC % "fc1" + PROB)
    (small / "train_val.prototxt").write_text(DATA + FC % "fc1" + LOSS)
    (small / "solver.prototxt").write_text('net: "train_val.prototxt"\nbase_lr: 0.1\n')
    (small / "labels.txt").write_text("cat\ndog\n")
    mean = np.full((3, 4, 4), 100, np.float32)
    prototxt.write_binaryproto(small / "small_mean.binaryproto", mean)
    path = weights(small / "small_iter_10.caffemodel")
    digest = hashlib.sha1(path.read_bytes()).hexdigest()
    (small / "readme.md").write_text(README % (path.name, path.name, digest))
    (root / "weights").mkdir()
    weights(root / "weights" / "model.caffemodel", "fc2")
    (root / "definitions").mkdir()
    (root / "definitions" / "other.prototxt").write_text(INPUT + FC % "fc2" + PROB)
    (root / "definitions" / "lonely.prototxt").write_text(INPUT + FC % "fc3" + PROB)
    (root / "bad").mkdir()
    (root / "bad" / "broken.caffemodel").write_bytes(b"\xa2\x06\xff")
    weights(root / "bad" / "orphan.caffemodel", "fc9")
    (root / "bad" / "wrong.prototxt").write_text("layer { name: }")
    return root


def by_weights(found: Found) -> dict[str, list[str]]:
    return {w.path.name: [d.path.name for d in w.definitions] for w in found.weights}


def test_weights_find_their_definition(models: Path) -> None:
    found = find([models])
    assert by_weights(found) == {
        "broken.caffemodel": [],
        "orphan.caffemodel": [],
        "small_iter_10.caffemodel": ["deploy.prototxt", "train_val.prototxt"],
        "model.caffemodel": ["other.prototxt"],
    }
    small = next(w for w in found.weights if w.path.name.startswith("small"))
    assert small.mean is not None and small.mean.name == "small_mean.binaryproto"
    assert small.labels is not None and small.labels.name == "labels.txt"
    assert [d.path.name for d in found.alone] == ["lonely.prototxt"]
    assert found.solvers == 1


def test_front_matter(models: Path) -> None:
    readme = read_readme(models / "small")
    assert readme is not None
    assert readme.get("name") == "A Small Model" and readme.get("license") == "BSD-2-Clause"
    assert readme.text == "It tells cats from dogs."
    assert read_readme(models) is None


def outcomes(result: dict[str, Any]) -> dict[str, tuple[str, str]]:
    rows = result["models"]
    return {Path(r["weights"] or r["definition"]).name: (r["outcome"], r["name"]) for r in rows}


@pytest.mark.slow
def test_what_becomes_of_a_folder(zoo: Zoo, models: Path) -> None:
    """Models with all that is known of them; the others with their reason; then it is done."""
    result = zoo("import", models, "--hub", "hub", "--json").json
    assert outcomes(result) == {
        "small_iter_10.caffemodel": ("published", "small"),
        "model.caffemodel": ("published", "weights"),
        "broken.caffemodel": ("refused", "broken"),
        "orphan.caffemodel": ("incomplete", "orphan"),
        "lonely.prototxt": ("incomplete", ""),
    }
    small = next(r for r in result["models"] if r["name"] == "small")
    assert small["task"] == "classify" and small["verified"]["ok"] is True
    assert small["definition"].endswith("deploy.prototxt")
    listed = zoo("list", "--hub", "hub", "--json").json["models"]
    entry = next(e for e in listed if e["name"] == "small")
    assert entry["licence"] == "BSD-2-Clause"
    assert entry["preprocessing"]["mean"] == [100, 100, 100]
    assert entry["source"] == "small/small_iter_10.caffemodel"
    text = Path("import/report.md").read_text()
    assert "2 published, 1 refused, 2 incomplete; 1 solvers passed over." in text
    assert "no weights are there for it" in text
    assert json.loads(Path("import/report.json").read_text())["count"] == result["count"]
    assert "<h1>Import</h1>" in Path("import/report.html").read_text()
    again = zoo("import", models, "--hub", "hub", "--json").json
    assert again["count"] == {"unchanged": 2, "refused": 1, "incomplete": 2}


def test_weights_of_another_sha1_are_refused(zoo: Zoo, models: Path) -> None:
    weights(models / "small" / "small_iter_10.caffemodel", "fc1", 48 * 2)
    result = zoo("import", models / "small", "--hub", "hub", "--json").json
    (row,) = result["models"]
    assert row["outcome"] == "refused" and "its sha1 is" in row["why"]
    assert not Path("hub").exists()


def test_weights_that_do_not_fit(zoo: Zoo, models: Path) -> None:
    (models / "small" / "readme.md").unlink()
    weights(models / "small" / "small_iter_10.caffemodel", "fc1", 7)
    result = zoo("import", models / "small", "--hub", "hub", "--json").json
    (row,) = result["models"]
    assert row["outcome"] == "refused" and "'fc1'" in row["why"]


def test_weights_that_are_only_an_address(zoo: Zoo, models: Path) -> None:
    (models / "small" / "small_iter_10.caffemodel").unlink()
    result = zoo("import", models / "small", "--hub", "hub", "--json").json
    (row,) = result["models"]
    assert row["outcome"] == "incomplete"
    assert row["why"].startswith(
        "its weights are at http://localhost/small_iter_10.caffemodel only"
    )


@pytest.mark.slow
def test_an_address_is_fetched_where_that_is_allowed(
    zoo: Zoo, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once: the second time it is there."""
    monkeypatch.setenv("NO_PROXY", "*")
    folder = models / "small"
    served = tmp_path / "served"
    served.mkdir()
    (folder / "small_iter_10.caffemodel").rename(served / "small_iter_10.caffemodel")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        text = (folder / "readme.md").read_text()
        address = f"http://127.0.0.1:{server.server_port}/"
        (folder / "readme.md").write_text(text.replace("http://localhost/", address))
        given = (folder, "--hub", "hub", "--fetch", "--json")
        assert zoo("import", *given).json["count"] == {"published": 1}
        server.shutdown()
    assert zoo("import", *given).json["count"] == {"unchanged": 1}
    assert [p.name[13:] for p in Path("import/weights").iterdir()] == ["small_iter_10.caffemodel"]


def test_a_folder_that_is_none(zoo: Zoo) -> None:
    assert zoo("import", "nowhere", "--hub", "hub").refusal == (
        "nowhere: no such folder; name the folder that the models lie in"
    )


@pytest.mark.slow
def test_the_published_networks(zoo: Zoo, shared: Path) -> None:
    """A classifier, a detector: found, made, verified; its labels are the list beside it."""
    for name in ("squeezenet", "wq_detect"):
        Path(name).symlink_to(shared / "caffe" / "trained" / name)
    result = zoo(
        "import", *(Path(n) for n in ("squeezenet", "wq_detect")), "--hub", "hub", "--json"
    )
    rows = {row["name"]: row for row in result.json["models"]}
    assert {name: row["outcome"] for name, row in rows.items()} == {
        "squeezenet": "published",
        "wq_detect": "published",
    }
    assert rows["squeezenet"]["task"] == "classify" and rows["wq_detect"]["task"] == "detect"
    assert all(row["verified"]["ok"] for row in rows.values())
