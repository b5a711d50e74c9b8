"""Images moved by a flow or by a constant."""

from __future__ import annotations

import numpy as np
import pytest

import converters
import prototxt
from tests.converters.forks import agree, inputs, layer, refused
from tests.converters.oracles.warping import flow_warp, remap, sample, shift

pytestmark = pytest.mark.oracle


def python(module: str, name: str, param_str: str = "") -> str:
    return f'python_param {{ module: "{module}" layer: "{name}" param_str: "{param_str}" }}'


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


@pytest.mark.parametrize(
    ("params", "fill"),
    [("", 0.0), ("flow_warp_param { fill_value: NOT_A_NUMBER }", float("nan"))],
)
def test_flow_warp(params: str, fill: float) -> None:
    image, flow = normal(2, 3, 6, 7), normal(2, 2, 6, 7, seed=1, scale=2)
    flow[0, :, 0, 0] = 0
    flow[0, 0, 1, :3] = [6 - 0, 5.5, 4.999]
    flow[1, 0, 2, 2] = -2
    text = inputs(x=(1, 3, 5, 5), flow=(1, 2, 5, 5)) + layer("FlowWarp", "x flow", params)
    agree(text, {"x": image, "flow": flow}, {"y": flow_warp(image, flow, fill)})


def test_flow_warp_of_no_place() -> None:
    """A flow that is NaN points nowhere."""
    image, flow = normal(1, 1, 3, 4), np.full((1, 2, 3, 4), np.nan, np.float32)
    text = inputs(x=(1, 1, 5, 5), flow=(1, 2, 5, 5)) + layer("FlowWarp", "x flow")
    agree(text, {"x": image, "flow": flow}, {"y": np.zeros_like(image)})


def test_sampler() -> None:
    images, flows = normal(2, 6, 5, 8), normal(2, 4, 5, 8, seed=1, scale=3)
    flows[0, 0, 0] = 1 / 64  # halves of a step, to even
    params = python(
        "bilinear_sampler_layer_3ch",
        "BilinearSamplerLayer3ch",
        r"{\"flow_size\": 2, \"color_size\": 3}",
    )
    text = inputs(x=(1, 6, 4, 4), flow=(1, 4, 4, 4)) + layer("Python", "x flow", params)
    agree(text, {"x": images, "flow": flows}, {"y": sample(images, flows, 2, 3)})


@pytest.mark.slow
def test_warping_layer() -> None:
    image, flow = normal(1, 3, 256, 256), normal(1, 2, 256, 256, seed=1, scale=4)
    columns, rows = np.arange(256), np.arange(256)[:, None]
    expected = np.stack(
        [remap(plane, flow[0, 0] + columns, flow[0, 1] + rows) for plane in image[0]]
    )[None]
    text = inputs(x=(1, 3, 256, 256), flow=(1, 2, 256, 256)) + layer(
        "Python", "x flow", python("warping_layer", "WarpingLayer")
    )
    agree(text, {"x": image, "flow": flow}, {"y": expected}, open_dims=False)


@pytest.mark.parametrize(
    ("tx", "ty"), [(-1.5525, 0.77625), (0, -1.5525), (12, 0.0), (3.01, 0.5), (-2, -9)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_shift(tx: float, ty: float, channels: int) -> None:
    image = normal(2, channels, 6, 7)
    expected = np.stack([[shift(plane, tx, ty) for plane in one] for one in image])
    params = python(
        "input_shifting_layer", "InputShiftingLayer", rf"{{\"tx\": {tx}, \"ty\": {ty}}}"
    )
    text = inputs(x=(1, channels, 5, 5)) + layer("Python", "x", params)
    agree(text, {"x": image}, {"y": expected})


def test_opencv_says_the_same() -> None:
    """The oracle is OpenCV's own, up to 4: 5 knows places exactly."""
    cv2 = pytest.importorskip("cv2")
    if int(cv2.__version__.split(".")[0]) >= 5:
        pytest.skip("OpenCV 5 interpolates at the exact place")
    plane = normal(9, 11)
    matrix = np.array([[1, 0, -1.5525], [0, 1, 0.77625]], np.float32)
    found = cv2.warpAffine(
        plane, matrix, (11, 9), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    assert np.abs(found - shift(plane, -1.5525, 0.77625)).max() < 1e-5


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            inputs(x=(1, 3, 5, 5), f=(1, 3, 5, 5)) + layer("FlowWarp", "x f"),
            "needs N x C x H x W and a flow N x 2 x H x W, not 1x3x5x5, 1x3x5x5",
        ),
        (
            inputs(x=(1, 3, 5, 5), f=(1, 2, 5, 4)) + layer("FlowWarp", "x f"),
            "its image 1x3x5x5 and flow 1x2x5x4 differ in size",
        ),
        (
            inputs(x=(1, 3, 5, 5), f=(1, 2, 5, 5))
            + layer("Python", "x f", python("warping_layer", "WarpingLayer")),
            "takes an image of 1x3x256x256 and a flow of 1x2x256x256, not 1x3x5x5, 1x2x5x5",
        ),
        (
            inputs(x=(1, 2, 5, 5))
            + layer("Python", "x", python("input_shifting_layer", "InputShiftingLayer")),
            "needs N x 3 x H x W or N x 1 x H x W, not 1x2x5x5",
        ),
        (
            inputs(x=(1, 3, 5, 5))
            + layer("Python", "x", python("input_shifting_layer", "InputShiftingLayer")),
            "tx of param_str is missing or not a number",
        ),
    ],
)
def test_refused(text: str, match: str) -> None:
    refused(text, match, open_dims=False)


def test_a_warp_by_what_was_halved_needs_a_fixed_size() -> None:
    """Whether image and flow are of one size depends on it, as in newStereoNet's definition."""
    flow = layer("Pooling", "x", "pooling_param { kernel_size: 2 stride: 2 }", "p", "p") + layer(
        "Deconvolution",
        "p",
        "convolution_param { num_output: 2 kernel_size: 2 stride: 2 }",
        "f",
        "f",
    )
    text = inputs(x=(1, 3, 8, 8)) + flow + layer("FlowWarp", "x f")
    found = converters.convert(prototxt.parse_net(text))
    assert found.graph.inputs[0].shape == ("batch", 3, 8, 8)
