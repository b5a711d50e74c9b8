"""Whether a model computes what its network does, and if not, where it first departs.

The rule: a blob agrees where the PyTorch rebuild and ONNX Runtime, each run from the inputs, are
within the tolerance, and a mask where every switch is the same. What is farther apart is excused
only where rounding alone decided: every layer up to it, rebuilt in PyTorch and fed **what the other
side had there**, gives what the other side has, floats within a tenth of the tolerance and masks to
the last index. So a switch may differ because the two values it chose between were rounded
differently before, and in no other way: of the same values both sides must choose the same, ties
included. Where the other side does not tell what it pooled, as a file that holds masks alone, the
values that we pooled there must be almost equal (`comparison.near_ties`).

What leaves float32's useful range (`float_range`) in what the model is compared with, and what is
made of that, is not judged where it departs: past it two right computations may differ in anything.
An input of which nothing is left to judge says so, and counts for nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.checking import comparison, float_range
from zoo.checking.comparison import Blobs, Comparison
from zoo.checking.detections import compare_all
from zoo.checking.rounding import STRICT, RoundingCheck

if TYPE_CHECKING:
    from converters import Graph
    from runtime import Model
    from zoo.checking.witness import Witness


@dataclass
class Row:
    """What was found on one input."""

    input: str
    feeds: Blobs
    comparisons: list[Comparison] = field(default_factory=list)
    first: Comparison | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing departs; rounding is no departure, nor is what cannot be judged."""
        return all(item.ok for item in self.comparisons)

    @property
    def judged(self) -> list[Comparison]:
        """The comparisons that say something."""
        return [item for item in self.comparisons if not item.unjudged]

    @property
    def unjudged(self) -> str:
        """Why blobs of it are not judged; empty where all are."""
        return next((item.unjudged for item in self.comparisons if item.unjudged), "")

    @property
    def worst(self) -> Comparison | None:
        """What departs, if anything does; else the farthest apart of what is judged."""
        if self.first is not None:
            return self.first
        return max(self.judged, key=lambda item: item.max_rel, default=None)

    def as_dict(self) -> dict[str, Any]:
        """As `zoo verify --json` prints it."""
        first = self.first.as_dict() if self.first else None
        return {
            "input": self.input,
            "ok": self.ok,
            "judged": bool(self.judged),
            "unjudged": self.unjudged or None,
            "first_departure": first,
        }


class Verifier:
    """A network and the model made of it; `check` compares them on one input.

    Without a `rebuild` in PyTorch the model is compared with given outputs alone, and what departs
    is neither excused as rounding nor traced to the blob inside where it began. A `witness` is one
    more that computes the network.
    """

    def __init__(
        self,
        graph: Graph,
        model: Model,
        path: Path,
        tolerance: float,
        rebuild: bool = True,
        witness: Witness | None = None,
    ) -> None:
        import converters
        from converters.registry import find

        self.graph, self.model, self.path, self.tolerance = graph, model, path, tolerance
        self.witness = witness
        self.order = [value.name for value in graph.values()]
        self.module = converters.to_torch(graph).eval() if rebuild else None
        self.detections = {
            value.name
            for node in graph.nodes
            if (kind := find(node.type)) is not None and kind.gives_detections
            for value in node.outputs
        }
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
        if self.witness is not None:
            sides[self.witness.name] = self.witness.run(feeds, list(sides["onnx"]))
            pairs.append(("onnx", self.witness.name))
        made = self._compare_made(name, feeds, fed)
        compared = self._compare(name, sides, pairs)
        row.comparisons = made + [without_numbers(item, sides) for item in compared]
        row.first = next((item for item in made if not item.ok), None)
        if row.ok or row.first is not None:
            return row
        if self.module is None:
            reasons = float_range.out_of_range(self.graph, {**feeds, **given})
            row.comparisons = [excused(item, reasons) for item in row.comparisons]
            row.first = self._earliest([item for item in row.comparisons if not item.ok])
            return row
        self._look_closer(row, sides, pairs, fed)
        return row

    def _look_closer(
        self, row: Row, sides: dict[str, Blobs], pairs: list[tuple[str, str]], fed: Blobs
    ) -> None:
        """Find of every blob inside what departs, and take back what is none of the model's."""
        feeds = row.feeds
        inner = {"given": sides["given"]}
        inner["torch"], inner["onnx"] = self._look_inside(feeds, fed)
        if self.witness is not None:
            inner[self.witness.name] = self.witness.run(feeds, self.order)
        # Who else stayed within float32's range where the rebuild did not is not to be passed over.
        beyond = {
            right: float_range.out_of_range(self.graph, {**feeds, **inner[left]})
            for right, left in {**{name: name for name in inner}, "onnx": "torch"}.items()
        }
        rounding = RoundingCheck(self.graph, feeds, inner, self.tolerance)

        def judged(item: Comparison, side: Blobs) -> Comparison:
            item = excused(item, beyond[item.right])
            return item if item.ok else rounding.checked(item, side)

        row.comparisons = [
            item if item.ok else judged(item, sides[item.right]) for item in row.comparisons
        ]
        departs = [item for item in row.comparisons if not item.ok]
        if not departs and not row.unjudged:
            return
        # Where an output is beyond float32's range, what went before may be wrong all the same.
        known = [pair for pair in pairs if pair != ("torch", "given")]
        inside = self._compare(row.input, inner, known)
        inside = [judged(item, inner[item.right]) for item in inside if not item.ok]
        row.first = self._earliest([item for item in inside if not item.ok] or departs)
        if row.first is not None and not departs:
            row.comparisons.append(row.first)

    def _earliest(self, found: list[Comparison]) -> Comparison | None:
        return min(found, key=lambda item: self.order.index(item.blob), default=None)

    def _compare(
        self, name: str, sides: dict[str, Blobs], pairs: list[tuple[str, str]]
    ) -> list[Comparison]:
        found: list[Comparison] = []
        for left, right in pairs:
            found += compare_all(
                self.order,
                (left, sides[left]),
                (right, sides[right]),
                self.tolerance,
                self.detections,
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


def excused(item: Comparison, reasons: Mapping[str, str]) -> Comparison:
    """What departs beyond float32's range, as not judged; all else as it is."""
    reason = reasons.get(item.blob, "")
    if item.ok or not reason:
        return item
    return dataclasses.replace(item, ok=True, unjudged=reason)


def without_numbers(item: Comparison, sides: Mapping[str, Blobs]) -> Comparison:
    """What agrees in that there is not one number on either side, as not judged."""
    if item.ok and all(
        float_range.all_beyond(sides[s][item.blob]) for s in (item.left, item.right)
    ):
        return dataclasses.replace(item, unjudged=f"blob {item.blob!r} has no finite number")
    return item


def call(module: Any, graph: Graph, feeds: Blobs) -> Blobs:
    """The outputs of a PyTorch rebuild, by name."""
    import torch

    with torch.no_grad():
        out = module(*(torch.from_numpy(np.array(feeds[v.name])) for v in graph.inputs))
    return {name: tensor.detach().numpy() for name, tensor in out.items()}


def opened(path: Path, provider: str, wanted: set[str]) -> Model:
    """The model with every blob of `wanted` that it makes as an output."""
    import onnx

    from runtime.onnx_files import read_model
    from zoo.checking import as_converted

    proto = read_model(path)
    made = [name for node in proto.graph.node for name in node.output]
    already = {info.name for info in proto.graph.output}
    for name in made:
        if name in wanted and name not in already:
            proto.graph.output.append(onnx.ValueInfoProto(name=name))
    return as_converted.load(proto.SerializeToString(), provider, str(path))
