"""What a model is fed, by its own metadata: blobs or pixels, cut, scaled, in its own colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

import runtime
from runtime import Feeder

MEAN = np.array([104, 117, 123], np.float32).reshape(3, 1, 1)
WHOLE = np.random.default_rng(1).uniform(90, 130, (3, 9, 12)).astype(np.float32)


def model(shape: list[int | str], pixels: bool, **said: str) -> runtime.Model:
    """Gives back its input, and holds a mean image."""
    kind = 2 if pixels else 1
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, shape)],
        [numpy_helper.from_array(WHOLE[None], "x.mean")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(made, {f"zoo.{key}": value for key, value in said.items()})
    return runtime.load(made.SerializeToString(), "cpu")


def image(height: int = 9, width: int = 12) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("mean", [MEAN, MEAN.astype(np.float64)])
def test_a_model_of_blobs(mean: np.ndarray) -> None:
    feeder = Feeder(model(["n", 3, "h", "w"], False), mean, (9, 12))
    wanted = image().transpose(2, 0, 1).astype(np.float32) - MEAN
    found = feeder.feed(image())
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(feeder.picture(wanted), image())


@pytest.mark.parametrize("order", ["BGR", "RGB"])
def test_a_model_of_pixels_is_fed_rgb(order: str) -> None:
    said = {"channel_order": order, "scale": "0.5", "mean": "104,117,123", "crop": "6x7"}
    feeder = Feeder(model(["n", "h", "w", 3], True, **said), None, (9, 12))
    np.testing.assert_array_equal(feeder.feed(image()), image()[..., ::-1])
    ordered = image() if order == "BGR" else image()[..., ::-1]
    cut = ordered.transpose(2, 0, 1)[:, 1:7, 2:9].astype(np.float32)
    np.testing.assert_array_equal(feeder.blob(image()), (cut - MEAN) * np.float32(0.5))
    np.testing.assert_array_equal(feeder.picture(feeder.blob(image())), image()[1:7, 2:9])


def test_a_mean_image_is_the_models_own() -> None:
    """Whatever mean is given; it is cut as the image is."""
    said = {"mean.file": "mean.binaryproto", "mean": "1,2,3", "crop": "6x7"}
    feeder = Feeder(model(["n", 9, 12, 3], True, **said), MEAN, (9, 12))
    wanted = (image().transpose(2, 0, 1).astype(np.float32) - WHOLE)[:, 1:7, 2:9]
    np.testing.assert_array_equal(feeder.blob(image()), wanted)
    np.testing.assert_array_equal(feeder.picture(wanted), image()[1:7, 2:9])


def test_grey() -> None:
    feeder = Feeder(model(["n", "h", "w", 1], True, mean="7"), None, (9, 12))
    flat = np.repeat(image()[..., :1], 3, 2)
    assert feeder.feed(flat).shape == (9, 12, 1)
    np.testing.assert_array_equal(feeder.feed(flat), flat[..., :1])
    np.testing.assert_array_equal(feeder.picture(feeder.blob(flat)), flat)


def test_a_model_of_blobs_is_cut_where_its_metadata_tell_the_size_before() -> None:
    made = model(["n", 3, 6, 7], False, crop="6x7", resize_size="9x12")
    assert Feeder(made, MEAN, (9, 12)).feed(image()).shape == (3, 6, 7)
    assert Feeder(made, MEAN, (6, 7)).feed(image()).shape == (3, 6, 7)


@pytest.mark.parametrize(
    ("shape", "pixels", "wanted"),
    [
        (["n", 3, "h", "w"], False, ("n", 3, "h", "w")),
        (["n", "h", "w", 3], True, ("n", 3, "h", "w")),
        (["n", 3], False, None),
    ],
)
def test_image_shape(shape: list[int | str], pixels: bool, wanted: object) -> None:
    assert runtime.image_shape(model(shape, pixels)) == wanted


@pytest.mark.parametrize(("kinds", "side"), [((10, 1), "input x"), ((1, 10), "output y")])
def test_float16_at_the_borders_is_refused(
    kinds: tuple[int, int], side: str, tmp_path: Path
) -> None:
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["y"], to=kinds[1])],
        "g",
        [helper.make_tensor_value_info("x", kinds[0], ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", kinds[1], ["n", 3, "h", "w"])],
    )
    path = tmp_path / "half.onnx"
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    path.write_bytes(made.SerializeToString())
    said = f"its {side} is float16, and images go in and out as float32; convert it with"
    for read in (lambda: runtime.fixed_size(runtime.load(path, "cpu")),
                 lambda: runtime.load_encoder_decoder(path, "cpu")):  # fmt: skip
        with pytest.raises(runtime.InferenceError, match=said):
            read()
