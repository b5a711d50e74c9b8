"""SegNet's and YOLO's Upsample and DenseImageData, against loops in numpy."""

from __future__ import annotations

import numpy as np
import pytest

import converters
from tests.converters.forks import agree, build, inputs, layer, refused

pytestmark = pytest.mark.oracle

POOL = "pooling_param { kernel_size: 2 stride: 2 }"


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def pool(x: np.ndarray, kernel: int = 2, stride: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """MAX pooling rounded up, and each maximum's index in its own plane."""
    n, c, height, width = x.shape
    rows, columns = (-(-(s - kernel) // stride) + 1 for s in (height, width))
    top = np.empty((n, c, rows, columns), np.float32)
    mask = np.empty(top.shape, np.int64)
    for i, j, row, column in np.ndindex(*top.shape):
        places = [
            (r, q)
            for r in range(row * stride, min(row * stride + kernel, height))
            for q in range(column * stride, min(column * stride + kernel, width))
        ]
        r, q = max(places, key=lambda place: x[i, j, place[0], place[1]])
        top[i, j, row, column], mask[i, j, row, column] = x[i, j, r, q], r * width + q
    return top, mask


def upsample(values: np.ndarray, mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """upsample_layer.cpp: the last write wins, the plane's width is the output's."""
    n, c = values.shape[:2]
    top = np.zeros((n, c, size[0] * size[1]), np.float32)
    for i, j in np.ndindex(n, c):
        for value, index in zip(values[i, j].flat, mask[i, j].flat, strict=True):
            top[i, j, int(index)] = value
    return top.reshape(n, c, *size)


def network(height: int, width: int, params: str, pooling: str = POOL) -> str:
    text = inputs(x=(1, 3, height, width)) + layer("Pooling", "x", pooling, "p m", "pool")
    return (
        text
        + layer("Power", "p", "power_param { scale: -1.5 shift: .25 }", "q", "power")
        + (layer("Upsample", "q m", f"upsample_param {{ {params} }}"))
    )


CASES = [
    # Input, params, the plane by SegNet's arithmetic, what another input may be.
    ((8, 12), "scale: 2", (8, 12), (6, 10)),
    ((8, 12), "", (8, 12), (6, 10)),
    ((7, 9), "scale: 2 pad_out_h: true pad_out_w: true", (7, 9), (5, 11)),
    ((7, 8), "scale_h: 2 scale_w: 2 pad_out_h: true", (7, 8), None),
    ((23, 29), "upsample_h: 23 upsample_w: 29", (23, 29), (12, 17)),
    # Odd, but not said so: a plane one wider than the switches', in which they are shifted.
    ((7, 9), "scale: 2", (8, 10), None),
    ((8, 8), "upsample_h: 9 upsample_w: 11", (9, 11), None),
]


@pytest.mark.parametrize(("size", "params", "plane", "other"), CASES)
def test_upsample(
    size: tuple[int, int], params: str, plane: tuple[int, int], other: tuple[int, int] | None
) -> None:
    text = network(*size, params)

    def case(height: int, width: int, top: tuple[int, int], seed: int) -> tuple[dict, dict]:
        x = draw(seed, 2, 3, height, width)
        p, mask = pool(x)
        return {"x": x}, {"y": upsample(np.float32(-1.5) * p + np.float32(0.25), mask, top)}

    feeds, expected = case(*size, plane, 0)
    agree(text, feeds, expected, open_dims=other is not None)
    if other is not None:
        feeds, expected = case(*other, other, 1)
        graph = build(text)
        assert graph.outputs[0].shape == ("batch", 3, "height", "width")
        agree(text, feeds, expected, closed=False)


def test_upsample_of_overlapping_switches() -> None:
    """One place may be written twice; the last write stays."""
    x = draw(2, 2, 3, 9, 11)
    p, mask = pool(x, 3, 2)
    assert len(set(mask[0, 0].flat)) < mask[0, 0].size
    text = network(
        9, 11, "upsample_h: 9 upsample_w: 11", "pooling_param { kernel_size: 3 stride: 2 }"
    )
    y = upsample(np.float32(-1.5) * p + np.float32(0.25), mask, (9, 11))
    agree(text, {"x": x}, {"y": y})


def test_upsample_by_a_mask_that_is_fed() -> None:
    """As Caffe stores it, in float32; nothing says that its indices differ."""
    x = draw(3, 2, 3, 4, 5)
    mask = np.random.default_rng(4).integers(0, 80, x.shape).astype(np.float32)
    assert any(len(set(plane.flat)) < plane.size for plane in mask.reshape(6, -1))
    text = inputs(x=(1, 3, 4, 5), m=(1, 3, 4, 5)) + layer("Upsample", "x m")
    agree(text, {"x": x, "m": mask}, {"y": upsample(x, mask, (8, 10))})


@pytest.mark.parametrize("target", converters.FORMS)
def test_split_at_an_upsample(target: str) -> None:
    from tests.converters.checker import run_onnx

    graph = build(network(8, 12, "scale: 2") + layer("Pooling", "q", POOL, "unread", "other"))
    encoder, decoder = converters.split(graph)
    x = draw(5, 1, 3, 8, 12)
    p, mask = pool(x)
    assert {v.name for v in decoder.inputs} == {"m", "p"}
    feeds = dict(
        zip(
            [v.name for v in encoder.outputs],
            run_onnx(converters.to_onnx(encoder, target=target), {"x": x}),
            strict=True,
        )
    )
    assert np.array_equal(feeds["m"], mask)
    names = [v.name for v in decoder.outputs]
    found = run_onnx(converters.to_onnx(decoder, target=target), feeds)[names.index("y")]
    assert np.array_equal(found, upsample(np.float32(-1.5) * p + np.float32(0.25), mask, (8, 12)))


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ("scale: 1", "scale must be above 1"),
        ("scale_h: 2", "give upsample_h and upsample_w, scale, or scale_h and scale_w"),
        ("scale: 2 scale_h: 2 scale_w: 2", "give upsample_h and upsample_w"),
        ("scale: 3 pad_out_w: true", "pad_out_h and pad_out_w need a scale of 2"),
        ("upsample_h: 1 upsample_w: 9", "must be above 1"),
        ("upsample_h: 4 upsample_w: 12", "its output 4x12 is smaller than the 8x12 plane"),
    ],
)
def test_upsample_refuses(params: str, match: str) -> None:
    refused(network(8, 12, params), match, open_dims=False)


@pytest.mark.parametrize("scale", [1, 2, 3, 7])
def test_upsample_without_a_mask(scale: int) -> None:
    x = draw(6, 2, 3, 5, 33)
    y = np.empty((2, 3, 5 * scale, 33 * scale), np.float32)
    for i, j, row, column in np.ndindex(*y.shape):
        y[i, j, row, column] = x[i, j, row // scale, column // scale]
    text = inputs(x=(1, 3, 8, 8)) + layer("Upsample", "x", f"upsample_param {{ scale: {scale} }}")
    agree(text, {"x": x}, {"y": y})


def test_upsample_without_a_mask_needs_its_scale() -> None:
    match = "without a mask it takes a scale above 0 and nothing else"
    refused(inputs(x=(1, 3, 8, 8)) + layer("Upsample", "x"), match)
    params = "upsample_param { scale: 2 upsample_h: 9 upsample_w: 9 }"
    refused(inputs(x=(1, 3, 8, 8)) + layer("Upsample", "x", params), match)


@pytest.mark.parametrize(
    ("own", "plane"),
    [
        ("crop_height: 24 crop_width: 32 new_height: 40 new_width: 50", (24, 32)),
        ("new_height: 40 new_width: 50", (40, 50)),
    ],
)
def test_dense_image_data(own: str, plane: tuple[int, int]) -> None:
    params = f'dense_image_data_param {{ source: "list" batch_size: 4 {own} }}'
    text = layer("DenseImageData", "", params, "data label", "d")
    text += layer("ReLU", "data", tops="r", name="relu")
    text += layer("SoftmaxWithLoss", "r label", tops="loss", name="s")
    (only,) = build(text, open_dims=False).inputs
    assert (only.name, only.shape) == ("data", (1, 3, *plane))
    label = build(text, outputs=["loss"], open_dims=False).inputs[1]
    assert (label.name, label.shape) == ("label", (1, 1, *plane))


def test_dense_image_data_of_unknown_size() -> None:
    text = layer("DenseImageData", "", tops="data label") + layer("ReLU", "data", name="relu")
    assert build(text).inputs[0].shape == ("batch", 3, "height", "width")
    refused(text, "nothing fixes the height and width of 'data'", open_dims=False)
    text += layer("InnerProduct", "y", "inner_product_param { num_output: 2 }", "z", "fc")
    refused(text, "nothing fixes the height and width of 'data'")
    assert build(text, shapes={"data": (1, 3, 5, 6)}).inputs[0].shape == (1, 3, 5, 6)


def test_a_stated_upsampling_says_how_large_the_images_are() -> None:
    """As SegNet's 45x60 of its fourth pooling does: of 90x120, 180x240, 360x480, only the last."""
    pool = "pooling_param { kernel_size: 2 stride: 2 }"
    text = layer("DenseImageData", "", tops="data label")
    text += layer("Pooling", "data", pool, "p1 m1", "p1") + layer("Pooling", "p1", pool, "p2", "p2")
    text += layer("Pooling", "p2", pool, "p3 m3", "p3")
    text += layer("Upsample", "p3 m3", "upsample_param { upsample_h: 5 upsample_w: 7 }", "u", "u")
    graph = build(text, open_dims=False)
    assert graph.inputs[0].shape == (1, 3, 20, 28)
    assert graph.notes[0] == (
        "input data 3x20x28: plane by upsample_h and _w of u, channels by layer l"
    )


def test_padding_of_an_upsampling_goes_with_camvids_images() -> None:
    """360x480 pooled thrice is 45x60, and 23x30 upsampled by 2 has a row too many."""
    pool = "pooling_param { kernel_size: 2 stride: 2 }"
    text, bottom = layer("DenseImageData", "", tops="data label"), "data"
    for n in "1234":
        text += layer("Pooling", bottom, pool, f"p{n} m{n}", f"p{n}")
        bottom = f"p{n}"
    text += layer("Upsample", "p4 m4", "upsample_param { scale: 2 pad_out_h: true }", "u", "u")
    graph = build(text)
    assert graph.inputs[0].nominal == (1, 3, 360, 480)
    assert graph.notes[0].startswith("input data 3x360x480: plane of CamVid by pad_out_h of u")


SAMPLING = layer("Dropout", "x", "dropout_param { dropout_ratio: .25 sample_weights_test: true }")


def test_bayesian_dropout_passes_everything_and_says_so() -> None:
    graph = build(inputs(x=(1, 3, 4, 5)) + SAMPLING)
    assert graph.notes == [
        "n:2:1: layer 'l' (Dropout): drops at random at test too (sample_weights_test, Bayesian "
        "SegNet); here it passes everything"
    ]
    from tests.converters.checker import run_onnx, run_torch

    x = draw(7, 2, 3, 6, 7)
    for found in (run_onnx(converters.to_onnx(graph), {"x": x}), run_torch(graph, {"x": x})):
        assert np.array_equal(found[0], x)
