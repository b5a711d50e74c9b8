"""Whether a model computes what its network does, and if not, where it first departs.

The rule: a blob agrees where the PyTorch rebuild and ONNX Runtime, each run from the inputs, are
within the tolerance, and a mask where every switch is the same. What is farther apart is excused
only where rounding alone decided: every layer up to it, rebuilt in PyTorch and fed **what the other
side had there**, gives what the other side has, floats within a tenth of the tolerance and masks to
the last index. So a switch may differ because the two values it chose between were rounded
differently before, and in no other way: of the same values both sides must choose the same, ties
included. Where the other side does not tell what it pooled, as a file that holds masks alone, the
values that we pooled there must be almost equal (`comparison.near_ties`).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.checking import comparison
from zoo.checking.comparison import Comparison

if TYPE_CHECKING:
    import torch

    from converters import Graph, Node
    from runtime import Model

Blobs = dict[str, np.ndarray]

STRICT = 0.1
"""Share of the tolerance that a single layer has, fed the same numbers."""

NUDGE, MARGIN = 2.0**-24, 100.0
"""A layer is as uncertain as MARGIN times what comes of inputs that are off by half a last place:
the normalization of equal numbers, say, divides what rounding left of 0 by almost 0."""


@dataclass
class Row:
    """What was found on one input."""

    input: str
    feeds: Blobs
    comparisons: list[Comparison] = field(default_factory=list)
    first: Comparison | None = None

    @property
    def ok(self) -> bool:
        """Whether all blobs agree, those included where rounding alone decided."""
        return all(item.ok for item in self.comparisons)

    @property
    def worst(self) -> Comparison | None:
        """What departs, if anything does; else the farthest apart."""
        if self.first is not None:
            return self.first
        return max(self.comparisons, key=lambda item: item.max_rel, default=None)

    def as_dict(self) -> dict[str, Any]:
        """As `zoo verify --json` prints it."""
        first = self.first.as_dict() if self.first else None
        return {"input": self.input, "ok": self.ok, "first_departure": first}


class Verifier:
    """A network and the model made of it; `check` compares them on one input.

    Without a `rebuild` in PyTorch the model is compared with given outputs alone, and what departs
    is neither excused as rounding nor traced to the blob inside where it began.
    """

    def __init__(
        self, graph: Graph, model: Model, path: Path, tolerance: float, rebuild: bool = True
    ) -> None:
        import converters

        self.graph, self.model, self.path, self.tolerance = graph, model, path, tolerance
        self.order = [value.name for value in graph.values()]
        self.module = converters.to_torch(graph).eval() if rebuild else None
        self._inside: tuple[Any, Model] | None = None
        self._made: Model | None = None

    def check(self, name: str, feeds: Blobs, fed: Blobs, given: Blobs | None = None) -> Row:
        """Compare on the blobs `feeds` of the network, which the model takes as `fed`.

        Outputs in `given` are compared as well.
        """
        row, given = Row(name, feeds), given or {}
        sides = {"onnx": self.model.run(fed), "given": given}
        pairs = [("onnx", "given")]
        if self.module is not None:
            sides["torch"] = call(self.module, self.graph, feeds)
            pairs = [("torch", "onnx"), *pairs, ("torch", "given")]
        row.comparisons = self._compare(name, sides, pairs)
        made = self._compare_made(name, feeds, fed)
        row.comparisons = made + row.comparisons
        row.first = next((item for item in made if not item.ok), None)
        if row.ok or row.first is not None:
            return row
        if self.module is None:
            row.first = self._earliest([item for item in row.comparisons if not item.ok])
            return row
        # A closer look, at every blob inside.
        inner = {"torch": {}, "onnx": {}, "given": given}
        inner["torch"], inner["onnx"] = self._look_inside(feeds, fed)
        rounding_check = RoundingCheck(self, feeds, inner)
        row.comparisons = [
            rounding_check.checked(item, sides[item.right]) if not item.ok else item
            for item in row.comparisons
        ]
        if not row.ok:
            departs = [item for item in row.comparisons if not item.ok]
            inside = self._compare(name, inner, pairs[:2])
            inside = [rounding_check.checked(i, inner[i.right]) for i in inside if not i.ok]
            found = [item for item in inside if not item.ok] or departs
            row.first = self._earliest(found)
        return row

    def _earliest(self, found: list[Comparison]) -> Comparison:
        return min(found, key=lambda item: self.order.index(item.blob))

    def _compare(
        self, name: str, sides: dict[str, Blobs], pairs: list[tuple[str, str]]
    ) -> list[Comparison]:
        found: list[Comparison] = []
        for left, right in pairs:
            found += comparison.compare_all(
                self.order, (left, sides[left]), (right, sides[right]), self.tolerance
            )
        return [
            dataclasses.replace(item, input=name, layer=self._layer(item.blob)) for item in found
        ]

    def _compare_made(self, name: str, feeds: Blobs, fed: Blobs) -> list[Comparison]:
        """The blob that a model makes of pixels, against that which must come of them."""
        found = []
        for blob, pixels in fed.items():
            if pixels.dtype != np.uint8:
                continue
            inner = f"{blob}/preprocessing"
            if self._made is None:
                self._made = opened(self.path, self.model.provider, {inner})
            made = self._made.run(fed, [inner])[inner]
            one = comparison.compare(
                blob, ("numpy", feeds[blob]), ("onnx", made), STRICT * self.tolerance
            )
            found.append(dataclasses.replace(one, input=name, layer="preprocessing"))
        return found

    def _layer(self, blob: str) -> str:
        node = self.graph.value(blob).producer
        if node is None:
            return ""
        place = f", {node.position.path}:{node.position.line}" if node.position else ""
        return f"{node.name!r} ({node.type}){place}"

    def _look_inside(self, feeds: Blobs, fed: Blobs) -> tuple[Blobs, Blobs]:
        """Every blob that each side has, blobs inside the network included."""
        if self._inside is None:
            import converters

            inner = self.graph.clone()
            inner.outputs = [value for node in inner.nodes for value in node.outputs]
            module = converters.to_torch(inner).eval()
            self._inside = module, opened(self.path, self.model.provider, set(self.order))
        module, model = self._inside
        found = model.run({spec.name: fed[spec.name] for spec in model.inputs})
        return call(module, self.graph, feeds), found


class RoundingCheck:
    """Tells what rounding did from what a wrong model does, on one input."""

    def __init__(self, verifier: Verifier, feeds: Blobs, inner: dict[str, Blobs]) -> None:
        self.verifier, self.feeds, self.inner = verifier, feeds, inner
        self._agreeing: dict[str, dict[str, bool]] = {}

    def checked(self, item: Comparison, side: Mapping[str, np.ndarray]) -> Comparison:
        """The comparison, as agreeing where rounding alone decided. `side` is its right one."""
        rounding = self.is_rounding(item, side)
        return dataclasses.replace(item, ok=True, rounding=True) if rounding else item

    def is_rounding(self, item: Comparison, side: Mapping[str, np.ndarray]) -> bool:
        """Whether each layer up to the blob is right by itself, fed that side's blobs."""
        name, limit = item.blob, self.verifier.tolerance
        if item.right == "onnx":
            # Looking at every blob must not have changed what the model gives out.
            within = self.inner["onnx"].get(name)
            if within is None or not same(name, within, side[name], STRICT * limit):
                return False
        return self.agreeing_blobs(item.right).get(name, False)

    def agreeing_blobs(self, right: str) -> dict[str, bool]:
        """By blob, whether every layer up to it computes what `right` has of what `right` has."""
        if right not in self._agreeing:
            share = STRICT if right == "onnx" else 1.0  # what was given may skip layers
            self._agreeing[right] = layer_by_layer(
                self.verifier.graph,
                self.feeds,
                self.inner[right],
                share * self.verifier.tolerance,
            )
        return self._agreeing[right]


def call(module: Any, graph: Graph, feeds: Blobs) -> Blobs:
    """The outputs of a PyTorch rebuild, by name."""
    import torch

    with torch.no_grad():
        out = module(*(torch.from_numpy(np.array(feeds[v.name])) for v in graph.inputs))
    return {name: tensor.numpy() for name, tensor in out.items()}


def opened(path: Path, provider: str, wanted: set[str]) -> Model:
    """The model with every blob of `wanted` that it makes as an output."""
    import onnx

    import runtime

    proto = onnx.load(str(path))
    made = [name for node in proto.graph.node for name in node.output]
    already = {info.name for info in proto.graph.output}
    for name in made:
        if name in wanted and name not in already:
            proto.graph.output.append(onnx.ValueInfoProto(name=name))
    return runtime.load(proto.SerializeToString(), provider)


def same(name: str, left: np.ndarray, right: np.ndarray, tolerance: float) -> bool:
    """Whether two arrays of one blob agree, as `comparison.compare` judges it."""
    return comparison.compare(name, ("", left), ("", right), tolerance).ok


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
                if not same(value.name, result.numpy(), there, tolerance):
                    alone = node.inputs[0].name not in side and value.dtype == "int64"
                    sound[id(value)] = (
                        comparison.near_ties(result.numpy(), there, before[0].numpy(), tolerance)
                        if alone
                        else uncertain(module, before, index, result, there, node)
                    )
                result = torch.from_numpy(np.array(there))
                found[value.name] = sound[id(value)]
            now[id(value)] = result
    return found


def several(result: Any) -> tuple[torch.Tensor, ...]:
    """The outputs of a module as a tuple, of a layer with one top as well."""
    return result if isinstance(result, tuple) else (result,)


def uncertain(
    module: Any,
    before: list[torch.Tensor],
    index: int,
    result: torch.Tensor,
    there: np.ndarray,
    node: Node[Any],
) -> bool:
    """Whether a layer's float output is off by no more than rounding may bring about.

    That is measured in double precision, by inputs that are off by half a last place.
    """
    import torch

    if node.outputs[index].dtype != "float32" or result.shape != there.shape:
        return False
    exact = [t.double() if t.is_floating_point() else t for t in before]
    torch.manual_seed(0)
    nudged = [t * (1 + NUDGE * torch.randn_like(t)) if t.is_floating_point() else t for t in exact]
    try:
        double = copy.deepcopy(module).double()
        with torch.no_grad():
            one, other = (several(double(*inputs))[index] for inputs in (exact, nudged))
    except RuntimeError:  # a layer that mixes in single precision
        return False
    if one.shape != other.shape or one.shape != result.shape:
        return False
    apart = float((torch.from_numpy(there.astype(np.float64)) - one).abs().max())
    return apart <= MARGIN * float((one - other).abs().max())
