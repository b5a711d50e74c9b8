"""Batches whose images are run apart, each on a thread of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import converters
import prototxt
import runtime
from tests.converters.forks import inputs, layer
from zoo.paper import architectures


def converted(text: str, path: Path, **how: object) -> runtime.Model:
    net = prototxt.parse_net(text, "n")
    converters.convert(net, **how).save(path)  # type: ignore[arg-type]
    return runtime.load(path, threads=2)


@pytest.mark.parametrize("batch", [1, 3, 4, 7, 16])
@pytest.mark.parametrize("target", converters.FORMS)
def test_the_same_numbers_as_at_once(batch: int, target: str, tmp_path: Path) -> None:
    text = architectures.definition("2_3_4", 16)
    model = converted(text, tmp_path / "m.onnx", target=target)
    assert model.metadata["zoo.images"] == "apart"
    x = np.random.default_rng(0).normal(0, 60, (batch, 3, 24, 16)).astype(np.float32)
    found = model.run({"data": x})
    assert (model._single is not None) == (batch >= 4)
    model._alone = None
    for name, array in model.run({"data": x}).items():
        assert array.shape == found[name].shape
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6)


POINT = inputs(x=(1, 3, 8, 8)) + layer(
    "Convolution", "x", "convolution_param { num_output: 4 kernel_size: 1 }", "c", "c"
)


@pytest.mark.parametrize(
    "text",
    [
        POINT + layer("Concat", "c x", "concat_param { axis: 0 }", "y", "y"),
        POINT + layer("Reshape", "c", "reshape_param { shape { dim: -1 dim: 4 } }", "y", "y"),
        POINT + layer("Reduction", "c", "", "y", "y"),
        POINT + layer("BatchNorm", "c", "batch_norm_param { use_global_stats: false }", "y", "y"),
        POINT + layer("Scale", "c x", "scale_param { axis: 1 }", "y", "y"),
    ],
)
def test_images_that_have_to_do_with_one_another_stay_together(text: str, tmp_path: Path) -> None:
    try:
        model = converted(text, tmp_path / "m.onnx")
    except converters.ConversionError:
        return  # no such network
    assert "zoo.images" not in model.metadata and model._alone is None


def test_a_wrong_batch_is_told_as_ever(tmp_path: Path) -> None:
    model = converted(POINT, tmp_path / "m.onnx")
    with pytest.raises(runtime.InferenceError, match="input 'x' must be batchx3xheightxwidth"):
        model.run({"x": np.zeros((16, 2, 8, 8), np.float32)})
