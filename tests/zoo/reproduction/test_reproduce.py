"""`zoo reproduce`: one report; what fails or lacks data is told, what is made is not made again."""

import json
import shutil
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

import converters
import prototxt
import runtime
from prototxt import ZooError
from runtime.pictures import png
from zoo.reproduction import objects, run, salinet
from zoo.reproduction.inputs import Inputs
from zoo.reproduction.items import SOURCES, Item, Made, Number, Picture
from zoo.reproduction.registry import ITEMS

PNG = png(np.zeros((4, 4, 3), np.uint8))


class Maker:
    """Makes an item and counts how often it was asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.count, self.error = 0, error

    def __call__(self, inputs, on_progress):
        self.count += 1
        if self.error is not None:
            raise self.error
        picture = Picture("a <b>picture</b>", PNG)
        return Made("three | images", {"one": 1.01, "two": 7.0}, [picture], ["a note"])


def item(name: str, make: Maker, needs: tuple[str, ...] = (), packages: tuple[str, ...] = ()):
    numbers = [Number("one", 1.0), Number("two", 8.0), Number("three", 3.0), Number("four")]
    source = SOURCES["filters"]
    return Item(
        name, source, "Table 9", "a <table>", "all", make, numbers, needs, ("mean",), packages
    )


@pytest.fixture
def makers(monkeypatch):
    made = {
        "good": Maker(),
        "bad": Maker(ZooError("is damaged", subject="net.prototxt")),
        "lacking": Maker(),
        "bare": Maker(),
    }
    items = (
        item("good", made["good"]),
        item("bad", made["bad"]),
        item("lacking", made["lacking"], ("digits", "objects")),
        item("bare", made["bare"], packages=("no_such_module",)),
    )
    monkeypatch.setattr(run, "ITEMS", items)
    return made


def test_what_fails_is_told_and_the_others_go_on(makers, tmp_path):
    seen = []
    found = run.reproduce(tmp_path / "out", Inputs(), on_item=lambda one: seen.append(one.id))
    states = {one.id: (one.state, one.why) for one in found.outcomes}
    assert seen == ["good", "bad", "lacking", "bare"]
    assert states["good"] == ("made", "")
    assert states["bad"] == ("failed", "net.prototxt: is damaged")
    assert states["lacking"][0] == "lacking" and "digits" in states["lacking"][1]
    assert states["bare"] == ("lacking", "No module named 'no_such_module'")
    assert makers["lacking"].count == makers["bare"].count == 0
    good = next(one for one in found.outcomes if one.id == "good")
    assert [(n["ours"], n["met"]) for n in good.numbers] == [
        (1.01, True),
        (7.0, False),
        (None, None),
        (None, None),
    ]
    result = json.loads((tmp_path / "out/report.json").read_text())
    assert result["count"] == {"made": 1, "failed": 1, "lacking": 2}
    assert result["numbers"] == {"all": 16, "compared": 2, "met": 1}


def test_the_page_asks_nobody_and_shows_what_it_is_told(makers, tmp_path):
    run.reproduce(tmp_path, Inputs())
    page = (tmp_path / "report.html").read_text()
    assert "://" not in page and "<script" not in page
    assert "a &lt;b&gt;picture" in page and "<b>" not in page
    assert 'src="pictures/good-1.png"' in page
    assert (tmp_path / "pictures/good-1.png").read_bytes() == PNG
    text = (tmp_path / "report.md").read_text()
    assert "| filters, Table 9 | one | 1.0000 | 1.0100 | within 5% | yes |" in text
    assert "| filters, Table 9 | three | 3.0000 | not made | within 5% |  |" in text
    assert "| four | not at hand | not made |  |  |" in text


def test_what_is_made_is_not_made_again(makers, tmp_path):
    mean = tmp_path / "mean.npy"
    mean.write_bytes(b"1")
    report = tmp_path / "out"
    for wanted in (1, 1):
        run.reproduce(report, Inputs())
        assert makers["good"].count == wanted
    assert makers["bad"].count == 2
    run.reproduce(report, Inputs({"mean": mean}))
    assert makers["good"].count == 2  # other data
    (report / "pictures/good-1.png").unlink()
    run.reproduce(report, Inputs({"mean": mean}))
    assert makers["good"].count == 3
    run.reproduce(report, Inputs({"mean": mean}, limit=5))
    assert makers["good"].count == 4


def test_one_item_alone_leaves_the_others_in_the_report(makers, tmp_path):
    run.reproduce(tmp_path, Inputs())
    found = run.reproduce(tmp_path, Inputs(seed=1), items=["bad"])
    assert [one.id for one in found.outcomes] == ["good", "bad", "lacking", "bare"]
    assert makers["good"].count == 1 and makers["bad"].count == 2


@pytest.mark.parametrize(
    "content",
    [
        "no json",
        "[]",
        '{"items": [{"id": "good"}]}',
        '{"items": 3}',
    ],
)
def test_a_report_that_is_none_is_made_anew(makers, tmp_path, content):
    (tmp_path / "report.json").write_text(content)
    run.reproduce(tmp_path, Inputs())
    assert makers["good"].count == 1
    assert json.loads((tmp_path / "report.json").read_text())["count"]["made"] == 1


def test_a_report_names_no_file_elsewhere(makers, tmp_path):
    run.reproduce(tmp_path, Inputs())
    told = json.loads((tmp_path / "report.json").read_text())
    told["items"][0]["pictures"][0]["file"] = "pictures/../../secret.png"
    (tmp_path / "report.json").write_text(json.dumps(told))
    run.reproduce(tmp_path, Inputs())
    assert makers["good"].count == 2
    assert "secret" not in (tmp_path / "report.html").read_text()


def test_the_command(zoo, tmp_path):
    result = zoo("reproduce", "--item", "tunnel-bits", "-o", "out", "--json").json
    [row] = result["items"]
    assert row["state"] == "made" and all(number["met"] for number in row["numbers"])
    assert len(row["numbers"]) == 8
    assert row["command"] == "`zoo reproduce --item tunnel-bits`"
    assert [Path(path).name for path in result["files"]] == [
        "report.json",
        "report.md",
        "report.html",
    ]
    again = zoo("reproduce", "--item", "tunnel-bits", "--item", "salinet-table-1", "-o", "out")
    assert "lacking salinet-table-1: --data classifier=DIR --data objects=DIR" in again.out
    assert "1 of 2 tables and figures made, 1 lacking" in again.out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--item", "none"], 2, "no item 'none'"),
        (["--data", "none"], 1, "none: no such file or folder"),
        (["--data", "cats=."], 2, "--data knows no 'cats'"),
    ],
)
def test_what_is_refused(zoo, arguments, status, said):
    found = zoo("reproduce", *arguments)
    assert found.status == status and said in found.err
    assert "Traceback" not in found.err


CLASSIFIER = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 48 dim: 48 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 6 kernel_size: 5 stride: 3 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "prob" type: "Softmax" bottom: "pool2" top: "prob" }
"""
LENET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 1 dim: 28 dim: 28 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 3 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 4 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1"
  inner_product_param { num_output: 8 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip2" top: "prob" }
"""


def network(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "net.prototxt").write_text(text)
    graph = converters.build_graph(prototxt.parse_net(text).select("TEST"))
    blobs = {node.name: node.blobs for node in graph.nodes if node.blobs}
    prototxt.write_weights(folder / "net.caffemodel", blobs)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Path]:
    """Small ones of every kind."""
    rng = np.random.default_rng(0)
    salient = tmp_path / "objects"
    photographs = tmp_path / "photographs"
    for folder in (salient / "images", salient / "masks", photographs):
        folder.mkdir(parents=True)
    for number in range(4):
        image = rng.integers(0, 60, (40, 50, 3)).astype(np.uint8)
        mask = np.zeros((40, 50), np.uint8)
        cv2.circle(mask, (25, 20), 8 + number, 255, -1)
        image[mask > 0] = (30, 60, 220)
        cv2.imwrite(str(salient / "images" / f"{number}.png"), image)
        cv2.imwrite(str(salient / "masks" / f"{number}.png"), mask)
        shutil.copy(salient / "images" / f"{number}.png", photographs / f"{number}.png")
        labelled = tmp_path / f"labelled/{number}"
        labelled.mkdir(parents=True)
        shutil.copy(photographs / f"{number}.png", labelled / "0.png")
    digits = tmp_path / "mnist"
    digits.mkdir()
    pixels = rng.integers(0, 256, (3, 28, 28)).astype(np.uint8)
    head = struct.pack(">4I", 0x803, *pixels.shape)
    (digits / "t10k-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
    small = network(tmp_path / "small", CLASSIFIER)
    rows = [
        {"kind": "train", "iteration": 1, "loss": 1.6},
        {"kind": "test", "iteration": 1, "loss": 1.5, "accuracy": 0.3, "accuracy_5": 0.9},
        {"kind": "test", "iteration": 2, "loss": 1.7, "accuracy": 0.2, "accuracy_5": 0.8},
    ]
    (small / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "photographs": photographs,
        "objects": salient,
        "digits": digits,
        "classifier": network(tmp_path / "classifier", CLASSIFIER),
        "digit-classifier": network(tmp_path / "lenet", LENET),
        "small-classifier": small,
        "labelled": tmp_path / "labelled",
        "vgg": network(tmp_path / "vgg", CLASSIFIER),
    }


SLOW = (
    "salinet-informativeness",
    "salinet-informativeness-zero",
    "salinet-figure-4",
    "salinet-vgg-figure-4",
    "tunnel-table-2",
    "tunnel-authors-recipe",  # test_trainings.py
    "tunnel-bits",
    "tunnel-figure-1",
    "tunnel-figure-4",
    "tunnel-talk-sizes",
)


@pytest.mark.slow
def test_every_item_is_made_of_small_data(data, tmp_path, monkeypatch):
    """All but what trains, what runs many networks, and what others are like."""
    monkeypatch.setattr(objects, "RULES", objects.RULES[:1])
    monkeypatch.setattr(objects, "SMOOTHINGS", objects.SMOOTHINGS[:1])
    monkeypatch.setattr(salinet, "TRAINED", {True: 2})
    monkeypatch.setattr(objects, "SHORTER", 64)
    chosen = [item.id for item in ITEMS if item.id not in SLOW]
    found = run.reproduce(tmp_path / "out", Inputs(data, limit=2), items=chosen)
    assert {one.id: one.why for one in found.outcomes if one.state != "made"} == {}
    for one in found.outcomes:
        assert one.pictures or one.numbers
        for picture in one.pictures:
            assert runtime.read_image(tmp_path / "out" / picture["file"]).size
    by_id = {one.id: {n["what"]: n for n in one.numbers} for one in found.outcomes}
    controls = [n for name in by_id if name.startswith("tunnel-talk") for n in by_id[name].values()]
    assert all(n["met"] for n in controls if n["published"] is not None)
    scores = by_id["salinet-table-1"]
    assert all(0 <= n["ours"] <= 1 for n in scores.values())
    assert scores["mean IoU, Gaussian blob"]["ours"] > 0.5
    assert by_id["salinet-vgg-table-1"] == scores  # the same network
    learning = by_id["deconvnet-learning"]
    assert learning["share of right answers at the end"]["ours"] == 0.2
    assert learning["greatest share of right answers"]["ours"] == 0.3
    for name in ("deconvnet-colour", "deconvnet-gradient"):
        assert all(n["ours"] >= 0 for n in by_id[name].values())
    errors = by_id["filters-table-1"]
    assert all(n["ours"] is not None and 0 <= n["ours"] < 1 for n in errors.values())


def test_a_folder_without_a_network(data, tmp_path):
    (data["classifier"] / "net.caffemodel").unlink()
    inputs = Inputs({"classifier": data["classifier"]})
    [one] = run.reproduce(tmp_path / "out", inputs, items=["salinet-figure-3"]).outcomes
    assert one.state == "failed" and "net.caffemodel: no such file" in one.why
