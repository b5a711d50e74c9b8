"""Windows of any shape: ONNX in three targets and PyTorch give what Caffe's loops give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import converters
from converters.graph import Graph
from tests.converters.checker import bind, close, run_onnx, run_torch
from tests.converters.forks import build, inputs, layer
from tests.converters.oracles import windows

pytestmark = pytest.mark.oracle

TARGETS = ("cpu", "cuda", "portable")
COMMON = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
pads = st.tuples(st.integers(0, 2), st.integers(0, 2))
sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))
seeds = st.integers(0, 2**16)


def each_way(graph: Graph, feeds: dict[str, np.ndarray]) -> list[tuple[str, list[np.ndarray]]]:
    """The outputs by every target and by PyTorch, in the graph's own order."""
    found = [
        (target, run_onnx(converters.to_onnx(converters.fold(graph), target=target), feeds))
        for target in TARGETS
    ]
    return [*found, ("torch", run_torch(graph, feeds))]


def compare(
    text: str, feeds: dict[str, np.ndarray], expected: dict[str, np.ndarray], **how
) -> None:
    """Open and fixed sizes, three targets, PyTorch: shapes as inferred, values as expected."""
    for open_dims in (True, False):
        graph = build(text, outputs=list(expected), open_dims=open_dims, **how)
        feeds = {value.name: feeds[value.name] for value in graph.inputs}
        for way, found in each_way(graph, feeds):
            symbols: dict[str, int] = {}
            for value in graph.inputs:
                bind(symbols, value.shape, feeds[value.name].shape)
            for (name, wanted), value, got in zip(
                expected.items(), graph.outputs, found, strict=True
            ):
                bind(symbols, value.shape, got.shape)
                assert got.shape == wanted.shape, (way, name)
                if wanted.dtype == np.int64:
                    assert np.array_equal(got, wanted), (way, name)
                else:
                    close(f"{way} {name}", got, wanted)


def window_text(kernel, pad, stride) -> str:
    parts = {"kernel": kernel, "pad": pad, "stride": stride}
    return " ".join(f"{k}_{axis}: {v[i]}" for k, v in parts.items() for i, axis in enumerate("hw"))


def inside(size, kernel, pad, stride) -> bool:
    """Whether every window has a place in the image, as it must to have a switch."""
    for n, k, p, s in zip(size, kernel, pad, stride, strict=True):
        if p >= k or n + 2 * p < k:
            return False
        starts = (windows.pooled_size(n, k, p, s) - 1) * s - p
        if starts >= n:
            return False
    return True


@pytest.mark.slow
@COMMON
@given(sizes, pair, pads, pair, seeds)
def test_max_pooling_with_switches_and_back(size, kernel, pad, stride, seed):
    assume(inside(size, kernel, pad, stride))
    # Few different values, so that ties are everywhere.
    x = np.random.default_rng(seed).integers(-2, 3, (2, 2, *size)).astype(np.float32)
    y, mask = windows.pool(x, kernel, pad, stride)
    text = inputs(x=x.shape) + layer(
        "Pooling", "x", f"pooling_param {{ pool: MAX {window_text(kernel, pad, stride)} }}", "y m"
    )
    expected = {"y": y, "m": mask}
    compare(text, {"x": x}, expected)
    unpooling = (
        f"unpooling_param {{ unpool: MAX {window_text(kernel, (0, 0), stride)} "
        f"unpool_h: {size[0]} unpool_w: {size[1]} }}"
    )
    text += layer("Unpooling", "y m", unpooling, "u", name="back")
    compare(text, {"x": x}, {"u": windows.unpool(y, mask, size)})


@pytest.mark.slow
@COMMON
@given(sizes, pair, pads, pair, seeds)
def test_average_pooling(size, kernel, pad, stride, seed):
    assume(inside(size, kernel, pad, stride))
    x = np.random.default_rng(seed).normal(0, 1, (2, 2, *size)).astype(np.float32)
    y, _ = windows.pool(x, kernel, pad, stride, average=True)
    text = inputs(x=x.shape) + layer(
        "Pooling", "x", f"pooling_param {{ pool: AVE {window_text(kernel, pad, stride)} }}"
    )
    compare(text, {"x": x}, {"y": y})


@pytest.mark.slow
@COMMON
@given(sizes, pair, pads, pair, pair, st.integers(1, 2), st.booleans(), seeds)
def test_convolution_and_deconvolution(
    size, kernel, pad, stride, dilation, group, transposed, seed
):
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    if transposed:
        fits = [
            s * (n - 1) + e > 2 * p for s, n, e, p in zip(stride, size, extent, pad, strict=True)
        ]
    else:
        fits = [n + 2 * p >= e for n, e, p in zip(size, extent, pad, strict=True)]
    assume(all(fits))
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (2, 2, *size)).astype(np.float32)
    outputs = 2 * group
    shape = (2, outputs // group, *kernel) if transposed else (outputs, 2 // group, *kernel)
    weight = rng.normal(0, 1, shape).astype(np.float32)
    bias = rng.normal(0, 1, outputs).astype(np.float32)
    oracle = windows.deconvolve if transposed else windows.convolve
    y = oracle(x, weight, bias, pad, stride, dilation, group)
    lists = " ".join(
        f"{name}: {number}"
        for name, numbers in {
            "kernel_size": kernel,
            "pad": pad,
            "stride": stride,
            "dilation": dilation,
        }.items()
        for number in numbers
    )
    kind = "Deconvolution" if transposed else "Convolution"
    params = f"convolution_param {{ num_output: {outputs} group: {group} {lists} }}"
    text = inputs(x=x.shape) + layer(kind, "x", params, name="c")
    compare(text, {"x": x}, {"y": y}, weights={"c": [weight, bias]})


def test_few_large_windows():
    """Their switches are found window by window, at fixed sizes: the model stays small."""
    x = np.random.default_rng(0).integers(-2, 3, (2, 2, 43, 43)).astype(np.float32)
    x[0] = -3  # all equal: the first place wins
    pooling = "pooling_param { pool: MAX kernel_size: 33 stride: 5 pad: 1 }"
    text = inputs(x=x.shape) + layer("Pooling", "x", pooling, "y m")
    y, mask = windows.pool(x, (33, 33), (1, 1), (5, 5))
    compare(text, {"x": x}, {"y": y, "m": mask})
    graph = build(text, open_dims=True)
    assert graph.outputs[0].shape[2:] == y.shape[2:]
    assert len(converters.to_onnx(graph, target="portable").graph.node) < 60


def test_a_mask_that_is_computed_with():
    """Caffe keeps a mask in float32: whatever reads it but an unpooling computes with that."""
    x = np.random.default_rng(0).normal(0, 1, (2, 2, 7, 6)).astype(np.float32)
    pooling = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
    text = inputs(x=x.shape) + layer("Pooling", "x", pooling, "y m", name="pool")
    plane = "kernel_size: 2 stride: 2 unpool_h: 7 unpool_w: 6"
    text += layer("Power", "m", "power_param { scale: 0.5 }", "half", name="half")
    text += layer("Eltwise", "y m", tops="sum", name="sum")
    text += layer("Unpooling", "y m", f"unpooling_param {{ {plane} }}", "u", name="u")
    y, mask = windows.pool(x, (2, 2), (0, 0), (2, 2))
    half, whole = 0.5 * mask.astype(np.float32), y + mask.astype(np.float32)
    compare(text, {"x": x}, {"half": half, "sum": whole, "m": mask})
    compare(text, {"x": x}, {"u": windows.unpool(y, mask, (7, 6)), "half": half})
