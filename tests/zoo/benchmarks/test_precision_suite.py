"""`zoo bench --suite precision`: whose images, whose classes, what a row says."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import converters
import prototxt
import runtime
from prototxt.errors import ZooError
from zoo.benchmarks import networks, precision
from zoo.benchmarks.crew import Measurement
from zoo.benchmarks.timing import Timing
from zoo.precision.cost import Cost, Difference

CLASSIFIER = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 12 dim: 12 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
LABELS = "n01 tench, Tinca tinca\nn02 goldfish\nn03 shark\n"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten images of three classes: four by their name, the others by their folder's."""
    folder = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for place in range(10):
        inside = folder if place < 4 else folder / f"n0{place % 3 + 1}"
        inside.mkdir(parents=True, exist_ok=True)
        name = f"n0{place % 3 + 1}_{place}.png" if place < 4 else f"{place}.png"
        cv2.imwrite(str(inside / name), rng.integers(0, 256, (12, 12, 3), np.uint8))
    return folder


def test_every_fifth_image_is_for_calibration_alone(photos: Path) -> None:
    paths = runtime.list_images(photos)
    found = precision.Photographs.of(photos)
    assert list(found.calibration) == [paths[0], paths[5]]
    assert sorted([*found.measured, *found.calibration]) == paths
    assert found.told() == {
        "data": "photos", "images": 8, "calibrated_on": "others of photos",
        "calibration_images": 2,
    }  # fmt: skip


def test_images_of_another_folder_calibrate(photos: Path) -> None:
    found = precision.Photographs.of(photos, photos / "n02")
    assert len(found.measured) == 10 and {p.parent.name for p in found.calibration} == {"n02"}
    assert found.names == ("photos", "n02")


def test_without_a_folder_the_sample_photographs_are_for_both() -> None:
    found = precision.Photographs.of()
    assert found.measured == found.calibration and len(found.measured) > 2
    with pytest.raises(prototxt.UsageError):
        precision.Photographs.of(None, Path("photos"))


def test_too_few_images_are_refused(photos: Path) -> None:
    with pytest.raises(ZooError, match="too few to calibrate on some and measure over others"):
        precision.Photographs.of(photos / "n02")


def test_a_row_for_each_precision() -> None:
    outputs = (
        Difference("a", 2.0, 0.5, 9.0, 0.01, 100, None),
        Difference("b", 1.0, 0.25, 4.0, 0.06, 100, None),
    )
    cost = Cost("float16", "s", 7, outputs, 50, 0, (0.25, 0.375), None, None, (1000, 600),
                (1.0, 1.0), "cpu", ("conv1",), 3)  # fmt: skip
    found = {
        "float32": Measurement(Timing.of([0.5])),
        "float16": Measurement(Timing.of([0.25])),
        "int8": Measurement(absent="no layer can be"),
    }
    first, half, none = precision.rows("net", 4, found, {"float16": cost})
    assert (first["bytes"], first["kept"], first["value"], first["ratio"]) == (1000, 3, 0.25, 1)
    assert (half["bytes"], half["kept"], half["layers"]) == (600, 1, 3)
    assert (half["value"], half["change"], half["ratio"]) == (0.375, 0.125, 0.5)
    assert (half["largest"], half["magnitude"], half["images_per_second"]) == (1.0, 4.0, 16)
    assert half["worse"] == ["the RMSE rises by 0.1250"]
    assert none["absent"] == "no layer can be" and none["seconds"] is None
    assert [row["measure"] for row in (first, half)] == ["RMSE", "RMSE"]


def test_a_network_of_ones_own(zoo, photos: Path, tmp_path: Path) -> None:
    """Classified right is what the float32 model classifies right, counted here by itself."""
    net, weights = tmp_path / "mine.prototxt", tmp_path / "mine.caffemodel"
    net.write_text(CLASSIFIER)
    weights.write_bytes(b"")
    with weights.open("wb") as file:
        networks.drawn_caffemodel(CLASSIFIER, file)
    (tmp_path / "labels.txt").write_text(LABELS)
    data = zoo(
        "bench", "--suite", "precision", "--net", net, "--weights", weights, "--mean",
        "100,110,120", "--labels", "labels.txt", "--data", photos, "--quick", "--threads", 1,
        "--json",
    ).json  # fmt: skip
    rows = data["suites"][0]["rows"]
    assert [row["precision"] for row in rows] == ["float32", "float16", "int8"]
    assert {row["network"] for row in rows} == {"mine"}
    assert {row["measure"] for row in rows} == {"top-1"}
    how = prototxt.Preprocessing("100,110,120")
    converters.convert(net, weights, preprocessing=how).save(tmp_path / "mine.onnx")
    model = runtime.load(tmp_path / "mine.onnx", "cpu")
    feeder = runtime.Feeder(model, runtime.read_mean("100,110,120"), (12, 12))
    right = 0
    measured = precision.Photographs.of(photos).measured
    for path in measured:
        best = model.run({"data": feeder.feed(runtime.read_image(path))[None]})["prob"].argmax()
        right += int(best) == int(path.stem.rpartition("_")[2]) % 3
    assert rows[0]["value"] == pytest.approx(right / len(measured))
    assert data["suites"][0]["settings"]["images"] == len(measured) == 8


def test_options_without_their_network_are_refused(zoo) -> None:
    run = zoo("bench", "--suite", "precision", "--labels", "labels.txt")
    assert run.status == 2 and "are for --net NET.prototxt" in run.err
    run = zoo("bench", "--suite", "precision", "--calibrate", ".")
    assert run.status == 2 and "--calibrate without --data" in run.err
