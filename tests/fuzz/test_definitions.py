"""Some hundreds of the definitions that the grammar makes, and those that once broke the rule."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from tests.converters.forks import inputs, layer

from .definitions import checked, definitions, kinds

IMAGE = (1, 3, 8, 8)
FOUND = {
    "a filler for a single number": inputs(x=IMAGE)
    + layer(
        "Normalize", "x",
        'norm_param { across_spatial: false scale_filler { type: "gaussian" sparse: 0 } }',
    ),
    "a parameter is an output": inputs(x=IMAGE)
    + layer("Parameter", "", "parameter_param { shape { dim: 1 } }"),
    "a sequence of single numbers": inputs(x=(2, 3))
    + layer("LSTM", "x x", "recurrent_param { num_output: 1 }"),
    "priors without end": inputs(x=IMAGE)
    + layer("PriorBox", "x x", "prior_box_param { min_size: 1 max_size: 1e+30 }"),
    "a mask that points anywhere": inputs(x=(1, 2, 3, 3), m=(1, 2, 3, 3))
    + layer("Unpooling", "x m", "unpooling_param { kernel_size: 2 stride: 2 unpool_size: 6 }"),
    "a plane that the windows do not fill": inputs(x=(1, 1, 1, 1))
    + layer("Unpooling", "x x", "unpooling_param { kernel_size: 1 stride: 1 unpool_size: 2 }"),
    "a parameter of no axes": inputs(x=IMAGE) + layer("Parameter", "", "parameter_param { }"),
    "a shape of no axes": inputs(x=(1, 1)) + layer("Reshape", "x", "reshape_param { }"),
    "a number, permuted": inputs(x=(2, 3))
    + layer("Reduction", "x", "reduction_param { axis: 0 }", "s", "sum")
    + layer("Permute", "s", "permute_param { }"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_found(name: str) -> None:
    assert checked(FOUND[name]).judged


def test_a_stride_beyond_any_image() -> None:
    text = inputs(x=IMAGE) + layer("Pooling", "x", "pooling_param { kernel_size: 1 stride: 65537 }")
    assert "stride 65537x65537 is larger than any image" in checked(text).refused


@settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(definitions(kinds()))
def test_made(made: tuple[str, list[str]]) -> None:
    """Converted, the two runtimes agree; else it is refused in one line."""
    checked(made[0])
