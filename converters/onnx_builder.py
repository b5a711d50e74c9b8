"""The builder that layer types write themselves with, as nodes and initializers of ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from prototxt.errors import Argument, Position, Sentence

from . import constants, opsets
from .errors import ConversionError
from .graph import Dim, Graph, Node, Shape, Value, unique_name
from .onnx_file import LARGE, OnnxFile
from .targets import Form

__all__ = ["OnnxBuilder", "Operand"]

_DTYPES = {
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
}

Operand = str | Value | np.ndarray | np.generic


ZERO = np.float32(0)

MOST_NODES = 200_000
"""Operators of a model; ONNX Runtime takes minutes to load so many."""

UNINFERRED = {"MaxUnpool"}
"""Operators whose output's shape ONNX does not infer though it is stated: the model then tells."""


class OnnxBuilder:
    """Collects ONNX nodes and initializers; operands are values, tensor names or arrays."""

    def __init__(self, graph: Graph, form: Form, opset: int) -> None:
        self.graph, self.form, self.opset = graph, form, opset
        self.flat: dict[int, str] = {}
        """Mask value id -> ONNX's own flat indices of the same switches, where a pool made them."""
        self._nodes: list[onnx.NodeProto] = []
        self._tensors: dict[str, onnx.TensorProto] = {}
        self._large: dict[str, np.ndarray] = {}  # the numbers of tensors that have none yet
        self._names: dict[int, str] = {id(v): v.name for v in graph.values()}
        self._used = dict.fromkeys(self._names.values(), 1)
        self._made: list[Value] = list(graph.inputs)
        self._weights: dict[int, str] = {}
        self._arrays: list[np.ndarray] = []  # keeps ids in _weights alive
        self._cache: dict[tuple[Any, ...], str] = {}
        self._sources: dict[int, onnx.ValueInfoProto] = {}
        self._told: list[Value] = []
        self._layer = ""
        self._subject: str | None = None
        self._position: Position | None = None
        self._blob_names: Sequence[str] = ()
        self._node_names: set[str] = set()

    def begin(self, node: Node[Any], blobs: Sequence[str] = ()) -> None:
        """What is emitted from here on belongs to `node`, whose blobs are called so."""
        self._layer, self._blob_names = node.name, blobs
        self._subject, self._position = node.subject, node.position
        self._made.extend(node.outputs)

    def source(self, value: Value, shape: Shape, dtype: str) -> str:
        """Let the model have another input than the graph's `value`, under the same name.

        `value` is then a tensor that is yet to be emitted, by what is emitted from here on.
        """
        self._layer = "preprocessing"
        self._names[id(value)] = self.fresh(f"{value.name}/{self._layer}")
        info = helper.make_tensor_value_info(value.name, _DTYPES[dtype], list(shape))
        self._sources[id(value)] = info
        return value.name

    def name(self, operand: Operand) -> str:
        """The tensor name of an operand; arrays become initializers."""
        if isinstance(operand, Value):
            return self._names[id(operand)]
        return self.const(operand) if isinstance(operand, (np.ndarray, np.generic)) else operand

    def fresh(self, wish: str) -> str:
        """`wish`, or `wish_2` and so on where it is taken."""
        return unique_name(wish, self._used)

    def between(self, value: Value) -> None:
        """Make a value that is not the graph's own an operand, under a name that is free."""
        self._names[id(value)] = self.fresh(value.name)
        self._made.append(value)

    def op(
        self,
        op_type: str,
        *inputs: Operand,
        out: Value | str | Sequence[Value | str] | None = None,
        **attributes: Any,
    ) -> str:
        """Emit one ONNX node; returns the name of its first output.

        `out` names its output(s); without it one new tensor is made. Attributes that are None are
        left out.
        """
        given = {k: v for k, v in attributes.items() if v is not None}
        operands = [self.name(i) if not isinstance(i, str) else i for i in inputs]
        if out is None:
            known = constants.folded(op_type, [self._whole(i) for i in operands], given)
            if op_type == "Shape" and isinstance(inputs[0], Value):
                known = constants.fixed_dims(inputs[0].shape, given)
            if known is not None:
                return self.const(known)
            targets: list[str] = [self.fresh(f"{self._layer}/{op_type}")]
        elif isinstance(out, (str, Value)):
            targets = [self.name(out)]
        else:
            targets = [self.name(t) for t in out]
        emitted = opsets.as_of(self, opsets.Emitted(op_type, operands, given))
        self._check(emitted)
        label = self._layer if self._layer not in self._node_names else None
        op_type, operands, given = emitted.op_type, emitted.inputs, emitted.attributes
        label = label or f"{self._layer}/{op_type}_{len(self._nodes)}"
        self._node_names.add(label)
        self.allow(1)
        self._nodes.append(helper.make_node(op_type, operands, targets, name=label, **given))
        if op_type in UNINFERRED and isinstance(out, Value):
            self._told.append(out)
        return targets[0]

    @property
    def count(self) -> int:
        """How many ONNX nodes there are so far."""
        return len(self._nodes)

    def allow(self, more: int) -> None:
        """ConversionError where so many more ONNX nodes would be too many."""
        if self.count + more > MOST_NODES:
            raise ConversionError(
                f"takes more than {MOST_NODES:,} operators",
                subject=self._subject,
                position=self._position,
                remedy=Sentence("give a smaller ", Argument("shapes")),
            )

    def _check(self, emitted: opsets.Emitted) -> None:
        """ConversionError where the opset has no such operator, or ONNX Runtime not that of it."""
        last = opsets.run_until(emitted, self.opset)
        if last is not None:
            raise ConversionError(
                f"ONNX Runtime has {emitted.op_type} up to opset {last}, not at {self.opset}",
                subject=self._subject,
                position=self._position,
                remedy=Sentence("give ", Argument("opset", last), " or below"),
            )
        lacks = opsets.lacking(emitted, self.opset)
        if lacks is None:
            return
        later, what = lacks
        if later is None:
            raise ConversionError(f"ONNX has no {what}", subject=self._subject)
        raise ConversionError(
            f"needs opset {later} of ONNX ({what}), not {self.opset}",
            subject=self._subject,
            position=self._position,
            remedy=Sentence("give ", Argument("opset", later), " or above"),
        )

    def node(self, op_type: str, node: Node[Any], *more: Operand, **attributes: Any) -> str:
        """Emit one ONNX node from all inputs of `node` (and `more`) to its first output."""
        return self.op(op_type, *node.inputs, *more, out=node.outputs[0], **attributes)

    def const(self, array: np.ndarray | np.generic, wish: str | None = None) -> str:
        """An initializer with these numbers; equal small arrays are stored once."""
        array = np.asarray(array, order="C")
        key = (
            ("const", array.dtype.str, array.shape, array.tobytes()) if array.nbytes < 4096 else ()
        )
        if key and key in self._cache:
            return self._cache[key]
        name = self.fresh(wish or f"{self._layer}/const")
        self._add(name, array)
        if key:
            self._cache[key] = name
        return name

    def tanh(self, x: Operand, out: Value | str | None = None) -> str:
        """The hyperbolic tangent; OpenCV 5 gives NaN far from 0, where float32's is ±1."""
        if self.form.tanh == "Clip":
            x = self.op("Clip", x, self.const(np.float32(-15)), self.const(np.float32(15)))
        return self.op("Tanh", x, out=out)

    def full(self, shape: str, number: np.generic = ZERO) -> str:
        """A tensor of that shape, every element `number`, of its type.

        The value is written down though it be ONNX's own default: OpenCV 5 wants it.
        """
        value = numpy_helper.from_array(np.array([number]), "value")
        return self.op("ConstantOfShape", shape, value=value)

    def ints(self, *numbers: int) -> str:
        """A 1-D int64 initializer."""
        return self.const(np.array(numbers, np.int64))

    def weight(self, node: Node[Any], index: int) -> str:
        """The initializer of a blob of the node begun, ``layer.weight``; shared ones stand once."""
        array = node.blobs[index]
        if id(array) not in self._weights:
            name = self.fresh(f"{node.name}.{self._blob_names[index]}")
            self._add(name, np.asarray(array, np.float32, order="C"))
            self._weights[id(array)] = name
            self._arrays.append(array)
        return self._weights[id(array)]

    def array(self, node: Node[Any], suffix: str, array: np.ndarray) -> str:
        """An initializer called ``layer.suffix`` for numbers that a layer derived."""
        return self.stored(f"{node.name}.{suffix}", array)

    def stored(self, wish: str, array: np.ndarray) -> str:
        """An initializer of its own, called `wish`."""
        name = self.fresh(wish)
        self._add(name, np.asarray(array, order="C"))
        return name

    def _add(self, name: str, array: np.ndarray) -> None:
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor = TensorProto(name=name, data_type=kind, dims=array.shape)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        if array.nbytes < LARGE:
            tensor.raw_data = array.tobytes()
        else:
            self._large[name] = array
        self._tensors[name] = tensor

    def number(self, name: str) -> np.ndarray | None:
        """A small initializer's numbers; None of any other tensor."""
        tensor = self._tensors.get(name)
        if tensor is None or name in self._large:
            return None
        return np.asarray(onnx.numpy_helper.to_array(tensor))

    def _whole(self, name: str) -> np.ndarray | None:
        """The numbers of an initializer that is no weight, long ones too."""
        return self._large[name] if name in self._large else self.number(name)

    def dim(self, value: Value, axis: int) -> str:
        """One dimension of a value as a 1-element int64 tensor, read at run time where open."""
        size = value.shape[axis]
        if isinstance(size, int):
            return self.ints(size)
        key = ("dim", id(value), axis)
        if key not in self._cache:
            self._cache[key] = self.op("Shape", value, start=axis, end=axis + 1)
        return self._cache[key]

    def symbol(self, dim: Dim) -> str | None:
        """A dimension as a 1-element int64 tensor, from any value so far that has it, or None."""
        if isinstance(dim, int):
            return self.ints(dim)
        for value in self._made:
            for axis, size in enumerate(value.shape):
                if size == dim and self._written(value):
                    return self.dim(value, axis)
        return None

    def size(self, value: Value, axis: int) -> str:
        """`dim`, read from the first value that has it: one that is fed, mostly.

        ONNX Runtime keeps what convolutions give in a layout of its own, and has to leave it to say
        a shape.
        """
        return self.symbol(value.shape[axis]) or self.dim(value, axis)

    def _written(self, value: Value) -> bool:
        return value.producer is None or value.producer.name != self._layer

    def join(self, *parts: str) -> str:
        """Concatenate 1-D tensors; numbers alone become one initializer."""
        arrays = [self.number(part) for part in parts]
        if all(a is not None for a in arrays):
            return self.const(np.concatenate([a for a in arrays if a is not None]))
        return self.op("Concat", *parts, axis=0)

    def arithmetic(self, op_type: str, left: str, right: str) -> str:
        """Add, Sub, Mul or Div of two int64 tensors, done here where both are numbers."""
        a, b = self.number(left), self.number(right)
        if a is None or b is None:
            return self.op(op_type, left, right)
        function = {
            "Add": np.add,
            "Sub": np.subtract,
            "Mul": np.multiply,
            "Div": np.floor_divide,
        }[op_type]
        return self.const(function(a, b))

    def model(self, metadata: Mapping[str, str], producer: tuple[str, str]) -> OnnxFile:
        """The finished model; initializers that nothing reads are dropped."""
        outputs = []
        for value in self.graph.outputs:
            name = self.name(value)
            if value.producer is None:
                name = self.fresh(f"{value.name}/output")
                self._layer = name
                self.op("Identity", value, out=name)
            outputs.append(self._info(value, name))
        read = {name for node in self._nodes for name in node.input}
        model = helper.make_model(
            helper.make_graph(
                self._nodes,
                self.graph.name or "caffe",
                [self._sources.get(id(v)) or self._info(v, v.name) for v in self.graph.inputs],
                outputs,
                value_info=[
                    self._info(v, self.name(v)) for v in self._told if v not in self.graph.outputs
                ],
            ),
            opset_imports=[helper.make_opsetid("", self.opset)],
            ir_version=opsets.ir_version(self.opset),
            producer_name=producer[0],
            producer_version=producer[1],
        )
        helper.set_model_props(model, dict(metadata))
        tensors = [t for name, t in self._tensors.items() if name in read]
        return OnnxFile(model, tensors, self._large)

    def _info(self, value: Value, name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, _DTYPES[value.dtype], list(value.shape))
