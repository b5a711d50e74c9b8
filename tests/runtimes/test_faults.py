"""What OpenCV 5 gets wrong, for which portable models are written otherwise.

Each test fails when OpenCV mends it: the form (`converters.targets`) may then go.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

import converters
import prototxt
from tests.converters.forks import inputs, layer
from zoo.checking.runtimes import RUNTIMES

cv2 = pytest.importorskip("cv2", minversion="5")


def answers(model: onnx.ModelProto, x: np.ndarray, folder: Path) -> list[np.ndarray]:
    """ONNX Runtime's, then OpenCV's."""
    path = str(folder / "model.onnx")
    onnx.save(model, path)
    return [next(iter(RUNTIMES[name](path, {"x": x})[1].values())) for name in FIRST]


FIRST = ("onnxruntime", "opencv")


def written(text: str, target: str) -> onnx.ModelProto:
    graph = converters.convert(prototxt.parse_net(text)).graph
    return converters.to_onnx(converters.fold(graph), target=target)


POINT = inputs(x=(1, 3, 5, 5)) + layer(
    "Convolution",
    "x",
    "convolution_param { num_output: 2 kernel_size: 1 pad: 1 weight_filler { type: 'xavier' } "
    "bias_filler { type: 'constant' value: 1 } }",
)


def test_the_padding_of_a_1x1_convolution_is_ignored(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(1, 3, 5, 5)).astype(np.float32)
    right, found = answers(written(POINT, "cpu"), x, tmp_path)
    assert found.shape != right.shape or np.abs(found - right).max() > 0.1
    right, found = answers(written(POINT, "portable"), x, tmp_path)
    np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-6)


TANH = inputs(x=(1, 1, 16, 64)) + layer("TanH", "x")


def test_tanh_far_from_0_is_no_number(tmp_path: Path) -> None:
    x = np.linspace(-200, 200, 1024, dtype=np.float32).reshape(1, 1, 16, 64)
    right, found = answers(written(TANH, "cpu"), x, tmp_path)
    assert np.isfinite(right).all() and not np.allclose(found, right, atol=1e-3)
    right, found = answers(written(TANH, "portable"), x, tmp_path)
    np.testing.assert_allclose(found, np.tanh(x), rtol=1e-5)
    np.testing.assert_allclose(right, np.tanh(x.astype(np.float64)), rtol=1e-6)


def constant(**value: onnx.TensorProto) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("ConstantOfShape", ["s"], ["z"], **value),
        helper.make_node("Add", ["x", "z"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, 1, ["n", 3]) for name in "xy"]
    graph = helper.make_graph(nodes, "constant", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_constant_of_shape_wants_its_value_stated(tmp_path: Path) -> None:
    x = np.ones((2, 3), np.float32)
    with pytest.raises(cv2.error):
        answers(constant(), x, tmp_path)
    value = helper.make_tensor("value", 1, [1], [0.0])
    assert np.array_equal(answers(constant(value=value), x, tmp_path)[1], x)
