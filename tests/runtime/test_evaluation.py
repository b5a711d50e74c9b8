"""Evaluation on a model whose error is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

import runtime
from runtime import InferenceError


def offset_model(batch: int | str = "n", outputs: int = 1) -> runtime.Model:
    """Its output is its input plus 25.5, so that the RMSE is 0.1."""
    info = helper.make_tensor_value_info
    shape = [batch, 3, "h", "w"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "c"], [f"y{i}"]) for i in range(outputs)],
        "g",
        [info("x", 1, shape)],
        [info(f"y{i}", 1, shape) for i in range(outputs)],
        [numpy_helper.from_array(np.array(25.5, np.float32), "c")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return runtime.load(model.SerializeToString(), "cpu")


def pictures(count: int) -> list[tuple[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [(f"p{i}", rng.integers(0, 256, (9, 7, 3), np.uint8)) for i in range(count)]


ZERO = np.zeros((3, 1, 1), np.float32)


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_rmse_of_a_known_error(batch: int) -> None:
    done: list[int] = []
    found = runtime.evaluate(
        offset_model(), pictures(5), ZERO, (8, 8), batch, on_progress=done.append
    )
    assert found.rmse == pytest.approx(0.1)
    assert found.images == 5
    assert [name for name, _ in found.per_image] == ["p0", "p1", "p2", "p3", "p4"]
    assert done == [1, 2, 3, 4, 5]


def test_a_fixed_batch_is_filled_up_and_not_counted() -> None:
    found = runtime.evaluate(offset_model(batch=4), pictures(5), ZERO, (8, 8))
    assert (found.images, found.rmse) == (5, pytest.approx(0.1))


def test_limit() -> None:
    assert runtime.evaluate(offset_model(), pictures(5), ZERO, (8, 8), limit=2).images == 2


def test_broken_images_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"junk")
    images = [tmp_path / "a.jpg", *pictures(1)]
    found = runtime.evaluate(offset_model(), images, ZERO, (8, 8))
    assert found.images == 1
    assert found.skipped == [(str(tmp_path / "a.jpg"), "not an image, or a broken one")]


def test_no_image_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"junk")
    with pytest.raises(InferenceError, match="none of the 1 images can be read"):
        runtime.evaluate(offset_model(), [tmp_path / "a.jpg"], ZERO)
    with pytest.raises(InferenceError, match="no images to evaluate"):
        runtime.evaluate(offset_model(), [], ZERO)


def test_which_output_is_the_image() -> None:
    with pytest.raises(InferenceError, match="more than one output is an image"):
        runtime.image_output(offset_model(outputs=2))
    assert runtime.image_output(offset_model(outputs=2), "y1") == "y1"
    with pytest.raises(InferenceError, match="no output 'q'"):
        runtime.image_output(offset_model(), "q")
