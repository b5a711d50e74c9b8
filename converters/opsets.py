"""What an opset of ONNX has not, written as it has it: one table, by operator.

Layers write themselves as opset 18 has the operators, or later ones, which have them too. What an
older one has otherwise is rewritten here as it is emitted; what it has not at all is an error that
says which opset has it. Source: ONNX's Operators.md and Changelog.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx

__all__ = ["OPSETS", "Emitted", "as_of", "axes_are_input", "ir_version", "lacking", "run_until"]

LATEST = 26
"""The last that ONNX Runtime 1.31 runs."""

OPSETS = range(13, min(LATEST, onnx.defs.onnx_opset_version()) + 1)
"""Those that a model may be written for, by the onnx that is installed."""

END = np.iinfo(np.int64).max


@dataclass
class Emitted:
    """A node about to be emitted: operator, names of its inputs, attributes."""

    op_type: str
    inputs: list[str]
    attributes: dict[str, Any]


class Builder(Protocol):
    """What a rewrite needs of `OnnxBuilder`."""

    opset: int

    def op(self, op_type: str, *inputs: str) -> str:
        """Emit a node; the name of what it gives."""

    def ints(self, *numbers: int) -> str:
        """A 1-D int64 initializer."""

    def number(self, name: str) -> np.ndarray | None:
        """A small initializer's numbers; None of any other tensor."""


Rewrite = Callable[[Builder, Emitted], Emitted]


def shape_part(b: Builder, node: Emitted) -> Emitted:
    """Some dimensions of a shape, by a Slice: Shape has no start and end."""
    if not node.attributes.keys() & {"start", "end"}:
        return node
    start, end = node.attributes.get("start", 0), node.attributes.get("end", END)
    whole = b.op("Shape", *node.inputs)
    return Emitted("Slice", [whole, b.ints(start), b.ints(end), b.ints(0)], {})


def axes_attribute(b: Builder, node: Emitted) -> Emitted:
    """The axes of a reduction as an attribute, where they are numbers."""
    axes = b.number(node.inputs[1]) if len(node.inputs) > 1 else None
    if axes is None:
        return node
    return Emitted(node.op_type, node.inputs[:1], {**node.attributes, "axes": axes.tolist()})


def equal_parts(b: Builder, node: Emitted) -> Emitted:
    """Split into equal parts, as many as there are outputs: num_outputs is not stated."""
    return Emitted(
        "Split", node.inputs, {k: v for k, v in node.attributes.items() if k != "num_outputs"}
    )


REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
REWRITES: dict[str, tuple[int, Rewrite]] = {
    "Shape": (15, shape_part),
    "Split": (18, equal_parts),
    **{f"Reduce{name}": (18, axes_attribute) for name in REDUCTIONS},
}
"""By operator: the first opset that has it as it is written, and what writes it before."""

VALUES = {
    ("ScatterElements", "reduction", "add"): 16,
    ("ScatterElements", "reduction", "mul"): 16,
    ("ScatterElements", "reduction", "max"): 18,
    ("ScatterElements", "reduction", "min"): 18,
    ("ScatterND", "reduction", "add"): 16,
    ("ScatterND", "reduction", "mul"): 16,
    ("ScatterND", "reduction", "max"): 18,
    ("ScatterND", "reduction", "min"): 18,
}
"""The opset that brought a value of an attribute that was there before."""


RUN_UNTIL = {"MaxRoiPool": 21}
"""The last opset whose operator ONNX Runtime runs, where it lacks the next one (seen at 1.31)."""


def as_of(b: Builder, node: Emitted) -> Emitted:
    """The node as the builder's opset has it."""
    since, rewrite = REWRITES.get(node.op_type, (0, None))
    return node if rewrite is None or b.opset >= since else rewrite(b, node)


def axes_are_input(op_type: str, opset: int) -> bool:
    """Whether a reduction takes its axes as an input; before, they are an attribute."""
    return opset >= REWRITES.get(op_type, (0, None))[0]


def lacking(node: Emitted, opset: int) -> tuple[int | None, str] | None:
    """What an opset lacks of a node, and the first one that has it (None: no later one has)."""
    if has(node, opset):
        return None
    later = next((each for each in OPSETS if each > opset and has(node, each)), None)
    bare = Emitted(node.op_type, [], {})
    odd = [
        f"{key} {value}" if isinstance(value, str) else key
        for key, value in node.attributes.items()
        if has(bare, opset) and not has(Emitted(node.op_type, [], {key: value}), opset)
    ]
    return later, " with ".join([node.op_type, *odd[:1]])


def run_until(node: Emitted, opset: int) -> int | None:
    """The last opset at which ONNX Runtime runs the operator, where `opset` is past it."""
    last = RUN_UNTIL.get(node.op_type, opset)
    return last if last < opset else None


def has(node: Emitted, opset: int) -> bool:
    """Whether an opset has an operator with such inputs and attributes."""
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, "")
    except onnx.defs.SchemaError:
        return False
    return (
        not schema.deprecated
        and len(node.inputs) <= schema.max_input
        and node.attributes.keys() <= schema.attributes.keys()
        and all(
            opset >= VALUES.get((node.op_type, key, value), 0)
            for key, value in node.attributes.items()
            if isinstance(value, str)
        )
    )


def ir_version(opset: int) -> int:
    """The oldest format of files that has the opset: every runtime that has it reads it."""
    return int(onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)]))
