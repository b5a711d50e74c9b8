"""Reshape where dimensions are open: what is left for -1 may be a multiple of one of them."""

from __future__ import annotations

import numpy as np
import pytest

from converters.shapes import factored
from tests.converters.forks import agree, build, inputs, layer


def reshape(bottom: str, top: str, *dims: int) -> str:
    shape = " ".join(f"dim: {d}" for d in dims)
    return layer("Reshape", bottom, f"reshape_param {{ shape {{ {shape} }} }}", top, top)


def test_the_softmax_of_a_region_proposal_network() -> None:
    """Two scores of each anchor side by side, and back: height and width stay open throughout."""
    text = inputs(x=(1, 18, 8, 8)) + reshape("x", "a", 0, 2, -1, 0)
    text += layer("Softmax", "a", tops="s", name="s") + reshape("s", "y", 0, 18, -1, 0)
    graph = build(text)
    assert graph.value("a").shape == ("batch", 2, "9*(height)", "width")
    assert graph.value("y").shape == ("batch", 18, "height", "width")
    x = np.random.default_rng(0).normal(size=(2, 18, 5, 7)).astype(np.float32)
    two = np.exp(x.reshape(2, 2, 45, 7).astype(np.float64))
    y = (two / two.sum(1, keepdims=True)).reshape(x.shape).astype(np.float32)
    agree(text, {"x": x}, {"y": y})


@pytest.mark.parametrize(
    ("shape", "dims", "result"),
    [
        ((4, 6), (-1, 3), ("2*(batch)", 3)),
        ((4, 6, 1, 1), (-1, 6), ("batch", 6)),
        ((4, 6, 5), (0, -1), ("batch", 30)),
        ((4, 6), (-1, 4), (6, 4)),  # not for every batch: it is fixed
        ((4, 6), (24,), (24,)),
    ],
)
def test_a_dimension_is_left_open_where_that_is_sure(
    shape: tuple[int, ...], dims: tuple[int, ...], result: tuple[int | str, ...]
) -> None:
    text = inputs(x=shape) + reshape("x", "y", *dims)
    graph = build(text)
    assert graph.outputs[0].shape == result
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    y = x.reshape([shape[i] if d == 0 else d for i, d in enumerate(dims)])
    agree(text, {"x": x}, {"y": y})


def test_the_factor_of_a_symbol() -> None:
    assert factored("9*(floor((h-1)/2)+1)") == (9, "floor((h-1)/2)+1")
    for plain in ("h", "8*(h)-7", "2*(a)+3*(b)", "(h)*2"):
        assert factored(plain) == (1, plain)
