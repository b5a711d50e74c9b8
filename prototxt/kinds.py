"""What a file is, by its content; without numpy or protobuf."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["kind_of_content"]

HEAD = 4096
HDF5 = b"\x89HDF\r\n\x1a\n"
CONTROL = frozenset(range(32)) - frozenset(b"\t\n\v\f\r")
DEFINITION = re.compile(
    rb"^\s*(name|layers?|input(_dim|_shape)?|net|(train|test)_net|base_lr)\s*[:{]", re.MULTILINE
)
# The first key of a NetParameter: its name, layers, input, or layer (field 100, two bytes).
NET_KEYS = (b"\x0a", b"\x12", b"\x1a", b"\xa2\x06")
# What may follow a ModelProto's ir_version: producer, domain, version, doc, graph, opsets.
MODEL_KEYS = frozenset((0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42))
LAST_IR_VERSION = 63


def kind_of_content(path: str | Path) -> str | None:
    """What a file holds: ``definition``, ``weights`` or ``onnx``.

    A definition is text, a network's or a solver's; weights are a caffemodel, or HDF5. None for
    what is none of them or cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return None
    if head.startswith(HDF5):
        return "weights"
    if not CONTROL.intersection(head):
        return "definition" if DEFINITION.search(head) else None
    if len(head) > 2 and head[0] == 0x08 and head[1] <= LAST_IR_VERSION and head[2] in MODEL_KEYS:
        return "onnx"
    return "weights" if head.startswith(NET_KEYS) else None
