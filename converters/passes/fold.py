"""Fold what an inference can have cheaper: same numbers, fewer and faster nodes.

BN, BatchNorm and Scale go into the convolution or inner product before them, Dropout, Split and
Silence go away, and a stride-1 Deconvolution becomes the equal Convolution. Nothing else changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Graph, Node, Value
from ..layer_type import LayerType
from ..registry import find

__all__ = ["fold"]


def kind_of(node: Node[Any]) -> LayerType[Any]:
    kind = find(node.type)
    assert kind is not None
    return kind


@np.errstate(all="ignore")  # infinities and what is no number go into the model, as into Caffe
def fold(graph: Graph) -> Graph:
    """A folded copy of a graph: it computes the same with fewer layers.

    What is affine (BatchNorm, Scale, Bias) goes into the layer before; what does nothing when
    testing (Dropout) goes away. Blobs that are shared between layers are left alone.
    """
    graph = graph.clone()
    graph.nodes = [n for n in graph.nodes if not kind_of(n).discards]
    for node in list(graph.nodes):
        if kind_of(node).is_identity(node):
            for output in node.outputs:
                bypass(graph, node, output)
    for node in graph.nodes:
        kind_of(node).simplify(node)
    for node in list(graph.nodes):
        affine = kind_of(node).affine(node)
        if affine is not None:
            absorb(graph, node, *affine)
    return graph


def bypass(graph: Graph, node: Node[Any], output: Value) -> None:
    """Let the readers of `output` read the node's input instead; keep a graph output's name."""
    source = node.inputs[0]
    if any(v is output for v in graph.outputs):
        if source.producer is None or any(v is source for v in graph.outputs):
            return
        source.name = output.name
        graph.outputs = [source if v is output else v for v in graph.outputs]
    for reader in graph.nodes:
        reader.inputs = [source if v is output else v for v in reader.inputs]
    node.outputs = [v for v in node.outputs if v is not output]
    if not node.outputs:
        graph.nodes.remove(node)


def absorb(graph: Graph, node: Node[Any], factor: np.ndarray, offset: np.ndarray) -> None:
    """Multiply a node that gives factor * x + offset for each channel into the layer before it."""
    value = node.inputs[0]
    before = value.producer
    if before is None or len(before.outputs) != 1 or before.shared:
        return
    if len(graph.consumers(value)) != 1 or any(v is value for v in graph.outputs):
        return
    if shared_elsewhere(graph, before) or not kind_of(before).absorb(before, factor, offset):
        return
    output = node.outputs[0]
    graph.nodes.remove(node)
    before.outputs = [output]
    output.producer = before


def shared_elsewhere(graph: Graph, node: Node[Any]) -> bool:
    return any(owner == node.name for other in graph.nodes for owner, _ in other.shared.values())
