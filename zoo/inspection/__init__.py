"""What is in a file of Caffe's or ONNX's: layers, shapes, parameters, multiply-adds, memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prototxt.errors import ZooError

__all__ = ["inspect", "kind_of"]

KINDS = {
    "prototxt": ("prototxt", "prototext", "pbtxt", "txt", "pt"),
    "caffemodel": ("caffemodel", "h5", "hdf5"),
    "binaryproto": ("binaryproto",),
    "onnx": ("onnx",),
}
"""What a file is, by how its name ends."""


def kind_of(path: Path) -> str:
    """One of KINDS; ZooError for any other file."""
    if not path.exists():
        raise ZooError("no such file", subject=path, remedy="check the path")
    if path.is_dir():
        raise ZooError("is a folder", subject=path, remedy="give a file")
    suffix = path.suffix.lower().lstrip(".")
    for kind, suffixes in KINDS.items():
        if suffix in suffixes:
            return kind
    raise ZooError(
        f"a file ending in {path.suffix or 'nothing'!r} is not known",
        subject=path,
        remedy="known are .prototxt, .caffemodel, .caffemodel.h5, .binaryproto and .onnx",
    )


def inspect(path: Path, **how: Any) -> dict[str, Any]:
    """A file as plain data; its ``kind`` is net, solver, caffemodel, binaryproto or onnx.

    `how` is for definitions: see `zoo.inspection.definition.definition`; `shapes` is for models,
    too. UsageError where a kind of file does not take what is given.
    """
    kind = kind_of(path)
    if kind == "prototxt":
        from .definition import definition

        return definition(path, **how)
    from .definition import refuse

    shapes = how.pop("shapes", None)
    if kind == "onnx":
        refuse(path, "an ONNX model", how)
        from .onnx_model import summary

        return summary(path, shapes)
    refuse(path, f"a .{kind}", {**how, "shapes": shapes})
    from . import binaries

    return binaries.caffemodel(path) if kind == "caffemodel" else binaries.binaryproto(path)
