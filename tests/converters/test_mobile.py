"""ReLU6, SeLU, Axpy, ShuffleChannel and the depthwise convolutions, against loops in numpy."""

from __future__ import annotations

import numpy as np
import pytest

import converters
from tests.converters.forks import agree, build, inputs, layer, refused

pytestmark = pytest.mark.oracle


def draw(seed: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * 4).astype(np.float32)


@pytest.mark.parametrize("slope", [0, 0.25])
def test_relu6(slope: float) -> None:
    x = draw(0, 2, 3, 4, 5)
    assert (x > 6).any() and (x < 0).any()
    y = np.array([min(max(v, 0) + slope * min(v, 0), 6) for v in x.flat], np.float32)
    stated = f"relu6_param {{ negative_slope: {slope} }}" if slope else ""
    text = inputs(x=(1, 3, 8, 8)) + layer("ReLU6", "x", stated)
    agree(text, {"x": x}, {"y": y.reshape(x.shape)})


def test_relu6_knows_no_slope_of_another_layers() -> None:
    refused(
        inputs(x=(1, 3, 8, 8)) + layer("ReLU6", "x", "relu_param { negative_slope: .1 }"),
        r"n:2:.*layer 'l' \(ReLU6\): negative_slope of relu_param is not read; say it in",
    )


@pytest.mark.parametrize("kind", ["SeLU", "SeLu", "SELU"])
@pytest.mark.parametrize(("lam", "alpha"), [(None, None), (1.5, 0.25)])
def test_selu(kind: str, lam: float | None, alpha: float | None) -> None:
    x = draw(1, 2, 3, 4)
    a, m = alpha or 1.67326324, lam or 1.050700987
    y = np.where(x > 0, m * x, m * a * (np.exp(x.astype(np.float64)) - 1)).astype(np.float32)
    stated = f"selu_param {{ lambda: {lam} alpha: {alpha} }}" if lam else ""
    agree(inputs(x=(1, 3, 4)) + layer(kind, "x", stated), {"x": x}, {"y": y})


def test_selu_reads_strictly() -> None:
    text = inputs(x=(1, 3)) + layer("SeLU", "x", "selu_param { alfa: 1 }")
    refused(text, "unknown field 'alfa' in selu_param; did you mean 'alpha'")


@pytest.mark.parametrize("gate", [(2, 3), (2, 3, 1, 1)])
def test_axpy(gate: tuple[int, ...]) -> None:
    a, x, y = draw(2, *gate), draw(3, 2, 3, 4, 5), draw(4, 2, 3, 4, 5)
    top = np.empty_like(x)
    for n in range(2):
        for c in range(3):
            top[n, c] = a.reshape(2, 3)[n, c] * x[n, c] + y[n, c]
    text = inputs(a=(1, *gate[1:]), x=(1, 3, 8, 8), y=(1, 3, 8, 8))
    shapes = {"a": ("batch", *gate[1:]), "x": ("batch", 3, "h", "w"), "y": ("batch", 3, "h", "w")}
    text += layer("Axpy", "a x y", tops="top")
    agree(text, {"a": a, "x": x, "y": y}, {"top": top}, open_dims=len(gate) == 2)
    assert build(text, shapes=shapes).outputs[0].shape == ("batch", 3, "h", "w")


def test_axpy_refuses() -> None:
    def text(a: tuple[int, ...]) -> str:
        return inputs(a=a, x=(2, 3, 4, 4), y=(2, 3, 4, 4)) + layer("Axpy", "a x y", tops="t")

    refused(text((2, 3, 2, 2)), "cannot scale 2x3x4x4 by 2x3x2x2 and add 2x3x4x4")
    refused(text((2, 4)), "cannot scale 2x3x4x4 by 2x4", open_dims=False)


@pytest.mark.parametrize("group", [1, 2, 3, 4, 6, 12])
def test_shuffle_channel(group: int) -> None:
    x = draw(5, 2, 12, 3, 4)
    y = np.empty_like(x)
    for i in range(group):
        for j in range(12 // group):
            y[:, j * group + i] = x[:, i * (12 // group) + j]
    stated = f"shuffle_channel_param {{ group: {group} }}" if group > 1 else ""
    text = inputs(x=(1, 12, 8, 8)) + layer("ShuffleChannel", "x", stated)
    agree(text, {"x": x}, {"y": y})


def test_shuffle_channel_refuses() -> None:
    text = inputs(x=(1, 12, 8, 8)) + layer(
        "ShuffleChannel", "x", "shuffle_channel_param { group: 5 }"
    )
    refused(text, "12 channels are not divisible by group 5")


def depthwise(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray, stride: int, pad: int, dilation: int
) -> np.ndarray:
    """conv_dw_layer.cpp in numpy, one window at a time."""
    n, channels, height, width = x.shape
    kh, kw = w.shape[2:]
    top = [
        (s + 2 * pad - (dilation * (k - 1) + 1)) // stride + 1
        for s, k in ((height, kh), (width, kw))
    ]
    y = np.zeros((n, channels, *top))
    for image, c, row, column in np.ndindex(*y.shape):
        total = float(bias[c])
        for i, j in np.ndindex(kh, kw):
            r, q = row * stride - pad + i * dilation, column * stride - pad + j * dilation
            if 0 <= r < height and 0 <= q < width:
                total += float(w[c, 0, i, j]) * float(x[image, c, r, q])
        y[image, c, row, column] = total
    return y.astype(np.float32)


@pytest.mark.parametrize("kind", ["ConvolutionDepthwise", "DepthwiseConvolution", "DepthwiseConv"])
@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "dilation", "biased"),
    [((3, 3), 1, 1, 1, True), ((3, 2), 2, 0, 1, False), ((3, 3), 2, 2, 2, True)],
)
def test_depthwise(
    kind: str, kernel: tuple[int, int], stride: int, pad: int, dilation: int, biased: bool
) -> None:
    x, w = draw(6, 2, 5, 9, 8), draw(7, 5, 1, *kernel)
    bias = draw(8, 5) if biased else np.zeros(5, np.float32)
    stated = (
        f"kernel_h: {kernel[0]} kernel_w: {kernel[1]} stride: {stride} pad: {pad} "
        f"dilation: {dilation} bias_term: {str(biased).lower()} num_output: 5"
    )
    if kind != "ConvolutionDepthwise":
        stated += " group: 5"
    text = inputs(x=(1, 5, 12, 12)) + layer(kind, "x", f"convolution_param {{ {stated} }}")
    weights = {"l": [w, bias] if biased else [w]}
    agree(text, {"x": x}, {"y": depthwise(x, w, bias, stride, pad, dilation)}, weights)


def test_what_num_output_says_of_a_depthwise_layer() -> None:
    """ConvolutionDepthwise never reads it; DepthwiseConvolution is another thing on each device."""
    convolution = "convolution_param { num_output: 10 kernel_size: 3 group: 5 }"
    ignored = build(inputs(x=(1, 5, 8, 8)) + layer("ConvolutionDepthwise", "x", convolution))
    assert ignored.outputs[0].shape == ("batch", 5, "height-2", "width-2")
    refused(
        inputs(x=(1, 5, 8, 8)) + layer("DepthwiseConvolution", "x", convolution),
        "num_output 10 and group 5 are not its 5 channels; the fork computes",
    )


def test_depthwise_takes_up_the_normalisation_behind_it() -> None:
    params = "convolution_param { num_output: 5 kernel_size: 3 bias_term: false }"
    text = inputs(x=(1, 5, 8, 8)) + layer("ConvolutionDepthwise", "x", params, tops="c", name="c")
    text += layer("BatchNorm", "c", tops="b", name="b")
    text += layer("Scale", "b", "scale_param { bias_term: true }", name="s")
    rng = np.random.default_rng(9)
    w, mean, gamma, beta = draw(10, 5, 1, 3, 3), draw(11, 5), draw(12, 5), draw(13, 5)
    variance = rng.uniform(0.5, 2, 5).astype(np.float32)
    weights = {"c": [w], "b": [mean, variance, np.float32([1])], "s": [gamma, beta]}
    x = draw(14, 2, 5, 6, 7)
    columns = [v.reshape(5, 1, 1).astype(np.float64) for v in (mean, variance, gamma, beta)]
    y = (depthwise(x, w, np.zeros(5), 1, 0, 1) - columns[0]) / np.sqrt(columns[1] + 1e-5)
    y = (y * columns[2] + columns[3]).astype(np.float32)
    graph = agree(text, {"x": x}, {"y": y}, weights)
    assert [n.type for n in converters.fold(graph).nodes] == ["ConvolutionDepthwise"]
