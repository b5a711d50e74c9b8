"""A model in half precision: float16 weights and layers, float32 inputs and outputs."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from zoo.precision.kept import read, types

if TYPE_CHECKING:
    import onnx

__all__ = ["LARGEST", "halved", "stay_wide"]

LARGEST = 65504.0
"""The greatest float16."""

SUMS = frozenset(
    "LRN InstanceNormalization MeanVarianceNormalization LpNormalization ReduceSum ReduceMean "
    "ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSumExp ReduceProd Pow Exp CumSum "
    "RNN LSTM GRU".split()
)
"""Operators that stay float32: their sums and powers are beyond half precision."""


def stay_wide(model: onnx.ModelProto, too_large: Collection[str] = ()) -> set[str]:
    """The nodes that half precision cannot do.

    They are those of `SUMS`, those with subgraphs, those that ONNX does not define for float16,
    those with weights beyond its range, and what makes or reads one of the tensors `too_large`.
    """
    import onnx

    kinds = types(model)
    beyond = {*too_large, *(t.name for t in model.graph.initializer if exceeds(t))}
    version = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    found = set()
    for node in model.graph.node:
        touched = {*node.input, *node.output}
        inner = any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
        unknown = any(name and not kinds.get(name) for name in node.output)
        if (
            node.op_type in SUMS
            or inner
            or unknown
            or touched & beyond
            or not takes_half(onnx.defs.get_schema(node.op_type, version, node.domain), node, kinds)
        ):
            found.add(node.name)
    return found


def exceeds(tensor: onnx.TensorProto) -> bool:
    """Whether weights have finite numbers that float16 has not."""
    import onnx

    if tensor.data_type != onnx.TensorProto.FLOAT:
        return False
    numbers = np.abs(onnx.numpy_helper.to_array(tensor))
    return bool(numbers.size) and bool(np.max(numbers) > LARGEST)


def takes_half(schema: onnx.defs.OpSchema, node: onnx.NodeProto, kinds: dict[str, int]) -> bool:
    """Whether ONNX defines an operator for float16 wherever this node has float32."""
    import onnx

    allowed = {c.type_param_str: set(c.allowed_type_strs) for c in schema.type_constraints}
    for names, formal in ((node.input, schema.inputs), (node.output, schema.outputs)):
        for place, name in enumerate(names):
            if kinds.get(name) != onnx.TensorProto.FLOAT:
                continue
            kind = formal[min(place, len(formal) - 1)].type_str
            if "tensor(float16)" not in allowed.get(kind, {kind}):
                return False
    return True


def halved(model: onnx.ModelProto, wide: Collection[str]) -> onnx.ModelProto:
    """The model with all nodes but those named in `wide` in float16.

    Inputs, outputs and all that `wide` nodes read or write stay float32, under their names; what a
    node in half precision writes is called NAME/half. A cast stands where the one passes into the
    other, once for each tensor.
    """
    import onnx

    kinds = types(model)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    floats = {name for name, kind in kinds.items() if kind == onnx.TensorProto.FLOAT}
    narrow = [node for node in model.graph.node if node.name not in wide]
    narrow_made = {name for node in narrow for name in node.output if name in floats}
    wanted = {value.name for value in graph.output}
    wanted |= {name for node in model.graph.node if node.name in wide for name in read(node)}
    halves: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    added: list[onnx.TensorProto] = []

    def cast(source: str, target: str, kind: int) -> onnx.NodeProto:
        return onnx.helper.make_node("Cast", [source], [target], name=f"{target}/cast", to=kind)

    def half(name: str) -> str:
        """A tensor in float16, made where it is not there yet."""
        if name not in floats:
            return name
        if name not in halves:
            halves[name] = f"{name}/half"
            if name in weights:
                with np.errstate(under="ignore"):
                    array = onnx.numpy_helper.to_array(weights[name]).astype(np.float16)
                added.append(onnx.numpy_helper.from_array(array, halves[name]))
            elif name not in narrow_made:
                nodes.append(cast(name, halves[name], onnx.TensorProto.FLOAT16))
        return halves[name]

    for node in model.graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        if node.name not in wide:
            halve_attributes(copy)
            copy.input[:] = [half(name) for name in node.input]
            copy.output[:] = [half(name) for name in node.output]
        nodes.append(copy)
        if node.name not in wide:
            nodes += [
                cast(half(name), name, onnx.TensorProto.FLOAT)
                for name in node.output
                if name in floats and name in wanted
            ]
    stay = [
        tensor for tensor in weights.values() if tensor.name in wanted or tensor.name not in halves
    ]
    for field, content in ((graph.node, nodes), (graph.initializer, [*stay, *added])):
        del field[:]
        field.extend(content)
    del graph.value_info[:]
    return result


def halve_attributes(node: onnx.NodeProto) -> None:
    """Let a node make float16 where its attributes say float32: casts and constants."""
    import onnx

    for attribute in node.attribute:
        if attribute.name in ("to", "dtype") and attribute.i == onnx.TensorProto.FLOAT:
            attribute.i = onnx.TensorProto.FLOAT16
        elif attribute.HasField("t") and attribute.t.data_type == onnx.TensorProto.FLOAT:
            array = onnx.numpy_helper.to_array(attribute.t).astype(np.float16)
            attribute.t.CopyFrom(onnx.numpy_helper.from_array(array, attribute.t.name))
