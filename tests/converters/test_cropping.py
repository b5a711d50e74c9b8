"""CropCenter, demosaicnet's Python layers, and two published networks that have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import converters
import prototxt
from tests.converters.checker import close, run_onnx, run_torch
from tests.converters.forks import agree, build, inputs, layer, refused
from tests.converters.oracles.networks import run

pytestmark = pytest.mark.oracle

TRAINED = Path(__file__).parents[3] / "shared" / "caffe" / "trained"


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def python(name: str) -> str:
    return f'python_param {{ module: "demosaicnet.layers" layer: "{name}" }}'


@pytest.mark.parametrize(
    ("sizes", "shape"), [((0, 0, 2, 1), (2, 3, 5, 8)), ((0, 1, 0, 0), (2, 3, 4, 4)), ((0,), (5,))]
)
def test_crop_center(sizes: tuple[int, ...], shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    params = " ".join(f"crop_size: {size}" for size in sizes)
    text = inputs(x=(1, *shape[1:])) + layer("CropCenter", "x", f"crop_center_param {{ {params} }}")
    expected = x[tuple(np.s_[c : n - c] for c, n in zip(sizes, shape, strict=True))]
    agree(text, {"x": x}, {"y": expected})


@pytest.mark.parametrize("size", [(3, 4), (8, 7), (4, 4)])
def test_crop_like(size: tuple[int, int]) -> None:
    x, like = normal(2, 3, 8, 7), normal(2, 3, *size, seed=1)
    top, left = (8 - size[0]) // 2, (7 - size[1]) // 2
    text = inputs(x=(1, 3, 6, 6), like=(1, 3, 5, 5)) + layer(
        "Python", "x like", python("CropLikeLayer")
    )
    expected = x[:, :, top : top + size[0], left : left + size[1]]
    agree(text, {"x": x, "like": like}, {"y": expected})


def bayer(x: np.ndarray) -> np.ndarray:
    y = np.zeros_like(x)
    y[:, 1, ::2, ::2] = x[:, 1, ::2, ::2]
    y[:, 0, ::2, 1::2] = x[:, 0, ::2, 1::2]
    y[:, 2, 1::2, ::2] = x[:, 2, 1::2, ::2]
    y[:, 1, 1::2, 1::2] = x[:, 1, 1::2, 1::2]
    return y


def xtrans(x: np.ndarray) -> np.ndarray:
    """By the places that layers.py lists of each colour."""
    red = [(0, 4), (1, 0), (1, 2), (2, 4), (3, 1), (4, 3), (4, 5), (5, 1)]
    blue = [(0, 1), (1, 3), (1, 5), (2, 1), (3, 4), (4, 0), (4, 2), (5, 4)]
    y = np.zeros_like(x)
    for row, column in np.ndindex(*x.shape[2:]):
        place = row % 6, column % 6
        colour = 0 if place in red else 2 if place in blue else 1
        y[:, colour, row, column] = x[:, colour, row, column]
    return y


@pytest.mark.parametrize("size", [(6, 8), (7, 5), (13, 14)])
def test_mosaics(size: tuple[int, int]) -> None:
    x = normal(2, 3, *size)
    for name, expected in (("BayerMosaickLayer", bayer(x)), ("XTransMosaickLayer", xtrans(x))):
        agree(
            inputs(x=(1, 3, 4, 4)) + layer("Python", "x", python(name)), {"x": x}, {"y": expected}
        )


def test_packed_mosaics() -> None:
    x = normal(2, 3, 6, 8)
    packed = np.stack(
        [
            x[:, 1, ::2, ::2],
            x[:, 0, ::2, 1::2],
            x[:, 2, 1::2, ::2],
            x[:, 1, 1::2, 1::2],
        ],
        1,
    )
    text = inputs(x=(1, 3, 6, 8)) + layer("Python", "x", python("PackBayerMosaickLayer"))
    agree(text, {"x": x}, {"y": packed}, open_dims=False)
    x = normal(2, 12, 3, 4)
    y = np.zeros((2, 3, 6, 8), np.float32)
    for c in range(3):
        for i in range(4):
            y[:, c, i // 2 :: 2, i % 2 :: 2] = x[:, 4 * c + i]
    text = inputs(x=(1, 12, 5, 5)) + layer("Python", "x", python("UnpackBayerMosaickLayer"))
    agree(text, {"x": x}, {"y": y})


def test_replicate_like() -> None:
    x, like = normal(3), normal(3, 4, 5, 6)
    text = inputs(x=(1,), like=(1, 4, 3, 3)) + layer(
        "Python", "x like", python("ReplicateLikeLayer")
    )
    expected = np.broadcast_to(x[:, None, None, None], (3, 1, 5, 6))
    agree(text, {"x": x, "like": like}, {"y": expected})


@pytest.mark.skipif(not TRAINED.is_dir(), reason="the published networks are not here")
@pytest.mark.parametrize(
    ("name", "shape", "output"),
    [("demosaic", (2, 3, 72, 78), "output"), ("w2x_upresnet10", (1, 3, 34, 41), "/conv_post")],
)
def test_published_networks(name: str, shape: tuple[int, ...], output: str) -> None:
    """As a whole, in every target and in PyTorch, like numpy."""
    folder = TRAINED / name
    net = prototxt.read_net(folder / "net.prototxt").select("TEST")
    weights = prototxt.read_weights(folder / "net.caffemodel")
    x = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
    graph = converters.load_graph(folder / "net.prototxt", folder / "net.caffemodel")
    feeds = {graph.inputs[0].name: x}
    expected = run(net, weights, feeds)[output]
    assert [v.name for v in graph.outputs] == [output]
    for variant in (graph, converters.fold(graph)):
        for target in converters.FORMS:
            (found,) = run_onnx(converters.to_onnx(variant, target=target), feeds)
            assert found.shape == expected.shape
            close(output, found, expected)
    close(output, run_torch(graph, feeds)[0], expected)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            inputs(x=(1, 3, 5, 5)) + layer("CropCenter", "x", "crop_center_param { crop_size: 1 }"),
            "1 crop_size for a 1x3x5x5 input",
        ),
        (
            inputs(x=(1, 3, 4))
            + layer(
                "CropCenter", "x", "crop_center_param { crop_size: 0 crop_size: 0 crop_size: 2 }"
            ),
            r"crop_size \[0, 0, 2\] leaves nothing of 1x3x4; give a larger shapes",
        ),
        (
            inputs(x=(1, 3, 4, 4), y=(1, 3, 5, 4))
            + layer("Python", "x y", python("CropLikeLayer"), "z"),
            "cannot cut 1x3x5x4 from 1x3x4x4",
        ),
        (
            inputs(x=(1, 3, 4, 4), y=(1, 2, 4, 4))
            + layer("Python", "x y", python("CropLikeLayer"), "z"),
            "its bottoms differ in images or channels: 1x3x4x4, 1x2x4x4",
        ),
        (
            inputs(x=(1, 1, 4, 4)) + layer("Python", "x", python("BayerMosaickLayer")),
            "needs 3 channels, not 1",
        ),
        (
            inputs(x=(1, 3, 5, 4)) + layer("Python", "x", python("PackBayerMosaickLayer")),
            "needs an even height and width, not 5x4",
        ),
    ],
)
def test_refused(text: str, match: str) -> None:
    refused(text, match, open_dims=False)


def test_sizes_stay_open() -> None:
    text = inputs(x=(1, 3, 8, 8)) + layer(
        "CropCenter",
        "x",
        "crop_center_param { crop_size: 0 crop_size: 0 crop_size: 2 crop_size: 2 }",
    )
    assert build(text).outputs[0].shape == ("batch", 3, "height-4", "width-4")


def test_crops_beside_a_mean_field_align_as_in_its_fork() -> None:
    """crop_layer.cpp of torrvision/caffe (d779ee3) aligns as FCN's did."""
    text = inputs(x=(1, 3, 12, 12)) + layer(
        "Convolution", "x", "convolution_param { num_output: 2 kernel_size: 5 stride: 2 }", "c", "c"
    )
    text += layer(
        "Deconvolution",
        "c",
        "convolution_param { num_output: 2 kernel_size: 7 stride: 2 }",
        "d",
        "d",
    )
    text += "layer { name: 'k' type: 'Crop' bottom: 'd' bottom: 'x' top: 'k' }\n"
    thetas = "theta_alpha: 5 theta_beta: 3 theta_gamma: 3"
    whole = f"multi_stage_meanfield_param {{ {thetas} num_iterations: 2 }}"
    crf = layer("MultiStageMeanfield", "k k x", whole, "y", "m")
    alone = build(text)
    crops = {node.name: node for node in build(text + crf).nodes}
    assert alone.nodes[-1].type == "Crop" and "cuts at offset 0" in alone.notes[0]
    assert crops["k"].type == "AlignedCrop"
    stated = text.replace("top: 'k' }", "top: 'k' crop_param { axis: 2 offset: 1 } }")
    assert {node.type for node in build(stated + crf).nodes} >= {"Crop"}
