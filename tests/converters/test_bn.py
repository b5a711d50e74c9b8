"""BN of three forks: told apart by fields, else by blobs; against float64 numpy."""

from __future__ import annotations

import numpy as np
import pytest

import converters
from tests.converters.forks import agree, build, inputs, layer, refused

pytestmark = pytest.mark.oracle

SHAPE = (1, 3, 1, 1)
X = inputs(x=(1, 3, 8, 9))
FILLERS = "scale_filler { value: 1 } shift_filler { value: 0.5 }"


def draw(seed: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * 2 + 3).astype(np.float32)


def blobs(seed: int, count: int) -> list[np.ndarray]:
    arrays = [draw(seed + i, *SHAPE) for i in range(count)]
    if count == 4:
        arrays[3] = np.abs(arrays[3])
    return arrays


def by_channel(x: np.ndarray, function: object) -> np.ndarray:
    y = np.empty(x.shape)
    for c in range(x.shape[1]):
        y[:, c] = function(c, x[:, c].astype(np.float64))  # type: ignore[operator]
    return y.astype(np.float32)


@pytest.mark.parametrize("stated", [FILLERS, "bn_mode: LEARN", ""])
@pytest.mark.parametrize("tops", ["y", "y mean", "y mean variance"])
def test_learn(stated: str, tops: str) -> None:
    """By the batch's own statistics, at test too (bn_layer.cpp of DeconvNet and SegNet)."""
    x, (scale, shift) = draw(0, 2, 3, 4, 5), blobs(1, 2)

    def one(c: int, plane: np.ndarray) -> np.ndarray:
        deviation = np.sqrt((plane**2).mean() - plane.mean() ** 2 + 1e-9)
        return (plane - plane.mean()) / deviation * scale[0, c, 0, 0] + shift[0, c, 0, 0]

    wide = x.astype(np.float64)
    expected = {
        "y": by_channel(x, one),
        "mean": wide.mean((0, 2, 3), keepdims=True).astype(np.float32),
        "variance": wide.var((0, 2, 3), keepdims=True).astype(np.float32),
    }
    text = X + layer("BN", "x", f"bn_param {{ {stated} }}", tops)
    agree(text, {"x": x}, {k: expected[k] for k in tops.split()}, {"l": [scale, shift]})


def test_inference() -> None:
    x, (scale, shift) = draw(2, 2, 3, 4, 5), blobs(3, 2)
    y = by_channel(x, lambda c, plane: plane * scale[0, c, 0, 0] + shift[0, c, 0, 0])
    text = X + layer("BN", "x", f"bn_param {{ bn_mode: INFERENCE {FILLERS} }}")
    agree(text, {"x": x}, {"y": y}, {"l": [scale, shift]})


@pytest.mark.parametrize(
    ("stated", "eps"),
    [("slope_filler { value: 1 } frozen: true", 1e-5), ("momentum: .95 eps: .3", 0.3), ("", 1e-5)],
)
def test_running(stated: str, eps: float) -> None:
    """PSPNet's; without a field of its own the four blobs tell."""
    x, (slope, bias, mean, variance) = draw(4, 2, 3, 4, 5), blobs(5, 4)

    def one(c: int, plane: np.ndarray) -> np.ndarray:
        s, b, m, v = (float(a[0, c, 0, 0]) for a in (slope, bias, mean, variance))
        return s * (plane - m) / np.sqrt(v + eps) + b

    text = X + layer("BN", "x", f"bn_param {{ {stated} }}")
    agree(text, {"x": x}, {"y": by_channel(x, one)}, {"l": [slope, bias, mean, variance]})


def test_running_statistics_are_learned() -> None:
    import torch

    x = draw(6, 2, 3, 4, 5)
    graph = build(X + layer("BN", "x", "bn_param { momentum: .75 }"), {"l": blobs(7, 4)})
    module = converters.to_torch(graph).train()
    y = module(torch.from_numpy(x))["y"].detach().numpy()
    slope, bias, mean, variance = blobs(7, 4)
    wide = x.astype(np.float64)
    m, v = (f((0, 2, 3), keepdims=True) for f in (wide.mean, wide.var))
    assert np.allclose(y, (wide - m) / np.sqrt(v + 1e-5) * slope + bias, rtol=1e-4, atol=1e-4)
    assert np.allclose(module.l.mean, 0.75 * mean + 0.25 * m, rtol=1e-5)
    assert np.allclose(module.l.variance, 0.75 * variance + 0.25 * v, rtol=1e-5)


def test_which_is_drawn() -> None:
    (scale, shift) = build(X + layer("BN", "x", f"bn_param {{ {FILLERS} }}")).nodes[0].blobs
    assert (scale == 1).all() and (shift == 0.5).all() and scale.shape == SHAPE
    drawn = build(X + layer("BN", "x", "bn_param { frozen: true }")).nodes[0].blobs
    assert [float(b.max()) for b in drawn] == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("stated", "count", "tops", "match"),
    [
        ("bn_mode: LEARN eps: 1", 2, "y", "mixes the fields of two forks"),
        ("bn_mode: INFERENCE", 2, "y m", "only in LEARN mode"),
        ("frozen: true", 4, "y m", "only in LEARN mode"),
        ("", 4, "y m", "4 blobs are PSPNet's, which has one top"),
        ("bn_mode: LEARN", 4, "y", r"has 4 blobs for it, the prototxt asks for 2 \(weight, bias\)"),
        ("frozen: true", 2, "y", "has 2 blobs for it, the prototxt asks for 4"),
        ("", 3, "y", "has 3 blobs for it"),
        ("bn_mode: TRAIN", 2, "y", "bn_mode of bn_param must be one of LEARN, INFERENCE"),
    ],
)
def test_refusals(stated: str, count: int, tops: str, match: str) -> None:
    text = X + layer("BN", "x", f"bn_param {{ {stated} }}", tops)
    refused(text, match, weights={"l": blobs(8, count)})


@pytest.mark.parametrize(("stated", "count"), [("bn_mode: INFERENCE", 2), ("frozen: true", 4)])
def test_it_goes_into_the_convolution_before_it(stated: str, count: int) -> None:
    params = "convolution_param { num_output: 3 kernel_size: 3 }"
    text = (
        X
        + layer("Convolution", "x", params, "c", "c")
        + layer("BN", "c", f"bn_param {{ {stated} }}")
    )
    weights = {"c": [draw(9, 3, 3, 3, 3), draw(10, 3)], "l": blobs(11, count)}
    graph = converters.fold(build(text, weights))
    assert [n.type for n in graph.nodes] == ["Convolution"]
    x = draw(12, 2, 3, 6, 7)
    from tests.converters.checker import run_onnx

    (plain,) = run_onnx(converters.to_onnx(build(text, weights)), {"x": x})
    agree(text, {"x": x}, {"y": plain}, weights)


def test_a_batchs_own_statistics_cannot_be_folded() -> None:
    params = "convolution_param { num_output: 3 kernel_size: 3 }"
    text = X + layer("Convolution", "x", params, "c", "c") + layer("BN", "c", "bn_param { }")
    assert len(converters.fold(build(text)).nodes) == 2
