"""Fold and split: the same numbers from fewer nodes, from two halves, at every size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import converters
import prototxt
from converters import ConversionError, Graph
from converters.layers.convolution import as_convolution
from tests.converters.checker import Case, close, run_onnx, run_torch

GOLDENS = Path(__file__).parents[1] / "goldens"
TUNNEL = GOLDENS / "nets" / "tunnel_v1_4_6_8"
SIZES = [(32, 32), (24, 40), (25, 39)]


def tunnel(**options: object) -> Graph:
    return converters.load_graph(
        TUNNEL / "net.prototxt",
        TUNNEL / "net.caffemodel",
        **options,  # type: ignore[arg-type]
    )


def photo(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(2, 3, *size)).astype(np.float32)


def test_what_folding_leaves() -> None:
    before = tunnel()
    after = converters.fold(before)
    assert "Deconvolution" in {n.type for n in before.nodes}
    assert "Deconvolution" not in {n.type for n in after.nodes}
    assert [v.name for v in after.outputs] == [v.name for v in before.outputs]


def test_batch_norm_and_scale_disappear_into_the_convolution() -> None:
    case = Case(GOLDENS / "nets" / "resnet_like")
    graph = converters.fold(case.graph())
    assert not {"BatchNorm", "Scale", "Dropout"} & {n.type for n in graph.nodes}
    case.compare(graph, run_onnx(converters.to_onnx(graph), case.feeds_of(graph)))


@pytest.mark.parametrize("variance", [0, -1, 1e38])
def test_what_is_no_number_is_no_news_to_numpy(variance: float) -> None:
    """As in Caffe it goes into the model; pytest makes errors of numpy's warnings."""
    graph = converters.build_graph(
        prototxt.parse_net(
            """input: "x" input_shape { dim: 1 dim: 2 dim: 3 dim: 3 }
            layer { name: "c" type: "Convolution" bottom: "x" top: "c"
              convolution_param { num_output: 2 kernel_size: 1 } }
            layer { name: "b" type: "BatchNorm" bottom: "c" top: "c" batch_norm_param { eps: 0 } }
            layer { name: "s" type: "Scale" bottom: "c" top: "c" }""",
            "n",
        ).select(),
        {
            "c": [np.full((2, 2, 1, 1), 3e38, np.float32), np.ones(2, np.float32)],
            "b": [np.ones(2, np.float32), np.full(2, variance, np.float32), np.ones(1, np.float32)],
            "s": [np.full(2, 1e38, np.float32)],
        },
    )
    x = np.ones((1, 2, 3, 3), np.float32)
    (plain,), (folded,) = (
        run_onnx(converters.to_onnx(g), {"x": x}) for g in (graph, converters.fold(graph))
    )
    assert not np.isfinite(plain).any() and not np.isfinite(folded).any()


def test_folding_changes_no_shared_or_watched_layer() -> None:
    case = Case(GOLDENS / "nets" / "resnet_like")
    names = [n.outputs[0].name for n in case.graph().nodes if n.type == "Convolution"]
    graph = case.graph(outputs=[names[0], *case.expected])
    folded = converters.fold(graph)
    plain = run_onnx(converters.to_onnx(graph), case.feeds_of(graph))
    for value, a, b in zip(
        graph.outputs,
        run_onnx(converters.to_onnx(folded), case.feeds_of(graph)),
        plain,
        strict=True,
    ):
        close(value.name, a, b)


@pytest.mark.parametrize("group", [1, 2])
def test_a_turned_deconvolution_is_the_convolution(group: int) -> None:
    graph = tunnel()
    node = next(n for n in graph.nodes if n.name == "deconv3_1")
    node.params.group = group
    rng = np.random.default_rng(0)
    node.blobs[0] = rng.normal(size=(8, 8 // group, 3, 3)).astype(np.float32)
    turned = as_convolution(node)
    assert turned is not None
    import torch
    from torch.nn import functional as F

    x = torch.from_numpy(rng.normal(size=(1, 8, 5, 6)).astype(np.float32))
    ours = F.conv2d(x, torch.from_numpy(turned), padding=1, groups=group)
    caffes = F.conv_transpose2d(x, torch.from_numpy(node.blobs[0]), padding=1, groups=group)
    close("y", ours.numpy(), caffes.numpy())


@pytest.mark.parametrize("target", converters.FORMS)
@pytest.mark.parametrize("size", SIZES)
def test_one_model_serves_every_size(target: str, size: tuple[int, int]) -> None:
    """The prototxt says unpool_size 8, 16, 32: ours follows the plane that was pooled."""
    graph = converters.fold(tunnel())
    x = photo(size)
    found = run_onnx(converters.to_onnx(graph, target=target), {"data": x})
    assert found[0].shape == x.shape
    for value, a, b in zip(graph.outputs, found, run_torch(graph, {"data": x}), strict=True):
        close(value.name, a, b)


@pytest.mark.parametrize("target", converters.FORMS)
@pytest.mark.parametrize("size", SIZES[:2])
def test_two_halves_make_the_whole(target: str, size: tuple[int, int]) -> None:
    whole = converters.fold(tunnel())
    encoder, decoder = converters.split(whole)
    assert [v.name for v in decoder.inputs] == ["pool1_mask", "pool2_mask", "pool3_mask"]
    assert [v.name for v in encoder.outputs] == [v.name for v in decoder.inputs]
    assert not {n.name for n in encoder.nodes} & {n.name for n in decoder.nodes}
    x = photo(size)
    masks = run_onnx(converters.to_onnx(encoder, target=target), {"data": x})
    feeds = {v.name: m for v, m in zip(decoder.inputs, masks, strict=True)}
    (picture,) = run_onnx(converters.to_onnx(decoder, target=target), feeds)
    expected = run_onnx(converters.to_onnx(whole), {"data": x})[0]
    close("deconv1_2", picture, expected)
    close("deconv1_2", run_torch(decoder, feeds)[0], expected)


def test_a_given_size_is_followed_too() -> None:
    graph = tunnel(shapes={"data": (1, 3, 24, 40)})
    assert graph.outputs[0].shape == (1, 3, 24, 40)


def test_features_that_matter_cross_the_cut() -> None:
    graph = tunnel()
    bias = next(n for n in graph.nodes if n.name == "bias4")
    bias.blobs[0] = np.ones_like(bias.blobs[0])
    _, decoder = converters.split(graph)
    assert "pool3" in [v.name for v in decoder.inputs]


def test_only_what_has_switches_can_be_split() -> None:
    lenet = GOLDENS / "nets" / "lenet" / "net.prototxt"
    with pytest.raises(ConversionError, match="nothing to split: no Unpooling reads a mask"):
        converters.split(converters.load_graph(lenet))


def test_a_clone_shares_nothing_that_passes_change() -> None:
    graph = tunnel()
    twin = graph.clone()
    twin.nodes[0].name = "other"
    twin.nodes[0].blobs[0] = np.zeros(1)
    twin.inputs[0].name = "other"
    assert graph.nodes[0].name == "conv1_1"
    assert graph.nodes[0].blobs[0].size > 1
    assert graph.inputs[0].name == "data"
