"""`zoo convert`, from files to files."""

import hashlib
import importlib
import json
import os
import sys

import numpy as np
import onnx
import pytest

import prototxt
import runtime
import zoo as package
from converters.opsets import OPSETS
from runtime.limits import size
from zoo.paper import architectures


def names(file: dict, side: str) -> list[str]:
    return [value["name"] for value in file[side]]


def test_no_flag_at_all(zoo, small, tmp_path):
    data = zoo("convert", small, "--json").json
    (file,) = data["files"]
    assert file["path"] == "small.onnx"
    assert file["bytes"] == (tmp_path / "small.onnx").stat().st_size
    assert data["arch"] == "2_3_4"
    assert any("fillers" in note for note in data["notes"])
    assert file["inputs"] == [
        {"name": "data", "shape": ["batch", 3, "height", "width"], "dtype": "float32"}
    ]
    outputs = {value["name"]: value["dtype"] for value in file["outputs"]}
    masks = {f"pool{level}_mask": "int64" for level in (1, 2, 3)}
    assert outputs == {"deconv1_2": "float32", **masks}
    model = runtime.load(tmp_path / "small.onnx", "cpu")
    for height, width in [(16, 16), (24, 40)]:
        feed = np.zeros((2, 3, height, width), np.float32)
        out = model.run({"data": feed})
        assert out["deconv1_2"].shape == feed.shape
        assert out["pool3_mask"].shape == (2, 4, height // 8, width // 8)


def test_people_read_what_was_written(zoo, small):
    run = zoo("convert", small)
    assert run.status == 0
    assert run.err == ""
    assert "wrote" in run.out and "small.onnx" in run.out
    assert "data batchx3xheightxwidth float32" in run.out
    assert "note: " in run.out and "fillers" in run.out
    assert "2_3_4, of the paper" in run.out


def test_quiet(zoo, small, tmp_path):
    run = zoo("convert", small, "-q", "-o", "x.onnx")
    assert (run.status, run.out, run.err) == (0, "", "")
    assert (tmp_path / "x.onnx").is_file()


def test_metadata(zoo, small, tmp_path):
    assert zoo("convert", small, "--seed", 7, "--mean", "1,2,3.5").status == 0
    found = runtime.load(tmp_path / "small.onnx", "cpu").metadata
    assert json.loads(found.pop("zoo.preprocessing")) == {
        "channel_order": "BGR",
        "resize": None,
        "crop": None,
        "input_size": [16, 16],
        "mean": [1, 2, 3.5],
        "mean_file": None,
        "scale": None,
        "in_model": False,
    }
    assert found == {
        "caffe.prototxt": "small.prototxt",
        "caffe.prototxt.sha256": hashlib.sha256(small.read_bytes()).hexdigest(),
        "caffe.phase": "test",
        "zoo.version": package.__version__,
        "zoo.weights": "fillers, seed 7",
        "zoo.images": "apart",
        "zoo.channel_order": "BGR",
        "zoo.arch": "2_3_4",
        "zoo.task": "reconstruct",
        "zoo.input_size": "16x16",
        "zoo.resize": "bilinear",
        "zoo.mean": "1,2,3.5",
    }


def test_weights_and_mean_files_are_recorded(zoo, small, tmp_path):
    net = prototxt.read_net(small).select("TEST")
    import converters

    graph = converters.build_graph(net, seed=3)
    weights = {node.name: node.blobs for node in graph.nodes if node.blobs}
    prototxt.write_weights(tmp_path / "w.caffemodel", weights)
    np.save(tmp_path / "mean.npy", np.full((3, 16, 16), 2.5, np.float32))
    data = zoo("convert", small, "--weights", "w.caffemodel", "--mean", "mean.npy", "--json").json
    assert not any("fillers" in note for note in data["notes"])
    found = runtime.load(tmp_path / "small.onnx", "cpu").metadata
    assert found["zoo.weights"] == "caffemodel"
    assert found["caffe.weights"] == "w.caffemodel"
    digest = hashlib.sha256((tmp_path / "w.caffemodel").read_bytes()).hexdigest()
    assert found["caffe.weights.sha256"] == digest
    assert found["zoo.mean"] == "2.5,2.5,2.5"
    assert found["zoo.mean.file"] == "mean.npy"
    # The same numbers as the fillers drew, so the same model but for what it says of itself.
    assert zoo("convert", small, "--seed", 3, "-o", "drawn.onnx").status == 0
    feed = {"data": np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype(np.float32)}
    read = runtime.load(tmp_path / "small.onnx", "cpu").run(feed)
    drawn = runtime.load(tmp_path / "drawn.onnx", "cpu").run(feed)
    np.testing.assert_array_equal(read["deconv1_2"], drawn["deconv1_2"])


def test_the_same_seed_gives_the_same_file(zoo, small, tmp_path):
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        assert zoo("convert", small, "--seed", seed, "-o", f"{name}.onnx").status == 0
    a, b, c = ((tmp_path / f"{name}.onnx").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_split_gives_an_encoder_and_a_decoder(zoo, small, tmp_path):
    data = zoo("convert", small, "--split", "-o", "x.onnx", "--json").json
    encoder, decoder = data["files"]
    assert [encoder["path"], decoder["path"]] == ["x.encoder.onnx", "x.decoder.onnx"]
    assert not (tmp_path / "x.onnx").exists()
    masks = {"pool1_mask", "pool2_mask", "pool3_mask"}
    assert masks <= set(names(encoder, "outputs"))
    assert set(names(decoder, "inputs")) <= masks | set(names(encoder, "outputs"))
    assert names(decoder, "outputs") == ["deconv1_2"]
    zoo("convert", small)
    feed = {"data": np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype(np.float32)}
    whole = runtime.load(tmp_path / "small.onnx", "cpu").run(feed)
    code = runtime.load(tmp_path / "x.encoder.onnx", "cpu").run(feed)
    second = runtime.load(tmp_path / "x.decoder.onnx", "cpu")
    assert second.metadata["zoo.part"] == "decoder"
    image = second.run({spec.name: code[spec.name] for spec in second.inputs})["deconv1_2"]
    np.testing.assert_allclose(image, whole["deconv1_2"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("target", ["cpu", "cuda", "portable"])
def test_every_target_gives_the_same_numbers(zoo, small, tmp_path, target):
    assert zoo("convert", small, "-o", "plain.onnx", "--no-fold").status == 0
    assert zoo("convert", small, "-o", "x.onnx", "--target", target).status == 0
    feed = {"data": np.random.default_rng(0).normal(size=(2, 3, 24, 16)).astype(np.float32)}
    one = runtime.load(tmp_path / "plain.onnx", "cpu").run(feed)
    other = runtime.load(tmp_path / "x.onnx", "cpu").run(feed)
    assert one.keys() == other.keys()
    for name, blob in one.items():
        np.testing.assert_allclose(other[name], blob, rtol=1e-5, atol=1e-5, err_msg=name)


def test_shapes_outputs_and_opset(zoo, small):
    data = zoo(
        "convert",
        small,
        "--shape",
        "data=2x3x32x48",
        "--output",
        "conv1_2",
        "--opset",
        20,
        "--json",
    ).json
    (file,) = data["files"]
    assert file["inputs"][0]["shape"] == [2, 3, 32, 48]
    assert [(v["name"], v["shape"]) for v in file["outputs"]] == [("conv1_2", [2, 2, 32, 48])]
    assert data["opset"] == 20


def test_the_latest_opset(zoo, small, tmp_path):
    assert zoo("convert", small, "--opset", "latest", "--json").json["opset"] == OPSETS[-1]
    (stated,) = onnx.load(tmp_path / "small.onnx").opset_import
    assert stated.version == OPSETS[-1] > 20
    run = zoo("convert", small, "--opset", "newest")
    assert run.status == 2 and "--opset 'newest' is neither a number nor latest" in run.err


def test_the_papers_classifiers_need_no_shape(zoo, tmp_path):
    (tmp_path / "c.prototxt").write_text(architectures.definition("2_2_2", classify=True))
    data = zoo("convert", "c.prototxt", "--json").json
    (file,) = data["files"]
    assert file["inputs"][0]["shape"] == ["batch", 3, 128, 128]
    assert "fc6" in names(file, "outputs")
    assert data["notes"][0] == (
        "input data 3x128x128: nothing fixes it, but this is the paper's classify2_2_2"
    )


def test_lenient_turns_a_misspelt_field_into_a_warning(zoo, small):
    small.write_text(small.read_text().replace("pad: 1", "pad: 1 padd: 1", 1))
    assert "padd" in zoo("convert", small, "-o", "x.onnx").refusal
    run = zoo("convert", small, "-o", "x.onnx", "--lenient", "--json")
    assert "padd" in run.json["warnings"][0]
    assert run.err.startswith("warning: ")


def test_a_plugin_adds_a_layer_type(zoo, tmp_path, monkeypatch):
    (tmp_path / "net.prototxt").write_text(
        'input: "x" input_shape { dim: 1 dim: 2 }\n'
        'layer { name: "d" type: "Double" bottom: "x" top: "y" }\n'
    )
    assert "Double" in zoo("convert", "net.prototxt").refusal
    (tmp_path / "plugin.py").write_text(
        "from converters import LayerType, register\n"
        '@register("Double")\n'
        "class Double(LayerType):\n"
        "    def shapes(self, node):\n"
        "        return [node.inputs[0].shape]\n"
        "    def onnx(self, node, b):\n"
        '        b.op("Add", node.inputs[0], node.inputs[0], out=node.outputs[0])\n'
    )
    registry = importlib.import_module("converters.registry")
    registry.layer_types()  # our own are registered before the copy is taken
    monkeypatch.setattr(registry, "_types", dict(registry._types))  # taken back afterwards
    data = zoo("convert", "net.prototxt", "--plugin", "plugin.py", "--json").json
    assert names(data["files"][0], "outputs") == ["y"]


def test_an_older_output_survives_a_failure(zoo, small, tmp_path):
    (tmp_path / "small.onnx").write_bytes(b"older")
    small.write_text(small.read_text() + "layer {")
    assert zoo("convert", small).refusal
    assert (tmp_path / "small.onnx").read_bytes() == b"older"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_weights_beside_a_model_whose_name_is_no_utf8(zoo, small, tmp_path):
    whole = tmp_path / "whole.onnx"
    assert zoo("convert", small, "-o", whole).status == 0
    odd = tmp_path / os.fsdecode(b"caf\xe9.onnx")
    assert zoo("convert", small, "-o", odd, "--external-data").status == 0
    beside = tmp_path / "caf%e9.onnx.data"
    assert beside.is_file() and size(odd) == odd.stat().st_size + beside.stat().st_size
    feed = {"data": np.random.default_rng(0).random((1, 3, 16, 16), np.float32)}
    found, wanted = (runtime.load(path, "cpu").run(feed)["deconv1_2"] for path in (odd, whole))
    assert np.array_equal(found, wanted)


def test_half_of_a_split_is_not_left_behind(zoo, small, tmp_path):
    (tmp_path / "x.decoder.onnx").mkdir()
    assert "x.decoder.onnx" in zoo("convert", small, "--split", "-o", "x.onnx").refusal
    assert not (tmp_path / "x.encoder.onnx").exists()


def test_the_definition_is_not_overwritten(zoo, small):
    before = small.read_text()
    run = zoo("convert", small, "-o", small)
    assert run.status == 2
    assert "its own input" in run.err
    assert small.read_text() == before


AUTHORS = [
    *(f"net{arch}" for arch in architectures.ARCHES),
    "net48_96_192Size1024",
    *(f"classify{arch}" for arch in architectures.ARCHES[:6]),
]


@pytest.mark.parametrize("name", AUTHORS)
def test_the_authors_definitions(zoo, shared, tmp_path, name):
    data = zoo("convert", shared / f"caffe/tunnel/prototxt/{name}.prototxt", "--json").json
    (file,) = data["files"]
    assert file["path"] == f"{name}.onnx"
    assert set(os.listdir(tmp_path)) == {f"{name}.onnx"}
    wanted = "fc6" if name.startswith("classify") else "deconv1_2"
    assert wanted in names(file, "outputs")


TRAINED = [
    *(f"net{arch}" for arch in ("8_8_8", "6_12_24", "16_16_16", "12_24_48", "64_64_64")),
    *(f"net{arch}Pretrain" for arch in ("16_16_16", "12_24_48")),
]


@pytest.mark.parametrize("name", TRAINED)
def test_the_authors_weights(zoo, shared, tmp_path, name):
    tunnel = shared / "caffe/tunnel"
    definition = tunnel / f"prototxt/{name.removesuffix('Pretrain')}.prototxt"
    path = tunnel / f"caffemodel/{name}_iter_50000.caffemodel"
    data = zoo("convert", definition, "--weights", path, "-o", "m.onnx", "--json").json
    outputs = set(names(data["files"][0], "outputs"))
    assert outputs == {"deconv1_2", "pool1_mask", "pool2_mask", "pool3_mask"}
    with np.load(tunnel / f"golden/{name}.npz") as archive:
        golden = dict(archive)
    out = runtime.load(tmp_path / "m.onnx", "cpu").run({"data": golden["data"]})
    masks = ("pool1_mask", "pool2_mask", "pool3_mask")
    equal = [out[name] == golden[name] for name in masks]
    # Over all switches: of one mask alone, a single one that rounding flips is more than that.
    assert np.mean(np.concatenate([found.ravel() for found in equal])) >= 0.99999
    image = golden["deconv1_2"]
    apart = np.abs(out["deconv1_2"][: len(image)] - image)
    assert apart.mean() < 1e-2
    for index in range(len(image)):
        if all(found[index].all() for found in equal):
            assert apart[index].max() < 1e-2


STAGED = """
input: "x" input_shape { dim: 1 dim: 2 }
layer { name: "r" type: "ReLU" bottom: "x" top: "y" exclude { stage: "gated" } }
layer { name: "s" type: "Sigmoid" bottom: "x" top: "y" include { stage: "gated" } }
layer { name: "t" type: "TanH" bottom: "y" top: "z" include { stage: "gated" stage: "deep" } }
"""


def test_stages_choose_layers(zoo, tmp_path):
    """As the solvers of LRCN choose a network with their train_state."""
    (tmp_path / "n.prototxt").write_text(STAGED)
    for stages, types in (
        ((), ["ReLU"]),
        (("gated",), ["Sigmoid"]),
        (("gated", "deep"), ["Sigmoid", "TanH"]),
    ):
        given = [word for stage in stages for word in ("--stage", stage)]
        found = zoo("inspect", "n.prototxt", *given, "--json").json
        assert [row["type"] for row in found["layers"]] == types
        assert zoo("convert", "n.prototxt", *given).status == 0
        assert zoo("verify", "n.prototxt", "n.onnx", *given).status == 0
    assert zoo("verify", "n.prototxt", "n.onnx").status == 1


def test_batch(zoo, small):
    for given, first in ((4, 4), ("open", "batch")):
        data = zoo("convert", small, "--batch", given, "--json").json
        assert data["files"][0]["inputs"][0]["shape"] == [first, 3, "height", "width"]
    run = zoo("convert", small, "--batch", "4", "--shape", "data=5x3x32x32")
    assert (
        run.err == "error: --batch 4: contradicts --shape data=5x3x32x32; leave one of them out\n"
    )
    run = zoo("convert", small, "--batch", "0")
    assert run.err == "error: --batch '0' is neither a number nor open\n"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--input-name", "a=b"], "--input-name a=b: no input is called 'a'; the inputs are data"),
        (
            ["--output-name", "deconv1_2=data"],
            "--output-name deconv1_2=data: 'data' is the name of another tensor already; "
            "give another name",
        ),
        (["--output-name", "x"], "--output-name 'x' is not of the form OLD=NEW"),
        (["--output-name", "a=b", "--output-name", "a=c"], "--output-name names 'a' twice"),
        (
            ["--nhwc", "--fold-preprocessing"],
            "--nhwc: --fold-preprocessing takes N×H×W×C already; leave one of them out",
        ),
    ],
)
def test_borders_that_cannot_be(zoo, small, tmp_path, flags, said):
    run = zoo("convert", small, *flags)
    assert run.status in (1, 2) and run.err == f"error: {said}\n"
    assert os.listdir(tmp_path) == ["small.prototxt"]
