"""Networks of one node or two, whose answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper, numpy_helper

import runtime


def network(
    nodes: list[Any],
    inputs: dict[str, list[int | str]],
    outputs: dict[str, list[int | str]],
    constants: dict[str, np.ndarray] | None = None,
    **said: str,
) -> bytes:
    """An ONNX file of float32; `said` is its metadata, without ``zoo.``."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, 1, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, 1, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(a, name) for name, a in (constants or {}).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(made, {f"zoo.{key}": value for key, value in said.items()})
    content: bytes = made.SerializeToString()
    return content


def giving(outputs: dict[str, np.ndarray], size: tuple[int, int] = (8, 8), **said: str) -> bytes:
    """Takes an image of a size and gives the same numbers of any."""
    nodes = []
    for name in outputs:
        # Something of the image, as a network that ignores it is optimised away.
        nodes.append(helper.make_node("ReduceSum", ["x"], [f"{name}_sum"], keepdims=0))
        nodes.append(helper.make_node("Mul", [f"{name}_sum", "zero"], [f"{name}_zero"]))
        nodes.append(helper.make_node("Add", [f"{name}_all", f"{name}_zero"], [name]))
    constants = {f"{name}_all": array.astype(np.float32) for name, array in outputs.items()}
    constants["zero"] = np.zeros((), np.float32)
    shapes: dict[str, list[int | str]] = {n: list(a.shape) for n, a in outputs.items()}
    return network(nodes, {"x": [1, 3, *size]}, shapes, constants, **said)


def opened(content: bytes) -> runtime.Model:
    """Ready to run."""
    return runtime.load(content, "cpu", name="net.onnx")
