"""Rounding is told from error: every golden agrees on every kind of input, spoilt models do not."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import converters
import prototxt
import runtime
from converters.legal import Boxes, ImageInfo, Integers, Interval, Regions
from converters.legal_inputs import legal_inputs
from tests.converters.checker import Case
from tests.converters.forks import build
from tests.converters.test_fork_networks import NETWORKS
from tests.zoo.checking.spoiling import behind, rows_of, spoil_weight
from zoo.checking import probes
from zoo.checking.verification import Verifier

GOLDENS = Path(__file__).parents[2] / "goldens"
CASES = sorted(p.parent for p in GOLDENS.glob("*/*/io.npz") if p.parts[-3] in ("layers", "nets"))


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
def test_every_golden_agrees_on_every_kind_of_input(folder, tmp_path):
    case = Case(folder)
    model = converters.to_onnx(converters.fold(case.graph(open_dims=True)))
    rows = rows_of(case.graph(open_dims=False), model, tmp_path)
    assert {kind: row.first for kind, row in rows.items() if not row.ok} == {}
    assert all(row.comparisons for row in rows.values())
    rounded = {kind for kind, row in rows.items() if any(c.rounding for c in row.comparisons)}
    # Equal numbers, normalized, are rounding and nothing else.
    assert rounded <= ({"constant"} if folder.name in ("mvn", "mvn_novar") else set())


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_forks_agree_on_every_kind_of_input(name, tmp_path):
    """Among them labels of detections, regions and im_info, drawn as they may be."""
    text, _, outputs = NETWORKS[name]
    graph = build(text(), outputs=outputs, seed=1, open_dims=False)
    rows = rows_of(graph, converters.to_onnx(converters.fold(graph)), tmp_path)
    assert {kind: row.first for kind, row in rows.items() if not row.ok} == {}


def test_what_may_be_fed_is_carried_up_to_the_inputs():
    text = """
    layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 4 dim: 6 } } }
    layer { name: "lab" type: "Input" top: "labels" input_param { shape { dim: 8 dim: 1 } } }
    layer { name: "slice" type: "Slice" bottom: "labels" top: "a" top: "b" slice_param { axis: 0 } }
    layer { name: "flat" type: "Flatten" bottom: "b" top: "c" flatten_param { axis: 0 } }
    layer { name: "words" type: "Embed" bottom: "c" top: "e"
      embed_param { input_dim: 9 num_output: 2 weight_filler { type: "xavier" } } }
    layer { name: "acc" type: "Accuracy" bottom: "data" bottom: "a" top: "accuracy" }
    """
    net = prototxt.parse_net(text).select("TEST")
    graph = converters.build_graph(net, open_dims=False, outputs=["e", "accuracy"])
    assert set(legal_inputs(graph)) == {"labels"}
    only = converters.build_graph(net, open_dims=False, outputs=["e"])
    assert legal_inputs(only) == {"labels": Integers(0, 8)}
    only = converters.build_graph(net, open_dims=False, outputs=["accuracy"])
    assert legal_inputs(only) == {"labels": Integers(0, 5)}


@pytest.mark.parametrize("kind", probes.KINDS)
def test_what_is_drawn_is_legal_and_the_same_again(kind):
    shapes = {"x": (3, 2, 5, 4), "l": (50,), "s": (6,), "p": (7,), "r": (9, 5), "i": (1, 3)}
    shapes["b"] = (1, 2, 8)
    legal = {
        "l": Integers(0, 4),
        "s": Integers(0, 1, some=True),
        "p": Interval(0, 1),
        "r": Regions(2, 30, 40),
        "i": ImageInfo(30, 40),
        "b": Boxes(),
    }
    found = probes.probe(kind, shapes, legal, seed=3)
    again = probes.probe(kind, shapes, legal, seed=3)
    for name, array in found.items():
        assert array.dtype == np.float32 and array.shape == shapes[name]
        assert np.array_equal(array, again[name]) and np.isfinite(array).all()
    assert set(found["l"]) <= set(range(5)) and found["s"].max() == 1
    assert found["p"].min() >= 0 and found["p"].max() <= 1
    image, x1, y1, x2, y2 = found["r"].T
    assert set(image) <= {0, 1} and (x1 <= x2).all() and (y1 <= y2).all()
    assert x2.max() <= 40 and y2.max() <= 30
    assert found["i"].tolist() == [[30, 40, 1]]
    windows = found["x"][:, :, :4].reshape(3, 2, 2, 2, 2, 2)
    tied = (windows == windows.max((3, 5), keepdims=True)).sum((3, 5)) > 1
    share = {"random": 0, "negative": 0, "large": 0, "zeros": 1, "constant": 1}.get(kind)
    assert tied.mean() == share if share is not None else kind == "tiny" or tied.mean() > 0.2


NET = """
name: "spoilt"
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 12 dim: 12 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" top: "mask"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "sum" type: "Eltwise" bottom: "pool1" bottom: "conv2" top: "sum"
  eltwise_param { coeff: 1 coeff: -0.5 } }
layer { name: "unpool" type: "Unpooling" bottom: "sum" bottom: "mask" top: "out"
  unpooling_param { kernel_size: 2 stride: 2 unpool_size: 12 } }
"""  # noqa: E501


@pytest.fixture
def net():
    """The graph, and its model to be spoilt."""
    graph = converters.build_graph(prototxt.parse_net(NET, "net.prototxt").select("TEST"), seed=0)
    fixed = converters.build_graph(
        prototxt.parse_net(NET, "net.prototxt").select("TEST"), seed=0, open_dims=False
    )
    return fixed, converters.to_onnx(graph)


def test_a_sound_model_agrees_everywhere(net, tmp_path):
    graph, model = net
    rows = rows_of(graph, model, tmp_path)
    assert list(rows) == list(probes.KINDS)
    assert all(row.ok and row.first is None for row in rows.values())


def test_one_weight_is_found_where_it_first_shows(net, tmp_path):
    graph, model = net
    spoil_weight(model, "conv2.weight", 7, 0.5)
    rows = rows_of(graph, model, tmp_path)
    assert rows["zeros"].ok  # nothing times any weight is nothing
    first = rows["random"].first
    assert (first.blob, first.left, first.right) == ("conv2", "torch", "onnx")
    assert first.layer == "'conv2' (Convolution), net.prototxt:9"
    assert first.at[1] == 0  # the weight is the first output channel's
    data = probes.probe("random", {"data": (2, 3, 12, 12)}, {})
    torch_side, onnx_side = first.values
    assert abs(torch_side - onnx_side) == pytest.approx(first.max_abs)
    assert first.max_abs > 0.1 and rows["random"].feeds.keys() == data.keys()


def test_a_mask_that_is_off_by_one(net, tmp_path):
    graph, model = net
    one = numpy_helper.from_array(np.array(1, np.int64), "one")
    model.graph.initializer.append(one)
    behind(model, "mask", onnx.helper.make_node("Add", ["mask/right", "one"], ["mask"]))
    rows = rows_of(graph, model, tmp_path, ["random", "zeros", "ties"])
    for row in rows.values():
        assert row.first.blob == "mask" and row.first.max_rel == 1
        assert row.first.at == (0, 0, 0, 0)
        assert row.first.values[1] == row.first.values[0] + 1
    assert rows["zeros"].first.values == (0, 1)
    assert rows["zeros"].first.layer == "'pool1' (Pooling), net.prototxt:7"


def last_wins(model):
    """The mask by ArgMax with select_last_index over each 2×2 window: ties broken the other way."""
    node, const = onnx.helper.make_node, numpy_helper.from_array
    model.graph.initializer.extend(
        [
            const(np.array([0, 0, 6, 2, 6, 2], np.int64), "split"),
            const(np.array([0, 0, 6, 6, 4], np.int64), "windows"),
            const(np.array([0, 1, 12, 13], np.int64), "inside"),
            const((24 * np.arange(6)[:, None] + 2 * np.arange(6)).astype(np.int64), "corner"),
        ]
    )
    shape = const(np.array([2, 4, 6, 2, 6, 2], np.int64), "split")
    model.graph.initializer[-4].CopyFrom(shape)
    behind(
        model,
        "mask",
        node("Reshape", ["conv1", "split"], ["t1"]),
        node("Transpose", ["t1"], ["t2"], perm=[0, 1, 2, 4, 3, 5]),
        node("Reshape", ["t2", "windows"], ["t3"]),
        node("ArgMax", ["t3"], ["t4"], axis=4, keepdims=0, select_last_index=1),
        node("Gather", ["inside", "t4"], ["t5"]),
        node("Add", ["t5", "corner"], ["mask"]),
    )


def test_ties_broken_the_other_way_are_caught_by_inputs_with_ties_only(net, tmp_path):
    graph, model = net
    last_wins(model)
    rows = rows_of(graph, model, tmp_path, ["zeros", "ties", "blocks", "constant"])
    first = rows["zeros"].first
    assert (first.blob, first.at, first.values) == ("mask", (0, 0, 0, 0), (0, 13))
    assert first.max_rel == 1
    assert {kind for kind, row in rows.items() if not row.ok} == set(rows)


def test_random_input_alone_would_not_have_caught_them(tmp_path):
    text = NET.replace('bottom: "data" top: "conv1"', 'bottom: "data" top: "c"').replace(
        'layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }',
        'layer { name: "power" type: "Power" bottom: "c" top: "conv1" power_param { shift: 1 } }',
    )
    definition = prototxt.parse_net(text, "net.prototxt").select("TEST")
    graph = converters.build_graph(definition, seed=0, open_dims=False)
    model = converters.to_onnx(graph)
    last_wins(model)
    rows = rows_of(graph, model, tmp_path, ["random", "zeros"])
    assert rows["random"].ok
    assert rows["zeros"].first.blob == "mask"


def test_a_coefficient_that_is_dropped(net, tmp_path):
    graph, model = net
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            tensor = next((t for t in model.graph.initializer if t.name == name), None)
            if tensor is not None and node.name.startswith("sum"):
                ones = np.ones_like(numpy_helper.to_array(tensor))
                model.graph.initializer.append(numpy_helper.from_array(ones, f"ones{index}"))
                node.input[index] = f"ones{index}"
    rows = rows_of(graph, model, tmp_path, ["random", "negative", "one-hot"])
    for row in rows.values():
        assert row.first.blob == "sum"
        assert row.first.layer == "'sum' (Eltwise), net.prototxt:11"


def test_a_switch_that_rounding_decides_is_excused_and_counted(tmp_path):
    """Places of a window differ across the weights only, and the model's weights in a last place:
    what is pooled is equal but for rounding, and each side rightly takes another.
    """
    text = """
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
    layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
      convolution_param { num_output: 1 kernel_size: 1 bias_term: false
                          weight_filler { type: "xavier" } } }
    layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" top: "mask"
      pooling_param { kernel_size: 2 stride: 2 } }
    layer { name: "unpool" type: "Unpooling" bottom: "pool" bottom: "mask" top: "out"
      unpooling_param { kernel_size: 2 stride: 2 unpool_size: 8 } }
    """  # noqa: E501
    definition = prototxt.parse_net(text, "net.prototxt").select("TEST")
    graph = converters.build_graph(definition, seed=1, open_dims=False)
    weights = graph.nodes[0].blobs[0].ravel()
    across = np.array([weights[1], -weights[0], 0])
    rng = np.random.default_rng(0)
    base = np.repeat(np.repeat(rng.standard_normal((3, 4, 4)), 2, 1), 2, 2)
    data = (base + across[:, None, None] * rng.standard_normal((8, 8))).astype(np.float32)[None]
    model = converters.to_onnx(graph)
    spoil_weight(model, "conv.weight", 0, 1e-6)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    verifier = Verifier(graph, runtime.load(path, "cpu"), path, 1e-4)
    row = verifier.check("near ties", {"data": data, "x": data}, {"x": data})
    found = {item.blob: item for item in row.comparisons}
    assert row.ok and row.first is None
    assert found["mask"].rounding and found["mask"].max_abs > 4
    assert found["out"].rounding and found["out"].max_rel > 1e-4
    # The same switches, of values that are no longer almost equal, are not excused.
    spoil_weight(model, "conv.weight", 0, 0.01)
    onnx.save(model, path)
    verifier = Verifier(graph, runtime.load(path, "cpu"), path, 1e-4)
    row = verifier.check("near ties", {"x": data}, {"x": data})
    assert row.first.blob == "conv"


def test_what_softplus_overflows_on(tmp_path):
    text = """
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 6 } } }
    layer { name: "bnll" type: "BNLL" bottom: "x" top: "y" }
    """
    graph = converters.build_graph(prototxt.parse_net(text).select("TEST"), open_dims=False)
    x = np.array([[-2000, -1, 0, 1, 30, 2000]], np.float32)
    import torch

    y = converters.to_torch(graph)(torch.from_numpy(x))["y"].numpy()
    # bnll_layer.cpp: x + log(1 + exp(-x)) above 0, log(1 + exp(x)) below.
    wide = x.astype(np.float64)
    expected = np.maximum(wide, 0) + np.log1p(np.exp(-np.abs(wide)))
    assert np.allclose(y, expected, rtol=1e-6, atol=1e-7)
