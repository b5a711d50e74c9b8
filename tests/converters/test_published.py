"""Layers of published networks: JAANet, DenseReg, SphereFace, channel pruning, and others."""

from __future__ import annotations

import numpy as np
import pytest

import converters
from converters.fillers import Filler, fill
from tests.converters.forks import agree, build, inputs, layer, refused
from tests.converters.oracles.published import combine, resize, stochastic, unit_masks

pytestmark = pytest.mark.oracle


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def division(sizes: str, places: list[tuple[int, int]], kind: str = "division_param") -> str:
    coordinates = " ".join(f"ycoord: {y} xcoord: {x}" for y, x in places)
    return f"{kind} {{ {sizes} {coordinates} }}"


def test_division() -> None:
    x = normal(2, 3, 6, 8)
    places = [(0, 0), (1, 4), (3, 2)]
    text = inputs(x=(1, 3, 9, 9)) + layer(
        "Division", "x", division("height: 3 width: 4", places), "a b c"
    )
    tops = [x[:, :, r : r + 3, c : c + 4] for r, c in places]
    agree(text, {"x": x}, dict(zip("abc", tops, strict=True)))


def test_combination() -> None:
    """Blocks in any order, of any sizes that tile the plane; and what Division cut apart."""
    x = normal(2, 3, 5, 7)
    places = [(0, 3), (2, 0), (0, 0), (2, 5)]
    spans = [(2, 4), (3, 5), (2, 3), (3, 2)]
    blocks = [x[:, :, r : r + h, c : c + w] for (r, c), (h, w) in zip(places, spans, strict=True)]
    feeds = dict(zip("abcd", blocks, strict=True))
    text = inputs(**{k: (1, *v.shape[1:]) for k, v in feeds.items()}) + layer(
        "Combination", "a b c d", division("", places, "combination_param")
    )
    agree(text, feeds, {"y": x})


MASKS = "au_mask_based_land_param {{ img_size: {0} spatial_ratio: {1} spatial_scale: {2} {3} }}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "ratio", "scale", "coefficient", "fill_value"),
    [(176, 0.14, 0.25, 0.04, 0.0), (40, 0.3, 0.5, 0.075, 0.0), (40, 0.3, 0.5, 0.02, 0.25)],
)
def test_masks_of_action_units(
    size: int, ratio: float, scale: float, coefficient: float, fill_value: float
) -> None:
    marks = (np.random.default_rng(0).uniform(-0.1, 1.1, (2, 98)) * size).astype(np.float32)
    more = f"fill_coeff: {coefficient} fill_value: {fill_value}"
    tops = " ".join(f"m{i}" for i in range(13))
    text = inputs(x=(1, 98)) + layer(
        "AUMaskBasedLand", "x", MASKS.format(size, ratio, scale, more), tops
    )
    expected = unit_masks(marks, size, ratio, scale, coefficient, fill_value)
    agree(text, {"x": marks}, dict(zip(tops.split(), expected, strict=True)))


@pytest.mark.parametrize("module", ["CombineRegressions", "CombineRegressionsHuman"])
def test_combined_regressions(module: str) -> None:
    rng = np.random.default_rng(0)
    feeds = {
        "u": rng.integers(0, 6, (1, 1, 4, 5)).astype(np.float32),
        "v": rng.integers(0, 5, (1, 1, 4, 5)).astype(np.float32),
        "ru": normal(1, 5, 4, 5),
        "rv": normal(1, 5, 4, 5, seed=1),
    }
    params = f'python_param {{ module: "{module}" layer: "CombineRegressionsLayer" }}'
    shapes = {k: (1, a.shape[1], 6, 6) for k, a in feeds.items()}
    text = inputs(**shapes) + layer("Python", "u v ru rv", params, "a b")
    body = module.endswith("Human")
    expected = {
        "a": combine(feeds["u"], feeds["ru"], body),
        "b": combine(feeds["v"], feeds["rv"], body),
    }
    agree(text, feeds, expected)


@pytest.mark.parametrize("kind", ["SINGLE", "QUADRUPLE"])
def test_margin(kind: str) -> None:
    """Every class but the label's gets x'w/|w|, whatever the margin; the label is no input."""
    x, w = normal(4, 3, 2, 1), normal(5, 6, seed=1)
    params = (
        f"margin_inner_product_param {{ num_output: 5 type: {kind} base: 1000 gamma: 0.12"
        " power: 1 lambda_min: 5 iteration: 3 }"
    )
    text = inputs(x=(1, 3, 2, 1), label=(1,)) + layer(
        "MarginInnerProduct", "x label", params, "y lambda"
    )
    rows = w.astype(np.float64) / np.sqrt((w.astype(np.float64) ** 2).sum(1, keepdims=True))
    expected = (x.reshape(4, 6) @ rows.T).astype(np.float32)
    weight = np.array([1000 / (1 + 0.12 * 4)], np.float32)
    graph = agree(text, {"x": x}, {"y": expected, "lambda": weight}, {"l": [w]})
    assert [v.name for v in graph.inputs] == ["x"]
    assert "without the label" in graph.notes[0]


def test_channel_filter() -> None:
    x, chosen = normal(2, 5, 3, 4), np.array([0, 1, 0, 2, 1], np.float32)
    text = inputs(x=(1, 5, 3, 3)) + layer("Filter", "x", "filter_param { num_output: 3 }")
    agree(text, {"x": x}, {"y": x[:, [1, 3, 4]]}, {"l": [chosen]})
    # Nobody has chosen yet.
    agree(text, {"x": x}, {"y": x[:, :3]})
    graph = build(text, {"l": [np.array([0, 1, 0, 0, 1], np.float32)]})
    with pytest.raises(converters.ConversionError, match="select 2 channels, num_output says 3"):
        converters.to_onnx(graph)


@pytest.mark.parametrize(
    "text",
    [
        layer("Noise", "x", "noise_param { gaussian_std: .1 bias: 0 }"),
        layer("SeLuDropout", "x", "selu_dropout_param { dropout_ratio: .05 }"),
    ],
)
def test_drawn_in_training_only(text: str) -> None:
    x = normal(2, 3, 4, 5)
    agree(inputs(x=(1, 3, 4, 4)) + text, {"x": x}, {"y": x})
    assert not build(inputs(x=(1, 3, 4, 4)) + text).notes
    (note,) = build(inputs(x=(1, 3, 4, 4)) + text, phase="TRAIN").notes
    assert "in training, here it passes everything" in note


@pytest.mark.parametrize(
    ("params", "kernel", "stride"),
    [
        ("kernel_size: 2 stride: 2", (2, 2), (2, 2)),
        ("kernel_size: 3 stride: 2", (3, 3), (2, 2)),
        ("kernel_h: 2 kernel_w: 3", (2, 3), (1, 1)),
        ("kernel_size: 1 stride: 3", (1, 1), (3, 3)),
        ("global_pooling: true", (8, 6), (1, 1)),
    ],
)
@pytest.mark.parametrize("signed", [False, True])
def test_stochastic_pooling(
    params: str, kernel: tuple[int, int], stride: tuple[int, int], signed: bool
) -> None:
    """Of what a rectifier gives, as it is used, and of whole numbers of any sign."""
    rng = np.random.default_rng(0)
    x = np.maximum(normal(2, 3, 8, 6), 0)
    if signed:
        x = rng.integers(-3, 5, x.shape).astype(np.float32)
    x[0, 0] = 0
    text = inputs(x=(1, 3, 9, 9)) + layer(
        "Pooling", "x", f"pooling_param {{ pool: STOCHASTIC {params} }}"
    )
    # With gaps between the windows it needs to know the size.
    open_dims = stride <= kernel
    agree(text, {"x": x}, {"y": stochastic(x, kernel, stride)}, open_dims=open_dims)
    refused(text, "STOCHASTIC pooling is not supported in training", phase="TRAIN")


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("Interp", ""),
        ("Interp", "interp_param { use_blob_size: true }"),
        ("BilinearInterpolation", ""),
    ],
)
def test_resized_to_another_blob(kind: str, params: str) -> None:
    x, like = normal(2, 3, 4, 5), normal(2, 1, 7, 9)
    text = inputs(x=(1, 3, 3, 3), like=(1, 1, 6, 6)) + layer(kind, "x like", params)
    agree(text, {"x": x, "like": like}, {"y": resize(x, 7, 9)})


def test_bilinear_interpolation() -> None:
    x = normal(2, 3, 4, 5)
    text = inputs(x=(1, 3, 3, 3)) + layer(
        "BilinearInterpolation", "x", "bilinear_interpolation_param { interpolation_factor: 3 }"
    )
    agree(text, {"x": x}, {"y": resize(x, 12, 15)})


@pytest.mark.parametrize("shape", [(32, 3, 5, 5), (64, 3, 7, 7), (64, 3, 3, 3), (96, 3, 11, 11)])
def test_gabor(shape: tuple[int, ...]) -> None:
    """Its first kernels, from gabor.hpp's formula; nothing is drawn."""
    found = fill(Filler("gabor"), shape, 0, "conv1", 0)
    assert found.shape == shape and found.dtype == np.float32
    assert np.array_equal(found, fill(Filler("gabor"), shape, 7, "other", 1))
    size, kernels = shape[2], {32: (0.5, 0.6, 0.0), 64: (1, 0.4, None), 96: (1 / 3, 0.5, None)}
    height, sigma, phase = kernels[shape[0]]
    sigma = 1.0 if size == 3 else sigma
    phase = np.pi * 12 / 32 if phase is None else phase
    x = 2.0 * np.arange(size) / (size - 1) - 1
    bell = np.exp(-(x[None, :] ** 2 + x[:, None] ** 2) / (2 * sigma**2))
    first = height * bell * np.cos(x[None, :] * np.pi * (size - 1) / 2 + phase)
    assert np.abs(found[0] - first).max() < 1e-6


def test_gabor_of_another_shape() -> None:
    with pytest.raises(ValueError, match="the gabor filler has 32x3x5x5, 64x3x7x7"):
        fill(Filler("gabor"), (64, 1, 7, 7), 0, "conv1", 0)


def test_int8_settings_are_passed_over() -> None:
    settings = "quantization_param { bw_layer_in: 8 scale_in: 70.62 }"
    relu = layer("ReLU", "x", settings, "a", "one") + layer("ReLU", "a", settings, "y", "two")
    graph = build(inputs(x=(1, 3, 4, 4)) + relu)
    assert graph.notes == [
        "quantization_param of 2 layers is passed over: in float32 it is the network that was "
        "quantised (int8, Intel's Caffe)"
    ]


def test_lists_of_regions_put_together() -> None:
    regions = inputs(x=(1, 2, 8, 8), a=(3, 5), b=(2, 5)) + layer(
        "Concat", "a b", "concat_param { axis: 0 }", "r", "c"
    )
    pool = layer("ROIPooling", "x r", "roi_pooling_param { pooled_w: 2 pooled_h: 2 }", "y", "p")
    graph = build(regions + pool)
    rows = np.array([[0, 0, 0, 4, 4], [0, 1, 2, 6, 7], [0, 3, 3, 5, 5]], np.float32)
    from tests.converters.checker import run_onnx

    feeds = {"x": normal(1, 2, 8, 8), "a": rows, "b": rows[:2]}
    own = {v.name: feeds[v.name] for v in graph.inputs}
    (found,) = run_onnx(converters.to_onnx(graph), own)
    assert found.shape == (5, 2, 2, 2) and np.array_equal(found[:2], found[3:])


TRAINING = (
    'layer { name: "data" type: "ImageData" top: "data" transform_param { crop_size: 8 } }'
    + layer("ReLU", "data", "", "y", "r")
)


@pytest.mark.parametrize("name", ["L1", "SSIM", "MSSSIM", "MSSSIML1", "MSSSIML2"])
def test_losses_of_image_restoration_are_pruned(name: str) -> None:
    loss = f'python_param {{ module: "pyloss" layer: "{name}" }}'
    graph = build(TRAINING + layer("Python", "y data", loss, "loss", "l"))
    assert [v.name for v in graph.outputs] == ["y"]


def test_pictures_are_pruned() -> None:
    picture = 'python_param { module: "visualization_layer" layer: "VisualizationLayer" }'
    graph = build(
        TRAINING
        + layer("AbsLoss", "y data", "", "loss", "l")
        + layer("Python", "y", picture, "trash", "p")
        + 'layer { name: "s" type: "Silence" bottom: "trash" }'
    )
    assert [v.name for v in graph.outputs] == ["y"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            inputs(x=(1, 3, 4, 4))
            + layer("Division", "x", division("height: 3 width: 3", [(2, 0)])),
            "the block of 3x3 at 2, 0 is outside its 1x3x4x4 input",
        ),
        (
            inputs(x=(1, 3, 4, 4)) + layer("Division", "x", division("height: 3 width: 3", [])),
            "1 tops need as many xcoord and ycoord",
        ),
        (
            inputs(a=(1, 3, 4, 4), b=(1, 3, 4, 3))
            + layer("Combination", "a b", division("", [(0, 0), (0, 5)], "combination_param")),
            "bottom 2 leaves a gap, or lies over another",
        ),
        (
            inputs(x=(1, 98))
            + layer(
                "AUMaskBasedLand",
                "x",
                MASKS.format(176, 0.1, 0.2, 'fill_type: "disc"'),
                " ".join("abcdefghijklm"),
            ),
            "fill_type 'disc' is not known; Caffe fills nothing then",
        ),
        (
            inputs(x=(1, 5, 3, 3)) + layer("Filter", "x", "filter_param { num_output: 6 }"),
            "num_output must be 1 to 5, not 6",
        ),
        (
            inputs(x=(1, 3, 4, 4), like=(1, 3, 5, 5))
            + layer("Interp", "x like", "interp_param { zoom_factor: 2 }"),
            "has a second bottom, and a size or factor; give one of them",
        ),
        (
            inputs(x=(1, 3, 4, 4)) + layer("Interp", "x", "interp_param { use_blob_size: true }"),
            "use_blob_size needs a second bottom",
        ),
        (
            inputs(x=(1, 3, 4, 4))
            + layer("Pooling", "x", "pooling_param { pool: STOCHASTIC kernel_size: 3 pad: 1 }"),
            "STOCHASTIC pooling cannot be padded, in Caffe either",
        ),
    ],
)
def test_refused(text: str, match: str) -> None:
    refused(text, match, open_dims=False)


def test_fused_concat() -> None:
    """Permute, Flatten and Concat of SSD's heads in one (Intel's Caffe)."""
    feeds = {"a": normal(2, 4, 3, 2), "b": normal(2, 6, 2, 2, seed=1)}
    flat = [x.transpose(0, 2, 3, 1).reshape(2, -1) for x in feeds.values()]
    text = inputs(a=(1, 4, 3, 2), b=(1, 6, 2, 2)) + layer(
        "Concat", "a b", "concat_param { axis: 1 per_fla_fuse: true }"
    )
    agree(text, feeds, {"y": np.concatenate(flat, 1)[:, :, None, None]})
    refused(text.replace("axis: 1 ", "axis: 2 "), "per_fla_fuse needs axis 1")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("ConvolutionRistretto", "rounds weights and activations to few bits (Ristretto"),
        ("CInnerProduct", "prunes its weights while it runs (Dynamic Network Surgery"),
        ("BinaryConvolution", "has weights of two or three values (several forks)"),
    ],
)
def test_quantised_networks_are_refused_by_name(kind: str, said: str) -> None:
    text = inputs(x=(1, 3, 4, 4)) + layer(
        kind, "x", "convolution_param { num_output: 2 } quantization_param { bw_params: 8 }"
    )
    with pytest.raises(converters.ConversionError) as caught:
        build(text)
    assert f"layer 'l' ({kind}): {said}" in str(caught.value)
    assert "convert the float network that it was made of" in str(caught.value)
