"""`zoo convert --fold-preprocessing`: models that take uint8 RGB, verified and evaluated."""

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import prototxt
import runtime
from zoo.paper import architectures

DATA = """
layer { name: "data" type: "Data" top: "data" top: "label"
  transform_param { %s }
  data_param { source: "nowhere" batch_size: 2 backend: LMDB } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" top: "mask"
  pooling_param { kernel_size: 2 stride: 2 } }
"""
CUT = "crop_size: 8 scale: 0.0078125 mean_value: 104 mean_value: 117 mean_value: 123 mirror: true"


@pytest.fixture
def means(tmp_path):
    """A mean image of 3×16×16, as a .binaryproto."""
    mean = np.random.default_rng(0).uniform(90, 130, (1, 3, 16, 16)).astype(np.float32)
    prototxt.write_binaryproto(tmp_path / "mean.binaryproto", mean)
    return "mean.binaryproto"


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name, image in runtime.sample_images()[:2]:
        runtime.write_png(folder / f"{name}.png", image[::6, ::6])
    return folder


def verified(zoo, *arguments):
    data = zoo("verify", *arguments, "--json").json
    assert data["ok"] is True
    compared = {(item["blob"], item["left"]) for item in data["comparisons"]}
    assert ("data", "numpy") in compared
    return data


@pytest.mark.parametrize("target", ["cpu", "cuda", "portable"])
def test_a_network_of_the_paper(zoo, small, tmp_path, target):
    how = ["--mean", "104,117,123", "--fold-preprocessing", "--target", target]
    (file,) = zoo("convert", small, *how, "--json").json["files"]
    assert file["inputs"] == [
        {"name": "data", "shape": ["batch", "height", "width", 3], "dtype": "uint8"}
    ]
    model = runtime.load(tmp_path / "small.onnx", "cpu")
    assert model.metadata["zoo.input"] == "uint8 RGB"
    zoo("convert", small, "-o", "plain.onnx", "--target", target)
    plain = runtime.load(tmp_path / "plain.onnx", "cpu")
    for size in [(16, 16), (24, 40)]:
        images = np.random.default_rng(1).integers(0, 256, (2, *size, 3), np.uint8)
        bgr = images[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
        bgr -= np.array([104, 117, 123], np.float32).reshape(3, 1, 1)
        wanted = plain.run({"data": bgr})
        for name, blob in model.run({"data": images}).items():
            np.testing.assert_array_equal(blob, wanted[name])
    verified(zoo, small, "small.onnx")


@pytest.mark.parametrize("how", [["--scale", "0.017"], ["--channel-order", "rgb"], ["--no-fold"]])
def test_what_the_user_says_of_a_deploy_definition(zoo, small, how):
    assert zoo("convert", small, *how, "--mean", "1,2,3", "--fold-preprocessing").status == 0
    verified(zoo, small, "small.onnx")


def test_half_a_network(zoo, small, tmp_path):
    how = ["--split", "--fold-preprocessing", "--crop", "16", "--mean", "1,2,3"]
    assert zoo("convert", small, *how).status == 0
    verified(zoo, small, "small.encoder.onnx")
    assert zoo("verify", small, "small.decoder.onnx").status == 0
    assert "zoo.input" not in runtime.load(tmp_path / "small.decoder.onnx", "cpu").metadata
    encoder = runtime.load(tmp_path / "small.encoder.onnx", "cpu")
    assert encoder.inputs[0].shape == ("batch", "height", "width", 3)
    assert encoder.outputs[0].shape[2:] == (8, 8)


def test_a_data_layers_own_words(zoo, tmp_path):
    (tmp_path / "net.prototxt").write_text(DATA % CUT)
    assert zoo("convert", "net.prototxt", "--fold-preprocessing").status == 0
    model = runtime.load(tmp_path / "net.onnx", "cpu")
    assert model.inputs[0].shape == ("batch", "height", "width", 3)
    said = {key: value for key, value in model.metadata.items() if not key.startswith("caffe.")}
    del said["zoo.version"], said["zoo.preprocessing"]
    assert said == {
        "zoo.task": "image-to-image",
        "zoo.weights": "fillers, seed 0",
        "zoo.images": "apart",
        "zoo.input": "uint8 RGB",
        "zoo.channel_order": "BGR",
        "zoo.input_size": "8x8",
        "zoo.resize": "bilinear",
        "zoo.crop": "8x8",
        "zoo.mean": "104,117,123",
        "zoo.scale": "0.0078125",
    }
    data = verified(zoo, "net.prototxt", "net.onnx")
    assert data["feeds"] == {"data": [1, 3, 8, 8]}


def test_a_mean_image_and_a_crop(zoo, tmp_path, means):
    (tmp_path / "net.prototxt").write_text(
        DATA % f'crop_size: 7 force_color: true mean_file: "{means}"'
    )
    assert zoo("convert", "net.prototxt", "--fold-preprocessing").status == 0
    assert runtime.load("net.onnx", "cpu").inputs[0].shape == ("batch", 16, 16, 3)
    verified(zoo, "net.prototxt", "net.onnx")
    (tmp_path / means).rename(tmp_path / "moved.binaryproto")
    assert zoo("verify", "net.prototxt", "net.onnx").refusal == (
        "net.onnx: subtracts the mean image mean.binaryproto; give it by --mean"
    )
    verified(zoo, "net.prototxt", "net.onnx", "--mean", "moved.binaryproto")
    assert zoo("convert", "net.prototxt", "--fold-preprocessing").refusal == (
        "--fold-preprocessing: the mean mean.binaryproto is not there; give --mean"
    )


def test_grey(zoo, tmp_path):
    """As LeNet's: one channel, scaled."""
    text = DATA.replace("transform_param { %s }", "transform_param { scale: 0.00390625 }")
    (tmp_path / "net.prototxt").write_text(text)
    how = ["--shape", "data=Nx1x28x28", "--fold-preprocessing"]
    (file,) = zoo("convert", "net.prototxt", *how, "--json").json["files"]
    assert file["inputs"] == [{"name": "data", "shape": ["N", 28, 28, 1], "dtype": "uint8"}]
    assert runtime.load("net.onnx", "cpu").metadata["zoo.input"] == "uint8 GRAY"
    verified(zoo, "net.prototxt", "net.onnx")


def spoil(change):
    model = onnx.load("net.onnx")
    change(model.graph)
    onnx.save(model, "spoilt.onnx")


def constant(graph, node, index):
    return next(t for t in graph.initializer if t.name == node.input[index])


def replaced(op, index, function):
    def change(graph):
        node = next(node for node in graph.node if node.op_type == op)
        tensor = constant(graph, node, index)
        array = function(numpy_helper.to_array(tensor))
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    return change


def one_lower(graph):
    """The crop begins a row and a column later: the half of an odd rest is rounded up."""
    rest = next(n for n in graph.node if n.op_type == "Sub" and "Shape" in n.input[0])
    size = numpy_helper.to_array(constant(graph, rest, 1))
    graph.initializer.append(numpy_helper.from_array(size - 1, "off"))
    rest.input[1] = "off"


@pytest.mark.parametrize(
    "change",
    [
        replaced("Gather", 1, lambda order: order[::-1].copy()),
        replaced("Gather", 1, lambda order: order[[0, 2, 1]]),
        replaced("Mul", 1, lambda scale: scale * np.float32(1.001)),
        one_lower,
    ],
    ids=["order", "two channels", "scale", "centre"],
)
def test_spoilt_preprocessing_is_caught_before_any_layer(zoo, tmp_path, change):
    (tmp_path / "net.prototxt").write_text(DATA % CUT)
    zoo("convert", "net.prototxt", "--fold-preprocessing")
    spoil(change)
    run = zoo("verify", "net.prototxt", "spoilt.onnx", "--json")
    assert run.status == 1
    first = json.loads(run.out)["first_departure"]
    assert (first["blob"], first["left"], first["input"]) == ("data", "numpy", "random")
    assert run.err.startswith(
        "error: spoilt.onnx: blob 'data' departs, numpy against onnx, on random"
    )


def test_a_spoilt_mean_is_caught(zoo, tmp_path):
    (tmp_path / "net.prototxt").write_text(DATA % CUT)
    zoo("convert", "net.prototxt", "--fold-preprocessing")

    def change(graph):
        tensor = next(t for t in graph.initializer if t.name == "data.mean")
        array = numpy_helper.to_array(tensor)[:, ::-1].copy()
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    spoil(change)
    assert "blob 'data' departs" in zoo("verify", "net.prototxt", "spoilt.onnx").err


def test_a_spoilt_weight_is_still_named(zoo, small):
    zoo("convert", small, "--fold-preprocessing", "--mean", "1,2,3", "-o", "net.onnx")

    def change(graph):
        tensor = next(t for t in graph.initializer if t.name == "deconv2_1.weight")
        array = numpy_helper.to_array(tensor) * np.float32(1.5)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    spoil(change)
    assert "blob 'deconv2_1" in zoo("verify", small, "spoilt.onnx").err


def test_given_pixels(zoo, small, tmp_path):
    zoo("convert", small, "--fold-preprocessing", "--mean", "1,2,3")
    images = np.random.default_rng(1).integers(0, 256, (2, 24, 16, 3), np.uint8)
    out = runtime.load("small.onnx", "cpu").run({"data": images})
    outputs = {f"out.{name}": blob for name, blob in out.items()}
    np.savez(tmp_path / "io.npz", **{"in.data": images.astype(np.float64), **outputs})
    data = zoo("verify", small, "small.onnx", "--inputs", "io.npz", "--json").json
    assert data["ok"] and data["feeds"] == {"data": [2, 3, 24, 16]}
    for wrong in (images - 0.5, images.transpose(0, 3, 1, 2), images.astype(int) - 9):
        np.savez(tmp_path / "wrong.npz", **{"in.data": wrong})
        assert zoo("verify", small, "small.onnx", "--inputs", "wrong.npz").refusal == (
            "wrong.npz: 'data' is no pixels; the model takes uint8 N×H×W×3, RGB or grey"
        )


@pytest.fixture
def drawn(small, tmp_path):
    """Weights that let an image out."""
    import converters

    graph = converters.build_graph(prototxt.read_net(small).select("TEST"))
    blobs = {node.name: node.blobs for node in graph.nodes if node.blobs}
    blobs["bias4"][1] = blobs["bias4"][1] + 100
    prototxt.write_weights(tmp_path / "w.caffemodel", blobs)
    return "w.caffemodel"


@pytest.mark.parametrize(
    "how",
    [
        ["--mean", "104,117,123"],
        ["--mean", "104,117,123", "--scale", "0.0078125"],
        ["--mean", "104,117,123", "--channel-order", "RGB"],
    ],
)
def test_evaluation_is_the_same(zoo, small, drawn, photographs, tmp_path, how):
    found = []
    for name, fold in (("plain", []), ("folded", ["--fold-preprocessing"])):
        command = ["convert", small, "--weights", drawn, *how, *fold, "-o", f"{name}.onnx"]
        assert zoo(*command).status == 0
        data = zoo("eval", "--model", f"{name}.onnx", "--data", photographs, "--json").json
        pictures = ["reconstruct", photographs, "--model", f"{name}.onnx", "-o", name, "--json"]
        rows = zoo(*pictures).json["pictures"]
        content = [(tmp_path / row["picture"]).read_bytes() for row in rows]
        found.append((data["rmse"], data["size"], [row["rmse"] for row in rows], content))
    assert found[0][1] == [16, 16]
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    assert found[0][2] == pytest.approx(found[1][2], rel=1e-6)
    assert found[0][3] == found[1][3]


def test_evaluation_with_a_mean_image(zoo, small, drawn, photographs, means):
    """The folded one knows the image; the other is given it."""
    how = ["--weights", drawn, "--mean", means, "--shape", "data=Nx3x16x16"]
    zoo("convert", small, *how, "-o", "plain.onnx")
    zoo("convert", small, *how, "--fold-preprocessing", "-o", "folded.onnx")
    wanted = zoo(
        "eval", "--model", "plain.onnx", "--data", photographs, "--mean", means, "--json"
    ).json
    found = zoo("eval", "--model", "folded.onnx", "--data", photographs, "--json").json
    assert found["rmse"] == pytest.approx(wanted["rmse"], rel=1e-6)
    assert not any("mean" in note for note in found["notes"])
    run = zoo("eval", "--model", "folded.onnx", "--data", photographs, "--mean", "1,2,3")
    assert run.status == 2
    assert "the model subtracts its own mean" in run.err


def test_what_is_cut_out_is_what_is_rebuilt(zoo, small, drawn, photographs):
    """A larger image is cut, and evaluated against what was cut out of it."""
    how = ["--weights", drawn, "--mean", "104,117,123", "--crop", "16"]
    zoo("convert", small, *how, "--fold-preprocessing")
    model = runtime.load("small.onnx", "cpu")
    image = runtime.sample_images()[0][1]
    mean = np.array([104, 117, 123], np.float32).reshape(3, 1, 1)
    found = runtime.evaluate(model, [("a", image)], None, (21, 30))
    cut = runtime.resize(image, 21, 30)[2:18, 7:23]
    plain = runtime.evaluate(model, [("a", np.ascontiguousarray(cut))], mean, (16, 16))
    assert found.rmse == pytest.approx(plain.rmse, rel=1e-6)
    with pytest.raises(runtime.InferenceError, match="smaller than the 16x16"):
        runtime.evaluate(model, [("a", image)], None, (15, 30))
    data = zoo("eval", "--model", "small.onnx", "--data", photographs, "--size", "20x24", "--json")
    assert data.json["size"] == [20, 24]


@pytest.mark.parametrize(
    ("text", "flags", "refusal"),
    [
        (
            DATA % 'crop_size: 8 mean_file: "gone"',
            ["--shape", "data=1x3x8x8"],
            "--fold-preprocessing: the mean gone is not there; give --mean",
        ),
        (
            DATA % "crop_size: 8",
            ["--shape", "data=1x2x8x8"],
            "--fold-preprocessing: not one input takes images of 1 or 3 channels (data 1x2x8x8)",
        ),
        (
            DATA % "crop_size: 8",
            ["--shape", "data=1x3x9x9"],
            "input 'data': takes 1x3x9x9, which a crop to 8x8 does not give",
        ),
        (
            DATA.replace('type: "Data"', 'type: "WindowData"').replace(
                'data_param { source: "nowhere" batch_size: 2 backend: LMDB }', ""
            )
            % "crop_size: 8",
            ["--shape", "data=1x3x8x8"],
            "--fold-preprocessing: layer 'data' (WindowData) prepares images in a way of its own",
        ),
    ],
)
def test_what_cannot_be_folded(zoo, tmp_path, text, flags, refusal):
    (tmp_path / "net.prototxt").write_text(text)
    assert zoo("convert", "net.prototxt", *flags, "--fold-preprocessing").refusal == refusal
    assert not (tmp_path / "net.onnx").exists()


def test_training_is_not_folded(zoo, small):
    run = zoo("convert", small, "--phase", "train", "--fold-preprocessing")
    assert run.status == 2
    assert "training crops at random" in run.err


def test_a_hub_takes_none(zoo, tmp_path):
    (tmp_path / "net.prototxt").write_text(architectures.definition("2_3_4", 16))
    zoo("convert", "net.prototxt", "--fold-preprocessing", "--mean", "1,2,3")
    assert zoo("publish", "net.onnx", "--hub", "hub").refusal == (
        "net.onnx: takes pixels, but pages and programs that use a hub feed blobs; "
        "convert it without --fold-preprocessing"
    )


def test_inspect(zoo, small):
    zoo("convert", small, "--fold-preprocessing", "--mean", "1,2,3")
    data = zoo("inspect", "small.onnx", "--json").json
    assert data["inputs"][0]["dtype"] == "uint8"
    assert data["metadata"]["zoo.input"] == "uint8 RGB"
