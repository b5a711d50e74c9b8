"""ONNX files by ONNX's and ONNX Runtime's own libraries: within limits, and errors in one line.

Nothing else loads a file that a stranger may have made, or one of these libraries.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prototxt.errors import ZooError
from prototxt.files import read_bytes

from .errors import InferenceError
from .limits import OF_MODEL, allowance, clock, given, short_of_memory, size, too_large

if TYPE_CHECKING:
    import onnx

__all__ = ["for_library", "infer_shapes", "onnxruntime", "read_model", "told", "work"]

INFERENCE = 256 << 20
"""Bytes that inferring shapes may take, besides what the model does."""

_NOISE = (
    re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : "),
    re.compile(r"^\[(Shape|Type)InferenceError\] (?=.*\[\1InferenceError\])"),
    re.compile(r"\bLoad model from .*? failed: ?"),
    re.compile(r"\bThis is an invalid model\. (Error: )?"),
    re.compile(r"\bNon-zero status code returned while running "),
    re.compile(r" ?Status Message:"),
    re.compile(r"\S*onnxruntime/\S+\.(cc|h):\d+ "),
)
"""What ONNX Runtime says besides what is wrong."""


def onnxruntime() -> Any:
    """The library, which is not to write into the user's home, nor to call home, nor to log.

    InferenceError where it is installed in part.
    """
    # Read when it is loaded, as is no option of it.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime as library

    if not hasattr(library, "InferenceSession"):
        # onnxruntime and onnxruntime-gpu share their files: removing one takes those of the other.
        raise InferenceError(
            "onnxruntime is installed in part only",
            remedy="pip uninstall onnxruntime onnxruntime-gpu, "
            "then pip install the one that you want",
        )
    # What is fatal alone: errors are raised as well, and told by whoever catches them.
    library.set_default_logger_severity(4)
    return library


@contextlib.contextmanager
def work(subject: str | Path, verb: str, remedy: str = "", **sizes: Any) -> Iterator[None]:
    """Call a library on a file: `runtime.limits.clock` limits its time, an error becomes one line.

    Raises InferenceError for whatever the library raises.
    """
    try:
        with clock(str(subject), verb, **sizes):
            yield
    except ZooError:
        raise
    except Exception as error:
        if short_of_memory(error):
            raise too_large(str(subject), verb) from error
        raise InferenceError(
            f"cannot be {verb}: {told(error)}", subject=subject, remedy=remedy or None
        ) from error


def for_library(path: str | Path) -> str | bytes:
    """A model as a library opens it: by its path, or its content where that is not UTF-8.

    The content alone lacks weights that lie beside it. Raises InferenceError.
    """
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        import onnx

        return read_bytes(path, InferenceError, "an .onnx file", onnx.checker.MAXIMUM_PROTOBUF)
    return name


def read_model(path: str | Path, *, weights: bool = True) -> onnx.ModelProto:
    """The content of an .onnx file; without `weights` those that lie beside it are left there.

    Raises InferenceError.
    """
    import onnx
    from google.protobuf.message import DecodeError

    path = Path(path)
    given(path, OF_MODEL)
    data = read_bytes(path, InferenceError, "an .onnx file", onnx.checker.MAXIMUM_PROTOBUF)
    again = "convert it again"
    with work(path, "read", again, read=size(path)):
        try:
            model = onnx.load_model_from_string(data)
        except DecodeError as error:
            raise InferenceError("not an ONNX model", subject=path, remedy=again) from error
        if not model.graph.node:
            raise InferenceError("an ONNX model without any node", subject=path, remedy=again)
        if weights:
            onnx.load_external_data_for_model(model, str(path.parent))
    return model


def infer_shapes(model: onnx.ModelProto, subject: str | Path) -> onnx.ModelProto:
    """The model with every shape that follows from its inputs'. Raises InferenceError."""
    from onnx import shape_inference

    read = model.ByteSize()
    with work(subject, "measured", read=read):
        try:
            with allowance(INFERENCE + OF_MODEL * read):
                return shape_inference.infer_shapes(model, data_prop=True)
        except MemoryError:
            # It lists the numbers of a Range, however many, to know shapes that are made of them.
            return shape_inference.infer_shapes(model)


def told(error: BaseException) -> str:
    """The message of one of the libraries, in one line, without what it says of itself."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[0] if lines else type(error).__name__
    for noise in _NOISE:
        line = noise.sub("", line)
    return line.strip().rstrip(".;: ") or type(error).__name__
