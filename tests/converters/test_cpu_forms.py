"""What `--target cpu` writes in another way, because ONNX Runtime is faster at it: same numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

import converters
from tests.converters.checker import run_onnx
from tests.converters.forks import build, inputs, layer
from tests.converters.oracles import windows
from tests.converters.test_geometry import COMMON, compare

POOL = layer("Pooling", "x", "pooling_param { kernel_size: 2 stride: 2 }", "y m")
BACK = "unpooling_param {{ unpool: MAX kernel_size: 2 stride: 2 unpool_h: {} unpool_w: {} }}"


def operators(text: str, target: str = "cpu", **how: object) -> list[str]:
    model = converters.to_onnx(converters.fold(build(text, **how)), target=target)
    return [node.op_type for node in model.graph.node]


def held(x: np.ndarray) -> None:
    """Maxima, switches, and what is put back, are those of Caffe's loops."""
    y, mask = windows.pool(x, (2, 2), (0, 0), (2, 2))
    text = inputs(x=x.shape) + POOL
    compare(text, {"x": x}, {"y": y, "m": mask})
    text += layer("Unpooling", "y m", BACK.format(*x.shape[2:]), "u", name="back")
    compare(text, {"x": x}, {"u": windows.unpool(y, mask, x.shape[2:])})


def test_every_order_of_four_places() -> None:
    """All 256 ways in which four places tie or do not, in each of 32 channels: ONNX Runtime's own
    layout of blocks of channels is used from 16 on.
    """
    ways = np.array(list(itertools.product(range(4), repeat=4)), np.float32)
    x = ways.reshape(16, 16, 2, 2).transpose(0, 2, 1, 3).reshape(1, 1, 32, 32)
    held(np.repeat(x, 32, 1))
    held(x - 2)


@pytest.mark.parametrize("size", [(3, 2), (5, 4), (4, 5), (7, 9), (2, 3)])
def test_windows_at_an_odd_edge(size: tuple[int, int]) -> None:
    held(np.random.default_rng(0).integers(-2, 2, (2, 16, *size)).astype(np.float32))


def test_indices_are_not_asked_for() -> None:
    text = inputs(x=(1, 4, 6, 6)) + POOL
    model = converters.to_onnx(build(text), target="cpu")
    pools = [node for node in model.graph.node if node.op_type == "MaxPool"]
    assert len(pools) == 4 and all(len(node.output) == 1 for node in pools)
    floor = text.replace("stride: 2", "stride: 2 round_mode: FLOOR")
    for how, count in (({"open_dims": True}, 1), ({"open_dims": False}, 4)):
        assert operators(floor, **how).count("MaxPool") == count
    assert operators(text.replace("stride: 2", "stride: 1")).count("MaxPool") == 1


def test_a_window_of_minus_infinity_has_its_first_place() -> None:
    """Caffe's has -1 there, which names no place, and unpooling it writes outside the plane."""
    x = np.full((1, 16, 2, 2), -np.inf, np.float32)
    graph = build(inputs(x=x.shape) + POOL)
    y, mask = run_onnx(converters.to_onnx(graph), {"x": x})
    assert (mask == 0).all() and (y <= np.finfo(np.float32).min).all()


def narrow(channels: int, outputs: int, size: tuple[int, int], more: str) -> str:
    params = f"convolution_param {{ num_output: {outputs} {more} }}"
    return inputs(x=(2, channels, *size)) + layer("Convolution", "x", params)


@pytest.mark.slow
@COMMON
@given(
    st.tuples(st.integers(4, 9), st.integers(4, 9)),
    st.tuples(st.integers(2, 4), st.integers(2, 4)),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.sampled_from([8, 16, 32]),
    st.integers(1, 4),
    st.booleans(),
    st.integers(0, 99),
)
def test_few_outputs(size, kernel, pad, channels, outputs, bias, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (2, channels, *size)).astype(np.float32)
    weight = rng.normal(0, 1, (outputs, channels, *kernel)).astype(np.float32)
    offset = rng.normal(0, 1, outputs).astype(np.float32)
    more = f"kernel_h: {kernel[0]} kernel_w: {kernel[1]} pad_h: {pad[0]} pad_w: {pad[1]} "
    text = narrow(channels, outputs, size, f"{more} bias_term: {str(bias).lower()}")
    added = offset if bias else 0 * offset
    expected = windows.convolve(x, weight, added, pad, (1, 1), (1, 1), 1)
    blobs = [weight, offset] if bias else [weight]
    assert "DepthToSpace" in operators(text, weights={"l": blobs})
    compare(text, {"x": x}, {"y": expected}, weights={"l": blobs})


@pytest.mark.parametrize(
    ("channels", "outputs", "more"),
    [
        (32, 5, "kernel_size: 3"),
        (4, 3, "kernel_size: 3"),
        (32, 3, "kernel_size: 1"),
        (32, 3, "kernel_size: 3 stride: 2"),
        (32, 3, "kernel_size: 3 dilation: 2"),
        (32, 4, "kernel_size: 3 group: 2"),
    ],
)
def test_other_convolutions_stay_as_they_are(channels, outputs, more) -> None:
    assert operators(narrow(channels, outputs, (9, 9), more)) == ["Conv"]


@pytest.mark.parametrize("target", ["cuda", "portable"])
def test_other_targets_stay_as_they_are(target) -> None:
    assert operators(narrow(32, 3, (9, 9), "kernel_size: 3"), target) == ["Conv"]


def test_a_weight_is_stored_under_its_name_as_it_was() -> None:
    weight = np.random.default_rng(0).normal(0, 1, (3, 8, 3, 3)).astype(np.float32)
    text = narrow(8, 3, (8, 8), "kernel_size: 3 bias_term: false")
    model = converters.to_onnx(build(text, {"l": [weight]}))
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    assert np.array_equal(stored["l.weight"], weight)
