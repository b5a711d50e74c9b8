"""What a graph's inputs may be fed, by what its layers say of their bottoms."""

from __future__ import annotations

from .graph import Graph
from .legal import Legal
from .registry import find

__all__ = ["legal_inputs"]


def legal_inputs(graph: Graph) -> dict[str, Legal]:
    """By name, the inputs of a graph that may not be fed just any number."""
    found: dict[int, Legal] = {}
    for node in reversed(graph.nodes):
        kind = find(node.type)
        assert kind is not None
        needs: dict[int, Legal] = dict(kind.legal(node))
        if kind.passes_values:
            handed = next((found[id(v)] for v in node.outputs if id(v) in found), None)
            if handed is not None:
                needs = {index: handed for index, _ in enumerate(node.inputs)}
        for index, legal in needs.items():
            if index < len(node.inputs):
                found[id(node.inputs[index])] = legal
    return {value.name: found[id(value)] for value in graph.inputs if id(value) in found}
