"""From definition to graph: names, pruning, shapes, weights, and every way to be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import converters
import prototxt
import runtime
from converters import ConversionError, Graph

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 8 dim: 8 } } }\n'  # noqa: E501
CONV = (
    'layer { name: "c" type: "Convolution" bottom: "x" top: "c" '
    "convolution_param { num_output: 3 kernel_size: 3 } }\n"
)


def build(text: str, **options: object) -> Graph:
    net = prototxt.parse_net(text, "n").select(str(options.pop("phase", "TEST")))
    return converters.build_graph(net, **options)  # type: ignore[arg-type]


def layer(name: str, kind: str, bottom: str, top: str, more: str = "") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {more} }}\n'


def test_in_place_layers_make_new_values() -> None:
    graph = build(INPUT + CONV + layer("r", "ReLU", "c", "c") + layer("s", "ReLU", "c", "c"))
    assert [v.name for v in graph.values()] == ["x", "c/c", "c/r", "c"]
    assert [v.name for v in graph.outputs] == ["c"]


def test_an_input_keeps_its_name() -> None:
    graph = build(INPUT + layer("r", "ReLU", "x", "x"))
    assert [v.name for v in graph.inputs] == ["x"]
    assert [v.name for v in graph.outputs] == ["x/r"]


def test_losses_and_labels_are_pruned() -> None:
    label = "input_param { shape { dim: 1 dim: 1 dim: 6 dim: 6 } }"
    text = INPUT + f'layer {{ name: "l" type: "Input" top: "l" {label} }}\n'
    text += CONV + 'layer { name: "e" type: "SoftmaxWithLoss" bottom: "c" bottom: "l" top: "e" }'
    graph = build(text)
    assert [v.name for v in graph.inputs] == ["x"]
    assert [v.name for v in graph.outputs] == ["c"]
    assert [v.name for v in build(text, outputs=["e"]).inputs] == ["x", "l"]


def test_a_loss_stays_where_nothing_else_would() -> None:
    text = INPUT + 'layer { name: "e" type: "EuclideanLoss" bottom: "x" bottom: "x" top: "e" }'
    assert [v.name for v in build(text).outputs] == ["e"]


def test_unknown_losses_are_pruned_too() -> None:
    text = INPUT + CONV + layer("e", "MyFancyLoss", "c", "e")
    assert [v.name for v in build(text).outputs] == ["c"]


def test_masks_are_outputs_in_their_own_right() -> None:
    pool = 'layer { name: "p" type: "Pooling" bottom: "x" top: "p" top: "m" pooling_param { kernel_size: 2 stride: 2 } }'  # noqa: E501
    graph = build(INPUT + pool + 'layer { name: "s" type: "Silence" bottom: "m" }')
    assert [(v.name, v.dtype) for v in graph.outputs] == [("p", "float32"), ("m", "int64")]


def test_filter_leaves_the_batch_open() -> None:
    """A selector of Nx1x1x1 is one number a row only while its planes stay fixed."""
    graph = build(
        INPUT + 'input: "s" input_shape { dim: 1 dim: 1 dim: 1 dim: 1 }\n'
        'layer { name: "f" type: "Filter" bottom: "x" bottom: "s" top: "f" }'
    )
    shapes = {value.name: value.shape for value in graph.inputs}
    assert shapes == {"x": ("batch", 2, 8, 8), "s": ("batch", 1, 1, 1)}
    x = np.random.default_rng(0).normal(size=(4, 2, 8, 8)).astype(np.float32)
    chosen = np.array([1, 0, 0, 1], np.float32).reshape(4, 1, 1, 1)
    model = runtime.load(converters.to_onnx(graph).SerializeToString(), "cpu")
    assert np.array_equal(model.run({"x": x, "s": chosen})["f"], x[[0, 3]])


def test_dimensions_are_left_open() -> None:
    graph = build(INPUT + CONV)
    assert graph.inputs[0].shape == ("batch", 2, "height", "width")
    assert graph.outputs[0].shape == ("batch", 3, "height-2", "width-2")
    assert graph.outputs[0].nominal == (1, 3, 6, 6)


def test_what_the_weights_fix_stays_fixed() -> None:
    graph = build(
        INPUT + layer("i", "InnerProduct", "x", "i", "inner_product_param { num_output: 4 }")
    )
    assert graph.inputs[0].shape == ("batch", 2, 8, 8)


def test_given_shapes_win() -> None:
    graph = build(INPUT + CONV, shapes={"x": (2, 2, 5, "w")})
    assert graph.inputs[0].shape == (2, 2, 5, "w")
    assert graph.outputs[0].shape == (2, 3, 3, "w-2")


def test_inputs_of_one_size_share_their_symbols() -> None:
    other = INPUT.replace('"x"', '"y"')
    third = INPUT.replace('"x"', '"z"').replace("dim: 8", "dim: 4")
    text = INPUT + other + third
    text += 'layer { name: "e" type: "Eltwise" bottom: "x" bottom: "y" top: "e" }'
    text += layer("r", "ReLU", "z", "r")
    shapes = {v.name: v.shape for v in build(text).inputs}
    assert shapes["x"] == shapes["y"] == ("batch", 2, "height", "width")
    assert shapes["z"] == ("batch", 2, "z_height", "z_width")


def test_fillers_are_seeded_layer_by_layer() -> None:
    filled = CONV.replace("kernel_size: 3", 'kernel_size: 3 weight_filler { type: "xavier" }')
    first, again = build(INPUT + filled), build(INPUT + layer("r", "ReLU", "x", "q") + filled)
    assert np.array_equal(first.nodes[0].blobs[0], again.nodes[-1].blobs[0])
    other = build(INPUT + filled, seed=1)
    assert not np.array_equal(first.nodes[0].blobs[0], other.nodes[0].blobs[0])
    assert first.notes == ["weights drawn by the prototxt's fillers, seed 0"]
    limit = np.sqrt(3 / 18)
    assert 0.8 * limit < np.abs(first.nodes[0].blobs[0]).max() <= limit


def test_legacy_shapes_fit() -> None:
    weights = {"c": [np.ones((3, 2, 3, 3), np.float32), np.ones((1, 1, 1, 3), np.float32)]}
    assert build(INPUT + CONV, weights=weights).nodes[0].blobs[1].shape == (3,)


def test_shared_blobs_are_one_array() -> None:
    shared = CONV.replace('top: "c"', 'top: "c" param { name: "w" } param { name: "b" }')
    text = INPUT + shared + shared.replace('"c"', '"d"')
    graph = build(text)
    assert graph.nodes[0].blobs[0] is graph.nodes[1].blobs[0]
    model = converters.to_onnx(graph)
    assert [t.name for t in model.graph.initializer] == ["c.weight", "c.bias"]
    module = converters.to_torch(graph)
    assert len(list(module.parameters())) == 2


POOL9 = "pooling_param { kernel_size: 9 }"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            INPUT + layer("c", "ReLU", "data", "c"),
            "n:2:1: layer 'c' (ReLU): bottom 'data' is not there; no layer of this phase writes it",
        ),
        (
            INPUT + layer("a", "ReLU", "b", "a") + layer("b", "ReLU", "a", "b"),
            "n:2:1: layer 'a' (ReLU): bottom 'b' is written only later, by layer 'b' (ReLU) at "
            "line 3; a cycle, or layers out of order",
        ),
        (
            INPUT + CONV + layer("d", "ReLU", "x", "c"),
            "n:3:1: layer 'd' (ReLU): top 'c' is written already by layer 'c' (Convolution) at "
            "line 2; give it another name, or make it the bottom as well to work in place",
        ),
        (
            INPUT + layer("a", "Foo", "x", "a") + layer("b", "Bar", "a", "b"),
            "n:2:1: unknown layer types: 'a' (Foo) at 2:1, 'b' (Bar) at 3:1; `zoo layers` lists "
            "the known types; register others with plugins='FILE.py'",
        ),
        (
            INPUT + CONV.replace("kernel_size", "kernel_sise"),
            "n:2:94: unknown field 'kernel_sise' in convolution_param; did you mean 'kernel_size'?",
        ),
        (
            INPUT
            + CONV.replace("kernel_size: 3", "kernel_sise: 3 zoom: 1")
            + layer("d", "ReLU", "c", "d").replace("type", "relu_parm {} type"),
            "n:2:94: 3 unknown fields: 'kernel_sise' in convolution_param at 2:94 (meant: "
            "'kernel_size'?), 'zoom' in convolution_param at 2:109, 'relu_parm' of layer 'd' "
            "(ReLU) at 3:19 (meant: 'relu_param'?)",
        ),
        (
            INPUT + CONV.replace("convolution_param", "convolution_parm"),
            "n:2:60: layer 'c' (Convolution): unknown field 'convolution_parm'; "
            "did you mean 'convolution_param'?",
        ),
        (
            INPUT + CONV.replace("kernel_size: 3", "kernel_size: 9"),
            "n:2:1: layer 'c' (Convolution): kernel 9x9 with dilation 1x1 is larger than its 8x8 "
            "input padded by 0x0; give a larger shapes",
        ),
        (
            INPUT + layer("p", "Pooling", "x", "p", POOL9),
            "n:2:1: layer 'p' (Pooling): kernel 9x9 is larger than its 8x8 input padded by 0x0; "
            "give a larger shapes",
        ),
        (
            INPUT + 'layer { name: "e" type: "Eltwise" bottom: "x" top: "e" }',
            "n:2:1: layer 'e' (Eltwise): has 1 bottoms, needs 2 or more",
        ),
        (
            'layer { name: "d" type: "Data" top: "x" }' + CONV,
            "n:1:1: layer 'd': nothing fixes the shape of 'x'; give shapes={'x': (1, 3, 224, 224)}",
        ),
        (INPUT, "n: the network has no layers besides its inputs"),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(prototxt.ZooError) as caught:
        build(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            {"q": [np.ones(1)]},
            "n:2:1: layer 'c' (Convolution): the caffemodel has no weights for it; the file has q; "
            "lenient=True draws them by the fillers",
        ),
        (
            {"b": [np.ones(2)], "q": [np.ones((3, 2, 3, 3)), np.ones(3)]},
            "n:2:1: layer 'c' (Convolution): the caffemodel has no weights for it; by shape, q of "
            "the file would fit: name the layer so, or lenient=True draws them by the fillers",
        ),
        (
            {"c": [np.ones((3, 2, 3, 3))]},
            "n:2:1: layer 'c' (Convolution): the caffemodel has 1 blobs for it, the prototxt asks "
            "for 2 (weight, bias)",
        ),
        (
            {"c": [np.ones((3, 2, 5, 5)), np.ones(3)]},
            "n:2:1: layer 'c' (Convolution): weight is 3x2x5x5 in the caffemodel, 3x2x3x3 by the "
            "prototxt; the two files are not of the same network, or shapes differs",
        ),
    ],
)
def test_weights_that_do_not_fit(weights: dict[str, list[np.ndarray]], message: str) -> None:
    with pytest.raises(ConversionError) as caught:
        build(INPUT + CONV, weights=weights)
    assert str(caught.value) == message


def test_lenient_draws_and_warns() -> None:
    said: list[str] = []
    graph = build(INPUT + CONV, weights={"q": [np.ones(1)]}, lenient=True, warn=said.append)
    assert len(graph.nodes[0].blobs) == 2
    assert len(said) == 1 and "no weights for it" in said[0]


def test_an_earlier_writing_can_be_asked_for() -> None:
    graph = build(INPUT + CONV + layer("r", "ReLU", "c", "c"), outputs=["c/c", "c"])
    assert [v.name for v in graph.outputs] == ["c/c", "c"]


def test_unknown_outputs_and_shapes_are_refused() -> None:
    with pytest.raises(ConversionError, match="no blob 'd' to output"):
        build(INPUT + CONV, outputs=["d"])
    with pytest.raises(ConversionError, match="shapes names 'y', which is not an input"):
        build(INPUT + CONV, shapes={"y": (1,)})


def test_a_type_registers_once(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="'ReLU' is registered already"):
        converters.register("ReLU")(converters.LayerType)


def test_a_plugin_brings_its_own_layer(tmp_path: Path) -> None:
    plugin = tmp_path / "twice.py"
    plugin.write_text(
        "from converters import LayerType, register\n"
        '@register("TestTwice")\n'
        "class Twice(LayerType):\n"
        "    def shapes(self, node): return [node.inputs[0].shape]\n"
        '    def onnx(self, node, b): b.op("Add", node.inputs[0], node.inputs[0], '
        "out=node.outputs[0])\n"
    )
    text = INPUT + layer("t", "TestTwice", "x", "t")
    path = tmp_path / "n.prototxt"
    path.write_text(text)
    graph = converters.load_graph(path, plugins=[plugin])
    assert [n.op_type for n in converters.to_onnx(graph).graph.node] == ["Add"]
    broken = tmp_path / "broken.py"
    broken.write_text("1/0")
    with pytest.raises(ConversionError, match="the plugin failed: ZeroDivisionError"):
        converters.load_plugin(broken)


def test_public_names() -> None:
    for package in (converters, prototxt):
        assert sorted(package.__all__) == sorted(set(package.__all__))
        assert all(getattr(package, name) is not None for name in package.__all__)


def test_a_label_does_not_give_the_channels_of_the_images_beside_it() -> None:
    text = 'layer { name: "d" type: "Data" top: "x" top: "l" transform_param { crop_size: 8 } }\n'
    text += CONV.replace("num_output: 3", "num_output: 4")
    text += 'layer { name: "e" type: "SoftmaxWithLoss" bottom: "c" bottom: "l" top: "e" }'
    graph = build(text)
    assert graph.nodes[0].blobs[0].shape == (4, 3, 3, 3)
    assert graph.notes[0] == (
        "input x 3x8x8: crop_size, channels taken to be those of colour images"
    )
    assert build(text, shapes={"x": (1, 5, 8, 8)}).nodes[0].blobs[0].shape == (4, 5, 3, 3)


@pytest.mark.parametrize(("how", "rows"), [("", 4), ("ceil_mode: true", 4), ("ceil_mode: false", 3),
                                           ("round_mode: FLOOR", 3)])  # fmt: skip
def test_how_pooling_rounds(how: str, rows: int) -> None:
    """`ceil_mode` is the forks' word for BVLC's later `round_mode`; both round up by default."""
    pool = f"pooling_param {{ kernel_size: 3 stride: 2 {how} }}"
    (value,) = build(INPUT + layer("p", "Pooling", "x", "p", pool), open_dims=False).outputs
    assert value.shape == (1, 2, rows, rows)


def test_a_plane_of_one_place_stands_for_that_of_the_run() -> None:
    """As OpenPose's inputs, 1x3x1x1, which its program reshapes; where 1x1 fits, it is meant."""
    small = INPUT.replace("dim: 8 dim: 8", "dim: 1 dim: 1")
    graph = build(small + CONV)
    assert graph.inputs[0].shape == ("batch", 2, "height", "width")
    with pytest.raises(ConversionError, match="larger than its 1x1 input"):
        build(small + CONV, open_dims=False)
    whole = 'layer { name: "f" type: "InnerProduct" bottom: "c" top: "f" inner_product_param { num_output: 2 } }'  # noqa: E501
    with pytest.raises(ConversionError, match="larger than its 1x1 input"):
        build(small + CONV + whole)
    assert build(small + CONV.replace("kernel_size: 3", "kernel_size: 1") + whole, open_dims=False)
