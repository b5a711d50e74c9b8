"""Layers before the first one that learns: of batches that come again they are computed once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import fx, nn

from converters.layers.torch.pooling import MaxPool

__all__ = ["FrozenStart"]

SAME = (nn.Conv2d, nn.Linear, nn.ReLU, MaxPool)
"""Modules that give the same for the same input, as long as they do not learn; those that cost."""

MOST_BYTES = 2 << 30
"""Kept at most; for batches beyond these all layers are computed each time."""


class FrozenStart:
    """A network in two: what never changes, and the rest.

    Called with the number of a batch and its tensors it gives what the module gives, bit for bit.
    """

    def __init__(self, module: fx.GraphModule, period: int) -> None:
        """`period` is how many batches there are before they come again."""
        self.period = period
        frozen: dict[fx.Node, None] = {}
        for node in module.graph.nodes:
            if node.op == "output" or not all(n in frozen for n in node.all_input_nodes):
                continue
            if node.op != "call_module" or is_frozen(module.get_submodule(str(node.target))):
                frozen[node] = None
        inputs = [node for node in frozen if node.op == "placeholder"]
        edge = [node for node in frozen if any(user not in frozen for user in node.users)]
        self.told = [node for node in edge if node.op != "placeholder"]
        self.passed = [inputs.index(node) for node in edge if node.op == "placeholder"]
        self.start = part(module, inputs, [*frozen], self.told)
        rest = [node for node in module.graph.nodes if node not in frozen]
        self.rest = part(module, [inputs[i] for i in self.passed] + self.told, rest, None)
        self.kept: dict[int, list[torch.Tensor]] = {}
        self.bytes = 0

    def __call__(self, number: int, inputs: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """The outputs by name, for the `number`-th batch of the training."""
        place = number % self.period
        told = self.kept.get(place)
        if told is None:
            told = self.compute(inputs)
            size = sum(tensor.nbytes for tensor in told)
            if self.bytes + size <= MOST_BYTES:
                self.kept[place] = told
                self.bytes += size
        whole = [t.long() if t.dtype == torch.int32 else t for t in told]
        found: dict[str, torch.Tensor] = self.rest(*(inputs[i] for i in self.passed), *whole)
        return found

    @torch.no_grad()
    def compute(self, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """What the rest is told of a batch; indices in half their size."""
        found = self.start(*inputs)
        return [t.int() if t.dtype == torch.int64 else t for t in found]


def is_frozen(module: nn.Module) -> bool:
    """Whether it learns nothing and gives the same for the same input."""
    return isinstance(module, SAME) and not any(p.requires_grad for p in module.parameters())


def part(
    module: fx.GraphModule,
    inputs: Sequence[fx.Node],
    nodes: Sequence[fx.Node],
    outputs: Sequence[fx.Node] | None,
) -> fx.GraphModule:
    """Some nodes of a module, with its own layers; no `outputs` are the module's."""
    graph = fx.Graph()
    made = {node: graph.placeholder(node.name) for node in inputs}
    for node in nodes:
        if node not in made:
            made[node] = graph.node_copy(node, made.__getitem__)
    if outputs is not None:
        graph.output([made[node] for node in outputs])
    return fx.GraphModule(module, graph)
