"""What one gets by writing down the paper's network operator by operator, as ONNX names them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

    from converters import Graph, Node

__all__ = ["naive_export"]


def naive_export(graph: Graph) -> onnx.ModelProto:
    """Conv, Relu, MaxPool with indices, MaxUnpool, ConvTranspose: nothing folded, nothing else."""
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[onnx.NodeProto] = []
    tensors: list[onnx.TensorProto] = []
    for node in graph.nodes:
        weights = [f"{node.name}.{part}" for part in ("weight", "bias")][: len(node.blobs)]
        for name, blob in zip(weights, node.blobs, strict=True):
            numbers = np.ravel(blob) if name.endswith("bias") else blob
            tensors.append(numpy_helper.from_array(numbers, name))
        inputs = [name_of(value) for value in node.inputs] + weights
        outputs = [name_of(value) for value in node.outputs]
        nodes.append(helper.make_node(*operator(node), inputs, outputs, **attributes(node)))
    data, image = graph.inputs[0], graph.outputs[0]
    infos = [
        helper.make_tensor_value_info(name_of(v), TensorProto.FLOAT, list(v.shape))
        for v in (data, image)
    ]
    model = helper.make_graph(nodes, graph.name, infos[:1], infos[1:], tensors)
    return helper.make_model(model, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def name_of(value: Any) -> str:
    return f"{value.name}:{id(value)}" if value.producer is not None else str(value.name)


def operator(node: Node[Any]) -> tuple[str]:
    kinds = {
        "Convolution": "Conv",
        "Deconvolution": "ConvTranspose",
        "ReLU": "Relu",
        "Pooling": "MaxPool",
        "Unpooling": "MaxUnpool",
    }
    return (kinds[node.type],)


def attributes(node: Node[Any]) -> dict[str, Any]:
    if node.type in ("Pooling", "Unpooling"):
        return {"kernel_shape": [2, 2], "strides": [2, 2]}
    if node.type == "ReLU":
        return {}
    side = node.blobs[0].shape[-1]
    return {"kernel_shape": [side, side], "pads": [side // 2] * 4}
