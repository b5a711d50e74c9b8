"""Python layers: py-faster-rcnn's proposals, those of plugins, those that nobody knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import converters
from converters import ConversionError
from converters.layers.python import make_anchors, mapping
from converters.registry import find
from tests.converters.checker import run_onnx, run_torch
from tests.converters.forks import agree, build, inputs, layer, refused
from tests.converters.oracles.rcnn import anchors, propose

pytestmark = pytest.mark.oracle


def python(module: str, name: str, param_str: str = "") -> str:
    return f'python_param {{ module: "{module}" layer: "{name}" param_str: "{param_str}" }}'


def proposal(param_str: str = "'feat_stride': 16", tops: str = "rois", **shapes: object) -> str:
    sizes = {"scores": (1, 18, 6, 9), "offsets": (1, 36, 6, 9), "im_info": (1, 3), **shapes}
    params = python("rpn.proposal_layer", "ProposalLayer", param_str)
    return inputs(**sizes) + layer("Python", "scores offsets im_info", params, tops)  # type: ignore[arg-type]


def network_says(seed: int, count: int, height: int, width: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "scores": rng.uniform(size=(1, 2 * count, height, width)).astype(np.float32),
        "offsets": (rng.normal(size=(1, 4 * count, height, width)) * 0.4).astype(np.float32),
    }


def test_anchors_are_those_of_the_papers_code() -> None:
    """The nine that generate_anchors.py lists in its comment, less 1: Matlab counts from 1."""
    assert make_anchors([8, 16, 32]).tolist() == [
        [-84, -40, 99, 55],
        [-176, -88, 191, 103],
        [-360, -184, 375, 199],
        [-56, -56, 71, 71],
        [-120, -120, 135, 135],
        [-248, -248, 263, 263],
        [-36, -80, 51, 95],
        [-80, -168, 95, 183],
        [-168, -344, 183, 359],
    ]
    assert make_anchors([4, 8.5]).tolist() == anchors((4, 8.5))


@pytest.mark.parametrize(
    ("param_str", "stride", "scales"),
    [
        ("'feat_stride': 16", 16, (8, 16, 32)),
        (r"'feat_stride': 8 \n'scales': !!python/tuple [2, 4.3, 8, 16]", 8, (2, 4.3, 8, 16)),
    ],
)
@pytest.mark.parametrize("tops", ["rois", "rois scores_of_rois"])
@pytest.mark.parametrize(("height", "width", "scale"), [(6, 9, 1.0), (14, 10, 1.6)])
def test_proposals(
    param_str: str,
    stride: int,
    scales: tuple[float, ...],
    tops: str,
    height: int,
    width: int,
    scale: float,
) -> None:
    count = 3 * len(scales)
    feeds = network_says(height, count, height, width)
    feeds["im_info"] = np.array([[height * stride, width * stride - 5, scale]], np.float32)
    rois, scores = propose(feeds["scores"], feeds["offsets"], feeds["im_info"], stride, scales)
    assert 20 < len(rois) <= 300
    shapes = {"scores": (1, 2 * count, 5, 5), "offsets": (1, 4 * count, 5, 5)}
    text = proposal(param_str, tops, **shapes)
    graph = build(text)
    assert graph.outputs[0].shape == ("l_rois", 5)
    assert graph.inputs[0].shape == (1, 2 * count, "height", "width")
    expected = dict(zip(tops.split(), (rois, scores), strict=False))
    agree(text, feeds, expected)


def test_no_more_than_three_hundred() -> None:
    feeds = network_says(1, 9, 22, 24)
    feeds["offsets"] *= 0.1
    feeds["im_info"] = np.array([[2000, 2000, 0.5]], np.float32)
    rois, _ = propose(feeds["scores"], feeds["offsets"], feeds["im_info"], 16)
    assert len(rois) == 300
    agree(proposal(), feeds, {"rois": rois}, closed=False)


def test_no_region_is_large_enough() -> None:
    feeds = network_says(2, 9, 3, 4)
    feeds["im_info"] = np.array([[48, 64, 9.0]], np.float32)
    rois, scores = propose(feeds["scores"], feeds["offsets"], feeds["im_info"], 16)
    assert rois.shape == (0, 5)
    agree(proposal(tops="rois s"), feeds, {"rois": rois, "s": scores})


def test_in_training_more_are_proposed() -> None:
    limits = build(proposal(), phase="TRAIN").nodes[0]

    kind = find("Python:rpn.proposal_layer.ProposalLayer")
    assert kind is not None
    assert kind.limits(limits)[:2] == (12000, 2000)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (proposal(""), "feat_stride of param_str is missing"),
        (proposal("'feat_stride': 1.5"), "not a whole number above 0"),
        (
            proposal("feat_stride"),
            "param_str is not understood at 'feat_stride'; one `'name': value`",
        ),
        (proposal("'feat_stride': __import__('os')"), "is not understood at"),
        (
            proposal(r"'feat_stride': 16\n'ratios': [1, 2]"),
            "'ratios' of param_str is not supported",
        ),
        (proposal(r"'feat_stride': 16\n'scales': 8"), "must be a list of numbers above 0"),
        (
            proposal(r"'feat_stride': 16\n'scales': [8]"),
            "3 anchors need 6 scores and 12 offsets, not 18",
        ),
        (proposal(scores=(2, 18, 6, 9)), "takes one image at a time, not 2"),
        (proposal(im_info=(1, 4)), "im_info has 3 numbers, not 1x4"),
    ],
)
def test_proposals_refuse(text: str, match: str) -> None:
    refused(text, match)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("", {}),
        ("'a': 1", {"a": 1}),
        (
            'a: 1.5\n"b": [1, 2]\n# comment\nc: !!python/tuple [3]',
            {"a": 1.5, "b": [1, 2], "c": [3]},
        ),
        ("{'a': 1, 'b': (2, 'x')}", {"a": 1, "b": (2, "x")}),
        (
            "a: true\nb: Null\nc: data/train.txt\nd: 'two words'",
            {"a": True, "b": None, "c": "data/train.txt", "d": "two words"},
        ),
    ],
)
def test_param_str(source: str, found: dict[str, object]) -> None:
    assert mapping(source) == found


@pytest.mark.parametrize(
    "source", ["a", "a:1", "a: 1 + ", "a: f(1)", "{1, 2}", "{'a': open('x')}", "a: [1, f()]"]
)
def test_param_str_is_never_evaluated(source: str) -> None:
    with pytest.raises(ValueError, match="is not understood"):
        mapping(source)


def test_unknown_python_layers_are_named_by_module_and_class() -> None:
    text = inputs(x=(1, 3, 8, 8)) + layer("Python", "x", python("my.layers", "Twice"), "y")
    text += layer("Python", "y", python("other", "Thrice"), "z", "m")
    match = (
        r"n:2:1: unknown layer types: 'l' \(Python:my.layers.Twice\) at 2:1, "
        r"'m' \(Python:other.Thrice\) at 3:1; .*register others with plugins="
    )
    refused(text, match)


def test_python_layers_without_bottoms_bring_data_in() -> None:
    """What they give is said by `shapes`, labels leave with their loss."""
    text = layer("Python", "", python("my_layers", "Photographs", "{'seed': 1}"), "data label")
    text += layer("ReLU", "data", tops="r", name="r") + layer(
        "SoftmaxWithLoss", "r label", tops="loss", name="s"
    )
    match = (
        r"layer 'l': nothing fixes the shape of 'data'; give shapes=\{'data': \(1, 3, 224, 224\)\}"
    )
    refused(text, match)
    graph = build(text, shapes={"data": (1, 3, "h", "w")})
    assert [(v.name, v.shape) for v in graph.inputs] == [("data", (1, 3, "h", "w"))]


def test_python_losses_are_pruned() -> None:
    text = inputs(x=(1, 3, 8, 8)) + layer("ReLU", "x", tops="r", name="r")
    text += layer("Python", "r x", python("pyloss", "EuclideanLossLayer"), "loss")
    assert [v.name for v in build(text).outputs] == ["r"]


PLUGIN = """
from converters import register
from converters.layers.python import PythonLayer


@register("Python:my_layers.Times", message="python_param")
class Times(PythonLayer):
    def shapes(self, node):
        return [node.inputs[0].shape]

    def onnx(self, node, b):
        import numpy as np

        b.op("Mul", node.inputs[0], np.float32(self.settings(node)["by"]), out=node.outputs[0])

    def torch(self, node):
        from converters.layers.torch.activations import Power

        return Power(power=1.0, scale=self.settings(node)["by"], shift=0.0)
"""


def test_a_plugin_brings_a_python_layer(tmp_path: Path) -> None:
    (tmp_path / "times.py").write_text(PLUGIN)
    converters.load_plugin(tmp_path / "times.py")
    x = np.random.default_rng(3).normal(size=(2, 3, 4, 5)).astype(np.float32)
    text = inputs(x=(1, 3, 8, 8)) + layer("Python", "x", python("my_layers", "Times", "by: 2.5"))
    agree(text, {"x": x}, {"y": x * np.float32(2.5)})


def test_a_plugin_is_loaded_again_only_where_it_has_changed(tmp_path: Path) -> None:
    first, second = tmp_path / "mine.py", tmp_path / "b" / "mine.py"
    second.parent.mkdir()
    source = PLUGIN.replace("my_layers.Times", "my_layers.Again").replace("Times", "Again")
    first.write_text(source)
    text = inputs(x=(1, 2)) + layer("Python", "x", python("my_layers", "Again", "by: 2"))
    x = np.ones((1, 2), np.float32)
    for _ in range(2):
        converters.load_plugin(first)
        agree(text, {"x": x}, {"y": 2 * x})
    first.write_text(source.replace('["by"]', '["by"] * 2'))
    converters.load_plugin(first)
    agree(text, {"x": x}, {"y": 4 * x})
    # Another file of the same stem may not take its type, and leaves nothing when it fails.
    second.write_text(source.replace("my_layers.Again", "my_layers.Other") + "\n" + source)
    with pytest.raises(ConversionError, match=r"'Python:my_layers\.Again' is registered already"):
        converters.load_plugin(second)
    assert find("Python:my_layers.Other") is None


def dropout(settings: str) -> str:
    return layer("Python", "x", python("spatial_dropout", "SpatialDropoutLayer", settings))


def test_enets_spatial_dropout_scales_at_test() -> None:
    """Its code multiplies by 1 / (1 - p) whether or not it drops."""
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 5)).astype(np.float32)
    text = inputs(x=(1, 3, 8, 8)) + dropout("{'phase': 'TEST', 'p': '0.2'}")
    agree(text, {"x": x}, {"y": x * np.float32(1.25)})


def test_spatial_dropout_of_a_training_passes_everything() -> None:
    x = np.random.default_rng(2).normal(size=(2, 3, 4, 5)).astype(np.float32)
    text = inputs(x=(1, 3, 8, 8)) + dropout("{'phase': 'TRAIN', 'p': 0.5}")
    graph = build(text, phase="TRAIN")
    for found in (run_onnx(converters.to_onnx(graph), {"x": x}), run_torch(graph, {"x": x})):
        assert np.array_equal(found[0], x)
    assert not graph.notes
    assert build(text).notes == [
        "n:2:1: layer 'l' (Python): drops at random at test too ('phase': 'TRAIN'); taken as "
        "'phase': 'TEST'"
    ]
    agree(text, {"x": x}, {"y": x * np.float32(2)})


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ("{'phase': 'TEST'}", "p of param_str is missing or not a number"),
        ("{'phase': 'TEST', 'p': 'much'}", "p of param_str is missing or not a number"),
        ("{'phase': 'TEST', 'p': 1}", r"p 1 is not in \(0, 1\)"),
    ],
)
def test_spatial_dropout_needs_a_share(settings: str, match: str) -> None:
    refused(inputs(x=(1, 3, 8, 8)) + dropout(settings), match)


def test_spatial_dropout_is_for_maps() -> None:
    refused(inputs(x=(2, 3)) + dropout("{'p': .1}"), "needs a 4-D input, not 2x3")


def test_what_only_the_run_tells_is_an_error_of_the_layer() -> None:
    """As R-FCN's regions, reshaped to rows of a length that does not divide what each gives."""
    text = proposal() + layer(
        "Reshape", "rois", "reshape_param { shape { dim: -1 dim: 3 } }", "y", "m"
    )
    refused(text, r"layer 'm' \(Reshape\): needs to know l_rois, which only the run tells")
