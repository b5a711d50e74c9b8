"""Files told apart by their content."""

import numpy as np
import onnx
import pytest
from onnx import helper

import prototxt
from prototxt.kinds import kind_of_content
from zoo.paper import architectures

ARRAYS = {"conv": [np.arange(6, dtype=np.float32).reshape(1, 6, 1, 1)]}


def model() -> bytes:
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [value])
    return helper.make_model(graph).SerializeToString()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (architectures.definition("8_8_8").encode(), "definition"),
        (architectures.solver("8_8_8").encode(), "definition"),
        (b"# Fran\xe7ais\r\nlayers {\r\n}\r\n", "definition"),
        (b"\n\nlayer { }", "definition"),  # a line feed is also the key of a NetParameter's name
        (b"one, two, three\n", None),
        (b"", None),
        (b"\x00\x01\x02\x03", None),
        (b"\x89PNG\r\n\x1a\n\x00\x00", None),
        (b"\x89HDF\r\n\x1a\n\x00\x00", "weights"),
        (model(), "onnx"),
    ],
)
def test_kinds(content, kind, tmp_path):
    (tmp_path / "file").write_bytes(content)
    assert kind_of_content(tmp_path / "file") == kind


@pytest.mark.parametrize("v1", [False, True])
@pytest.mark.parametrize("name", ["", "net"])
def test_caffemodels(v1, name, tmp_path):
    prototxt.write_weights(tmp_path / "w", ARRAYS, {"conv": "Convolution"}, name, v1)
    assert kind_of_content(tmp_path / "w") == "weights"


def test_a_mean_is_none_of_them(tmp_path):
    prototxt.write_binaryproto(tmp_path / "mean", np.ones((3, 4, 5), np.float32))
    assert kind_of_content(tmp_path / "mean") is None


def test_what_cannot_be_read_is_none_of_them(tmp_path):
    assert kind_of_content(tmp_path) is None
    assert kind_of_content(tmp_path / "gone") is None
