"""The one graph that both backends translate.

What is in a `Graph` is what Caffe would run: phases selected, old syntax upgraded, losses pruned,
shapes inferred, blobs in place. A `Value` is an object, not a name, so an in-place layer makes a
new one and nothing is ever overwritten.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from prototxt.errors import Position
from prototxt.net import ParamSpec

from .errors import ConversionError

__all__ = ["Dim", "Graph", "Node", "P", "Shape", "Value", "unique_name"]

Dim = int | str
"""A number, or the text of a symbol such as ``height`` where the size is left open."""

Shape = tuple[Dim, ...]

P = TypeVar("P")
"""The params of a layer type: the dataclass that holds what its prototxt message says."""


@dataclass(eq=False)
class Value:
    """One tensor between nodes: N×C×H×W float32 unless it says otherwise."""

    name: str
    shape: Shape
    producer: Node[Any] | None = None
    dtype: str = "float32"
    nominal: tuple[int, ...] = ()
    """The shape that the prototxt itself states, where `shape` leaves dimensions open."""

    def __repr__(self) -> str:
        return f"Value({self.name!r}, {'x'.join(map(str, self.shape))}, {self.dtype})"


@dataclass(eq=False)
class Node(Generic[P]):
    """One layer as Caffe runs it.

    `params` is the dataclass of its layer type: `Node[ConvolutionParams]` is a convolution,
    `Node[Any]` any layer. `blobs` are its learned arrays in Caffe's order and
    `specs` their learning-rate and decay multipliers.
    """

    name: str
    type: str
    params: P
    inputs: list[Value]
    outputs: list[Value]
    blobs: list[np.ndarray] = field(default_factory=list)
    specs: list[ParamSpec] = field(default_factory=list)
    position: Position | None = None
    loss_weights: list[float] = field(default_factory=list)
    phase: str = "TEST"
    shared: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Blob index -> (layer, index) of the owner, where a `param { name }` shares it."""

    @property
    def subject(self) -> str:
        """``layer 'conv1' (Convolution)``, as every message names a layer."""
        return f"layer {self.name!r} ({self.type})"

    def error(self, message: str, remedy: str | None = None) -> ConversionError:
        """A ConversionError that names this layer, its type and its place."""
        return ConversionError(message, subject=self.subject, position=self.position, remedy=remedy)

    def note(self, message: str) -> str:
        """A note that names this layer's place, it and its type."""
        return f"{self.position}: {self.subject}: {message}"

    def __repr__(self) -> str:
        return f"Node({self.name!r}, {self.type}, {self.inputs} -> {self.outputs})"


@dataclass(eq=False)
class Graph:
    """A network: `nodes` stand in an order in which they can be run."""

    name: str
    inputs: list[Value]
    nodes: list[Node[Any]]
    outputs: list[Value]
    notes: list[str] = field(default_factory=list)
    """What a user should know of how it was made: where shapes and weights came from."""

    def values(self) -> Iterator[Value]:
        """Every value: the inputs, then each node's outputs in order."""
        yield from self.inputs
        for node in self.nodes:
            yield from node.outputs

    def value(self, name: str) -> Value:
        """The value called `name`; KeyError where there is none."""
        for value in self.values():
            if value.name == name:
                return value
        raise KeyError(name)

    def consumers(self, value: Value) -> list[Node[Any]]:
        """The nodes that read `value`."""
        return [node for node in self.nodes if any(v is value for v in node.inputs)]

    def clone(self) -> Graph:
        """A copy whose nodes and values are new; blobs and params are shared, never written."""
        twins: dict[int, Value] = {}

        def twin(value: Value) -> Value:
            if id(value) not in twins:
                twins[id(value)] = Value(value.name, value.shape, None, value.dtype, value.nominal)
            return twins[id(value)]

        nodes = []
        for node in self.nodes:
            new = copy.copy(node)
            new.inputs = [twin(v) for v in node.inputs]
            new.outputs = [twin(v) for v in node.outputs]
            new.blobs, new.specs = list(node.blobs), list(node.specs)
            for output in new.outputs:
                output.producer = new
            nodes.append(new)
        inputs = [twin(v) for v in self.inputs]
        outputs = [twin(v) for v in self.outputs]
        return Graph(self.name, inputs, nodes, outputs, list(self.notes))

    def without_dead_nodes(self) -> Graph:
        """This graph, less the nodes and inputs that no output depends on (changed in place)."""
        wanted = {id(v) for v in self.outputs}
        kept = []
        for node in reversed(self.nodes):
            if any(id(v) in wanted for v in node.outputs):
                kept.append(node)
                wanted.update(id(v) for v in node.inputs)
        self.nodes = kept[::-1]
        self.inputs = [v for v in self.inputs if id(v) in wanted]
        return self


def unique_name(wish: str, taken: dict[str, int]) -> str:
    """`wish`, or `wish_2` and so on where it is taken; it is taken from now on.

    Args:
        wish: the name that is wanted.
        taken: of each name the last number that was tried behind it; at first 1.
    """
    name, count = wish, taken.get(wish, 0)
    while name in taken:
        count += 1
        name = f"{wish}_{count}"
    taken[wish] = max(count, 1)
    taken[name] = taken.get(name, 1)
    return name
