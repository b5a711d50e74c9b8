"""A model in int8: static quantization by ONNX Runtime, as QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.precision.kept import LEARNED, Wiring, types

if TYPE_CHECKING:
    import onnx

__all__ = ["idle", "learned", "quantized", "weightless"]

Feeds = Sequence[Mapping[str, np.ndarray]]
Neighbours = Callable[["onnx.NodeProto"], list["onnx.NodeProto"]]

ACTIVATIONS = frozenset("Relu Clip".split())
FOLLOWING = ACTIVATIONS | {"MaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Add"}
"""Operators that are quantized as well where they stand between layers in int8."""


def learned(model: onnx.ModelProto, wide: Collection[str]) -> list[str]:
    """The layers with weights that would be quantized, by the names of their nodes."""
    nodes = model.graph.node
    return [node.name for node in nodes if node.op_type in LEARNED and node.name not in wide]


def weightless(model: onnx.ModelProto) -> set[str]:
    """The layers whose weights are all zero, by the names of their nodes.

    They give their bias alone, which int8 would round to the steps of a scale that means nothing.
    """
    import onnx

    zero = {t.name for t in model.graph.initializer if not onnx.numpy_helper.to_array(t).any()}
    nodes = model.graph.node
    return {node.name for node in nodes if node.op_type in LEARNED and node.input[1] in zero}


def quantized(model: onnx.ModelProto, wide: Collection[str], feeds: Feeds) -> onnx.ModelProto:
    """The model with all layers but those named in `wide` in int8.

    Weights are int8, one scale for each output channel, and take half of its range (-64 to 64):
    processors without VNNI add two products of a uint8 and an int8 in 16 bits, which the whole of
    it overflows. What passes between layers is uint8, its range that over `feeds`. Inputs and
    outputs stay float32, and so does what `wide` nodes read.
    """
    import onnx

    from runtime.onnx_files import onnxruntime

    onnxruntime()  # set up before any of it is loaded
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    wide = {*wide, *idle(model, wide)}
    prepared = parted(model, wide)
    prepared = onnx.shape_inference.infer_shapes(prepared)
    # Otherwise ONNX Runtime advises to prepare the model: shapes are inferred, layers folded.
    prepared.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "int8.onnx"
        quantize_static(
            prepared,
            str(path),
            Reader(feeds),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            op_types_to_quantize=sorted(LEARNED | FOLLOWING),
            nodes_to_exclude=sorted(wide),
        )
        result = onnx.load(path)
    joined(result)
    shape_alike(result)
    del result.metadata_props[:]
    result.metadata_props.extend(model.metadata_props)
    result.producer_name, result.producer_version = model.producer_name, model.producer_version
    del result.graph.value_info[:]
    return result


def idle(model: onnx.ModelProto, wide: Collection[str]) -> set[str]:
    """The nodes of `FOLLOWING` that stand between no layers in int8: rounding there saves nothing.

    An activation is a part of the layer before it, whatever follows.
    """
    wiring, narrow = Wiring(model), set(learned(model, wide))

    def borders(node: onnx.NodeProto, neighbours: Neighbours) -> bool:
        """Whether one of the layers with weights nearest to a node is in int8."""
        stack, seen = [node], set()
        while stack:
            for other in neighbours(stack.pop()):
                if other.op_type in LEARNED:
                    if other.name in narrow:
                        return True
                elif other.name not in seen:
                    seen.add(other.name)
                    stack.append(other)
        return False

    return {
        node.name
        for node in model.graph.node
        if node.op_type in FOLLOWING
        and not (
            borders(node, wiring.before)
            and (node.op_type in ACTIVATIONS or borders(node, wiring.behind))
        )
    }


class Reader:
    """What ONNX Runtime calibrates with, one batch at a time (`CalibrationDataReader`)."""

    def __init__(self, feeds: Feeds) -> None:
        self.left = iter(feeds)

    def get_next(self) -> Any:
        """The next feeds; None after the last."""
        found = next(self.left, None)
        return None if found is None else dict(found)


CROSSING = "/int8"


def parted(model: onnx.ModelProto, wide: Collection[str]) -> onnx.ModelProto:
    """The model with an Identity wherever a tensor passes from `wide` nodes to the others.

    ONNX Runtime rounds a tensor for all of its readers; so only those that are quantized see it.
    """
    import onnx

    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph, kinds = result.graph, types(model)
    outside = {name for node in model.graph.node if node.name in wide for name in node.output}
    outside |= {value.name for value in model.graph.input}
    shared = {name for node in model.graph.node if node.name in wide for name in node.input}
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    done: set[str] = set()
    for node in graph.node:
        if node.name not in wide:
            for place, name in enumerate(node.input):
                if kinds.get(name) != onnx.TensorProto.FLOAT:
                    continue
                new = name + CROSSING
                if name in weights and name in shared:
                    if name not in done:
                        copy = graph.initializer.add()
                        copy.CopyFrom(weights[name])
                        copy.name = new
                elif name in outside:
                    if name not in done:
                        nodes.append(onnx.helper.make_node("Identity", [name], [new], name=new))
                else:
                    continue
                done.add(name)
                node.input[place] = new
        nodes.append(node)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    return result


def joined(model: onnx.ModelProto) -> None:
    """Take the Identity nodes of `parted` out again."""
    graph = model.graph
    crossing = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Identity" and node.output[0].endswith(CROSSING)
    }
    left = [node for node in graph.node if not (node.output and node.output[0] in crossing)]
    for node in left:
        node.input[:] = [crossing.get(name, name) for name in node.input]
    copies = [type(node).FromString(node.SerializeToString()) for node in left]
    del graph.node[:]
    graph.node.extend(copies)


def shape_alike(model: onnx.ModelProto) -> None:
    """Give each zero point the shape of its scale, as ONNX asks and OpenCV insists.

    ONNX Runtime writes those of a bias of one number without dimensions.
    """
    import onnx

    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) > 2:
            scale, zero = (stored[name] for name in node.input[1:3])
            if scale.dims != zero.dims:
                numbers = np.broadcast_to(onnx.numpy_helper.to_array(zero), tuple(scale.dims))
                zero.CopyFrom(onnx.numpy_helper.from_array(numbers.copy(), zero.name))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what the quantizer logs from the reader: it is meant for those who write models."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
