"""What rounding did, told from what a wrong model does: layer by layer, on one input.

A whole network cannot be judged by how far it is from an exact one: a switch that turns, or a layer
that adds seven thousand numbers one after another, may carry a sound model forty times as far as
the rebuild. A layer can, fed what the model itself had before it: nothing has had time to grow
there. If every layer up to a blob is right by itself, the blob is right, however far it went.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.checking import comparison
from zoo.checking.comparison import Blobs, Comparison, same
from zoo.checking.detections import compare_detections

if TYPE_CHECKING:
    import torch

    from converters import Graph

STRICT = 0.1
"""Share of the tolerance that a single layer has, fed the same numbers."""

NUDGE, MARGIN = 2.0**-24, 100.0
"""A layer is as uncertain as MARGIN times what comes of inputs that are off by half a last place:
the normalization of equal numbers, say, divides what rounding left of 0 by almost 0."""

WITNESSES = ("opencv",)
"""Others that compute the network of Caffe's own files."""

ORDERS, SAMPLE = 2.0, 24
"""A sum may be off by ORDERS times what plain float32 addition of its terms, one after another, is
off; looked at are the SAMPLE places that are farthest off."""


class RoundingCheck:
    """The judge of one input: `inner` are the blobs that each side has inside, by its name."""

    def __init__(
        self, graph: Graph, feeds: Blobs, inner: Mapping[str, Blobs], tolerance: float
    ) -> None:
        self.graph, self.feeds, self.inner, self.tolerance = graph, feeds, inner, tolerance
        self._agreeing: dict[str, dict[str, bool]] = {}

    def checked(self, item: Comparison, side: Mapping[str, np.ndarray]) -> Comparison:
        """The comparison, as agreeing where rounding alone decided. `side` is its right one."""
        rounding = self.is_rounding(item, side)
        return dataclasses.replace(item, ok=True, rounding=True) if rounding else item

    def is_rounding(self, item: Comparison, side: Mapping[str, np.ndarray]) -> bool:
        """Whether each layer up to the blob is right by itself, fed that side's blobs."""
        if item.right == "onnx" and not self.same_inside(item.blob, side[item.blob]):
            return False
        sides = ("onnx", item.right) if item.right in WITNESSES else (item.right,)
        return all(self.agreeing_blobs(name).get(item.blob, False) for name in sides)

    def same_inside(self, name: str, given: np.ndarray) -> bool:
        """Whether looking at every blob has left what the model gives as it was.

        ONNX Runtime fuses less where all is to be seen. What that may change is no more than lies
        between the blob as it was seen and the rebuild's.
        """
        seen, rebuilt = self.inner["onnx"].get(name), self.inner["torch"].get(name)
        if seen is None or seen.shape != given.shape:
            return False
        if same(name, seen, given, STRICT * self.tolerance):
            return True
        if rebuilt is None or rebuilt.shape != given.shape or given.dtype != np.float32:
            return False
        pair = [array.astype(np.float64) for array in (given, rebuilt)]
        moved, apart = (float(np.abs(array - seen).max()) for array in pair)
        return moved <= apart  # not of what is not a number

    def agreeing_blobs(self, right: str) -> dict[str, bool]:
        """By blob, whether every layer up to it computes what `right` has of what `right` has."""
        if right not in self._agreeing:
            share = STRICT if right == "onnx" else 1.0  # others may skip layers
            self._agreeing[right] = layer_by_layer(
                self.graph, self.feeds, self.inner[right], share * self.tolerance
            )
        return self._agreeing[right]


def layer_by_layer(graph: Graph, feeds: Blobs, side: Blobs, tolerance: float) -> dict[str, bool]:
    """By blob of `side`, whether each layer up to it gives the blob of `side`.

    Layers are rebuilt in PyTorch and fed the blobs of `side` (their own where `side` lacks them).
    What follows a layer that departs is not run: its input may be nonsense.
    """
    import torch

    from converters.registry import find

    now: dict[int, torch.Tensor] = {}
    sound: dict[int, bool] = {}
    for value in graph.inputs:
        now[id(value)], sound[id(value)] = torch.from_numpy(np.array(feeds[value.name])), True
    available = list(graph.inputs)
    found: dict[str, bool] = {}
    for node in graph.nodes:
        kind = find(node.type)
        assert kind is not None
        agree = same_detections if kind.gives_detections else same
        inputs = kind.torch_inputs(node, available)
        available.extend(node.outputs)
        if not all(sound[id(value)] for value in inputs):
            sound.update((id(value), False) for value in node.outputs)
            continue
        module = kind.torch(node).eval()
        before = [now[id(value)] for value in inputs]
        with torch.no_grad():
            results = several(module(*before))
        for index, (value, result) in enumerate(zip(node.outputs, results, strict=True)):
            sound[id(value)] = True
            if value.name in side:
                there = side[value.name].astype(value.dtype, copy=False)
                if not agree(value.name, result.numpy(), there, tolerance):
                    alone = node.inputs[0].name not in side and value.dtype == "int64"
                    sound[id(value)] = (
                        comparison.near_ties(result.numpy(), there, before[0].numpy(), tolerance)
                        if alone
                        else uncertain(module, before, index, result, there, tolerance)
                    )
                result = torch.from_numpy(np.array(there))
                found[value.name] = sound[id(value)]
            now[id(value)] = result
    return found


def several(result: Any) -> tuple[torch.Tensor, ...]:
    """The outputs of a module as a tuple, of a layer with one top as well."""
    return result if isinstance(result, tuple) else (result,)


def same_detections(name: str, left: np.ndarray, right: np.ndarray, tolerance: float) -> bool:
    """As `comparison.same`, of rows of detections."""
    return compare_detections(name, ("", left), ("", right), tolerance).ok


def uncertain(
    module: Any,
    before: list[torch.Tensor],
    index: int,
    result: torch.Tensor,
    there: np.ndarray,
    tolerance: float,
) -> bool:
    """Whether a layer's float output is off by no more than rounding may bring about.

    That is measured in double precision: by inputs that are off by half a last place, or by adding
    in float32 what the layer adds.
    """
    import torch

    if result.dtype != torch.float32 or result.shape != there.shape:
        return False
    exact = [t.double() if t.is_floating_point() else t for t in before]
    torch.manual_seed(0)
    nudged = [t * (1 + NUDGE * torch.randn_like(t)) if t.is_floating_point() else t for t in exact]
    try:
        double = copy.deepcopy(module).double()
        with torch.no_grad():
            one, other = (several(double(*inputs))[index] for inputs in (exact, nudged))
        if one.shape != other.shape or one.shape != result.shape:
            return False
        apart = (torch.from_numpy(there.astype(np.float64)) - one).abs()
        worst = float(apart.max())
        if worst <= MARGIN * float((one - other).abs().max()):
            return True
        allowed = tolerance * float(one.abs().max())
        return worst <= ORDERS * in_order(double, exact, index, apart, allowed)
    except RuntimeError:  # a layer that mixes in single precision, or has no gradient
        return False


def in_order(
    module: Any, inputs: list[torch.Tensor], index: int, apart: torch.Tensor, allowed: float
) -> float:
    """How far off plain float32 addition is, one term after another, where a layer is off.

    Terms of an output are what each input adds to it: input times gradient, in double precision.
    The greatest error is given, over the SAMPLE places that are farthest `apart`, by more than
    `allowed`; 0 where one of them is farther off than adding in any order could be.
    """
    import torch

    floats = [t.detach().clone().requires_grad_() for t in inputs if t.is_floating_point()]
    if not floats:
        return 0.0
    rest = iter(floats)
    out = several(module(*(next(rest) if t.is_floating_point() else t for t in inputs)))[index]
    most = 0.0
    off, places = apart.flatten().topk(min(SAMPLE, apart.numel()))
    for place in places[off > allowed]:
        gradients = torch.autograd.grad(
            out.flatten()[place], floats, retain_graph=True, allow_unused=True
        )
        parts = [
            (g * t)[g != 0].detach()
            for g, t in zip(gradients, floats, strict=True)
            if g is not None
        ]
        terms = torch.cat(parts).numpy().astype(np.float32)
        size = float(np.abs(terms).sum(dtype=np.float64))
        if float(apart.flatten()[place]) > ORDERS * NUDGE * terms.size * size:
            return 0.0
        plain = np.add.accumulate(terms, dtype=np.float32)[-1] if terms.size else 0.0
        most = max(most, abs(float(plain) - float(terms.sum(dtype=np.float64))))
    return most
