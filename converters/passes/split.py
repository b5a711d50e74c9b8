"""Split a network at its switches: an encoder that gives them, a decoder that takes them.

The encoder is what the masks depend on; what else is needed is the decoder, and what that reads of
the encoder crosses the cut. Besides masks it is passed as well, unless it carries nothing: a bias
layer (a 1×1 convolution whose weights are zero) needs only the size of its input, which a mask has.
"""

from __future__ import annotations

from typing import Any

from prototxt.errors import Argument, Sentence

from ..errors import ConversionError
from ..graph import Graph, Node, Value
from ..registry import find

__all__ = ["split"]


def split(graph: Graph) -> tuple[Graph, Graph]:
    """Cut a network at its switches.

    Returns:
        Encoder and decoder; the outputs of the one are the inputs of the other, by the same names.

    Raises:
        ConversionError: the graph has no mask that an Unpooling reads.
    """
    if not any(masks_of(node) for node in graph.nodes):
        raise ConversionError(
            "nothing to split: no Unpooling reads a mask",
            subject=graph.name,
            remedy=Sentence(Argument("split"), " is for networks with Pooling masks and Unpooling"),
        )
    behind = decoder(graph.clone())
    return encoder(graph.clone(), [value.name for value in behind.inputs]), behind


def masks_of(node: Node[Any]) -> list[Value]:
    """The masks by which a node puts values back."""
    kind = find(node.type)
    assert kind is not None
    return [node.inputs[index] for index in kind.mask_bottoms(len(node.inputs))]


def decoder(graph: Graph) -> Graph:
    """The part behind the switches; its inputs are the masks, and what else crosses the cut."""
    cut = cut_values(graph)
    for value in cut:
        value.producer = None
    shape_only(graph, cut)
    after: set[int] = {id(v) for v in cut}
    kept = []
    for node in graph.nodes:
        if any(id(v) in after for v in node.inputs):
            kept.append(node)
            after.update(id(v) for v in node.outputs)
    kept = [n for n in kept if not any(v in n.outputs for v in cut)]
    graph.nodes = kept
    graph.inputs = list(cut) + [v for v in graph.inputs if v not in cut]
    graph.outputs = [v for v in graph.outputs if id(v) in after and v not in cut]
    graph.name = f"{graph.name}_decoder"
    return graph.without_dead_nodes()


def cut_values(graph: Graph) -> list[Value]:
    """What the decoder reads from the encoder: masks first, then features that matter."""
    masks: list[Value] = []
    behind: set[int] = set()
    for node in graph.nodes:
        masks += [mask for mask in masks_of(node) if not any(v is mask for v in masks)]
    order = {id(v): i for i, v in enumerate(graph.values())}
    masks.sort(key=lambda v: order[id(v)])
    # The encoder is what the masks depend on; everything else that is needed lies behind the cut.
    needed: set[int] = set()
    stack = [v.producer for v in masks if v.producer]
    while stack:
        node = stack.pop()
        if id(node) not in needed:
            needed.add(id(node))
            stack.extend(v.producer for v in node.inputs if v.producer)
    features: list[Value] = []
    for node in graph.nodes:
        if id(node) in needed:
            continue
        behind.add(id(node))
        for value in node.inputs:
            made_before = value.producer is None or id(value.producer) in needed
            if made_before and not any(value is v for v in (*masks, *features)):
                features.append(value)
    return masks + features


def shape_only(graph: Graph, cut: list[Value]) -> None:
    """Let bias layers read a mask of the same shape, so that no feature crosses the cut."""
    for value in list(cut):
        if value.dtype != "float32":
            continue
        twin = next((v for v in cut if v.dtype == "int64" and v.shape == value.shape), None)
        readers = graph.consumers(value)
        if twin is None or not readers or not all(is_bias_layer(n) for n in readers):
            continue
        for node in readers:
            node.type = "BiasLayer"
            node.inputs = [twin]
        cut.remove(value)


def is_bias_layer(node: Node[Any]) -> bool:
    kind = find(node.type)
    return kind is not None and kind.is_bias(node)


def encoder(graph: Graph, crossing: list[str]) -> Graph:
    """The part in front of the switches; it gives the decoder's inputs."""
    outputs = [graph.value(name) for name in crossing]
    graph.outputs = [v for v in outputs if not any(v is given for given in graph.inputs)]
    graph.name = f"{graph.name}_encoder"
    return graph.without_dead_nodes()
