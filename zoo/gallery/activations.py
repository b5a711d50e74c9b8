"""What each stage of a decoder makes of the switches, channel by channel (the paper's Fig. 4)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import onnx

CHANNELS = 8
"""Channels shown of a stage: those that vary most."""

TILE = 128
"""Longest side of a channel's picture, in pixels; smaller ones are stored as they are."""


@dataclass(frozen=True)
class Stage:
    """One blob of the decoder for one image; `strip` is a picture of some channels (BGRA)."""

    name: str
    channels: int
    height: int
    width: int
    strip: Any


def decoder_stages(path: Path, blob: np.ndarray) -> list[Stage]:
    """The blobs between the bottleneck and the image, for one C×H×W input.

    Empty where the model does not unpool. Only blobs of the definition are shown, not what
    operators need in between.
    """
    import onnx

    import runtime
    from runtime.onnx_files import read_model

    model = read_model(path)
    names = [name for name in _decoder_blobs(model) if name]
    if not names:
        return []
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in known)
    opened = runtime.load(model.SerializeToString(), "cpu", name=str(path))
    found = opened.run({opened.inputs[0].name: blob[None]}, names)
    stages = []
    for name in names:
        if found[name].ndim == 4:
            channels, height, width = found[name].shape[1:]
            stages.append(Stage(name, channels, height, width, strip(found[name][0])))
    return stages


def _decoder_blobs(model: onnx.ModelProto) -> list[str]:
    """Names of the definition's float blobs from the first unpooling on, in order.

    It is what reads a switch map, which a whole network gives out and a decoder takes in.
    """
    import onnx

    nodes = list(model.graph.node)
    masks = {
        value.name
        for value in (*model.graph.input, *model.graph.output)
        if value.type.tensor_type.elem_type == onnx.TensorProto.INT64
    }
    unpools = ("MaxUnpool", "ScatterElements")
    starts = [i for i, n in enumerate(nodes) if n.op_type in unpools or masks & set(n.input)]
    if not starts:
        return []
    # A slash is in the names that the converter makes up for itself.
    return [
        name
        for node in nodes[starts[0] :]
        for name in node.output
        if "/" not in name and not name.endswith("_mask")
    ]


def strip(channels: np.ndarray) -> np.ndarray:
    """C×H×W as a row of tiles, each stretched from its own least to its own greatest value."""
    import numpy as np

    from prototxt.opencv import cv2

    order = np.argsort(-channels.std(axis=(1, 2)), kind="stable")[:CHANNELS]
    height, width = (min(side, TILE) for side in channels.shape[1:])
    gap = -(-width // 20)
    # As wide for few channels as for many, so that all rows have one scale; gaps let through.
    sheet = np.zeros((height, CHANNELS * width + (CHANNELS - 1) * gap, 4), np.uint8)
    for place, number in enumerate(sorted(order)):
        plane = channels[number]
        low, high = float(plane.min()), float(plane.max())
        scaled = (plane - low) * (255 / (high - low) if high > low else 0)
        tile = np.rint(scaled).astype(np.uint8)
        if tile.shape != (height, width):
            tile = cv2.resize(tile, (width, height), interpolation=cv2.INTER_AREA)
        start = place * (width + gap)
        sheet[:, start : start + width, :3] = tile[..., None]
        sheet[:, start : start + width, 3] = 255
    return sheet
