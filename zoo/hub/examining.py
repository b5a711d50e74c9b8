"""What an ONNX file is, and whether it may be published: checked, run once, fully described."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prototxt.borders import Borders
from prototxt.errors import Argument, Sentence
from prototxt.files import sha256
from prototxt.preprocessing import Preprocessing
from zoo.errors import HubError
from zoo.hub import index as schema
from zoo.hub.fields import Fields, plain_name
from zoo.hub.index import Cost, File, Network
from zoo.inspection.onnx_model import Tensor

if TYPE_CHECKING:
    import onnx

    from runtime import Model

REQUIRED = ("caffe.prototxt", "zoo.version", "zoo.weights", "zoo.channel_order")
"""Metadata that every published model states; one that takes images states its size, too."""

SAME = ("zoo.arch", "zoo.task", "zoo.weights", "caffe.weights.sha256")
"""Metadata that all files of one model share."""


@dataclass(frozen=True)
class Examined:
    """A file that may be published, with its metadata and the files of weights beside it."""

    path: Path
    file: File
    metadata: Mapping[str, str]
    beside: tuple[Path, ...]

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How an image becomes the input; None where the input is no image.

        Its mean is None where the model does not state it.
        """
        assert self.file.network is not None
        if self.file.network.part == "decoder" or not takes_images(self.file.network):
            return None
        how = Preprocessing.from_metadata(self.metadata)
        return Preprocessing(
            how.mean, scale=how.factor, channel_order=how.channel_order, input_size=how.input_size
        )


def examine(path: Path) -> Examined:
    """Check an ONNX file, run it once on zeros, and describe it.

    ZooError in one line where it is not fit for a hub.
    """
    model = _checked(path)
    beside = _external(model, path)
    file = describe_file(path, "model")
    opened = _run(path)
    stated = opened.metadata
    if "zoo.input" in stated:
        raise HubError(
            "takes pixels, but pages and programs that use a hub feed blobs",
            subject=path,
            remedy=Sentence("convert it without ", Argument("fold_preprocessing")),
        )
    if Borders.from_metadata(stated).nhwc:
        raise HubError(
            "takes or gives N×H×W×C, but pages and programs that use a hub feed N×C×H×W",
            subject=path,
            remedy=Sentence("convert it without ", Argument("nhwc")),
        )
    network = Network(
        part=stated.get("zoo.part", "whole"),
        targets=targets(model),
        opset=next((item.version for item in model.opset_import if not item.domain), 0),
        inputs=tuple(Tensor(spec.name, spec.shape, spec.dtype) for spec in opened.inputs),
        outputs=tuple(Tensor(spec.name, spec.shape, spec.dtype) for spec in opened.outputs),
        precision=_precision(path, stated),
        cost=_cost(path, stated),
    )
    _complete(path, stated, network)
    return Examined(path, File(file.name, file.size, file.sha256, "model", network), stated, beside)


def describe_file(path: Path, kind: str) -> File:
    """Name, size and digest of a file that is to be published."""
    if not plain_name(path.name):
        raise HubError(
            "a published file's name has letters, digits and ._+- only",
            subject=path,
            remedy="rename it",
        )
    try:
        size = path.stat().st_size
        digest = sha256(path)
    except FileNotFoundError:
        raise HubError("no such file", subject=path) from None
    except OSError as error:
        raise HubError(f"cannot be read: {error.strerror or error}", subject=path) from None
    if not 0 < size <= schema.LARGEST_FILE:
        raise HubError(f"{size} bytes; a published file has 1 byte to 4 GiB", subject=path)
    return File(path.name, size, digest, kind)


def targets(model: onnx.ModelProto) -> tuple[str, ...]:
    """Where a model runs, by its operators.

    ONNX Runtime's CUDA provider has no MaxUnpool, and a pooling's indices are other ones there
    where maxima tie; onnxruntime-web's WebGPU has neither of these, nor ScatterElements nor LRN.
    """
    kinds = {node.op_type for node in model.graph.node}
    indices = any(node.op_type == "MaxPool" and len(node.output) > 1 for node in model.graph.node)
    if "MaxUnpool" in kinds or indices:
        return ("cpu",)
    if kinds & {"ScatterElements", "LRN"}:
        return ("cpu", "cuda")
    return schema.TARGETS


def takes_images(network: Network) -> bool:
    """Whether the one input is N×C×H×W, of 1 or 3 channels."""
    shapes = [tensor.shape for tensor in network.inputs]
    return len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][1] in (1, 3)


def _checked(path: Path) -> onnx.ModelProto:
    if path.is_dir():
        raise HubError("is a directory", subject=path, remedy="name an .onnx file")
    if not path.is_file():
        raise HubError("no such file", subject=path)
    import onnx

    from runtime.onnx_files import for_library, read_model, work

    model = read_model(path, weights=False)
    with work(path, "checked", "convert it again", read=path.stat().st_size):
        onnx.checker.check_model(for_library(path), full_check=True)
    return model


def _external(model: onnx.ModelProto, path: Path) -> tuple[Path, ...]:
    """The files beside a model that hold its weights."""
    names = {
        entry.value
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    for name in names:
        if not plain_name(name):
            raise HubError(f"keeps weights in {name!r}, not beside itself", subject=path)
    return tuple(path.with_name(name) for name in sorted(names))


def _run(path: Path) -> Model:
    """Load a model and run it once on zeros, with open dimensions at what the metadata states."""
    import numpy as np

    import runtime

    opened = runtime.load(path, "cpu")
    height, width = Preprocessing.from_metadata(opened.metadata).input_size or (128, 128)
    feeds = {
        spec.name: np.zeros([_size(dim, height, width) for dim in spec.shape], opened.numbers(spec))
        for spec in opened.inputs
    }
    if not feeds:
        raise HubError(
            "has no inputs: it gives the same whatever it is fed",
            subject=path,
            remedy="give a network",
        )
    for name, array in opened.run(feeds).items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise HubError(f"output {name!r} of zeros is not finite", subject=path)
    return opened


def _size(dim: int | str, height: int, width: int) -> int:
    """A dimension as a number: `batch`, `height`, `ceil(width/4)`."""
    if isinstance(dim, int):
        return dim
    match = re.fullmatch(r"(?:ceil\()?(height|width)(?:/(\d+)\))?", dim)
    if match is None:
        return 1
    whole = height if match[1] == "height" else width
    return -(-whole // int(match[2] or 1))


def _complete(path: Path, stated: Mapping[str, Any], network: Network) -> None:
    if network.part not in schema.PARTS:
        raise HubError(f"its zoo.part is {network.part!r}", subject=path, remedy="convert it again")
    needed: tuple[str, ...] = REQUIRED
    if network.part != "decoder" and takes_images(network):
        needed = (*REQUIRED, "zoo.input_size")
    missing = [name for name in needed if not stated.get(name)]
    if missing:
        raise HubError(
            f"its metadata lacks {', '.join(missing)}", subject=path, remedy="convert it again"
        )


def _precision(path: Path, stated: Mapping[str, str]) -> str:
    precision = stated.get("zoo.precision", "float32")
    if precision not in schema.PRECISIONS:
        raise HubError(
            f"its zoo.precision is {precision!r}", subject=path, remedy="convert it again"
        )
    return precision


def _cost(path: Path, stated: Mapping[str, str]) -> Cost | None:
    """What fewer bits changed, as the model states it; None where it does not."""
    text = stated.get("zoo.cost")
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise HubError("its zoo.cost is no JSON", subject=path, remedy="convert it again") from None
    return schema.read_cost(Fields(found, str(path), "zoo.cost"))
