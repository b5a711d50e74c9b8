"""A network cut at its switches: encoder and decoder give what the whole gives, bit for bit."""

import numpy as np
import onnx
import pytest

import converters
import prototxt
import runtime
from runtime.encoder_decoder import load_encoder_decoder
from runtime.errors import InferenceError
from zoo import hub
from zoo.paper import architectures
from zoo.paper.coding import add_tables, decode, encode, open_coder


def written(tmp_path, definition: str, target: str = "cpu", **options):
    graph = converters.build_graph(prototxt.parse_net(definition).select("TEST"), seed=3)
    rng = np.random.default_rng(5)
    for node in graph.nodes:
        if node.name == "bias4":
            node.blobs[1] = rng.standard_normal(node.blobs[1].shape).astype(np.float32) * 50
    path = tmp_path / f"{target}.onnx"
    onnx.save(converters.to_onnx(converters.fold(graph), target=target, **options), path)
    return path


def same(path, height: int, width: int) -> None:
    rng = np.random.default_rng(height * 1000 + width)
    blob = (rng.random((1, 3, height, width), np.float32) * 255 - 120).round()
    network = load_encoder_decoder(path, "cpu")
    masks = network.encode(blob)
    assert [mask.shape for mask in masks] == network.shapes(height, width)
    whole = runtime.load(path, "cpu").run({"data": blob})["deconv1_2"]
    assert np.ptp(whole) > 0
    np.testing.assert_array_equal(network.decode(masks, height, width), whole)


@pytest.mark.parametrize("target", ["cpu", "cuda", "portable"])
def test_encoder_and_decoder_are_the_whole(tmp_path, target):
    path = written(tmp_path, architectures.definition("4_3_5", 16), target)
    for height, width in [(8, 8), (16, 40), (72, 24)]:
        same(path, height, width)


LEFT_OUT = """
input: "data" input_shape { dim: 1 dim: 3 dim: 32 dim: 32 }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "pool2" type: "Pooling" bottom: "pool1" top: "pool2" top: "pool2_mask"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "pool3" type: "Pooling" bottom: "pool2" top: "pool3"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "pool4" type: "Pooling" bottom: "pool3" top: "pool4" top: "pool4_mask"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "bias4" type: "Convolution" bottom: "pool4" top: "bias4"
  convolution_param { num_output: 4 kernel_size: 1 bias_filler { type: "xavier" } } }
layer { name: "unpool4" type: "Unpooling" bottom: "bias4" bottom: "pool4_mask" top: "unpool4"
  unpooling_param { unpool: MAX kernel_size: 2 stride: 2 unpool_size: 4 } }
layer { name: "up3" type: "Deconvolution" bottom: "unpool4" top: "up3" convolution_param {
  num_output: 4 kernel_size: 2 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "unpool2" type: "Unpooling" bottom: "up3" bottom: "pool2_mask" top: "unpool2"
  unpooling_param { unpool: MAX kernel_size: 2 stride: 2 unpool_size: 16 } }
layer { name: "deconv1_2" type: "Deconvolution" bottom: "unpool2" top: "deconv1_2"
  convolution_param { num_output: 3 kernel_size: 4 stride: 2 pad: 1
    weight_filler { type: "xavier" } } }
"""


@pytest.mark.parametrize("target", ["cpu", "cuda", "portable"])
def test_levels_may_be_left_out(tmp_path, target):
    """Of four poolings the picture needs the second's switches and the fourth's."""
    path = written(tmp_path, LEFT_OUT, target)
    same(path, 32, 48)
    coder = open_coder(path, "cpu")
    assert coder.network.levels == [0, 4, 0, 4] and coder.network.multiple == 16
    photograph = runtime.sample_images()[0][1][:75, :101]
    add_tables(path, [photograph])
    for raw in (False, True):
        coder = open_coder(path, "cpu")
        encode(coder, photograph, tmp_path / "one.switches", raw)
        again = decode(coder, tmp_path / "one.switches")
        masks = coder.switches(photograph)
        assert [mask.shape for mask in masks] == [(0, 40, 56), (4, 20, 28), (0, 10, 14), (4, 5, 7)]
        assert np.array_equal(coder.picture(masks, 75, 101), again) and again.std() > 0


def test_a_network_of_the_hub():
    path = hub.locate("8_8_8")
    network = load_encoder_decoder(path, "cpu")
    assert network.levels == [8, 8, 8] and network.multiple == 8 and network.fixed is None
    assert len(network.sha256) == 64
    assert network.metadata["zoo.arch"] == "8_8_8"
    same(path, 64, 96)


def test_it_is_cut_where_split_cuts(tmp_path):
    """Its masks are the inputs of the decoder that `converters.split` makes, in this order."""
    graph = converters.build_graph(
        prototxt.parse_net(architectures.definition("4_3_5", 16)).select("TEST")
    )
    encoder, decoder = converters.split(graph)
    onnx.save(converters.to_onnx(graph), tmp_path / "whole.onnx")
    network = load_encoder_decoder(tmp_path / "whole.onnx", "cpu")
    masks = [output.name for output in network.encoder.outputs]
    assert masks == [value.name for value in encoder.outputs]
    assert masks == [value.name for value in decoder.inputs]


def refused(path) -> str:
    with pytest.raises(InferenceError) as caught:
        load_encoder_decoder(path, "cpu")
    return str(caught.value)


def test_what_is_no_network_of_switches(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"garbage")
    (tmp_path / "empty.onnx").write_bytes(b"")
    assert refused(tmp_path / "bad.onnx").endswith("bad.onnx: not an ONNX model; convert it again")
    assert "empty.onnx: an ONNX model without any node" in refused(tmp_path / "empty.onnx")
    assert refused(tmp_path).endswith("is a directory; name an .onnx file")
    assert refused(tmp_path / "none.onnx").endswith("no such file")


def test_a_decoder_that_sees_more_than_switches(tmp_path):
    """Weights of the bias layer that are not zero let the features pass."""
    net = prototxt.parse_net(architectures.definition("2_3_4", 16)).select("TEST")
    graph = converters.build_graph(net, seed=3)
    next(node for node in graph.nodes if node.name == "bias4").blobs[0][:] = 1
    onnx.save(converters.to_onnx(converters.fold(graph)), tmp_path / "leaks.onnx")
    assert "depends on more of the image than the switches" in refused(tmp_path / "leaks.onnx")


def test_a_network_without_switches(tmp_path):
    net = """
    input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
    layer { name: "shift" type: "Convolution" bottom: "data" top: "image"
      convolution_param { num_output: 3 kernel_size: 1 } }
    """
    onnx.save(converters.to_onnx(converters.build_graph(prototxt.parse_net(net).select("TEST"))),
              tmp_path / "plain.onnx")  # fmt: skip
    assert "has no masks among its outputs" in refused(tmp_path / "plain.onnx")
