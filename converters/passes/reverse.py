"""Reverse a network: phi† of *Salient deconvolutional networks* (Mahendran and Vedaldi, ECCV 2016).

A reversed network takes an image and a projection p, of the shape of some blob, and gives an image:
each layer in turn is replaced by its reverse, which may use what the forward pass found (the
bottleneck information: max-pooling switches, ReLU masks). With back-propagation's own choices this
is the gradient of <p, phi(x)> by x.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ConversionError
from ..graph import Graph, Node, Shape, Value
from ..layers.pooling import Pooling
from ..registry import NoParams, find
from ..shapes import OpenDimension, is_fixed, text

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


class ReLURule(enum.Enum):
    """What becomes of a ReLU; r is 1 where the forward pass gave more than 0."""

    IDENTITY = "identity"
    RELU = "relu"
    MASK = "mask"
    MASK_AND_RELU = "mask+relu"

    @property
    def masks(self) -> bool:
        return self in (ReLURule.MASK, ReLURule.MASK_AND_RELU)

    @property
    def rectifies(self) -> bool:
        return self in (ReLURule.RELU, ReLURule.MASK_AND_RELU)


@dataclass(frozen=True)
class Rules:
    """How the layers that lose something are reversed."""

    relu: ReLURule
    switches: bool = True
    """Max pooling by its switches; else to the centre of each window."""
    lrn: bool = False
    """LRN by back-propagation; else by the identity."""

    @property
    def name(self) -> str:
        """What the eight combinations are called in file names: ``relu-switches``."""
        where = "switches" if self.switches else "centre"
        return f"{self.relu.value.replace('+', '-')}-{where}"


METHODS = {
    "deconvnet": Rules(ReLURule.RELU),
    "salinet": Rules(ReLURule.MASK, lrn=True),
    "desalinet": Rules(ReLURule.MASK_AND_RELU),
}
"""Zeiler and Fergus's, back-propagation, and both at once."""


def reverse(
    graph: Graph, blob: str, rules: Rules | str = "desalinet", *, stored: bool = False
) -> Graph:
    """The reverse of `graph` up to `blob`.

    It reads the images and ``projection`` (the blob's shape) and gives ``visualisation`` (the
    image's shape), or one ``visualisation/NAME`` for each image where there are several. With
    `stored` it reads the bottleneck information, which `bottleneck` gives, instead of the images;
    their size must then be fixed. Raises ConversionError, which names the layer, for a layer that
    has no reverse.
    """
    whole, reader = build(graph, blob, rules)
    if stored:
        cut(whole, reader)
        return alone(whole)
    inputs = list(whole.inputs)
    alone(whole)
    whole.inputs = inputs  # an image that these rules do not look at is still taken
    return whole


def bottleneck(graph: Graph, blob: str, rules: Rules | str = "desalinet") -> Graph:
    """The forward half: it reads the images and gives what the stored form of `reverse` reads."""
    whole, reader = build(graph, blob, rules)
    taken = cut(whole, reader)
    if not taken:
        raise ConversionError(f"{graph.name}: these rules use nothing of the forward pass")
    forward = reader.forward
    forward.outputs = taken
    for value in taken:
        value.producer = reader.makers[id(value)]
    forward.name = f"{graph.name}_bottleneck"
    return alone(forward)


def alone(graph: Graph) -> Graph:
    """Less what no output depends on, and less blobs shared with a layer that has gone."""
    graph.without_dead_nodes()
    names = {node.name for node in graph.nodes}
    for node in graph.nodes:
        node.shared = {i: owner for i, owner in node.shared.items() if owner[0] in names}
    return graph


def build(graph: Graph, blob: str, rules: Rules | str) -> tuple[Graph, Reverser]:
    """Forward and reverse pass in one graph, and what made it."""
    if isinstance(rules, str):
        if rules not in METHODS:
            raise ConversionError(f"unknown method {rules!r}", None, f"one of {', '.join(METHODS)}")
        rules = METHODS[rules]
    forward = graph.clone()
    end = find_blob(forward, blob)
    forward.outputs = [end]
    forward.without_dead_nodes()
    reader = Reverser(forward, end, rules)
    return reader.run(), reader


def find_blob(graph: Graph, blob: str) -> Value:
    """The float blob of that name that some layer writes."""
    names = [v.name for n in graph.nodes for v in n.outputs if v.dtype == "float32"]
    if blob not in names:
        close = difflib.get_close_matches(blob, names, 3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"it has {', '.join(names)}"
        raise ConversionError(f"{graph.name}: no layer gives a blob {blob!r}", None, hint)
    return graph.value(blob)


def cut(whole: Graph, reader: Reverser) -> list[Value]:
    """Take the forward pass off; what the reverse reads of it becomes inputs, which it returns."""
    forward = {id(n) for n in reader.forward.nodes}
    made = {id(v): v for n in reader.forward.nodes for v in n.outputs}
    images = {id(v) for v in reader.forward.inputs}
    taken: list[Value] = []
    for node in whole.nodes:
        if id(node) in forward:
            continue
        for value in node.inputs:
            if id(value) in images or value in node.inputs[reader.needs.get(id(node), 99) :]:
                raise node.error(
                    f"its output's size {text(node.outputs[0].shape)} is open",
                    "the stored form needs images of a fixed size: give --shape",
                )
            if id(value) in made and not any(v is value for v in taken):
                taken.append(value)
    whole.nodes = [n for n in whole.nodes if id(n) not in forward]
    for value in taken:
        assert value.producer is not None
        reader.makers[id(value)] = value.producer
        value.producer = None
    whole.inputs = [*taken, whole.inputs[-1]]
    return taken


class Reverser:
    """Walks the forward graph from its end; `sums` holds what has reached each value so far."""

    def __init__(self, forward: Graph, end: Value, rules: Rules) -> None:
        self.forward, self.end, self.rules = forward, end, rules
        self.names = {v.name for v in forward.values()}
        self.labels = {n.name for n in forward.nodes}
        self.nodes: list[Node] = []
        self.sums: dict[int, list[Value]] = {}
        self.needs: dict[int, int] = {}
        """Node id -> the first of its inputs that it reads for the plane's size only."""
        self.makers: dict[int, Node] = {}

    def run(self) -> Graph:
        projection = Value(self.fresh(PROJECTION), self.end.shape, nominal=self.end.nominal)
        self.sums[id(self.end)] = [projection]
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
            top.name = self.fresh(name)
        inputs = [*self.forward.inputs, projection]
        nodes = [*self.forward.nodes, *self.nodes]
        return Graph(f"{self.forward.name}_reversed", inputs, nodes, outputs)

    def first_reader(self, value: Value) -> Node:
        return self.forward.consumers(value)[0]

    def reverse(self, node: Node, tops: list[Value | None]) -> None:
        """Hand what reached the tops of `node` on to its bottoms."""
        from .reverse_rules import RULES, rule_of

        rule = rule_of(node)
        if rule is None:
            raise node.error(
                "cannot be reversed", f"these can: {', '.join(sorted(RULES))}; cut at a lower blob"
            )
        try:
            rule(self, node, tops)
        except OpenDimension as error:
            raise node.error(
                f"its reverse needs to know the size {error}", "give --shape"
            ) from None

    def fresh(self, wish: str) -> str:
        """`wish`, or `wish_2` and so on where a value has that name."""
        name, count = wish, 1
        while name in self.names:
            count += 1
            name = f"{wish}_{count}"
        self.names.add(name)
        return name

    def total(self, value: Value, near: Node) -> Value | None:
        """The sum of what reached a value; None where nothing did."""
        parts = self.sums.pop(id(value), [])
        if len(parts) < 2:
            return parts[0] if parts else None
        eltwise = find("Eltwise")
        assert eltwise is not None
        return self.add("Eltwise", near, parts, value, eltwise.Params(), suffix="sum")

    def give(self, value: Value, part: Value) -> None:
        """Note that `part` reaches the forward `value`."""
        self.sums.setdefault(id(value), []).append(part)

    def add(
        self,
        kind: str,
        node: Node,
        inputs: Sequence[Value],
        like: Value,
        params: object,
        *,
        blobs: Sequence[int] = (),
        plane: bool = False,
        suffix: str = "reversed",
    ) -> Value:
        """A node that reverses (part of) `node`; its output has the shape of `like`.

        `blobs` are those of the forward layer that it shares. With `plane`, `like` is read as well
        where its size is open.
        """
        added = self.make(kind, node, inputs, like.shape, like.nominal, params, suffix, like.name)
        added.blobs = [node.blobs[i] for i in blobs]
        added.shared = {n: (node.name, i) for n, i in enumerate(blobs)}
        if plane and not is_fixed(*like.shape[2:]):
            self.needs[id(added)] = len(added.inputs)
            added.inputs.append(like)
        self.nodes.append(added)
        return added.outputs[0]

    def make(
        self,
        kind: str,
        node: Node,
        inputs: Sequence[Value],
        shape: Shape,
        nominal: tuple[int, ...],
        params: object,
        suffix: str,
        name: str,
    ) -> Node:
        """A node of one output, named after the forward layer and what it does."""
        label, count = f"{node.name}/{suffix}", 1
        while label in self.labels:
            count += 1
            label = f"{node.name}/{suffix}_{count}"
        self.labels.add(label)
        made = Node(label, kind, params, list(inputs), [], position=node.position)
        output = Value(self.fresh(f"{name}/{suffix}"), shape, made, nominal=nominal)
        made.outputs = [output]
        return made

    def ahead(self, node: Node, after: Node) -> None:
        """Put a node that finds bottleneck information into the forward pass."""
        self.forward.nodes.insert(self.forward.nodes.index(after) + 1, node)

    def switches(self, pool: Node) -> Value:
        """The mask of a max pooling, which is given one where it has none."""
        if len(pool.outputs) == 1:
            kind = Pooling()
            if any(kind.outside(pool)):
                raise pool.error("its last window lies wholly outside the image: it has no switch")
            kind.windows(pool)
            top = pool.outputs[0]
            mask = Value(self.fresh(f"{top.name}_mask"), top.shape, pool, "int64", top.nominal)
            pool.outputs.append(mask)
        return pool.outputs[1]
