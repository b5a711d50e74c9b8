"""CRF as RNN's mean-field inference over its permutohedral lattice."""

from __future__ import annotations

import numpy as np
import pytest

import converters
from tests.converters.forks import agree, build, inputs, layer, refused
from tests.converters.oracles.meanfield import Lattice, meanfield, places

pytestmark = pytest.mark.oracle

MEAN = np.array([104.00698793, 116.66876762, 122.67891434], np.float32)


def params(alpha: float, beta: float, gamma: float, iterations: int, more: str = "") -> str:
    thetas = f"theta_alpha: {alpha} theta_beta: {beta} theta_gamma: {gamma}"
    return f"multi_stage_meanfield_param {{ {thetas} num_iterations: {iterations} {more} }}"


def photographs(count: int, height: int, width: int) -> np.ndarray:
    """Smooth whole colours with edges between, the mean taken off, as a network is fed."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:height, :width]
    images = np.empty((count, 3, height, width))
    for n in range(count):
        a, b, c = rng.uniform(-1, 1, 3)
        edge = np.where(a * (x - width / 2) + b * (y - height / 2) > c, 1.0, 0.0)
        for channel in range(3):
            low, high, slope = rng.uniform(20, 120), rng.uniform(120, 230), rng.uniform(-3, 3)
            images[n, channel] = low + edge * (high - low) + slope * x + rng.normal(0, 2, x.shape)
    images = np.clip(np.rint(images), 0, 255)
    return (images - MEAN[:, None, None]).astype(np.float32)


def case(count: int, classes: int, height: int, width: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    shape = (count, classes, height, width)
    unary, start = (rng.normal(0, 2, shape).astype(np.float32) for _ in range(2))
    return {"u": unary, "q": start, "x": photographs(count, height, width)}


def weights(classes: int) -> list[np.ndarray]:
    rng = np.random.default_rng(9)
    scales = 1.0, 1.5, -0.8
    blobs = [s * np.eye(classes) + rng.normal(0, 0.2, (classes, classes)) for s in scales]
    return [blob.reshape(1, 1, classes, classes).astype(np.float32) for blob in blobs]


def net(classes: int, text: str, channels: int = 3) -> str:
    scores = (1, classes, 6, 6)
    return inputs(u=scores, q=scores, x=(1, channels, 6, 6)) + layer(
        "MultiStageMeanfield", "u q x", text
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", [(9, 11), (8, 10)], ids=["odd", "fours"])
@pytest.mark.parametrize(
    ("count", "classes", "thetas", "iterations"),
    [
        (1, 4, (160, 3, 3), 3),
        (2, 3, (5, 20, 1.5), 2),
        (2, 2, (3, 60, 0.5), 4),
    ],
)
def test_meanfield(
    count: int,
    classes: int,
    thetas: tuple[float, float, float],
    iterations: int,
    size: tuple[int, int],
) -> None:
    feeds, blobs = case(count, classes, *size), weights(classes)
    expected = meanfield(feeds["u"], feeds["q"], feeds["x"], blobs, thetas, iterations)
    agree(net(classes, params(*thetas, iterations)), feeds, {"y": expected}, {"l": blobs})


@pytest.mark.slow
def test_without_weights_and_of_four_channels() -> None:
    """Diagonal kernels and Potts' compatibility; of the image three channels count."""
    feeds = case(1, 3, 5, 7)
    blobs = [scale * np.eye(3).reshape(1, 1, 3, 3) for scale in (3.0, 5.0, -1.0)]
    expected = meanfield(feeds["u"], feeds["q"], feeds["x"], blobs, (20, 4, 3), 2)
    feeds["x"] = np.concatenate([feeds["x"], np.full((1, 1, 5, 7), 9, np.float32)], 1)
    more = "spatial_filter_weight: 3 bilateral_filter_weight: 5"
    text = net(3, params(20, 4, 3, 2, more), channels=4)
    agree(text, feeds, {"y": expected})


@pytest.mark.parametrize("colour", [0, 45])
def test_flat_image(colour: int) -> None:
    """Coordinates of equal distance, whose order decides in which simplex a pixel lies."""
    feeds = case(2, 2, 7, 7)
    feeds["x"][:] = colour
    feeds["x"][1, :, 2:4] = 0
    blobs = weights(2)
    expected = meanfield(feeds["u"], feeds["q"], feeds["x"], blobs, (6, 15, 1), 3)
    agree(net(2, params(6, 15, 1, 3)), feeds, {"y": expected}, {"l": blobs}, open_dims=False)


def test_pixels_beyond_the_last_four_blur() -> None:
    """The fork reads four pixels at a time; zeros in place of those missing join its lattice.

    By them values reach other pixels, so that a width of 11 is told from one of 12.
    """
    feeds, blobs, thetas = case(1, 2, 1, 11), weights(2), (8, 20, 3)
    feeds["x"][:] = np.linspace(20, 40, 11)
    features = np.concatenate([places(1, 11, 8), (feeds["x"][0, :, 0] / np.float32(20)).T], 1)
    repeated = Lattice(np.concatenate([features, features[-1:]]))
    ones = np.ones((1, 12))
    off = np.abs(repeated.compute(ones)[:, :10] - Lattice(features).compute(ones[:, :11])[:, :10])
    assert off.max() > 1e-3
    expected = meanfield(feeds["u"], feeds["q"], feeds["x"], blobs, thetas, 2)
    agree(net(2, params(*thetas, 2)), feeds, {"y": expected}, {"l": blobs}, open_dims=False)


@pytest.mark.gradient
def test_gradients() -> None:
    """Autograd's are the slopes of the oracle; none reaches the image, as in the fork."""
    import torch

    feeds, blobs = case(2, 3, 3, 5), weights(3)
    graph = build(net(3, params(6, 25, 2, 2)), {"l": blobs})
    module = converters.to_torch(graph)
    bottoms = [torch.from_numpy(feeds[v.name]).requires_grad_() for v in graph.inputs]
    rng = np.random.default_rng(1)
    towards = rng.normal(size=feeds["u"].shape)
    (module(*bottoms)["y"] * torch.from_numpy(towards)).sum().backward()
    assert bottoms[2].grad is None
    tensors = [*bottoms[:2], *module.parameters()]
    arrays = [feeds["u"], feeds["q"], *blobs]

    def score(moved: list[np.ndarray]) -> float:
        top = meanfield(moved[0], moved[1], feeds["x"], moved[2:], (6, 25, 2), 2)
        return float((top * towards).sum())

    for index, tensor in enumerate(tensors):
        for _ in range(3):
            step = rng.normal(size=arrays[index].shape)
            ends = []
            for sign in (1e-4, -1e-4):
                moved = [array.astype(np.float64) for array in arrays]
                moved[index] += sign * step
                ends.append(score(moved))
            slope = (ends[0] - ends[1]) / 2e-4
            assert tensor.grad is not None
            along = float((tensor.grad.double().numpy() * step).sum())
            assert along == pytest.approx(slope, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (net(2, params(8, 3, 3, 1)), "num_iterations must be above 1, not 1"),
        (net(2, "multi_stage_meanfield_param { }"), "theta_alpha is missing or not above 0"),
        (net(2, params(8, 0, 3, 2)), "theta_beta is missing or not above 0"),
        (
            net(2, params(8, 3, 3, 2, "compatibility_mode: LINEAR")),
            "compatibility_mode of multi_stage_meanfield_param must be one of POTTS, not LINEAR",
        ),
        (
            net(2, params(8, 3, 3, 2), channels=2),
            "needs an image of 3 channels, not 2",
        ),
        (
            inputs(u=(1, 2, 6, 6), q=(1, 2, 6, 6), x=(1, 3, 6, 7))
            + layer("MultiStageMeanfield", "u q x", params(8, 3, 3, 2)),
            "its unary terms, start and image differ in size: 1x2x6x6, 1x2x6x6, 1x3x6x7",
        ),
        (
            inputs(u=(1, 2), q=(1, 2), x=(1, 3, 6, 7))
            + layer("MultiStageMeanfield", "u q x", params(8, 3, 3, 2)),
            "needs three 4-D bottoms, not 1x2, 1x2, 1x3x6x7",
        ),
    ],
)
def test_refused(text: str, match: str) -> None:
    refused(text, match, open_dims=False)
