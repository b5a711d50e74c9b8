"""Definitions with errors in them: the converter's only errors are ours."""

from __future__ import annotations

import warnings
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import converters
import prototxt
from prototxt.errors import ZooError

GOLDENS = Path(__file__).parents[1] / "goldens"
TEXTS = [p.read_text() for p in sorted(GOLDENS.glob("*/*/net.prototxt"))]
WORDS = (
    "num_output: 0|kernel_size: 0|kernel_size: 99|stride: 0|pad: 7|axis: 9|axis: -9|group: 3|"
    'dim: 0|dim: 1|dim: -1|bottom: "x"|top: "x"|bottom: "data"|top: "y"|pool: AVE|type: "ReLU"|'
    'type: "Slice"|slice_point: 5|local_size: 2|coeff: 1|input_dim: 3|global_pooling: true|{|}'
).split("|")


@st.composite
def spoilt(draw):
    """A definition with a few of its fields gone, changed or added."""
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 3))):
        words = text.split(" ")
        place = draw(st.integers(0, len(words)))
        gone = draw(st.integers(0, 2))
        words[place : place + gone] = [draw(st.sampled_from(WORDS))] if draw(st.booleans()) else []
        text = " ".join(words)
    return text


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(spoilt())
def test_definitions_with_errors(text):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = prototxt.parse_net(text, "f").select("TEST")
            graph = converters.build_graph(net)
            converters.to_onnx(converters.fold(graph))
    except ZooError as error:
        assert str(error) and "\n" not in str(error)
