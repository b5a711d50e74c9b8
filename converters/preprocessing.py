"""What a definition says of its images, and how a model is made to do it by itself.

Data layers cut the centre out, subtract the mean and scale, in this order (data_transformer.cpp).
A deploy definition says nothing of it; what is given to `convert` then stands in, and also
overrides what a data layer says.

In a model (`--fold-preprocessing`) these are its first nodes: images come as uint8 N×H×W×C, RGB or
grey, as cameras, browsers and decoders give them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prototxt.errors import Argument, Sentence
from prototxt.files import find_beside
from prototxt.net import LayerDefinition, NetDefinition
from prototxt.preprocessing import Preprocessing

from .errors import ConversionError
from .graph import Graph, Shape, Value
from .layers.inputs import DataLayer, Source
from .registry import find
from .shapes import text

if TYPE_CHECKING:
    from .onnx_builder import OnnxBuilder

__all__ = ["cropped_shapes", "emit", "image_input", "stated"]

FLOAT = 1
"""TensorProto.FLOAT."""


def stated(net: NetDefinition) -> Preprocessing:
    """What the data layers of a definition say.

    Mean files are looked for from the current folder, as Caffe does, then beside the definition.
    """
    found = Preprocessing()
    for layer in net.layers:
        if layer.param("transform_param") is not None:
            found = of_layer(layer, Path(net.path))
    return found


def of_layer(layer: LayerDefinition, path: Path) -> Preprocessing:
    """What one data layer of the definition in `path` says."""
    kind = find(layer.type)
    source = kind.read(layer, True, lambda _: None) if kind is not None else None
    if not isinstance(source, Source):
        return Preprocessing()
    said = source.transform
    if said.mean_file and said.mean_value:
        raise ConversionError(
            f"layer {layer.name!r} has both mean_file and mean_value",
            position=layer.position,
            remedy="Caffe refuses it too",
        )
    mean: str | None = ",".join(f"{value:.9g}" for value in said.mean_value) or None
    lost = None
    if said.mean_file:
        place = find_beside(said.mean_file, path)
        mean, lost = (str(place), None) if place is not None else (None, said.mean_file)
    scale = said.scale if said.scale != 1 else None
    found = Preprocessing(mean, lost, scale)
    if not (isinstance(kind, DataLayer) and kind.plain_transform):
        # Their crops are of another kind (warped windows, labels cut with their images).
        own_way = f"{layer.subject} prepares images in a way of its own"
        return dataclasses.replace(found, obstacle=own_way)
    crop = (said.crop_size, said.crop_size) if said.crop_size else None
    wide = getattr(said, "crop_h", 0), getattr(said, "crop_w", 0)
    if all(wide):
        crop = wide
    plane = source.stated_size()
    own = getattr(source.own, "new_height", 0), getattr(source.own, "new_width", 0)
    resize = own if all(own) else plane if plane != crop else None
    obstacle = None
    how = getattr(said, "resize_param", None)
    if how is not None and how.resize_mode.value != 1:
        obstacle = f"layer {layer.name!r} resizes by {how.resize_mode.name}"
    return dataclasses.replace(found, crop=crop, resize=resize, obstacle=obstacle)


def image_input(graph: Graph) -> Value | None:
    """The input that takes images; None where there is none, or a choice of several."""
    found = [v for v in graph.inputs if len(v.shape) == 4 and v.shape[1] in (1, 3)]
    return found[0] if len(found) == 1 else None


def cropped_shapes(
    graph: Graph, how: Preprocessing, given: Mapping[str, Shape] | None
) -> dict[str, Shape] | None:
    """The shapes to build the graph with instead, where images are cut; None where they are not.

    What is cut out is all that the network sees, however large the images.
    """
    value = image_input(graph)
    if value is None or how.crop is None or value.shape[2:] == how.crop:
        return None
    if value.name in (given or {}):
        return None
    return {**(given or {}), value.name: (*value.shape[:2], *how.crop)}


def check_foldable(graph: Graph, how: Preprocessing) -> Value:
    """The input that is to take pixels. ConversionError where that is not to be had exactly."""
    value = image_input(graph)
    if value is None:
        listed = ", ".join(f"{v.name} {text(v.shape)}" for v in graph.inputs)
        raise ConversionError(
            f"not one input takes images of 1 or 3 channels ({listed})",
            subject=Argument("fold_preprocessing"),
        )
    if how.obstacle:
        raise ConversionError(how.obstacle, subject=Argument("fold_preprocessing"))
    if how.mean_file and how.mean is None:
        raise ConversionError(
            f"the mean {how.mean_file} is not there",
            subject=Argument("fold_preprocessing"),
            remedy=Sentence("give ", Argument("mean")),
        )
    return value


def emit(value: Value, how: Preprocessing, b: OnnxBuilder) -> None:
    """Make `value` of the model's input of the same name, which takes pixels then.

    A crop needs the height and width of `value` fixed. ConversionError for what does not fit.
    """
    mean = None
    if how.mean is not None and len(value.shape) > 1 and isinstance(value.shape[1], int):
        mean = how.mean_values(value.shape[1])
    shape = image_shape(value, mean, how.crop)
    found = b.source(value, shape, "uint8")
    # Cast first: TensorRT takes uint8 into nothing else, and later nodes run on any provider.
    steps: list[tuple[str, list[Any], dict[str, Any]]] = [("Cast", [], {"to": FLOAT})]
    steps.append(("Transpose", [], {"perm": [0, 3, 1, 2]}))
    if how.reverses and shape[3] == 3:
        steps.append(("Gather", [np.array([2, 1, 0], np.int64)], {"axis": 1}))
    crop = crop_steps(found, shape, how.crop, b)
    if mean is None or mean.shape[1:] == (1, 1):
        steps, crop = steps + crop, []
    if mean is not None and mean.any():
        steps.append(("Sub", [b.stored(f"{value.name}.mean", mean[None])], {}))
    steps += crop
    if how.factor != 1:
        steps.append(("Mul", [np.array(how.factor, np.float32)], {}))
    for op_type, operands, attributes in steps[:-1]:
        found = b.op(op_type, found, *operands, **attributes)
    op_type, operands, attributes = steps[-1]
    b.op(op_type, found, *operands, out=value, **attributes)


def image_shape(value: Value, mean: np.ndarray | None, crop: tuple[int, int] | None) -> Shape:
    """N×H×W×C of the images that become `value`. ConversionError where nothing does."""

    def error(message: str, remedy: str | None = None) -> ConversionError:
        return ConversionError(message, subject=f"input {value.name!r}", remedy=remedy)

    shown = text(value.shape)
    if len(value.shape) != 4 or value.shape[1] not in (1, 3):
        raise error(f"takes {shown}, not images of 1 or 3 channels")
    batch, channels, *plane = value.shape
    if crop is not None:
        if tuple(plane) != crop:
            raise error(f"takes {shown}, which a crop to {text(crop)} does not give")
        plane = ["height", "width"]
    if mean is None:
        return (batch, *plane, channels)
    if mean.ndim != 3 or mean.shape[0] != channels:
        raise error(f"takes {channels} channels, but the mean is {text(mean.shape)}")
    whole = mean.shape[1:]
    if whole == (1, 1):
        return (batch, *plane, channels)
    size = text(whole)
    if crop is None and tuple(plane) != whole:
        raise error(
            f"takes {shown}, but the mean image is {size}",
            Sentence(
                "fix it by ",
                Argument("shapes", {value.name: ("batch", channels, *whole)}),
                ", or give the mean as numbers",
            ),
        )
    if crop is not None and (whole[0] < crop[0] or whole[1] < crop[1]):
        raise error(
            f"is cut to {text(crop)}, but the mean image is {size}",
            "it must be of the image before",
        )
    return (batch, *whole, channels)


def crop_steps(
    image: str, shape: Shape, crop: tuple[int, int] | None, b: OnnxBuilder
) -> list[tuple[str, list[Any], Any]]:
    """The centre; of an odd rest the smaller half is above and left of it."""
    if crop is None:
        return []
    if all(isinstance(dim, int) for dim in shape[1:3]):
        plane = b.ints(*(int(dim) for dim in shape[1:3]))
    else:
        plane = b.op("Shape", image, start=1, end=3)
    size = b.ints(*crop)
    start = b.arithmetic("Div", b.arithmetic("Sub", plane, size), b.ints(2))
    end = b.arithmetic("Add", start, size)
    # Reshape fails where the image is smaller than the crop; Slice by itself would give less.
    exact = b.ints(0, int(shape[3]), *crop)
    return [("Slice", [start, end, b.ints(2, 3)], {}), ("Reshape", [exact], {})]
