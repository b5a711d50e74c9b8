"""Graph -> onnx.ModelProto."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from prototxt.preprocessing import Preprocessing

from .errors import ConversionError
from .graph import Graph
from .onnx_builder import OnnxBuilder
from .onnx_file import OnnxFile
from .opsets import OPSETS
from .preprocessing import emit, image_input
from .registry import find
from .targets import DEFAULT_TARGET, TARGETS

__all__ = ["DEFAULT_OPSET", "to_onnx", "to_onnx_file"]

DEFAULT_OPSET = 18
"""The opset of a model where no other is asked for."""


def to_onnx(
    graph: Graph,
    target: str = DEFAULT_TARGET,
    opset: int = DEFAULT_OPSET,
    metadata: Mapping[str, str] | None = None,
    producer: tuple[str, str] = ("caffe-zoo", ""),
    preprocessing: Preprocessing | None = None,
) -> onnx.ModelProto:
    """Write a graph as an ONNX model whose inputs, outputs and weights have the prototxt's names.

    Args:
        graph: as it is to be written; `fold` makes it faster.
        target: the runtime that it is for, of `TARGETS`. A ``portable`` model gives the same
            numbers in every runtime; ``cpu`` is a tenth to a quarter faster in ONNX Runtime on
            CPUs, ``cuda`` on its CUDA provider. There, a model for CPUs is slow, and where several
            numbers of overlapping windows are the greatest, its switch is another than Caffe's.
        opset: of ONNX, one of `opsets.OPSETS`: 13 to 26.
        metadata: properties of the model.
        producer: name and version of who writes it.
        preprocessing: let the input take uint8 images; the model's first nodes do this to them.

    Raises:
        ConversionError: a layer that cannot be written as ONNX, an unknown target or opset.
    """
    return to_onnx_file(graph, target, opset, metadata, producer, preprocessing).whole()


@np.errstate(all="ignore")  # infinities and what is no number go into the model, as into Caffe
def to_onnx_file(
    graph: Graph,
    target: str = DEFAULT_TARGET,
    opset: int = DEFAULT_OPSET,
    metadata: Mapping[str, str] | None = None,
    producer: tuple[str, str] = ("caffe-zoo", ""),
    preprocessing: Preprocessing | None = None,
) -> OnnxFile:
    """`to_onnx`, ready to be written: its weights are the graph's own arrays, not copies."""
    if target not in TARGETS:
        raise ConversionError(f"unknown target {target!r}", remedy=f"one of {', '.join(TARGETS)}")
    form = TARGETS[target].form
    if opset not in OPSETS:
        raise ConversionError(
            f"opset {opset} is not supported", remedy=f"one of {OPSETS[0]} to {OPSETS[-1]}"
        )
    builder = OnnxBuilder(graph, form, opset)
    if preprocessing is not None:
        emit(image_input(graph) or graph.inputs[0], preprocessing, builder)
    for node in graph.nodes:
        kind = find(node.type)
        assert kind is not None
        builder.begin(node, [spec.name for spec in kind.blobs(node)] if node.blobs else [])
        kind.onnx(node, builder)
    return builder.model(metadata or {}, producer)
