"""A network as a solver sees it: a module, its losses, and its blobs in Caffe's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

import converters
from converters.registry import find
from converters.resolve import connect
from prototxt import NetDefinition, ParamSpec
from prototxt.errors import ZooError
from prototxt.shapes import shape_text
from zoo.training.inplace import follow_overwritten_blobs

__all__ = ["CAFFES", "Network"]

CAFFES = ("1.0", "2016")
"""Before 1.0, solvers changed BatchNorm's running statistics (weight decay did) unless its lr_mult
was 0; since then never.
"""

Weights = Mapping[str, Sequence[np.ndarray]]


class Network:
    """One phase of a definition, built for the shapes of its data.

    `module` maps the inputs (by name, in `inputs`) to a dict of outputs; `losses` has the weight of
    each output that is part of the objective.
    """

    def __init__(
        self,
        net: NetDefinition,
        shapes: Mapping[str, tuple[int, ...]],
        weights: Weights | None = None,
        seed: int = 0,
        caffe: str = CAFFES[0],
    ) -> None:
        """`caffe` is whose solvers are followed, one of `CAFFES`."""
        self.losses, others = objective(net)
        if net.phase == "TRAIN" and not self.losses:
            raise ZooError(
                "nothing to minimise: no loss layer in the TRAIN phase", subject=net.path
            )
        conversion = converters.convert(
            net,
            weights,
            shapes=dict(shapes),
            seed=seed,
            outputs=[*self.losses, *others] or None,
            lenient=True,
            warn=lambda _: None,
        )
        self.graph = conversion.graph
        self.inputs = [value.name for value in self.graph.inputs]
        self.outputs = [value.name for value in self.graph.outputs]
        self.module = conversion.to_torch()
        follow_overwritten_blobs(self.graph, self.module)
        self.learned: list[tuple[str, int, str, ParamSpec]] = []
        """(layer, index, attribute, multipliers) of each learned blob, shared ones once."""
        self.metrics: list[str] = []
        """The outputs that measure without being minimised: accuracies."""
        for node in self.graph.nodes:
            kind = find(node.type)
            assert kind is not None
            if kind.is_metric:
                self.metrics += [value.name for value in node.outputs[:1]]
            for index, spec in enumerate(kind.blobs(node)):
                if index in node.shared:
                    continue
                kept = spec.is_statistic and caffe != "2016"
                multipliers = ParamSpec(lr_mult=0, decay_mult=0) if kept else node.specs[index]
                self.learned.append((node.name, index, spec.name, multipliers))
        for _, _, tensor, multipliers in self.blobs:
            if isinstance(tensor, nn.Parameter):
                # Caffe computes no gradient for a blob whose rate is 0.
                tensor.requires_grad_(multipliers.lr_mult != 0)

    @property
    def blobs(self) -> list[tuple[str, int, torch.Tensor, ParamSpec]]:
        """(layer, index, tensor, multipliers) of each learned blob, shared ones once.

        They are looked up: a module that moves to another device has other buffers from then on.
        """
        return [
            (layer, index, getattr(self.module.get_submodule(layer), name), spec)
            for layer, index, name, spec in self.learned
        ]

    def groups(self) -> list[dict[str, Any]]:
        """One parameter group for each blob, for an optimizer."""
        return [
            {"params": [tensor], "lr_mult": spec.lr_mult, "decay_mult": spec.decay_mult}
            for _, _, tensor, spec in self.blobs
        ]

    def loss(self, found: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The objective: the losses, each with its weight."""
        terms = [found[name].sum() * weight for name, weight in self.losses.items()]
        return torch.stack(terms).sum() if len(terms) > 1 else terms[0]

    def weights(self) -> dict[str, list[np.ndarray]]:
        """All blobs by layer, as a caffemodel holds them; shared ones at each of their layers."""
        stored: dict[str, list[np.ndarray]] = {}
        for node in self.graph.nodes:
            kind = find(node.type)
            assert kind is not None
            module = self.module.get_submodule(node.name)
            arrays = [
                getattr(module, s.name).detach().cpu().numpy().reshape(s.shape).copy()
                for s in kind.blobs(node)
            ]
            if arrays:
                stored[node.name] = arrays
        return stored

    def types(self) -> dict[str, str]:
        """The type of each layer, by name, as a .caffemodel holds it."""
        return {node.name: node.type for node in self.graph.nodes}

    def copy_from(self, other: Network) -> None:
        """Take over another phase's blobs, by layer name; ZooError where their shapes differ."""
        theirs = {(layer, index): tensor for layer, index, tensor, _ in other.blobs}
        with torch.no_grad():
            for layer, index, tensor, _ in self.blobs:
                source = theirs.get((layer, index), tensor)
                if source.shape != tensor.shape:
                    ours, trained = (shape_text(t.shape) for t in (tensor, source))
                    raise ZooError(
                        f"blob {index} is {ours} in the TEST phase, {trained} in the TRAIN phase",
                        subject=f"layer {layer!r}",
                    )
                tensor.copy_(source)


def objective(net: NetDefinition) -> tuple[dict[str, float], list[str]]:
    """Loss tops with their weights, and the other outputs worth showing (Accuracy).

    Layer::SetLossWeights: loss_weight where it is given, else 1 for the first top of a loss layer.
    A test shows losses of no weight too.
    """
    records, _ = connect(net)
    losses: dict[str, float] = {}
    shown: list[str] = []
    for record in records:
        for version, weight in zip(record.outputs, record.loss_weights, strict=True):
            unweighted = net.phase == "TEST" and record.prunable and version.index == 0
            if weight:
                losses[version.blob] = weight
            elif (record.kind and record.kind.is_metric) or unweighted:
                shown.append(version.blob)
    return losses, shown
