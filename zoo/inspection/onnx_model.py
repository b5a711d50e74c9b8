"""What is in an ONNX file: nodes, shapes, parameters, multiply-adds, memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prototxt.errors import Argument, Sentence, ZooError
from prototxt.preprocessing import Preprocessing

if TYPE_CHECKING:
    import onnx

    from converters.graph import Shape

OPEN = {"batch": 1}
"""What stands in for an open dimension of this name; others take what the metadata states."""


@dataclass(frozen=True)
class Tensor:
    """An input or output; a dimension that is left open is a text."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str


def is_trained(path: Path) -> bool:
    """Whether a file is a model that was converted with trained weights."""
    if not path.is_file():
        return False
    from runtime.onnx_files import read_model

    try:
        model = read_model(path, weights=False)
    except ZooError:
        return False
    stated = {item.key: item.value for item in model.metadata_props}
    return stated.get("zoo.weights") == "caffemodel"


def summary(path: Path, shapes: Mapping[str, Shape] | None = None) -> dict[str, Any]:
    """A model as plain data; ZooError for what is no ONNX model.

    `shapes` fixes open dimensions of inputs, by name; others count as a batch of one at
    `zoo.input_size` (128×128 where the model does not say). ZooError for a shape that the model
    does not take.
    """
    import onnx

    from runtime.onnx_files import read_model

    # Large weights may lie in a file beside it; their numbers are not needed here.
    model = read_model(path, weights=False)
    if shapes:
        fix(model, shapes, path)
    metadata = {item.key: item.value for item in model.metadata_props}
    sizes = _sizes(metadata)
    concrete = _fixed(model, sizes, path)
    known = {
        info.name: _dims(info, sizes)
        for info in [*concrete.graph.value_info, *concrete.graph.output, *concrete.graph.input]
        if info.type.tensor_type.HasField("shape")
    }
    known.update(_measured(concrete, known, path, shapes))
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    counted: set[str] = set()
    nodes: list[dict[str, Any]] = []
    memory = 0
    # These are shapes, axes and places, and single numbers are arithmetic: not what was learned.
    places = (onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.BOOL)
    for node in model.graph.node:
        mine = [
            stored[name]
            for name in node.input
            if name in stored
            and name not in counted
            and stored[name].data_type not in places
            and stored[name].dims
        ]
        counted.update(tensor.name for tensor in mine)
        made = {name: known.get(name, ["?"]) for name in node.output if name}
        memory += sum(4 * math.prod(_numbers(dims)) for dims in made.values())
        nodes.append(
            {
                "node": node.name,
                "op": node.op_type,
                "inputs": [name for name in node.input if name not in stored],
                "outputs": made,
                "parameters": sum(math.prod(tensor.dims) for tensor in mine),
                "macs": _macs(node, stored, known),
            }
        )
    parameters = sum(row["parameters"] for row in nodes)
    inputs = [info for info in model.graph.input if info.name not in stored]
    return {
        "kind": "onnx",
        "name": model.graph.name,
        "opset": next((item.version for item in model.opset_import if not item.domain), None),
        "ir_version": model.ir_version,
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "inputs": [value(info) for info in inputs],
        "outputs": [
            value(info) | ({"shape": known[info.name]} if shapes and info.name in known else {})
            for info in model.graph.output
        ],
        "nodes": nodes,
        "parameters": parameters,
        "parameter_bytes": 4 * parameters,
        "macs": sum(row["macs"] or 0 for row in nodes),
        "activation_bytes": memory,
        "measured_at": " ".join(
            f"{info.name}={'x'.join(map(str, known.get(info.name, [])))}" for info in inputs
        ),
        "metadata": metadata,
    }


def fix(model: onnx.ModelProto, shapes: Mapping[str, Shape], path: Path) -> None:
    """Write numbers where a model's inputs are open, wherever they have the same symbol."""
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = {i.name: i.type.tensor_type.shape.dim for i in model.graph.input}
    inputs = {name: dims for name, dims in inputs.items() if name not in stored}
    fixed: dict[str, int] = {}
    for name, shape in shapes.items():
        asked = Argument("shapes", {name: tuple(shape)})
        if name not in inputs:
            listed = ", ".join(inputs)
            raise ZooError(
                Sentence("has no input for ", asked), subject=path, remedy=f"its inputs: {listed}"
            )
        dims = inputs[name]
        if len(shape) != len(dims):
            raise ZooError(
                Sentence(asked, f" is of {len(shape)} dimensions, the input of {len(dims)}"),
                subject=path,
            )
        for dim, size in zip(dims, shape, strict=True):
            if not isinstance(size, int):
                continue  # left open
            there = dim.dim_value if dim.HasField("dim_value") else fixed.get(dim.dim_param, size)
            if there != size:
                symbol = f" ({dim.dim_param})" if dim.dim_param else ""
                message = f" has {size} where the model takes {there}{symbol}"
                raise ZooError(Sentence(asked, message), subject=path)
            if dim.dim_param:
                fixed[dim.dim_param] = size
            else:
                dim.dim_value = size
    for dim in (dim for dims in inputs.values() for dim in dims):
        if dim.dim_param in fixed:
            dim.dim_value = fixed[dim.dim_param]


def _sizes(metadata: dict[str, str]) -> dict[str, int]:
    try:
        stated = Preprocessing.from_metadata(metadata).input_size
    except ZooError:  # it is shown as it is
        stated = None
    height, width = stated or (128, 128)
    return {**OPEN, "height": height, "width": width}


def _fixed(model: onnx.ModelProto, sizes: dict[str, int], path: Path) -> onnx.ModelProto:
    """The model with its open dimensions filled in, and every shape that follows from them."""
    import onnx

    from runtime import InferenceError
    from runtime.onnx_files import infer_shapes

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for info in copy.graph.input:
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_value = sizes.get(dim.dim_param, 1)
    for info in copy.graph.output:
        # Stated with symbols that are numbers now: let inference find them again.
        info.type.tensor_type.ClearField("shape")
    del copy.graph.value_info[:]
    try:
        return infer_shapes(copy, path)
    except InferenceError:
        return copy  # custom operators and the like: shapes stay unknown


def _measured(
    model: onnx.ModelProto,
    known: dict[str, list[int | str]],
    path: Path,
    shapes: Mapping[str, Shape] | None = None,
) -> dict[str, list[int | str]]:
    """The shapes that inference does not find, taken from one run on zeros.

    It knows no MaxUnpool with a computed shape. Nothing where the model does not run here (or, of
    `shapes` that were asked for, a ZooError that says why), nor of one with loops, branches or
    functions, which may run for ever.
    """
    import numpy as np
    import onnx

    import runtime

    made = [name for node in model.graph.node for name in node.output if name]
    unknown = [
        name for name in made if name not in known or len(_numbers(known[name])) < len(known[name])
    ]
    if not unknown or model.functions or any(map(has_body, model.graph.node)):
        return {}
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in unknown)
    try:
        opened = runtime.load(copy.SerializeToString(), "cpu", name=str(path))
        feeds = {
            spec.name: np.zeros(
                [dim if isinstance(dim, int) else 1 for dim in spec.shape], opened.numbers(spec)
            )
            for spec in opened.inputs
        }
        return {name: list(array.shape) for name, array in opened.run(feeds).items()}
    except (ZooError, MemoryError) as error:
        if shapes and isinstance(error, ZooError):
            asked = Argument("shapes", {name: tuple(shape) for name, shape in shapes.items()})
            raise ZooError(Sentence(error.message, ", with ", asked), subject=path) from None
        return {}


def has_body(node: onnx.NodeProto) -> bool:
    """Whether a node has a graph of its own: Loop, Scan, If."""
    import onnx

    kinds = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
    return any(attribute.type in kinds for attribute in node.attribute)


def _dims(info: onnx.ValueInfoProto, sizes: dict[str, int]) -> list[int | str]:
    return [
        dim.dim_value if dim.HasField("dim_value") else sizes.get(dim.dim_param, dim.dim_param)
        for dim in info.type.tensor_type.shape.dim
    ]


def value(info: onnx.ValueInfoProto) -> dict[str, Any]:
    """An input or output: name, shape (an open dimension as its symbol), dtype."""
    import onnx

    kind = info.type.WhichOneof("value") or "unknown"
    try:
        dtype = str(onnx.helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type))
    except KeyError:  # no tensor, or of a type that ONNX has not
        dtype = kind.removesuffix("_type")
    return {"name": info.name, "shape": _dims(info, {}), "dtype": dtype}


def _macs(
    node: onnx.NodeProto, stored: dict[str, onnx.TensorProto], known: dict[str, list[int | str]]
) -> int | None:
    """Multiply-adds, None where a shape that they depend on is unknown; 0 for other operators."""
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    if len(node.input) < 2 or not node.output:
        return None
    name = node.input[1]
    weight = list(stored[name].dims) if name in stored else known.get(name)
    place = node.input[0] if node.op_type == "ConvTranspose" else node.output[0]
    dims = known.get(place)
    if weight is None or dims is None:
        return None
    numbers, sizes = _numbers(dims), _numbers(weight)
    if len(numbers) != len(dims) or len(sizes) != len(weight):
        return None
    size = math.prod(sizes)
    if node.op_type in ("Conv", "ConvTranspose"):
        return size * numbers[0] * math.prod(numbers[2:])
    return size * math.prod(numbers[:-1])


def _numbers(dims: list[int | str]) -> list[int]:
    return [dim for dim in dims if isinstance(dim, int)]
