"""What a plugin says of its own layer types, in one file, is honoured wherever ours is."""

import numpy as np
import onnxruntime
import pytest

import converters
import prototxt
from converters import registry
from converters.legal import Integers
from converters.legal_inputs import legal_inputs

PLUGIN = '''
import numpy as np
from converters import LayerType, register
from converters.legal import Integers


@register("Gain", message="gain_param")
class Gain(LayerType):
    """Twice the input, and one: an affine layer."""

    def shapes(self, node):
        return [node.inputs[0].shape]

    def affine(self, node):
        channels = node.inputs[0].shape[1]
        return np.full(channels, 2.0), np.ones(channels)

    def onnx(self, node, b):
        two, one = (b.const(np.float32(number)) for number in (2, 1))
        b.op("Add", b.op("Mul", node.inputs[0], two), one, out=node.outputs[0])


@register("Pass")
class Pass(LayerType):
    """Hands its bottom on."""

    passes_values = True

    def shapes(self, node):
        return [node.inputs[0].shape]

    def is_identity(self, node):
        return True

    def macs(self, node):
        return 42

    def onnx(self, node, b):
        b.node("Identity", node)


@register("Pick")
class Pick(LayerType):
    """Takes whole numbers only."""

    def shapes(self, node):
        return [node.inputs[0].shape]

    def legal(self, node):
        return {0: Integers(0, 6)}

    def onnx(self, node, b):
        b.node("Identity", node)


@register("Swallow")
class Swallow(LayerType):
    """What it reads is not wanted."""

    tops = (0, 0)
    discards = True

    def shapes(self, node):
        return []


@register("Misfit")
class Misfit(LayerType):
    """A loss by another name than Loss."""

    bottoms = (2, 2)
    is_loss = True
    loss_weight = 0.5

    def shapes(self, node):
        return [()]
'''

NET = """
input: "data" input_shape { dim: 1 dim: 2 dim: 4 dim: 4 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "gain" type: "Gain" bottom: "conv" top: "gain" }
layer { name: "pass" type: "Pass" bottom: "gain" top: "out" }
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """The plugin's types, known for one test."""
    registry.layer_types()  # our own are registered before the copy is taken
    monkeypatch.setattr(registry, "_types", dict(registry._types))
    path = tmp_path / "plugin.py"
    path.write_text(PLUGIN)
    converters.load_plugin(path)
    return path


def run(graph, feeds):
    model = converters.to_onnx(graph)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, feeds)


def build(text, **options):
    return converters.build_graph(prototxt.parse_net(text).select("TEST"), **options)


def test_a_type_of_a_plugin_is_folded_like_our_own(plugin):
    graph = build(NET, open_dims=False)
    folded = converters.fold(graph)
    assert [node.type for node in folded.nodes] == ["Convolution"]
    assert [value.name for value in folded.outputs] == ["out"]
    image = np.random.default_rng(0).normal(size=(1, 2, 4, 4)).astype(np.float32)
    whole, short = (run(g, {"data": image})[0] for g in (graph, folded))
    np.testing.assert_allclose(short, whole, rtol=1e-5, atol=1e-6)


def test_inspect_counts_its_multiply_adds(plugin, zoo, tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    rows = zoo("inspect", "net.prototxt", "--json").json["layers"]
    assert {row["layer"]: row["macs"] for row in rows} == {
        "conv": 3 * 2 * 9 * 4,
        "gain": 0,
        "pass": 42,
    }


def test_what_it_passes_on_is_asked_of_the_input(plugin):
    text = """
    input: "data" input_shape { dim: 1 dim: 2 }
    layer { name: "pass" type: "Pass" bottom: "data" top: "passed" }
    layer { name: "pick" type: "Pick" bottom: "passed" top: "out" }
    """
    assert legal_inputs(build(text)) == {"data": Integers(0, 6)}


def test_what_it_discards_and_what_it_loses_is_pruned(plugin):
    text = """
    input: "data" input_shape { dim: 1 dim: 2 }
    input: "target" input_shape { dim: 1 dim: 2 }
    layer { name: "a" type: "ReLU" bottom: "data" top: "a" }
    layer { name: "b" type: "TanH" bottom: "data" top: "b" }
    layer { name: "swallow" type: "Swallow" bottom: "b" }
    layer { name: "misfit" type: "Misfit" bottom: "a" bottom: "target" top: "misfit" }
    """
    graph = build(text)
    assert [value.name for value in graph.outputs] == ["a"]
    assert [node.name for node in graph.nodes] == ["a"]


def test_it_is_converted(plugin, zoo, tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    data = zoo("convert", "net.prototxt", "--json").json
    assert [found["name"] for found in data["files"][0]["outputs"]] == ["out"]


def test_its_loss_weight_counts_in_training(plugin):
    network = pytest.importorskip("zoo.training.network")
    text = """
    input: "data" input_shape { dim: 1 dim: 2 }
    input: "target" input_shape { dim: 1 dim: 2 }
    layer { name: "misfit" type: "Misfit" bottom: "data" bottom: "target" top: "misfit" }
    layer { name: "plain" type: "EuclideanLoss" bottom: "data" bottom: "target" top: "plain" }
    layer { name: "right" type: "Accuracy" bottom: "data" bottom: "target" top: "right" }
    """
    losses, shown = network.objective(prototxt.parse_net(text).select("TRAIN"))
    assert losses == {"misfit": 0.5, "plain": 1.0}
    assert shown == ["right"]
