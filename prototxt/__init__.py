"""Caffe's file formats <-> plain Python and numpy. Knows nothing of graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lazy import looked_up

if TYPE_CHECKING:
    from .binary import (
        Datum,
        LayerBlobs,
        SolverState,
        parse_datum,
        read_binaryproto,
        read_model,
        read_solverstate,
        read_weights,
        serialize_datum,
        write_binaryproto,
        write_solverstate,
        write_weights,
    )
    from .errors import FormatError, Position, UsageError, ZooError
    from .files import atomic_write
    from .net import (
        LayerDefinition,
        NetDefinition,
        ParamSpec,
        StateRule,
        is_solver,
        parse_net,
        read_net,
        write_net,
    )
    from .preprocessing import Preprocessing
    from .schema import UInt, decode
    from .solver import SolverDefinition, parse_solver, read_solver, write_solver
    from .text import Field, Message, Scalar, format_text, parse_text, read_text
    from .unknown import UnknownFields

_HOMES = {
    "binary": (
        "Datum LayerBlobs SolverState parse_datum read_binaryproto read_model read_solverstate "
        "read_weights serialize_datum write_binaryproto write_solverstate write_weights"
    ),
    "errors": "FormatError Position UsageError ZooError",
    "files": "atomic_write",
    "net": (
        "LayerDefinition NetDefinition ParamSpec StateRule is_solver parse_net read_net write_net"
    ),
    "preprocessing": "Preprocessing",
    "schema": "UInt decode",
    "unknown": "UnknownFields",
    "solver": "SolverDefinition parse_solver read_solver write_solver",
    "text": "Field Message Scalar format_text parse_text read_text",
}

__all__ = [
    "Datum",
    "Field",
    "FormatError",
    "LayerBlobs",
    "LayerDefinition",
    "Message",
    "NetDefinition",
    "ParamSpec",
    "Position",
    "Preprocessing",
    "Scalar",
    "SolverDefinition",
    "SolverState",
    "StateRule",
    "UInt",
    "UnknownFields",
    "UsageError",
    "ZooError",
    "atomic_write",
    "decode",
    "format_text",
    "is_solver",
    "parse_datum",
    "parse_net",
    "parse_solver",
    "parse_text",
    "read_binaryproto",
    "read_model",
    "read_net",
    "read_solver",
    "read_solverstate",
    "read_text",
    "read_weights",
    "serialize_datum",
    "write_binaryproto",
    "write_net",
    "write_solver",
    "write_solverstate",
    "write_weights",
]

__getattr__ = looked_up(__name__, _HOMES)
