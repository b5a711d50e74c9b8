"""The part of Caffe's binary schema (caffe.proto) that holds arrays, built without protoc.

Only fields that every fork numbers alike are here; the rest passes by as unknown fields.
The numbers of a `BlobProto` are declared as bytes: packed floats have the same form on the wire,
and reading them needs no loop. The `exact` schema has them as Caffe declares them, for the rare
file that does not pack them, or packs them in several pieces.
"""

from __future__ import annotations

import functools
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["message_class"]

_F = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "int32": _F.TYPE_INT32,
    "int64": _F.TYPE_INT64,
    "float": _F.TYPE_FLOAT,
    "double": _F.TYPE_DOUBLE,
    "bool": _F.TYPE_BOOL,
    "string": _F.TYPE_STRING,
    "bytes": _F.TYPE_BYTES,
}

# message -> field -> (number, type, "" or "repeated" or "packed")
SCHEMA: dict[str, dict[str, tuple[int, str, str]]] = {
    "BlobShape": {"dim": (1, "int64", "packed")},
    "BlobProto": {
        "num": (1, "int32", ""),
        "channels": (2, "int32", ""),
        "height": (3, "int32", ""),
        "width": (4, "int32", ""),
        "data": (5, "bytes", ""),
        "diff": (6, "bytes", ""),
        "shape": (7, "BlobShape", ""),
        "double_data": (8, "bytes", ""),
        "double_diff": (9, "bytes", ""),
        # NVIDIA's Caffe, of numbers in the width that raw_data_type names.
        "raw_data_type": (10, "int32", ""),
        "raw_data": (12, "bytes", ""),
    },
    "LayerParameter": {
        "name": (1, "bytes", ""),
        "type": (2, "bytes", ""),
        "bottom": (3, "bytes", "repeated"),
        "top": (4, "bytes", "repeated"),
        "blobs": (7, "BlobProto", "repeated"),
    },
    "V0LayerParameter": {
        "name": (1, "bytes", ""),
        "type": (2, "bytes", ""),
        "blobs": (50, "BlobProto", "repeated"),
    },
    "V1LayerParameter": {
        "layer": (1, "V0LayerParameter", ""),
        "bottom": (2, "bytes", "repeated"),
        "top": (3, "bytes", "repeated"),
        "name": (4, "bytes", ""),
        "type": (5, "int32", ""),
        "blobs": (6, "BlobProto", "repeated"),
    },
    "NetParameter": {
        "name": (1, "bytes", ""),
        "layers": (2, "V1LayerParameter", "repeated"),
        "layer": (100, "LayerParameter", "repeated"),
    },
    "SolverState": {
        "iter": (1, "int32", ""),
        "learned_net": (2, "bytes", ""),
        "history": (3, "BlobProto", "repeated"),
        "current_step": (4, "int32", ""),
        "losses": (2016, "double", "packed"),  # ours
    },
    "Datum": {
        "channels": (1, "int32", ""),
        "height": (2, "int32", ""),
        "width": (3, "int32", ""),
        "data": (4, "bytes", ""),
        "label": (5, "int32", ""),
        "float_data": (6, "float", "repeated"),
        "encoded": (7, "bool", ""),
    },
}


EXACT = {
    "data": (5, "float", "packed"),
    "diff": (6, "float", "packed"),
    "double_data": (8, "double", "packed"),
    "double_diff": (9, "double", "packed"),
}


@functools.cache
def _pool(exact: bool) -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(
        name="caffe_zoo.proto", package="caffe_zoo", syntax="proto2"
    )
    for name, fields in SCHEMA.items():
        if exact and name == "BlobProto":
            fields = {**fields, **EXACT}
        message = file.message_type.add(name=name)
        for field, (number, kind, how) in fields.items():
            entry = message.field.add(name=field, number=number)
            entry.label = _F.LABEL_REPEATED if how else _F.LABEL_OPTIONAL
            if kind in _TYPES:
                entry.type = _TYPES[kind]
            else:
                entry.type = _F.TYPE_MESSAGE
                entry.type_name = f".caffe_zoo.{kind}"
            if how == "packed":
                entry.options.packed = True
    pool.Add(file)
    return pool


@functools.cache
def message_class(name: str, exact: bool = False) -> Any:
    """The protobuf class of one message of `SCHEMA`."""
    found = _pool(exact).FindMessageTypeByName(f"caffe_zoo.{name}")
    return message_factory.GetMessageClass(found)
