"""`zoo inspect`, for each kind of file that it knows."""

import numpy as np
import pytest

import prototxt
from zoo.paper import architectures

# Worked out by hand: conv 2_3_4 at 16x16. Each 3x3 layer has 9*in*out weights and `out` biases.
PARAMETERS = {
    "conv1_1": 9 * 3 * 2 + 2,
    "conv1_2": 9 * 2 * 2 + 2,
    "conv2_1": 9 * 2 * 3 + 3,
    "conv2_2": 9 * 3 * 3 + 3,
    "conv3_1": 9 * 3 * 4 + 4,
    "conv3_2": 9 * 4 * 4 + 4,
    "bias4": 4 * 4 + 4,
    "deconv3_1": 9 * 4 * 4 + 4,
    "deconv3_2": 9 * 4 * 3 + 3,
    "deconv2_1": 9 * 3 * 3 + 3,
    "deconv2_2": 9 * 3 * 2 + 2,
    "deconv1_1": 9 * 2 * 2 + 2,
    "deconv1_2": 9 * 2 * 3 + 3,
}
PLANES = {"1": 256, "2": 64, "3": 16, "4": 4}
MACS = {
    "conv1_1": 256 * 54,
    "conv2_1": 64 * 54,
    "bias4": 4 * 16,
    "deconv3_1": 16 * 144,
    "deconv1_2": 256 * 54,
    "relu1_1": 0,
    "pool1": 0,
}


def test_a_definition(zoo, small):
    data = zoo("inspect", small, "--json").json
    assert (data["kind"], data["arch"], data["syntax"]) == ("net", "2_3_4", "current")
    assert data["inputs"] == {"data": [1, 3, 16, 16]}
    assert data["outputs"]["deconv1_2"] == [1, 3, 16, 16]
    rows = {row["layer"]: row for row in data["layers"]}
    assert {name: rows[name]["parameters"] for name in PARAMETERS} == PARAMETERS
    assert {name: rows[name]["macs"] for name in MACS} == MACS
    assert data["parameters"] == sum(PARAMETERS.values())
    assert data["parameter_bytes"] == 4 * data["parameters"]
    assert rows["pool2"]["tops"] == {"pool2": [1, 3, 4, 4], "pool2_mask": [1, 3, 4, 4]}
    # conv1_1 and its ReLU work in place, as the definition says.
    assert rows["conv1_1"]["tops"] == rows["relu1_1"]["tops"] == {"conv1_1": [1, 2, 16, 16]}
    assert rows["relu1_1"]["bottoms"] == ["conv1_1"]
    assert data["activation_bytes"] > 4 * 256 * (3 + 2)


def test_people_read_a_table(zoo, small):
    run = zoo("inspect", small)
    assert run.status == 0
    heading = run.out.splitlines()[0].split()
    assert heading == ["layer", "type", "bottoms", "tops", "parameters", "MACs"]
    assert "1x2x16x16" in run.out
    assert "arch        2_3_4, of the paper" in run.out


def test_the_onnx_model_of_the_same_network(zoo, small):
    zoo("convert", small, "--no-fold")
    data = zoo("inspect", "small.onnx", "--json").json
    assert data["kind"] == "onnx"
    assert data["opset"] == 18
    assert data["parameters"] == sum(PARAMETERS.values())
    assert data["measured_at"] == "data=1x3x16x16"
    assert data["macs"] == zoo("inspect", small, "--json").json["macs"]
    assert data["metadata"]["zoo.arch"] == "2_3_4"
    assert data["inputs"] == [
        {"name": "data", "shape": ["batch", 3, "height", "width"], "dtype": "float32"}
    ]
    assert {value["name"]: value["dtype"] for value in data["outputs"]}["pool1_mask"] == "int64"
    assert "caffe.prototxt" in zoo("inspect", "small.onnx").out


def test_a_solver(zoo, tmp_path):
    (tmp_path / "solver.prototxt").write_text(architectures.solver("8_8_8"))
    data = zoo("inspect", "solver.prototxt", "--json").json
    assert data["kind"] == "solver"
    assert data["settings"]["type"] == "AdaGrad"
    assert data["settings"]["base_lr"] == 0.01
    assert "AdaGrad" in zoo("inspect", "solver.prototxt").out


def test_a_caffemodel(zoo, tmp_path):
    weights = {"conv": [np.arange(6, dtype=np.float32).reshape(1, 2, 1, 3), np.float32([-1])]}
    prototxt.write_weights(tmp_path / "w.caffemodel", weights, {"conv": "Convolution"})
    data = zoo("inspect", "w.caffemodel", "--json").json
    assert data["kind"] == "caffemodel"
    assert data["layers"] == [
        {
            "layer": "conv",
            "type": "Convolution",
            "blobs": [[1, 2, 1, 3], [1]],
            "parameters": 7,
            "min": -1.0,
            "max": 5.0,
        }
    ]
    assert "1x2x1x3 1" in zoo("inspect", "w.caffemodel").out


def test_a_binaryproto(zoo, tmp_path):
    mean = np.stack([np.full((4, 5), value, np.float32) for value in (1, 2, 4.5)])
    prototxt.write_binaryproto(tmp_path / "mean.binaryproto", mean)
    data = zoo("inspect", "mean.binaryproto", "--json").json
    assert data["channel_means"] == [1, 2, 4.5]
    assert (data["min"], data["max"]) == (1, 4.5)
    assert "1.0000, 2.0000, 4.5000" in zoo("inspect", "mean.binaryproto").out


def test_a_network_that_cannot_be_converted_is_still_listed(zoo, tmp_path):
    (tmp_path / "net.prototxt").write_text(
        'input: "x" input_shape { dim: 1 }\n'
        'layer { name: "odd" type: "Odd" bottom: "x" top: "y" }\n'
    )
    data = zoo("inspect", "net.prototxt", "--json").json
    odd = {"layer": "odd", "type": "Odd", "bottoms": ["x"], "tops": ["y"], "line": 2}
    assert odd in data["layers"]
    assert "no shapes: " in data["notes"][0] and "Odd" in data["notes"][0]
    assert "Odd" in zoo("inspect", "net.prototxt").out


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.onnx", None, "missing.onnx: no such file; check the path"),
        ("x.onnx", b"not a model", "x.onnx: not an ONNX model; convert it again"),
        ("empty.onnx", b"", "empty.onnx: an ONNX model without any node; convert it again"),
        (
            "x.tar",
            b"",
            "x.tar: a file ending in '.tar' is not known; "
            "known are .prototxt, .caffemodel, .caffemodel.h5, .binaryproto and .onnx",
        ),
    ],
)
def test_refusals(zoo, tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert zoo("inspect", name).refusal == said


def test_a_folder_is_refused(zoo, tmp_path):
    (tmp_path / "d.onnx").mkdir()
    assert zoo("inspect", "d.onnx").refusal == "d.onnx: is a folder; give a file"


def test_py_faster_rcnns_definitions_end_in_pt(zoo, small):
    """faster_rcnn_test.pt and the like are prototxts, not PyTorch's."""
    small.rename(small.with_suffix(".pt"))
    assert zoo("inspect", "small.pt", "--json").json["kind"] == "net"
