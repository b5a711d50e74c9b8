"""Files from anywhere: whatever is in them, the only errors are ours, and they come soon."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import prototxt
from prototxt.errors import ZooError

GOLDENS = Path(__file__).parents[1] / "goldens"
TEXTS = [p.read_text() for p in sorted(GOLDENS.glob("nets/*/net.prototxt"))]
SOLVERS = [p.read_text() for p in sorted(GOLDENS.glob("solvers/*/solver.prototxt"))[:4]]
MODELS = [
    p.read_bytes()
    for p in sorted(GOLDENS.glob("layers/*/net.caffemodel"))
    if p.stat().st_size < 2000
][:12]
STATES = [p.read_bytes() for p in sorted(GOLDENS.glob("solvers/*/*.solverstate"))[:3]]
COMMON = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
TOKENS = st.sampled_from(
    '{ } < > [ ] : , ; # " \' \\ layer layers name: "x" type: CONVOLUTION 1e999 -0 0x1F nan '
    "include phase: TEST dim top bottom \n \t \0 é".split(" ")
)


def survives(read: Callable[[], object]) -> None:
    """Either it reads, or it says in one line why not; within a second."""
    started = time.perf_counter()
    try:
        read()
    except ZooError as error:
        assert str(error) and "\n" not in str(error)
    assert time.perf_counter() - started < 1


def net(text: str) -> object:
    return prototxt.parse_net(text, "f").select("TEST")


@st.composite
def mutated(draw, originals):
    """An original with a few of its bytes (or characters) gone, doubled or replaced."""
    content = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 12)))
        if isinstance(content, bytes):
            middle = draw(st.one_of(st.binary(max_size=12), st.just(content[start:end] * 2)))
        else:
            words = st.lists(TOKENS, max_size=4).map(" ".join)
            middle = draw(st.one_of(words, st.just(content[start:end] * 2)))
        content = content[:start] + middle + content[end:]
    return content


@COMMON
@given(st.one_of(st.text(max_size=200), st.lists(TOKENS, max_size=60).map(" ".join)))
def test_any_text(text):
    survives(lambda: net(text))
    survives(lambda: prototxt.parse_solver(text))


@COMMON
@given(mutated(TEXTS))
def test_definitions_with_errors(text):
    survives(lambda: net(text))


@COMMON
@given(mutated(SOLVERS))
def test_solvers_with_errors(text):
    survives(lambda: prototxt.parse_solver(text))


def reads_binary(folder: Path, content: bytes) -> None:
    path = folder / "file"
    path.write_bytes(content)
    for read in (
        prototxt.read_weights,
        prototxt.read_model,
        prototxt.read_solverstate,
        prototxt.read_binaryproto,
        lambda p: prototxt.parse_datum(p.read_bytes(), "datum"),
    ):
        survives(lambda read=read: read(path))


@COMMON
@given(st.one_of(st.binary(max_size=300), mutated(MODELS), mutated(STATES)))
def test_any_bytes(tmp_path, content):
    reads_binary(tmp_path, content)


@pytest.mark.parametrize("opening", ["a {", "layer {", "a <", "a: [", "a { b <"])
def test_ten_thousand_levels_are_refused_cheaply(opening):
    text = opening * 10_000
    with pytest.raises(ZooError):
        survives(lambda: net(text))
        net(text)


def test_lengths_that_lie_are_refused_cheaply(tmp_path):
    """A field that says it has 2 GB, in a file of a few bytes."""
    for tag in (0x0A, 0x12, 0x22, 0x32, 0xA2):
        reads_binary(tmp_path, bytes([tag, 0xFF, 0xFF, 0xFF, 0xFF, 0x07]) + b"\0" * 20)
    # A shape of 2^40 numbers with none of them there.
    huge = {"a": [np.zeros((2, 2), np.float32)]}
    prototxt.write_weights(tmp_path / "w", huge)
    content = (tmp_path / "w").read_bytes()
    place = content.index(b"\x02\x02")
    grown = content[:place] + b"\x7f\x7f" + content[place + 2 :]
    (tmp_path / "w").write_bytes(grown)
    with pytest.raises(ZooError):
        prototxt.read_weights(tmp_path / "w")
