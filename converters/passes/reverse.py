"""Reverse a network: phi† of *Salient deconvolutional networks* (Mahendran and Vedaldi, ECCV 2016).

A reversed network takes an image and a projection p, of the shape of some blob, and gives an image:
each layer in turn is replaced by its reverse, which may use what the forward pass found (the
bottleneck information: max-pooling switches, ReLU masks). With back-propagation's own choices this
is the gradient of <p, phi(x)> by x.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from prototxt.errors import Argument, Sentence

from ..errors import ConversionError
from ..graph import Graph, Node, Value, unique_name
from ..layer_type import LayerType, NoParams
from ..layers.activations import PowerParams
from ..layers.elementwise import EltwiseParams
from ..registry import find, layer_types
from ..reversal import METHODS, ReLURule, Reverser, Rules, Tops
from ..shapes import OpenDimension, text

__all__ = [
    "METHODS",
    "PROJECTION",
    "VISUALISATION",
    "ReLURule",
    "Rules",
    "bottleneck",
    "reverse",
]

PROJECTION = "projection"
VISUALISATION = "visualisation"


def reverse(
    graph: Graph, blob: str, rules: Rules | str = "desalinet", *, stored: bool = False
) -> Graph:
    """The reverse of `graph` up to `blob`.

    It reads the images and ``projection`` (the blob's shape) and gives ``visualisation`` (the
    image's shape), or one ``visualisation/NAME`` for each image where there are several.

    Args:
        graph: the network; it is left as it is.
        blob: the name of the blob where the reverse pass begins.
        rules: ``deconvnet``, ``salinet`` or ``desalinet``, or rules of one's own.
        stored: read the bottleneck information, which `bottleneck` gives, instead of the images;
            their size must then be fixed.

    Raises:
        ConversionError: no such blob, or a layer that has no reverse, which it names.
    """
    whole, walk = both_passes(graph, blob, rules)
    if stored:
        cut_forward(whole, walk)
        return prune(whole)
    inputs = list(whole.inputs)
    prune(whole)
    whole.inputs = inputs  # an image that these rules do not look at is still taken
    return whole


def bottleneck(graph: Graph, blob: str, rules: Rules | str = "desalinet") -> Graph:
    """The forward half: it reads the images and gives what the stored form of `reverse` reads."""
    whole, walk = both_passes(graph, blob, rules)
    stored = cut_forward(whole, walk)
    if not stored:
        raise ConversionError("these rules use nothing of the forward pass", subject=graph.name)
    forward = walk.forward
    forward.outputs = stored
    for value in stored:
        value.producer = walk.producers[id(value)]
    forward.name = f"{graph.name}_bottleneck"
    return prune(forward)


def prune(graph: Graph) -> Graph:
    """Less what no output depends on, and less blobs shared with a layer that has gone."""
    graph.without_dead_nodes()
    names = {node.name for node in graph.nodes}
    for node in graph.nodes:
        node.shared = {i: owner for i, owner in node.shared.items() if owner[0] in names}
    return graph


def both_passes(graph: Graph, blob: str, rules: Rules | str) -> tuple[Graph, ReversePass]:
    """Forward and reverse pass in one graph, and what made it."""
    if isinstance(rules, str):
        if rules not in METHODS:
            raise ConversionError(
                f"unknown method {rules!r}", remedy=f"one of {', '.join(METHODS)}"
            )
        rules = METHODS[rules]
    forward = graph.clone()
    end = find_blob(forward, blob)
    forward.outputs = [end]
    forward.without_dead_nodes()
    walk = ReversePass(forward, end, rules)
    return walk.run(), walk


def find_blob(graph: Graph, blob: str) -> Value:
    """The float blob of that name that some layer writes."""
    names = [v.name for n in graph.nodes for v in n.outputs if v.dtype == "float32"]
    if blob not in names:
        close = difflib.get_close_matches(blob, names, 3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"it has {', '.join(names)}"
        raise ConversionError(f"no layer gives a blob {blob!r}", subject=graph.name, remedy=hint)
    return graph.value(blob)


def cut_forward(whole: Graph, walk: ReversePass) -> list[Value]:
    """Take the forward pass off; what the reverse reads of it becomes inputs, which it returns."""
    forward = {id(n) for n in walk.forward.nodes}
    made = {id(v): v for n in walk.forward.nodes for v in n.outputs}
    images = {id(v) for v in walk.forward.inputs}
    stored: list[Value] = []
    for node in whole.nodes:
        if id(node) in forward:
            continue
        for index, value in enumerate(node.inputs):
            if index >= walk.size_input.get(id(node), len(node.inputs)):
                raise node.error(
                    f"its output's size {text(node.outputs[0].shape)} is open",
                    Sentence(
                        "the stored form needs images of a fixed size: give ", Argument("shapes")
                    ),
                )
            if id(value) in images:
                raise node.error("reads the image itself, for which nothing stands in")
            if id(value) in made and not any(v is value for v in stored):
                stored.append(value)
    whole.nodes = [n for n in whole.nodes if id(n) not in forward]
    for value in stored:
        assert value.producer is not None
        walk.producers[id(value)] = value.producer
        value.producer = None
    whole.inputs = [*stored, whole.inputs[-1]]
    return stored


def reversible_types() -> list[str]:
    """The types that have a reverse, less those that are a kind of another (depthwise)."""
    kinds = [find(info.type) for info in layer_types() if info.reversible]
    classes = {type(kind) for kind in kinds}
    own = [k for k in kinds if k is not None and classes.isdisjoint(type(k).__mro__[1:])]
    return sorted(kind.type for kind in own)


def layer_type(node: Node[Any]) -> LayerType[Any]:
    """The behaviour of a node's type."""
    kind = find(node.type)
    assert kind is not None
    return kind


class ReversePass(Reverser):
    """Walks the forward graph from its end and asks each layer for its reverse."""

    def __init__(self, forward: Graph, end: Value, rules: Rules) -> None:
        self.forward, self.end, self.rules = forward, end, rules
        self.value_names = {v.name: 1 for v in forward.values()}
        self.node_names = {n.name for n in forward.nodes}
        self.nodes: list[Node[Any]] = []
        self.parts: dict[int, list[Value]] = {}
        """Id of a forward value -> what has reached it so far."""
        self.size_input: dict[int, int] = {}
        """Id of a node -> the index of the input that it reads for its size only."""
        self.producers: dict[int, Node[Any]] = {}
        """Id of a value at which the passes were cut apart -> the forward node that makes it."""

    def check(self) -> None:
        """Raise ConversionError, which names every layer that has no reverse."""
        missing = [node for node in self.forward.nodes if not layer_type(node).reversible]
        if not missing:
            return
        hint = f"these can: {', '.join(reversible_types())}; cut at a lower blob"
        if len(missing) == 1:
            raise missing[0].error("cannot be reversed", hint)
        listed = ", ".join(
            f"{n.name!r} ({n.type})" + (f" at {n.position.line}" if n.position else "")
            for n in missing
        )
        raise ConversionError(
            f"{len(missing)} layers cannot be reversed: {listed}",
            position=missing[0].position,
            remedy=hint,
        )

    def run(self) -> Graph:
        """Both passes in one graph."""
        self.check()
        projection = Value(self.unique_name(PROJECTION), self.end.shape, nominal=self.end.nominal)
        self.accumulate(self.end, projection)
        for node in reversed(list(self.forward.nodes)):
            tops = [self.total(value, node) for value in node.outputs]
            if any(top is not None for top in tops):
                self.reverse(node, tops)
        found = [(v, self.total(v, self.first_reader(v))) for v in self.forward.inputs]
        reached = [(v, top) for v, top in found if top is not None]
        outputs: list[Value] = []
        for value, top in reached:
            if top.producer is None or any(top is v for v in outputs):
                top = self.add("Split", self.first_reader(value), [top], value, NoParams())
            outputs.append(top)
            name = VISUALISATION if len(reached) == 1 else f"{VISUALISATION}/{value.name}"
            top.name = self.unique_name(name)
        inputs = [*self.forward.inputs, projection]
        nodes = [*self.forward.nodes, *self.nodes]
        return Graph(f"{self.forward.name}_reversed", inputs, nodes, outputs)

    def first_reader(self, value: Value) -> Node[Any]:
        return self.forward.consumers(value)[0]

    def reverse(self, node: Node[Any], tops: Tops) -> None:
        """Hand what reached the tops of `node` on to its bottoms."""
        try:
            layer_type(node).reverse(node, tops, self)
        except OpenDimension as error:
            raise node.error(
                f"its reverse needs to know the size {error}", Sentence("give ", Argument("shapes"))
            ) from None

    def total(self, value: Value, near: Node[Any]) -> Value | None:
        """The sum of what reached a value; None where nothing did."""
        parts = self.parts.pop(id(value), [])
        if len(parts) < 2:
            return parts[0] if parts else None
        return self.add("Eltwise", near, parts, value, EltwiseParams(), suffix="sum")

    def accumulate(self, bottom: Value, value: Value) -> None:
        self.parts.setdefault(id(bottom), []).append(value)

    def add(
        self,
        kind: str,
        node: Node[Any],
        inputs: Sequence[Value],
        like: Value,
        params: object,
        *,
        shared: Sequence[int] = (),
        blobs: Sequence[np.ndarray] = (),
        read_size: bool = False,
        suffix: str = "reversed",
    ) -> Value:
        added = self.new_node(kind, node, inputs, params, suffix)
        added.blobs = [*(node.blobs[i] for i in shared), *blobs]
        added.shared = {n: (node.name, i) for n, i in enumerate(shared)}
        if read_size:
            self.size_input[id(added)] = len(added.inputs)
            added.inputs.append(like)
        self.nodes.append(added)
        return self.new_output(added, like, f"{like.name}/{suffix}")

    def add_split(
        self,
        kind: str,
        node: Node[Any],
        inputs: Sequence[Value],
        likes: Sequence[Value],
        params: object,
    ) -> list[Value]:
        added = self.new_node(kind, node, inputs, params, "reversed")
        self.nodes.append(added)
        return [self.new_output(added, like, f"{like.name}/reversed") for like in likes]

    def add_forward(
        self,
        kind: str,
        node: Node[Any],
        inputs: Sequence[Value],
        like: Value,
        params: object,
        *,
        blobs: Sequence[np.ndarray] = (),
        suffix: str,
    ) -> Value:
        added = self.new_node(kind, node, inputs, params, suffix)
        added.blobs = list(blobs)
        self.forward.nodes.insert(self.forward.nodes.index(node) + 1, added)
        return self.new_output(added, like, f"{node.name}/{suffix}")

    def scale(self, node: Node[Any], value: Value, like: Value, factor: float) -> Value:
        if factor == 1:
            return value
        return self.add("Power", node, [value], like, PowerParams(scale=factor), suffix="scaled")

    def new_node(
        self, kind: str, node: Node[Any], inputs: Sequence[Value], params: object, suffix: str
    ) -> Node[Any]:
        """A node without outputs, named after the forward layer and what it does."""
        name, count = f"{node.name}/{suffix}", 1
        while name in self.node_names:
            count += 1
            name = f"{node.name}/{suffix}_{count}"
        self.node_names.add(name)
        return Node(name, kind, params, list(inputs), [], position=node.position)

    def new_output(self, node: Node[Any], like: Value, name: str) -> Value:
        """A further output of `node`, of the shape of `like`."""
        output = Value(self.unique_name(name), like.shape, node, nominal=like.nominal)
        node.outputs.append(output)
        return output

    def unique_name(self, wish: str) -> str:
        return unique_name(wish, self.value_names)
