"""Holds a layer without a golden of Caffe's to an oracle: ONNX in three targets, and PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

import converters
import prototxt
from converters.graph import Graph, Shape
from tests.converters.checker import RTOL, bind, close, run_onnx, run_torch

Arrays = Mapping[str, np.ndarray]


def inputs(**shapes: Sequence[int]) -> str:
    """Input layers of these shapes, by blob."""
    return "".join(
        f'layer {{ name: "{blob}" type: "Input" top: "{blob}" input_param {{ shape {{ '
        + " ".join(f"dim: {d}" for d in shape)
        + " } } }\n"
        for blob, shape in shapes.items()
    )


def layer(kind: str, bottoms: str, params: str = "", tops: str = "y", name: str = "l") -> str:
    """One layer; bottoms and tops are blobs between blanks."""
    ends = [f'bottom: "{b}"' for b in bottoms.split()] + [f'top: "{t}"' for t in tops.split()]
    return f'layer {{ name: "{name}" type: "{kind}" {" ".join(ends)} {params} }}\n'


def build(text: str, weights: object = None, phase: str = "TEST", **options: object) -> Graph:
    net = prototxt.parse_net(text, "n").select(phase)
    return converters.build_graph(net, weights, **options)  # type: ignore[arg-type]


def refused(text: str, match: str, **options: object) -> None:
    """The definition is an error with this text."""
    with pytest.raises((converters.ConversionError, prototxt.FormatError), match=match):
        build(text, **options)


def agree(
    text: str,
    feeds: Arrays,
    expected: Arrays,
    weights: Mapping[str, Sequence[np.ndarray]] | None = None,
    *,
    tolerance: float = RTOL,
    open_dims: bool = True,
    closed: bool = True,
    shapes: Mapping[str, Shape] | None = None,
) -> Graph:
    """Every path gives `expected` (by blob, in order), and the inferred shapes are the real ones.

    With `open_dims` the feeds must not be of the sizes that `text` states: batch, height and width
    are left open as far as the layer (and `shapes`) allow; with `closed` they are fixed to those of
    the feeds. Returns the graph that was built last.
    """
    graph = build(text, weights, outputs=list(expected), shapes=shapes)
    if open_dims:
        check(graph, feeds, expected, tolerance)
    if not closed:
        return graph
    real = {v.name: feeds[v.name].shape for v in graph.inputs}
    graph = build(text, weights, outputs=list(expected), open_dims=False, shapes=real)
    check(graph, feeds, expected, tolerance)
    return graph


def check(graph: Graph, feeds: Arrays, expected: Arrays, tolerance: float) -> None:
    own = {v.name: feeds[v.name] for v in graph.inputs}
    folded = converters.fold(graph)
    for target in converters.FORMS:
        for variant in (graph, folded):
            found = run_onnx(converters.to_onnx(variant, target=target), own)
            compare(graph, own, found, expected, tolerance)
    compare(graph, own, run_torch(graph, own), expected, tolerance)


def compare(
    graph: Graph, feeds: Arrays, found: list[np.ndarray], expected: Arrays, tolerance: float
) -> None:
    sizes: dict[str, int] = {}
    for value in graph.inputs:
        bind(sizes, value.shape, feeds[value.name].shape)
    for (name, wanted), value, got in zip(expected.items(), graph.outputs, found, strict=True):
        assert got.shape == wanted.shape, f"{name}: {got.shape}, the oracle has {wanted.shape}"
        bind(sizes, value.shape, got.shape)
        assert str(got.dtype) == value.dtype
        close(name, got, wanted, tolerance)
