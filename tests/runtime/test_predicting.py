"""What is made of a network's outputs, by its task."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

import runtime
from prototxt.errors import UsageError
from prototxt.preprocessing import Preprocessing
from runtime.predictions import Boxes, Classes, Numbers, Picture, Regions
from tests.runtime.networks import giving, network, opened

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 40, 3), np.uint8)


def scores(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def test_classes_the_greatest_first() -> None:
    model = opened(giving({"prob": scores(0.1, 0.6, 0.3)}, mean="0", labels="a\nb\nc"))
    found = runtime.Predictor(model, top=2).predict(IMAGE)
    assert isinstance(found, Classes)
    assert [(g.place, g.label, round(g.score, 3)) for g in found.top] == [
        (1, "b", 0.6),
        (2, "c", 0.3),
    ]


def test_classes_without_names_are_told_by_number() -> None:
    predictor = runtime.Predictor(opened(giving({"prob": scores(0.1, 0.9)}, mean="0")))
    found = predictor.predict(IMAGE)
    assert isinstance(found, Classes) and found.top[0].label == "1"
    assert any("names no classes" in str(note) for note in predictor.notes)


def test_labels_that_are_too_few() -> None:
    model = opened(giving({"prob": scores(0.1, 0.9)}, mean="0"))
    with pytest.raises(UsageError, match="names 3 classes, but the network has 2"):
        runtime.Predictor(model, labels=["a", "b", "c"])


ROWS = np.array(
    [
        [0, 2, 0.9, 0.25, 0.5, 0.75, 1.0],
        [0, 1, 0.95, -0.5, 0.0, 0.5, 0.5],
        [0, 1, 0.4, 0.0, 0.0, 0.5, 0.5],
    ]
)


@pytest.mark.parametrize("labels", ["background\ncat\ndog", "cat\ndog"])
def test_rows_of_detections(labels: str) -> None:
    """In pixels of the image, clipped to it, the best first; class 0 is the background."""
    model = opened(giving({"found": ROWS[None, None]}, mean="0", task="detect", labels=labels))
    found = runtime.Predictor(model).predict(IMAGE)
    assert isinstance(found, Boxes)
    assert [(b.guess.label, b.corners) for b in found.boxes] == [
        ("cat", (0.0, 0.0, 20.0, 10.0)),
        ("dog", (10.0, 10.0, 30.0, 20.0)),
    ]


def test_a_row_of_minus_one_is_nothing() -> None:
    rows = np.full((1, 1, 1, 7), -1.0)
    model = opened(giving({"found": rows}, mean="0", task="detect"))
    assert runtime.Predictor(model).predict(IMAGE) == Boxes(())


def test_boxes_are_of_what_was_cut_out() -> None:
    """Of 16x16 the middle 8x8: a box over all of it is the middle half of the image."""
    whole = np.array([0, 1, 1, 0, 0, 1, 1.0]).reshape(1, 1, 1, 7)
    said = {"mean": "0", "task": "detect", "crop": "8x8", "resize_size": "16x16"}
    found = runtime.Predictor(opened(giving({"found": whole}, **said))).predict(IMAGE)
    assert isinstance(found, Boxes)
    assert found.boxes[0].corners == (10.0, 5.0, 30.0, 15.0)


def test_boxes_and_scores_apart_are_suppressed() -> None:
    boxes = np.array([[[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.45], [0.5, 0.5, 1, 1]]])
    classes = np.array([[[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]]])
    model = opened(giving({"boxes": boxes, "scores": classes}, mean="0"))
    found = runtime.Predictor(model).predict(IMAGE)
    assert isinstance(found, Boxes)
    assert [b.corners for b in found.boxes] == [(0, 0, 20, 10), (20, 10, 40, 20)]


def test_regions_of_a_map() -> None:
    planes = np.zeros((1, 5, 8, 8))
    planes[:, 0], planes[:, 3, :, 4:] = 0.5, 1
    model = opened(giving({"score": planes}, mean="0", labels="none\na\nb\nc\nd"))
    found = runtime.Predictor(model).predict(IMAGE)
    assert isinstance(found, Regions)
    assert found.map.shape == IMAGE.shape[:2]
    assert (found.map[:, :20] == 0).all() and (found.map[:, 20:] == 3).all()
    assert [(r.label, r.share) for r in found.regions] == [("none", 0.5), ("c", 0.5)]


DOUBLED: list[int | str] = ["n", 3, "h2", "w2"]


def doubling(**said: str) -> runtime.Model:
    """Every pixel four times."""
    scales = np.array([1, 1, 2, 2], np.float32)
    resize = helper.make_node(
        "Resize", ["x", "", "scales"], ["y"], mode="nearest",
        coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip
    shapes: dict[str, list[int | str]] = {"x": ["n", 3, "h", "w"]}
    content = network([resize], shapes, {"y": DOUBLED}, {"scales": scales}, **said)
    return opened(content)


@pytest.mark.parametrize("said", [{}, {"scale": "0.00392156863", "channel_order": "RGB"}])
def test_a_picture_has_the_images_own_size(said: dict[str, str]) -> None:
    model = doubling(mean="0", task="image-to-image", input_size="8x8", **said)
    found = runtime.Predictor(model).predict(IMAGE)
    assert isinstance(found, Picture)
    np.testing.assert_array_equal(found.image, IMAGE.repeat(2, 0).repeat(2, 1))


def test_a_picture_of_0_to_1_is_stretched() -> None:
    model = opened(giving({"y": np.full((1, 1, 8, 8), 0.5)}, mean="0", task="image-to-image"))
    found = runtime.Predictor(model).predict(IMAGE)
    assert isinstance(found, Picture) and found.stretched
    assert (found.image == 128).all()


def test_any_other_network_gives_numbers() -> None:
    model = opened(giving({"a": scores(1, 2), "b": np.ones((1, 3, 2, 2))}, mean="0"))
    found = runtime.Predictor(model).predict(IMAGE)
    assert isinstance(found, Numbers)
    assert found.as_dict()["outputs"]["a"] == {
        "shape": [1, 2], "dtype": "float32", "min": 1.0, "mean": 1.5, "max": 2.0,
    }  # fmt: skip


def test_several_at_once_are_as_one_by_one() -> None:
    reduce = helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)
    axes = {"axes": np.array([2, 3])}
    shapes: dict[str, list[int | str]] = {"x": ["n", 3, "h", "w"]}
    model = opened(network([reduce], shapes, {"y": ["n", 3]}, axes, mean="0", input_size="8x8"))
    predictor = runtime.Predictor(model)
    images = [np.full((9, 9, 3), value, np.uint8) for value in range(5)]
    for batch in (1, 2, 8):
        found = list(predictor.predict_all(images, batch))
        assert found == [predictor.predict(image) for image in images]
        assert [f.top[0].score for f in found if isinstance(f, Classes)] == [0, 1, 2, 3, 4]


def test_what_is_not_a_number_is_refused() -> None:
    model = opened(giving({"prob": scores(np.nan, 1)}, mean="0"))
    with pytest.raises(runtime.InferenceError, match="gives NaN"):
        runtime.Predictor(model).predict(IMAGE)


def test_a_task_that_does_not_fit() -> None:
    model = opened(giving({"prob": scores(0.1, 0.9)}, mean="0"))
    with pytest.raises(UsageError, match="gives prob 1x2: nothing for the task detect"):
        runtime.Predictor(model, task="detect")


@pytest.mark.parametrize(
    ("channels", "given", "told"),
    [
        (3, None, "took ImageNet's 104.007,116.669,122.679"),
        (3, Preprocessing(scale=0.5), "took none"),
        (1, None, "took none"),
    ],
)
def test_a_mean_that_nobody_states(channels: int, given: Preprocessing, told: str) -> None:
    """One habit, and it is told."""
    _, _, notes = runtime.resolve({}, given=given, channels=channels)
    assert [str(note) for note in notes] == [f"neither mean nor the model gives a mean; {told}"]


def test_a_network_of_clips() -> None:
    """Frames along the third axis; the last of too few stands still, those after are left out."""
    reduce = helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)
    axes = {"axes": np.array([1, 3, 4])}
    shapes: dict[str, list[int | str]] = {"x": ["n", 3, 4, 8, 8]}
    model = opened(network([reduce], shapes, {"y": ["n", 4]}, axes, mean="0"))
    predictor = runtime.Predictor(model, top=4)
    frames = [np.full((9, 9, 3), value, np.uint8) for value in (7, 5, 6)]
    found = predictor.predict(frames)
    assert isinstance(found, Classes)
    assert sorted((g.place, g.score) for g in found.top) == [(0, 7), (1, 5), (2, 6), (3, 6)]
    assert predictor.predict([*frames, frames[2], frames[0]]) == found
    with pytest.raises(runtime.InferenceError, match="takes x, not one image"):
        runtime.fixed_size(model)
