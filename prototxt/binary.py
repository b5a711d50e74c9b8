"""Caffe's binary files: .caffemodel, .binaryproto, .solverstate and the Datums of an LMDB.

Models and states may be HDF5 (hdf5.py). Everything is validated against its stated shape before an
array is made of it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, EncodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from .errors import FormatError
from .files import atomic_write, map_bytes, release
from .hdf5 import SIGNATURE, read_blobs, read_state
from .schema_pb import message_class
from .shapes import shape_text
from .upgrade import V0_TYPES, V1_NUMBERS, V1_TYPES
from .wire import NeedsLibrary, strip

__all__ = [
    "Datum",
    "LayerBlobs",
    "SolverState",
    "parse_datum",
    "read_binaryproto",
    "read_model",
    "read_solverstate",
    "read_weights",
    "serialize_datum",
    "write_binaryproto",
    "write_solverstate",
    "write_weights",
]


T = TypeVar("T")


@dataclass
class LayerBlobs:
    """One layer of a caffemodel."""

    name: str
    type: str
    blobs: list[np.ndarray]


@dataclass
class SolverState:
    """Where a training stands: the iteration, the net's file, the solver's history blobs."""

    iter: int
    learned_net: str
    history: list[np.ndarray]
    current_step: int
    losses: list[float] = field(default_factory=list)
    """Of the last iterations, the oldest first, where they are shown smoothed. Caffe, which would
    begin to smooth anew, passes them by."""


@dataclass
class Datum:
    """One record: C×H×W of uint8 or float32, or the bytes of an image file, and its label."""

    array: np.ndarray | None
    encoded: bytes
    label: int


RAW_TYPES = ("<f8", "<f4", "<f2")
"""Of NVIDIA's Caffe: DOUBLE, FLOAT and FLOAT16 (opencv-caffe.proto's Type); INT and UINT follow."""


MOST_AXES, MOST_LONG = 32, 2**31 - 1
"""Of a blob (blob.hpp, blob.cpp)."""


class NotPacked(Exception):
    """A blob's numbers are not one packed run: the exact schema has to read the file."""


Runs = list[memoryview]
"""The arrays of a file by number, as `wire.strip` found them."""


def parse(data: bytes | memoryview, name: str, path: object, what: str, exact: bool = False) -> Any:
    """Parse a protobuf message; every way of being wrong is one line."""
    if not data:
        raise FormatError(f"not a {what}: the file is empty", subject=str(path))
    message = message_class(name, exact)()
    try:
        message.ParseFromString(data)
    except (DecodeError, RecursionError, ValueError):
        head = bytes(data[:4096])
        if head.isascii() and b"\0" not in head:
            raise FormatError(
                f"not a {what}: it is a text file", subject=str(path), remedy="is it the prototxt?"
            ) from None
        raise FormatError(
            f"not a {what}, or cut short: {len(data)} bytes do not parse", subject=str(path)
        ) from None
    return message


def collect(path: str | Path, name: str, what: str, use: Callable[[Any, Runs | None], T]) -> T:
    """`use(message, runs)` of a file whose arrays stay where they are, as views of it.

    A file of unusual form is read by the exact schema instead, as `use(message, None)`.
    """
    data = map_bytes(path)
    try:
        if data:
            small, runs = strip(data, name)
            message = parse(small, name, str(path), what) if small else message_class(name)()
            return use(message, runs)
    except (NeedsLibrary, NotPacked):
        pass
    return use(parse(data, name, str(path), what, exact=True), None)


def read_weights(path: str | Path, views: bool = False) -> dict[str, list[np.ndarray]]:
    """The blobs of every layer that has some, float32, by layer name.

    Args:
        path: a .caffemodel of any age, or one that is stored as HDF5.
        views: give, where possible, read-only views of the mapped file, which may lie at odd
            addresses: for who only copies them on.

    Raises:
        FormatError: with the offset at which the file is broken.
    """
    result: dict[str, list[np.ndarray]] = {}
    for layer in read_model(path):
        if layer.blobs:
            result[layer.name] = layer.blobs if views else [owned(blob) for blob in layer.blobs]
    return result


def owned(view: np.ndarray) -> np.ndarray:
    """A copy in memory of its own."""
    array = view.copy()
    release(view)
    return array


def read_model(path: str | Path) -> list[LayerBlobs]:
    """Every layer of a caffemodel (V0, V1, current or HDF5), with or without blobs.

    The blobs may be views of the mapped file. HDF5 keeps no types.
    """
    where = str(path)
    data = map_bytes(path)
    if data[: len(SIGNATURE)] == SIGNATURE:
        return [LayerBlobs(name, "", blobs) for name, blobs in read_blobs(path, data).items()]
    result = collect(
        path,
        "NetParameter",
        "caffemodel",
        lambda net, runs: [*old_layers(net, where, runs), *layers(net, where, runs)],
    )
    if not result:
        raise FormatError("not a caffemodel: there are no layers in it", subject=where)
    return result


C3D_TYPES = {14: "InnerProduct", 30: "Convolution3D", 34: "Deconvolution3D"}
"""Of C3D 1.0, by its numbers: those that have blobs, all of which are 5-D."""


def old_layers(net: Any, path: str, runs: Runs | None) -> Iterator[LayerBlobs]:
    for layer in net.layers:
        if layer.HasField("layer"):
            kind = layer.layer.type.decode("utf-8", "replace")
            yield blobs_of(layer.layer, V0_TYPES.get(kind, kind), path, runs)
        else:
            kind = V1_TYPES.get(V1_NUMBERS.get(layer.type, ""), str(layer.type))
            found = blobs_of(layer, kind, path, runs)
            if any(blob.ndim == 5 for blob in found.blobs):
                found.type = C3D_TYPES.get(layer.type, kind)
            yield found


def layers(net: Any, path: str, runs: Runs | None) -> Iterator[LayerBlobs]:
    for layer in net.layer:
        yield blobs_of(layer, layer.type.decode("utf-8", "replace"), path, runs)


def blobs_of(layer: Any, kind: str, path: str, runs: Runs | None) -> LayerBlobs:
    name = layer.name.decode("utf-8", "replace")
    blobs = [
        array_of(blob, f"{path}: layer {name!r}: blob {index}", runs)
        for index, blob in enumerate(layer.blobs)
    ]
    return LayerBlobs(name, kind, blobs)


def array_of(blob: Any, where: str, runs: Runs | None) -> np.ndarray:
    """A blob's numbers as float32, a view where `runs` has them so.

    FormatError where they do not fit its shape.
    """
    legacy = any(blob.HasField(f) for f in ("num", "channels", "height", "width"))
    if legacy:
        shape = tuple(getattr(blob, f) for f in ("num", "channels", "height", "width"))
    else:
        shape = tuple(blob.shape.dim)
    if any(d < 0 for d in shape):
        raise FormatError(
            f"negative dimension in its shape {shape_text(shape, '()')}", subject=where
        )
    if len(shape) > MOST_AXES or any(d > MOST_LONG for d in shape):
        raise FormatError(
            f"a shape of {len(shape)} axes, up to {max(shape)} long; Caffe has at most "
            f"{MOST_AXES}, below 2^31",
            subject=where,
            remedy="the file is damaged",
        )
    count = math.prod(shape)
    if blob.HasField("raw_data"):
        raw = runs[int(blob.raw_data)] if runs is not None else blob.raw_data
        kind = blob.raw_data_type if blob.HasField("raw_data_type") else None
        return raw_array(raw, kind, shape, where)
    if runs is not None:
        for field, dtype in (("data", "<f4"), ("double_data", "<f8")):
            number = getattr(blob, field)
            raw = runs[int(number)] if number else b""
            if len(raw) == count * np.dtype(dtype).itemsize and raw:
                return np.frombuffer(raw, dtype).reshape(shape).astype(np.float32, copy=False)
        raise NotPacked
    numbers = blob.data or blob.double_data
    width = next((f.data for f in UnknownFieldSet(blob) if f.field_number == 5), None)
    if isinstance(width, int):
        # C3D 1.0: num, channels, length, height, width, and then the numbers.
        shape, numbers = (*shape, width), blob.diff
        count = math.prod(shape)
    if len(numbers) != count:
        raise FormatError(
            f"{len(numbers)} numbers for a shape of {shape_text(shape, '()')} ({count})",
            subject=where,
            remedy="the file is damaged",
        )
    return shaped(np.array(numbers, np.float32), shape, where)


def shaped(numbers: np.ndarray, shape: tuple[int, ...], where: str) -> np.ndarray:
    """As many numbers as the shape has; FormatError for none of a shape that no array can have."""
    try:
        return numbers.reshape(shape)
    except (ValueError, OverflowError):
        raise FormatError(
            f"no numbers for a shape of {shape_text(shape, '()')}",
            subject=where,
            remedy="the file is damaged",
        ) from None


def raw_array(
    raw: bytes | memoryview, kind: int | None, shape: tuple[int, ...], where: str
) -> np.ndarray:
    """Numbers as NVIDIA's Caffe stores them, half precision among them, as float32."""
    if kind is None or not 0 <= kind < len(RAW_TYPES):
        raise FormatError(
            f"raw_data_type is {'missing' if kind is None else kind}, not DOUBLE (0), FLOAT (1) "
            "or FLOAT16 (2)",
            subject=where,
            remedy="store the model in float32",
        )
    dtype = np.dtype(RAW_TYPES[kind])
    if len(raw) != math.prod(shape) * dtype.itemsize:
        raise FormatError(
            f"{len(raw)} bytes of {dtype.name} for a shape of {shape_text(shape, '()')}",
            subject=where,
            remedy="the file is damaged",
        )
    return shaped(np.frombuffer(raw, dtype), shape, where).astype(np.float32, copy=False)


def fill_blob(blob: Any, array: np.ndarray, legacy: bool = False) -> None:
    """Write an array into a BlobProto; `legacy` as num, channels, height, width."""
    array = np.asarray(array)
    if legacy:
        dims = (1,) * (4 - array.ndim) + array.shape
        blob.num, blob.channels, blob.height, blob.width = dims
    else:
        blob.shape.dim.extend(array.shape)
        # A scalar's empty shape must be there for Caffe to see it.
        blob.shape.SetInParent()
    blob.data = np.ascontiguousarray(array, "<f4").tobytes()


def save(path: str | Path, message: Any) -> None:
    try:
        data = message.SerializeToString()
    except (EncodeError, ValueError):
        raise FormatError("too large for one protobuf message (2 GB)", subject=path) from None
    atomic_write(path, data)


def write_weights(
    path: str | Path,
    weights: Mapping[str, Sequence[np.ndarray]],
    types: Mapping[str, str] | None = None,
    name: str = "",
    v1: bool = False,
) -> None:
    """Write a caffemodel that Caffe loads, whole or not at all.

    Args:
        path: where to write.
        weights: blobs by layer name, in Caffe's order.
        types: Caffe's types, by layer name.
        name: of the network.
        v1: write the form of 2014: layers numbered by type, four numbers for a shape.
    """
    net = message_class("NetParameter")()
    net.name = name.encode()
    numbers = {V1_TYPES[enum]: number for number, enum in V1_NUMBERS.items()}
    for layer, blobs in weights.items():
        kind = (types or {}).get(layer, "")
        entry = net.layers.add() if v1 else net.layer.add()
        entry.name = layer.encode()
        if v1:
            entry.type = numbers.get(kind, 0)
        else:
            entry.type = kind.encode()
        for array in blobs:
            if v1 and np.ndim(array) > 4:
                raise FormatError("a V1 blob has at most 4 dimensions", subject=f"layer {layer!r}")
            fill_blob(entry.blobs.add(), array, legacy=v1)
    save(path, net)


def read_binaryproto(path: str | Path) -> np.ndarray:
    """A mean file: C×H×W float32 (a leading 1 of the stored 1×C×H×W is dropped)."""
    array = collect(
        path, "BlobProto", "binaryproto", lambda blob, runs: owned(array_of(blob, str(path), runs))
    )
    if array.size == 0:
        raise FormatError("not a binaryproto: there are no numbers in it", subject=path)
    return array[0] if array.ndim == 4 and array.shape[0] == 1 else array


def write_binaryproto(path: str | Path, array: np.ndarray) -> None:
    """Write a mean file as Caffe's compute_image_mean does: 1×C×H×W."""
    blob = message_class("BlobProto")()
    fill_blob(blob, array, legacy=np.ndim(array) <= 4)
    save(path, blob)


def read_solverstate(path: str | Path) -> SolverState:
    """Read a snapshot of a solver, protobuf or HDF5."""
    data = map_bytes(path)
    if data[: len(SIGNATURE)] == SIGNATURE:
        return SolverState(*read_state(path, data))

    def use(state: Any, runs: Runs | None) -> SolverState:
        history = [
            owned(array_of(b, f"{path}: history {i}", runs)) for i, b in enumerate(state.history)
        ]
        net = os.fsdecode(state.learned_net)
        return SolverState(state.iter, net, history, state.current_step, [*state.losses])

    return collect(path, "SolverState", "solverstate", use)


def write_solverstate(path: str | Path, state: SolverState) -> None:
    """Write a snapshot of a solver that Caffe resumes from."""
    message = message_class("SolverState")()
    message.iter, message.learned_net = state.iter, os.fsencode(state.learned_net)
    message.current_step = state.current_step
    message.losses.extend(state.losses)
    for array in state.history:
        fill_blob(message.history.add(), array)
    save(path, message)


def parse_datum(data: bytes | memoryview, where: object = "datum") -> Datum:
    """One record of an LMDB."""
    datum = parse(data, "Datum", where, "Datum")
    if datum.encoded:
        return Datum(None, datum.data, datum.label)
    shape = (datum.channels, datum.height, datum.width)
    if any(d < 0 for d in shape):
        raise FormatError(
            f"negative dimension in its shape {shape_text(shape, '()')}", subject=str(where)
        )
    count = math.prod(shape)
    if not count:
        raise FormatError(f"no image: its shape is {shape_text(shape, '()')}", subject=str(where))
    if len(datum.data) == count:
        return Datum(np.frombuffer(datum.data, np.uint8).reshape(shape), b"", datum.label)
    if len(datum.float_data) == count:
        return Datum(np.array(datum.float_data, np.float32).reshape(shape), b"", datum.label)
    raise FormatError(
        f"{len(datum.data) or len(datum.float_data)} numbers for a shape of "
        f"{shape_text(shape, '()')}",
        subject=str(where),
    )


def serialize_datum(datum: Datum) -> bytes:
    """The bytes of one record, as convert_imageset writes them."""
    message = message_class("Datum")()
    message.label = datum.label
    if datum.array is None:
        message.data, message.encoded = datum.encoded, True
        return bytes(message.SerializeToString())
    message.channels, message.height, message.width = datum.array.shape
    if datum.array.dtype == np.uint8:
        message.data = datum.array.tobytes()
    else:
        message.float_data.extend(datum.array.ravel().tolist())
    return bytes(message.SerializeToString())
