"""Gradients of layers that work in place, as Caffe computes them.

Caffe's ReLU looks at its blob when the gradient comes back. Where later layers have worked in place
on the same blob (`conv -> ReLU -> BatchNorm -> Scale`, all called "conv"), it then finds their
numbers and not its own, and passes the gradient where those are positive (relu_layer.cpp reads
bottom_data). Networks were trained so; repeating their training has to do the same.
"""

from __future__ import annotations

import torch
from torch import nn

from converters import Graph, Value
from converters.layers.activations import ReLU
from converters.registry import find

__all__ = ["OverwrittenReLU", "follow_overwritten_blobs"]


class Overwritten(torch.autograd.Function):
    """ReLU whose gradient is gated by what its blob holds in the end."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, x: torch.Tensor, module: OverwrittenReLU
    ) -> torch.Tensor:
        ctx.module = module  # type: ignore[attr-defined]
        return torch.where(x > 0, x, module.slope * x)

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, gradient: torch.Tensor
    ) -> tuple[torch.Tensor, None]:
        module = ctx.module  # type: ignore[attr-defined]
        return torch.where(module.final > 0, gradient, module.slope * gradient), None


class OverwrittenReLU(nn.Module):
    """Stands in for a ReLU whose blob later layers overwrite."""

    final: torch.Tensor

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A plain ReLU; what gates its gradient comes later."""
        y: torch.Tensor = Overwritten.apply(x, self)  # type: ignore[no-untyped-call]
        return y

    def remember(self, _: nn.Module, __: object, output: torch.Tensor) -> None:
        """Hook of the layer that writes the blob last."""
        self.final = output.detach()


def follow_overwritten_blobs(graph: Graph, module: nn.Module) -> None:
    """Replace, in a rebuilt network, each ReLU whose blob is overwritten later (in place)."""
    last = {value.name: value for value in graph.values()}
    for node in graph.nodes:
        if not isinstance(find(node.type), ReLU):
            continue
        blob = blob_of(node.outputs[0])
        if blob != blob_of(node.inputs[0]) or blob == node.outputs[0].name:
            continue
        writer = last[blob].producer
        if writer is None:
            continue
        stand_in = OverwrittenReLU(node.params.negative_slope)
        parent, _, name = node.name.rpartition(".")
        setattr(module.get_submodule(parent), name, stand_in)
        module.get_submodule(writer.name).register_forward_hook(stand_in.remember)


def blob_of(value: Value) -> str:
    """The prototxt's blob name; earlier writings are called ``blob/layer``."""
    producer = value.producer
    if producer is not None and value.name.endswith(f"/{producer.name}"):
        return value.name.removesuffix(f"/{producer.name}")
    return value.name
