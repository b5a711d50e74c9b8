"""Graph -> torch.fx.GraphModule: a module to train again, whose printed code reads as the network.

Every layer is a submodule under its prototxt's name, so that the keys of the state_dict are
``conv1_1.weight`` and the like. Calling it takes the inputs in the graph's order and returns a
dict of the graph's outputs by blob name.

The modules are those of `converters/layers/torch/`, so that `torch.save`, `copy.deepcopy`,
`torch.compile` and `torch.export` take the network as they take any other. What comes back from
`torch.load` was traced anew: its printed code names values by their layers, not by their blobs.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from keyword import iskeyword
from typing import Any

from torch import fx, nn

from .graph import Graph, Node, Value
from .registry import find

__all__ = ["to_torch"]


def to_torch(graph: Graph) -> fx.GraphModule:
    """Rebuild a graph; blobs become float32 parameters, shared ones the same parameter.

    Returns:
        A module that is called with the inputs in the graph's order and gives the outputs as a dict
        by blob name.

    Raises:
        ConversionError: a layer that cannot be rebuilt in PyTorch.
    """
    root = nn.Module()
    tracer = fx.Graph()
    made: dict[int, fx.Node] = {}
    available: list[Value] = list(graph.inputs)
    taken: dict[int, nn.Module] = {}
    for value in graph.inputs:
        made[id(value)] = tracer.placeholder(identifier(value.name))
    for node in graph.nodes:
        kind = find(node.type)
        assert kind is not None
        module = kind.torch(node)
        target = attach(root, node.name, module)
        tie_shared(root, node)
        taken[id(node)] = module
        inputs = kind.torch_inputs(node, available)
        call = tracer.create_node(
            "call_module",
            target,
            tuple(made[id(v)] for v in inputs),
            name=identifier(node.outputs[0].name if len(node.outputs) == 1 else node.name),
        )
        if len(node.outputs) == 1:
            made[id(node.outputs[0])] = call
        else:
            for index, value in enumerate(node.outputs):
                made[id(value)] = tracer.create_node(
                    "call_function", operator.getitem, (call, index), name=identifier(value.name)
                )
        available.extend(node.outputs)
    tracer.output({value.name: made[id(value)] for value in graph.outputs})
    return fx.GraphModule(root, tracer, class_name=identifier(graph.name or "Net"))


def identifier(name: str) -> str:
    """A Python name for a blob or layer: ``conv1/7x7_s2`` becomes ``conv1_7x7_s2``."""
    clean = re.sub(r"\W", "_", name)
    return clean if clean.isidentifier() else f"_{clean}"


def parts(name: str) -> list[str]:
    """The attributes that a layer's name makes; one that is a word of Python's ends in ``_``.

    torch.fx writes them into the code that it compiles, between double quotes and as they are: what
    could end such a text is replaced, or a layer's name would be run.
    """
    clean = "".join(c if c.isprintable() and c not in '"\\' else "_" for c in name)
    return [f"{part}_" if iskeyword(part) else part or "_" for part in clean.split(".")]


def attach(root: nn.Module, name: str, module: nn.Module) -> str:
    """Hang a module under its layer's name; a dot in it makes a nested module, as torch has it."""
    *path, leaf = parts(name)
    parent = root
    for part in path:
        if not isinstance(getattr(parent, part, None), nn.Module):
            parent.add_module(part, nn.Module())
        parent = getattr(parent, part)
    unique, count = leaf, 1
    while hasattr(parent, unique):
        # A layer may be called as an attribute of nn.Module is, or as another layer.
        count += 1
        unique = f"{leaf}_{count}"
    parent.add_module(unique, module)
    return ".".join([*path, unique])


def tie_shared(root: nn.Module, node: Node[Any]) -> None:
    """Make a blob that `node` shares the very parameter of its owner."""
    for index, (owner, place) in node.shared.items():
        ours, theirs = (root.get_submodule(".".join(parts(n))) for n in (node.name, owner))
        name = list(dict(ours.named_parameters()))[index]
        parameter = list(theirs.parameters())[place]
        if dict(ours.named_parameters())[name].shape == parameter.shape:
            setattr(ours, name, parameter)


def find_dims(available: Sequence[Value], dims: Sequence[int | str]) -> Value | None:
    """The first value whose last dimensions are `dims`."""
    for value in available:
        if value.shape[-len(dims) :] == tuple(dims):
            return value
    return None
