"""What is done to an image before a network sees it: the definition's own word, or the user's.

Data layers cut the centre out, subtract the mean and scale, in this order (data_transformer.cpp).
A deploy definition says nothing of it, so `zoo convert` takes --crop, --mean, --scale and
--channel-order, which also override what a data layer says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prototxt.errors import ZooError

if TYPE_CHECKING:
    from converters import Graph, Pixels
    from converters.graph import Shape, Value
    from prototxt import LayerDefinition
    from prototxt.net import NetDefinition

Plane = tuple[int, int]


@dataclass(frozen=True)
class Transform:
    """How images become an input. None is what is not known, or not done."""

    mean: str | None = None
    """As `runtime.read_mean` takes it: numbers, or the name of a file."""
    scale: float | None = None
    crop: Plane | None = None
    resize: Plane | None = None
    """What images are resized to before they are cut."""
    order: str = "BGR"
    lost: str | None = None
    """The mean file that a data layer names, where it is not at hand."""
    obstacle: str | None = None
    """What the data layer does besides, which no model can do for it."""

    def overridden(
        self, mean: str | None, scale: float | None, crop: Plane | None, order: str | None
    ) -> Transform:
        """With what the user gave."""
        given = {"mean": mean, "scale": scale, "crop": crop, "order": order}
        changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        if mean is not None:
            changes["lost"] = None
        return dataclasses.replace(self, **changes)


def stated(net: NetDefinition) -> Transform:
    """What the data layers of a definition say. Mean files are looked for from the current folder,
    as Caffe does, then beside the definition.
    """
    found = Transform()
    for layer in net.layers:
        if layer.param("transform_param") is None:
            continue
        found = of_layer(layer, Path(net.path).parent)
    return found


def of_layer(layer: LayerDefinition, folder: Path) -> Transform:
    from converters.layers.inputs import DataLayer, Source
    from converters.registry import find

    kind = find(layer.type)
    source = kind.read(layer, True, lambda _: None) if kind is not None else None
    if not isinstance(source, Source):
        return Transform()
    said = source.transform
    if said.mean_file and said.mean_value:
        raise ZooError(
            f"{layer.position}: layer {layer.name!r} has both mean_file and mean_value",
            hint="Caffe refuses it too",
        )
    mean, lost = _mean_of(said, folder)
    scale = said.scale if said.scale != 1 else None
    if not (isinstance(kind, DataLayer) and kind.plain_transform):
        # Their crops are of another kind (warped windows, labels cut with their images).
        obstacle = f"layer {layer.name!r} ({layer.type}) prepares images in a way of its own"
        return Transform(mean, scale, lost=lost, obstacle=obstacle)
    crop = (said.crop_size, said.crop_size) if said.crop_size else None
    wide = getattr(said, "crop_h", 0), getattr(said, "crop_w", 0)
    if all(wide):
        crop = wide
    plane = source.plane()
    own = getattr(source.own, "new_height", 0), getattr(source.own, "new_width", 0)
    resize = own if all(own) else plane if plane != crop else None
    obstacle = ""
    if getattr(said, "resize_param", None) is not None and said.resize_param.resize_mode.value != 1:  # type: ignore[attr-defined]
        obstacle = f"layer {layer.name!r} resizes by {said.resize_param.resize_mode.name}"  # type: ignore[attr-defined]
    return Transform(mean, scale, crop, resize, lost=lost, obstacle=obstacle or None)


def _mean_of(said: Any, folder: Path) -> tuple[str | None, str | None]:
    """The mean as `runtime.read_mean` takes it, and the file that is not there."""
    if not said.mean_file:
        return ",".join(f"{value:.9g}" for value in said.mean_value) or None, None
    for place in (Path(said.mean_file), folder / said.mean_file):
        if place.is_file():
            return str(place), None
    return None, said.mean_file


def image_input(graph: Graph) -> Value | None:
    """The input that takes images; None where there is none, or a choice of several."""
    found = [v for v in graph.inputs if len(v.shape) == 4 and v.shape[1] in (1, 3)]
    return found[0] if len(found) == 1 else None


def cut_shape(
    graph: Graph, transform: Transform, given: Mapping[str, Shape] | None
) -> dict[str, Shape] | None:
    """The shapes to build the graph with instead, where images are cut: what is cut out is all
    that the network sees, however large the images. None where the graph is as it must be.
    """
    value = image_input(graph)
    if value is None or transform.crop is None or value.shape[2:] == transform.crop:
        return None
    if value.name in (given or {}):
        return None
    return {**(given or {}), value.name: (*value.shape[:2], *transform.crop)}


def pixels(graph: Graph, transform: Transform) -> Pixels:
    """What a model is to do with pixels. ZooError where that is not to be had exactly."""
    import converters
    import runtime

    value = image_input(graph)
    if value is None:
        listed = ", ".join(f"{v.name} {'x'.join(map(str, v.shape))}" for v in graph.inputs)
        raise ZooError(
            f"--fold-preprocessing: not one input takes images of 1 or 3 channels ({listed})"
        )
    if transform.obstacle:
        raise ZooError(f"--fold-preprocessing: {transform.obstacle}")
    if transform.lost:
        raise ZooError(
            f"--fold-preprocessing: the mean {transform.lost} is not there", hint="give --mean"
        )
    mean = None
    if transform.mean is not None:
        mean = runtime.read_mean(transform.mean, int(value.shape[1]))
    return converters.Pixels(
        value.name, mean, transform.scale or 1.0, transform.order == "BGR", transform.crop
    )
