"""`zoo run`, and `zoo eval` by task: on networks whose answers are known, and on real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.command import Run
from tests.runtime.networks import giving

Zoo = Callable[..., Run]

NET = """
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "p" type: "Pooling" bottom: "data" top: "p"
        pooling_param { pool: AVE global_pooling: true } }
layer { name: "prob" type: "Softmax" bottom: "p" top: "prob" }
"""
"""Says which of the three channels is the brightest."""

BLUE, GREEN, RED = (200, 10, 10), (10, 200, 10), (10, 10, 200)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures and one that is none, in a folder; a network and its labels beside it."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, colour in (("blue", BLUE), ("green", GREEN), ("red", RED)):
        cv2.imwrite(str(photos / f"{name}_1.png"), np.full((12, 10, 3), colour, np.uint8))
    (photos / "broken.png").write_bytes(b"no picture")
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "labels.txt").write_text("blue\ngreen\nred\n")
    return photos


def test_a_classifier(zoo: Zoo, folder: Path) -> None:
    """Converted in passing; the broken picture is left out and counted."""
    given = ["--mean", "0", "--labels", "labels.txt", "--top", "1"]
    run = zoo("run", "net.prototxt", folder, *given, "--json")
    found = run.json
    assert found["task"] == "classify"
    tops = [(Path(i["image"]).name, i["top"][0]["label"]) for i in found["images"]]
    assert tops == [("blue_1.png", "blue"), ("green_1.png", "green"), ("red_1.png", "red")]
    assert [Path(s["image"]).name for s in found["skipped"]] == ["broken.png"]
    assert "broken.png: left out" in run.err
    assert not list(folder.parent.glob("*.png"))  # a classifier draws nothing, unless it is asked


def test_metadata_are_enough(zoo: Zoo, folder: Path) -> None:
    done = zoo("convert", "net.prototxt", "--labels", "labels.txt", "--mean", "0", "--json")
    assert done.json["unknown"] == []
    assert done.json["next"] == ["zoo verify net.prototxt net.onnx", "zoo run net.onnx photo.jpg"]
    assert done.json["task"] == "classify"
    run = zoo("run", "net.onnx", folder / "red_1.png", "-o", "out")
    assert run.status == 0 and "red" in run.out and "wrote out/red_1.net.png" in run.out
    assert cv2.imread("out/red_1.net.png").shape[0] > 256  # enlarged, with its classes beneath


def test_what_is_not_known_is_asked_for(zoo: Zoo, folder: Path) -> None:
    run = zoo("convert", "net.prototxt")
    assert "unknown  mean: give --mean b,g,r or FILE" in run.out
    assert "labels: give --labels FILE" in run.out
    assert "next: zoo run net.onnx photo.jpg" in run.out
    assert "cv2.imread('photo.jpg')" in run.out
    run = zoo("run", "net.onnx", folder / "red_1.png")
    told = "note: neither --mean nor the model gives a mean; took ImageNet's"
    assert told in run.out
    assert "the model names no classes, they are told by number; give --labels" in run.out


def test_a_trained_model_is_not_replaced_by_a_drawn_one(zoo: Zoo, tmp_path: Path) -> None:
    import prototxt

    text = 'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 2 } } }\n'
    text += (
        'layer { name: "fc" type: "InnerProduct" bottom: "d" top: "fc" '
        "inner_product_param { num_output: 1 bias_term: false } }"
    )
    (tmp_path / "net.prototxt").write_text(text)
    prototxt.write_weights(tmp_path / "net.caffemodel", {"fc": [np.ones((1, 2), np.float32)]})
    assert zoo("convert", "net.prototxt", "--weights", "net.caffemodel").status == 0
    before = Path("net.onnx").read_bytes()
    assert zoo("convert", "net.prototxt").refusal == (
        "net.onnx: holds trained weights, and none are given to replace them; "
        "give --weights, another -o, or --force"
    )
    assert Path("net.onnx").read_bytes() == before
    assert zoo("convert", "net.prototxt", "--force").status == 0
    assert Path("net.onnx").read_bytes() != before
    assert zoo("convert", "net.prototxt").status == 0  # a drawn one is not worth keeping


def test_a_list_of_frames_and_arrays(zoo: Zoo, folder: Path) -> None:
    Path("frames.txt").write_text("photos/red_1.png\nphotos/blue_1.png\n")
    assert zoo("convert", "net.prototxt", "--mean", "0").status == 0
    found = zoo("run", "net.onnx", "frames.txt", "--json").json
    assert [Path(i["image"]).name for i in found["images"]] == ["red_1.png", "blue_1.png"]
    data = np.zeros((2, 3, 8, 8), np.float32)
    np.savez("in.npz", data=data)
    found = zoo("run", "net.onnx", "in.npz", "-o", "out", "--json").json
    assert found["images"][0]["outputs"]["prob"]["shape"] == [2, 3, 1, 1]
    np.testing.assert_allclose(np.load("out/in.net.npz")["prob"], 1 / 3, rtol=1e-6)
    np.savez("in.npz", other=data)
    assert zoo("run", "net.onnx", "in.npz").refusal.startswith("in.npz: has no array 'data'")


def test_a_name_of_a_hub(zoo: Zoo, published: Path, cache: Path) -> None:
    folder = Path("photos")
    folder.mkdir()
    cv2.imwrite("photos/a.png", np.full((16, 16, 3), RED, np.uint8))
    found = zoo("run", "2_3_4", folder, "--hub", published, "--json").json
    assert found["task"] == "reconstruct"
    assert found["images"][0]["picture"] == "a.2_3_4.png" and Path("a.2_3_4.png").is_file()
    refusal = zoo("run", "nobody", folder, "--hub", published).refusal
    assert "no model 'nobody'" in refusal and "name a file" in refusal


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "none.onnx", "photos"], "none.onnx: no such file"),
        (["run", "net.onnx", "photos/broken.png"], "photos/broken.png: "),
        (["run", "net.onnx", "nowhere"], "nowhere: no such file or folder"),
        (["run", "net.onnx", "photos", "--labels", "none.txt"], "none.txt: "),
    ],
)
def test_refusals(zoo: Zoo, folder: Path, arguments: list[str], told: str) -> None:
    Path("net.onnx").write_bytes(giving({"prob": np.array([[1.0, 2]])}, mean="0"))
    assert zoo(*arguments).refusal.startswith(told)


def test_accuracy_of_a_classifier(zoo: Zoo, folder: Path) -> None:
    """Names begin with the class; `PATH LABEL` lines go before them."""
    given = ["--mean", "0", "--labels", "labels.txt", "--data", folder]
    (folder / "broken.png").unlink()
    found = zoo("eval", "net.prototxt", *given, "--json").json
    assert (found["top1"], found["top5"], found["images"]) == (1.0, 1.0, 3)
    Path("val.txt").write_text("blue_1.png 0\ngreen_1.png 0\nred_1.png 0\n")
    run = zoo("eval", "net.prototxt", *given, "--truth", "val.txt")
    assert "top-1   33.3%" in run.out, run.out
    found = zoo("eval", "net.prototxt", *given, "--truth", "val.txt", "--json").json
    assert found["confusions"][0] == {"truth": "blue", "found": "green", "images": 1, "of": 3}


def test_accuracy_of_a_segmenter(zoo: Zoo, folder: Path) -> None:
    (folder / "broken.png").unlink()
    planes = np.zeros((1, 2, 8, 8))
    planes[:, 1, :4] = 1
    Path("net.onnx").write_bytes(giving({"score": planes}, mean="0", task="segment"))
    Path("masks").mkdir()
    half = np.zeros((12, 10), np.uint8)
    half[:3] = 255
    for name in ("blue_1", "green_1", "red_1"):
        cv2.imwrite(f"masks/{name}.png", half)
    found = zoo("eval", "net.onnx", "--data", folder, "--truth", "masks", "--json").json
    # Of 12 rows 6 are found and 3 are there: 3/6 of class 1, 6/9 of class 0.
    assert found["mean_iou"] == pytest.approx((3 / 6 + 6 / 9) / 2, abs=1e-6)
    assert found["iou"] == {"0": pytest.approx(6 / 9), "1": pytest.approx(0.5)}


def test_accuracy_of_a_detector(zoo: Zoo, folder: Path) -> None:
    (folder / "broken.png").unlink()
    rows = np.array([0, 1, 0.9, 0, 0, 1, 1.0]).reshape(1, 1, 1, 7)
    model = giving({"found": rows}, mean="0", task="detect", labels="background\ncat")
    Path("net.onnx").write_bytes(model)
    Path("boxes").mkdir()
    xml = (
        "<annotation><object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>10</xmax>"
        "<ymax>12</ymax></bndbox></object></annotation>"
    )
    for name in ("blue_1", "green_1"):
        Path(f"boxes/{name}.xml").write_text(xml)
    Path("boxes/red_1.xml").write_text("<annotation/>")
    found = zoo("eval", "net.onnx", "--data", folder, "--truth", "boxes", "--json").json
    # Three boxes of one score, two right: the wrong one comes last.
    assert found["map"] == 1.0 and found["average_precision"] == {"cat": 1.0}
    Path("boxes/red_1.xml").unlink()
    refusal = zoo("eval", "net.onnx", "--data", folder, "--truth", "boxes").refusal
    assert "there is no red_1.xml in boxes" in refusal


@pytest.mark.slow
def test_squeezenet_over_photographs(zoo: Zoo, shared: Path) -> None:
    """As measured when it was converted first: 65.4 and 84.6 % of 500."""
    source = shared / "caffe" / "trained" / "squeezenet"
    given = ["--weights", source / "net.caffemodel", "--labels", source / "labels.txt"]
    given += ["--mean", "104,117,123", "--resize", "256", "--crop", "227"]
    assert zoo("convert", source / "net.prototxt", *given).status == 0
    data = shared / "images" / "imagenet-dev"
    found = zoo("eval", "net.onnx", "--data", data, "--json").json
    assert (found["top1"], found["top5"]) == (0.654, 0.846)
