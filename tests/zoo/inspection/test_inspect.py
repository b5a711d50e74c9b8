"""`zoo inspect`, for each kind of file that it knows."""

import numpy as np
import onnx
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
    """The summary; the layers only where they are asked for, and after it."""
    run = zoo("inspect", small)
    assert run.status == 0
    count = len(zoo("inspect", small, "--json").json["layers"])
    assert f"layers      {count}; --layers lists them" in run.out
    assert "arch        2_3_4, of the paper" in run.out
    assert "1x2x16x16" not in run.out and len(run.out.splitlines()) < 20
    lines = zoo("inspect", small, "--layers").out.splitlines()
    place = lines.index("")
    assert lines[: place - 1] == run.out.splitlines()[: place - 1]
    assert lines[place + 1].split() == ["layer", "type", "bottoms", "tops", "parameters", "MACs"]
    rows = {line.split()[0]: line.split() for line in lines[place + 2 : place + 2 + count]}
    # A top that is called as its layer is there once.
    assert rows["conv1_2"][:4] == ["conv1_2", "Convolution", "conv1_1", "1x2x16x16"]
    assert rows["pool2"][3:6] == ["1x3x4x4", "pool2_mask", "1x3x4x4"]
    assert rows["relu1_1"][:5] == ["relu1_1", "ReLU", "conv1_1", "conv1_1", "1x2x16x16"]


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


def test_a_model_of_a_given_shape(zoo, small):
    """MACs and shapes are those of the definition at that size."""
    zoo("convert", small, "--no-fold")
    given = ["--shape", "data=2x3x32x48", "--json"]
    data, net = (zoo("inspect", file, *given).json for file in ("small.onnx", small))
    assert data["measured_at"] == "data=2x3x32x48" and data["macs"] == net["macs"]
    assert data["inputs"][0]["shape"] == [2, 3, 32, 48]
    shapes = {value["name"]: value["shape"] for value in data["outputs"]}
    assert shapes == net["outputs"]
    assert data["macs"] == 12 * zoo("inspect", "small.onnx", "--json").json["macs"]
    # What stays open counts as before.
    part = zoo("inspect", "small.onnx", "--shape", "data=Nx3x32x48", "--json").json
    assert part["measured_at"] == "data=1x3x32x48"
    assert part["inputs"][0]["shape"] == ["batch", 3, 32, 48]


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ("image=1x3x16x16", "has no input for --shape image=1x3x16x16; its inputs: data"),
        ("data=3x16x16", "--shape data=3x16x16 is of 3 dimensions, the input of 4"),
        ("data=1x4x16x16", "--shape data=1x4x16x16 has 4 where the model takes 3"),
    ],
)
def test_shapes_that_a_model_does_not_take(zoo, small, shape, said):
    zoo("convert", small)
    assert said in zoo("inspect", "small.onnx", "--shape", shape).refusal


def test_a_shape_that_fails_further_on(zoo, tmp_path):
    """The model leaves it open, and cannot compute with it."""
    weight = onnx.numpy_helper.from_array(np.ones((5, 2), np.float32), "w")
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", size])
        for name, size in (("x", "m"), ("y", "k"))
    ]
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"], "product")
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:], [weight])
    model = onnx.helper.make_model(graph, ir_version=8)
    model.opset_import[0].version = 18
    onnx.save(model, tmp_path / "m.onnx")
    assert zoo("inspect", "m.onnx", "--shape", "x=7x5", "--json").json["macs"] == 70
    refusal = zoo("inspect", "m.onnx", "--shape", "x=7x4").refusal
    assert refusal.startswith("m.onnx: cannot be ") and refusal.endswith(", with --shape x=7x4")


def test_options_of_definitions_are_refused_elsewhere(zoo, small, tmp_path):
    zoo("convert", small)
    (tmp_path / "solver.prototxt").write_text(architectures.solver("8_8_8"))
    prototxt.write_binaryproto(tmp_path / "mean.binaryproto", np.zeros((3, 4, 5), np.float32))
    shape = ["--shape", "data=1x3x16x16"]
    for words, said in (
        (["solver.prototxt", *shape], "solver.prototxt: is a solver, which takes no --shape"),
        (["mean.binaryproto", *shape], "mean.binaryproto: is a .binaryproto, which takes no"),
        (
            ["small.onnx", "--phase", "train"],
            "small.onnx: is an ONNX model, which takes no --phase",
        ),
    ):
        run = zoo("inspect", *words)
        assert run.status == 2 and said in run.err


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
    assert "1x2x1x3 1" not in zoo("inspect", "w.caffemodel").out
    assert "1x2x1x3 1" in zoo("inspect", "w.caffemodel", "--layers").out


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
