"""What of a model must stay float32 so that its switches, and whatever else is whole, stay exact.

Two rules on the ONNX graph, by names of nodes:

- all that a switch depends on stays float32, back to the input: one rounded number may turn it;
- what computes whole numbers and truth values of floats (a comparison, an ArgMax, the suppression
  of boxes), what feeds it, and what is made of it stay float32, back and on to the next layer with
  weights: places and boxes have more digits than half precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

__all__ = ["LEARNED", "Wiring", "depends_on", "kept", "types", "whole_numbers"]

LEARNED = frozenset("Conv ConvTranspose Gemm MatMul".split())
"""Operators with weights, whose rounding later layers even out."""

SHAPES = frozenset("Shape Size".split())
"""They read no number of their input."""

PLACES = frozenset("GridSample".split())
"""Operators whose inputs besides the first are places in an image."""


def types(model: onnx.ModelProto) -> dict[str, int]:
    """The element type (`onnx.TensorProto`) of every tensor of a graph whose type is known."""
    import onnx

    # Of weights only the type matters, and those that no shape depends on are long.
    graph = onnx.shape_inference.infer_shapes(model).graph
    found = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.value_info, *graph.input, *graph.output):
        found[value.name] = value.type.tensor_type.elem_type
    return found


def read(node: onnx.NodeProto) -> Iterator[str]:
    """The tensors that a node reads, those that its subgraphs read included."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from read(inner)


def reached(
    start: Iterable[onnx.NodeProto],
    neighbours: Callable[[onnx.NodeProto], Iterable[onnx.NodeProto]],
    stop: frozenset[str] = frozenset(),
) -> set[str]:
    """The names of the nodes that are reached, `start` included; `stop` are types not entered."""
    found: set[str] = set()
    stack = list(start)
    while stack:
        node = stack.pop()
        if node.name not in found:
            found.add(node.name)
            stack += [other for other in neighbours(node) if other.op_type not in stop]
    return found


class Wiring:
    """Who makes and who reads each tensor of a graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.maker = {name: node for node in model.graph.node for name in node.output if name}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in read(node):
                self.readers.setdefault(name, []).append(node)

    def before(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """The nodes whose numbers a node reads."""
        if node.op_type in SHAPES:
            return []
        return [self.maker[name] for name in read(node) if name in self.maker]

    def behind(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """The nodes that read a node's numbers."""
        found = [other for name in node.output for other in self.readers.get(name, ())]
        return [other for other in found if other.op_type not in SHAPES]


def depends_on(model: onnx.ModelProto, values: Iterable[str]) -> set[str]:
    """The names of all nodes that tensors of these names depend on."""
    wiring = Wiring(model)
    return reached([wiring.maker[v] for v in values if v in wiring.maker], wiring.before)


def whole_numbers(model: onnx.ModelProto, switches: Iterable[str]) -> set[str]:
    """The nodes around whole numbers, up to the next layers with weights.

    That is what computes whole numbers of floats, what feeds it, and what is made of it or of
    `switches`.
    """
    import onnx

    kinds, wiring = types(model), Wiring(model)
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
    roots, placed = [], []
    for node in model.graph.node:
        if node.op_type in SHAPES:
            continue
        reads = any(kinds.get(name) in floats for name in node.input if name)
        makes = [kinds.get(name) for name in node.output if name]
        if reads and any(kind not in floats for kind in makes):
            roots.append(node)
        if node.op_type in PLACES:
            placed += [wiring.maker[name] for name in node.input[1:] if name in wiring.maker]
    readers = [node for name in switches for node in wiring.readers.get(name, ())]
    readers = [node for node in readers if node.op_type not in SHAPES]
    behind = reached([*roots, *readers], wiring.behind, LEARNED)
    return behind | reached([*roots, *placed], wiring.before, LEARNED)


def kept(model: onnx.ModelProto, switches: Iterable[str]) -> set[str]:
    """The names of the nodes that stay float32.

    Args:
        model: whose nodes have names of their own; less than 2 GB.
        switches: the names of the tensors that must be exact.
    """
    switches = list(switches)
    return depends_on(model, switches) | whole_numbers(model, switches)
