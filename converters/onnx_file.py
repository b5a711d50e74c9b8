"""An ONNX model whose weights are still arrays, and how it gets into files without copying them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

import numpy as np
import onnx
from onnx import TensorProto

from prototxt.files import release
from prototxt.wire import encoded

__all__ = ["INLINE_LIMIT", "OnnxFile"]

INLINE_LIMIT = 1_800_000_000
"""Bytes; protobuf, and so an ONNX file without a side file, ends at 2 GB."""

LARGE = 1024
"""Bytes from which on a tensor is kept apart. Smaller ones are shapes, which shape inference must
find in the model itself."""

ALIGNED = 4096
"""Where a tensor may begin in a side file: at a page, so that runtimes can map it."""

CHUNK = 1 << 25

# Field numbers of onnx.proto, as tags of length-delimited fields.
GRAPH, INITIALIZER, RAW_DATA = (bytes([number << 3 | 2]) for number in (7, 5, 9))


class OnnxFile:
    """A model in pieces.

    `model` has no initializers, `tensors` are these in order, and `arrays` has the numbers of those
    that have no data yet, little-endian.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        tensors: Sequence[TensorProto],
        arrays: Mapping[str, np.ndarray],
    ) -> None:
        self.model, self.tensors, self.arrays = model, list(tensors), arrays

    @property
    def nbytes(self) -> int:
        """About how long the file is if it holds its weights itself."""
        apart = sum(self.arrays[t.name].nbytes for t in self.tensors if t.name in self.arrays)
        inside = self.model.ByteSize() + sum(t.ByteSize() + 16 for t in self.tensors)
        return apart + int(inside)

    def whole(self) -> onnx.ModelProto:
        """The model with its weights in it, which are copied."""
        model = self.model
        for tensor in self.tensors:
            copy = model.graph.initializer.add()
            copy.CopyFrom(tensor)
            if tensor.name in self.arrays:
                copy.raw_data = self.arrays[tensor.name].tobytes()
        return model

    def write(self, file: BinaryIO) -> None:
        """The model with its weights in it, less than 2 GB."""
        heads = []
        for tensor in self.tensors:
            head = tensor.SerializeToString()
            array = self.arrays.get(tensor.name)
            if array is not None:
                head += RAW_DATA + encoded(array.nbytes)
            heads.append((head, array))
        parts = [
            INITIALIZER + encoded(len(head) + (0 if array is None else array.nbytes)) + head
            for head, array in heads
        ]
        graph = self.model.graph.SerializeToString()
        length = len(graph) + sum(map(len, parts))
        length += sum(array.nbytes for _, array in heads if array is not None)
        file.write(self._shell() + GRAPH + encoded(length) + graph)
        for part, (_, array) in zip(parts, heads, strict=True):
            file.write(part)
            if array is not None:
                write_array(file, array)

    def write_graph(self, file: BinaryIO, location: str) -> None:
        """The model without its large weights, which are in the file `location` beside it."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        offsets = {name: (start, size) for name, start, size in self._places()}
        for tensor in self.tensors:
            entry = model.graph.initializer.add()
            entry.CopyFrom(tensor)
            if tensor.name not in offsets:
                continue
            entry.data_location = TensorProto.EXTERNAL
            start, size = offsets[tensor.name]
            for key, value in (("location", location), ("offset", start), ("length", size)):
                entry.external_data.add(key=key, value=str(value))
        file.write(model.SerializeToString())

    def write_data(self, file: BinaryIO) -> None:
        """The side file."""
        place = 0
        for name, start, size in self._places():
            file.write(b"\0" * (start - place))
            write_array(file, self.arrays[name])
            place = start + size

    def _places(self) -> Iterator[tuple[str, int, int]]:
        """Where each large tensor is in the side file: name, offset, length."""
        place = 0
        for tensor in self.tensors:
            if tensor.name in self.arrays:
                size = self.arrays[tensor.name].nbytes
                yield tensor.name, place, size
                place = -(-(place + size) // ALIGNED) * ALIGNED

    def _shell(self) -> bytes:
        shell = onnx.ModelProto()
        shell.CopyFrom(self.model)
        shell.ClearField("graph")
        return bytes(shell.SerializeToString())


def write_array(file: BinaryIO, array: np.ndarray) -> None:
    """Write the numbers piece by piece; memory that only maps a file is given back meanwhile."""
    raw = array.reshape(-1).view(np.uint8)
    for start in range(0, raw.size, CHUNK):
        piece = raw[start : start + CHUNK]
        file.write(piece.data)
        release(piece)
