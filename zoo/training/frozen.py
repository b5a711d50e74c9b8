"""Layers before the first one that learns: of batches that come again they are computed once."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

import torch
from torch import fx, nn

from converters.layers.torch.elementwise import Eltwise
from converters.layers.torch.inner_product import InnerProduct
from converters.layers.torch.normalization import BatchNorm, Broadcast
from converters.layers.torch.pooling import AveragePool, GlobalPool, MaxPool
from converters.layers.torch.shaping import Concat
from zoo.training.inplace import OverwrittenReLU

__all__ = ["FrozenStart"]

SAME = (
    *(nn.Conv2d, nn.ReLU, nn.PReLU, nn.LocalResponseNorm, MaxPool, AveragePool, GlobalPool),
    *(BatchNorm, Broadcast, Concat, Eltwise, InnerProduct, OverwrittenReLU),
)
"""Modules that give the same for the same input, as long as they do not learn."""

MOST_BYTES = 2 << 30
"""Kept at most (of a GPU's free memory a quarter); other batches are computed each time."""


class FrozenStart:
    """A network in two: what never changes, and the rest.

    Called with the number of a batch and its tensors it gives what the module gives, bit for bit.
    """

    def __init__(
        self, module: fx.GraphModule, period: int, learned: Iterable[torch.Tensor]
    ) -> None:
        """`period` is how many batches there are before they come again.

        `learned` are the tensors that training changes, running statistics included where it does.
        """
        changing = {id(tensor) for tensor in learned}
        self.period = period
        frozen: dict[fx.Node, None] = {}
        for node in module.graph.nodes:
            if node.op == "output" or not all(n in frozen for n in node.all_input_nodes):
                continue
            if node.op != "call_module" or is_frozen(
                module.get_submodule(str(node.target)), changing
            ):
                frozen[node] = None
        inputs = [node for node in frozen if node.op == "placeholder"]
        edge = [node for node in frozen if any(user not in frozen for user in node.users)]
        told = [node for node in edge if node.op != "placeholder"]
        self.passed = [inputs.index(node) for node in edge if node.op == "placeholder"]
        self.start = part(module, inputs, [*frozen], told)
        rest = [node for node in module.graph.nodes if node not in frozen]
        self.rest = part(module, [inputs[i] for i in self.passed] + told, rest, None)
        self.kept: dict[int, list[torch.Tensor]] = {}
        self.bytes, self.most = 0, MOST_BYTES
        first = next(module.parameters(), None)
        if first is not None and first.is_cuda:
            self.most = min(MOST_BYTES, torch.cuda.mem_get_info(first.device)[0] // 4)

    def __call__(self, number: int, inputs: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """The outputs by name, for the `number`-th batch of the training."""
        place = number % self.period
        told = self.kept.get(place)
        if told is None:
            told = self.compute(inputs)
            size = sum(tensor.nbytes for tensor in told)
            if self.bytes + size <= self.most:
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


def is_frozen(module: nn.Module, changing: Container[int]) -> bool:
    """Whether it learns nothing and gives the same for the same input; `changing` are ids."""
    if isinstance(module, BatchNorm) and not module.use_global_stats:
        return False  # of the batch, and what it knows changes
    tensors = (*module.parameters(), *module.buffers())
    return isinstance(module, SAME) and not any(id(tensor) in changing for tensor in tensors)


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
