"""What the live demonstration runs: networks that rebuild an image from their switches.

The encoder and the decoder, as published or cut out of the whole network, with the features
between them brought back. Converting folds `bias4`, the only way for features into the decoder, to
its constants: all of its weights are zero. To let a visitor alter features and see that nothing
comes of it, the encoder here also gives out `pool3`, and the decoder takes it through that layer,
as Caffe's does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from prototxt.errors import ZooError
from prototxt.preprocessing import Preprocessing
from zoo.errors import HubError
from zoo.gallery.photographs import Photograph
from zoo.hub.index import Entry, File
from zoo.hub.places import Hub
from zoo.hub.pulling import choose

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from zoo.paper.coding import Coder

MANIFEST = "gallery/demo.json"

Parts: TypeAlias = "tuple[onnx.ModelProto, onnx.ModelProto]"
"""An encoder and a decoder."""


@dataclass(frozen=True)
class Demo:
    """One model of the demonstration: what the page reads of it, and its two networks."""

    label: str
    """Of the model's version."""
    described: dict[str, Any]
    encoder: bytes
    decoder: bytes
    entropy_model: str = ""
    """By which its switches are coded, as its metadata have it; empty where it has none."""


def collect(hub: Hub) -> list[Demo]:
    """The newest versions that rebuild images from switches alone and run in a browser."""
    found = []
    for entry in hub.index.newest():
        how = entry.preprocessing
        if entry.task == "reconstruct" and how is not None and isinstance(how.mean, tuple):
            demo = _demo(hub, entry, how)
            found += [demo] if demo is not None else []
    return found


def files(demos: Sequence[Demo], photographs: Sequence[Photograph]) -> dict[str, bytes]:
    """The manifest and the networks, by their path in the site."""
    manifest = {
        "models": [demo.described for demo in demos],
        "samples": [
            {"name": photo.name, "url": photo.path.removeprefix("gallery/")}
            for photo in photographs
        ],
    }
    site = {MANIFEST: (json.dumps(manifest, indent=1) + "\n").encode()}
    for demo in demos:
        site[f"gallery/{demo.described['encoder']}"] = demo.encoder
        site[f"gallery/{demo.described['decoder']}"] = demo.decoder
        if demo.entropy_model:
            site[f"gallery/{demo.described['coding']['url']}"] = demo.entropy_model.encode()
    return site


def _demo(hub: Hub, entry: Entry, how: Preprocessing) -> Demo | None:
    """The demonstration's part of a model; None where it has no switches, or runs elsewhere."""
    portable = _file(entry, "portable")
    whole = portable or _file(entry, "cpu")
    coder = None if whole is None else _coder(hub, entry, whole)
    parts = _parts(hub, entry)
    if parts is None and coder is not None and portable is not None:
        parts = coder.network.halves()
    if parts is None or how.input_size is None:
        return None
    encoder, decoder = parts
    wanted = _rebuilt(entry.label, encoder, decoder, how.input_size)
    masks = list(decoder.graph.input)
    features = _bring_back_features(encoder, decoder)
    compare(entry.label, wanted, encoder, decoder, features)
    channels = [mask.type.tensor_type.shape.dim[1].dim_value for mask in masks]
    levels = channels if coder is None else coder.network.levels
    known = None if coder is None else coder.network.entropy_model
    rmse, bits = entry.metric("rmse"), entry.metric("bits_per_pixel")
    place = f"{entry.name}/{entry.version}"
    described = {
        "name": entry.name,
        "encoderKind": entry.encoder,
        "levels": levels,
        "bits": bits.value if bits else None,
        "rmse": rmse.value if rmse else None,
        "mean": how.mean_values(3).ravel().tolist(),
        "scale": how.scale,
        "channelOrder": how.channel_order,
        "size": list(how.input_size),
        "input": encoder.graph.input[0].name,
        "output": decoder.graph.output[0].name,
        "masks": [mask.name for mask in masks],
        "features": features,
        "encoder": f"{place}/demo.encoder.onnx",
        "decoder": f"{place}/demo.decoder.onnx",
        "file": None if coder is None else {"arch": coder.arch, "sha256": coder.sha256},
        "coding": known and {"kind": known.coding, "url": f"{place}/demo.{known.coding}"},
    }
    pieces = encoder.SerializeToString(), decoder.SerializeToString()
    return Demo(entry.label, described, *pieces, known.to_text() if known else "")


def _file(entry: Entry, target: str, part: str = "whole") -> File | None:
    try:
        return choose(entry, target, part)
    except HubError:
        return None


def _parts(hub: Hub, entry: Entry) -> Parts | None:
    """The encoder and the decoder where they are published as such."""
    from runtime.onnx_files import read_model

    assert hub.folder is not None
    encoder, decoder = (_file(entry, "portable", part) for part in ("encoder", "decoder"))
    if encoder is None or decoder is None:
        return None
    first, second = (read_model(hub.folder / entry.path(file)) for file in (encoder, decoder))
    return first, second


def _coder(hub: Hub, entry: Entry, whole: File) -> Coder | None:
    """The network that codes and decodes .switches files; None where it has no switches."""
    from zoo.paper.coding import open_coder

    assert hub.folder is not None
    try:
        return open_coder(hub.folder / entry.path(whole), "cpu")
    except ZooError:
        return None


def _bring_back_features(encoder: onnx.ModelProto, decoder: onnx.ModelProto) -> str | None:
    """Let `pool3` out of the encoder and into the decoder; None where they are not the paper's."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    made = {name: node for node in decoder.graph.node for name in node.output}
    stored = {tensor.name: tensor for tensor in decoder.graph.initializer}
    there = {name for node in encoder.graph.node for name in node.output}
    constant = made.get("bias4")
    bias = stored.get("bias4.bias")
    if constant is None or constant.op_type != "Expand" or bias is None or "conv3_2" not in there:
        return None
    values = numpy_helper.to_array(bias).reshape(-1)
    count = values.size
    shape: list[str | int] = ["batch", count, "code_height", "code_width"]
    if "pool3" not in there:  # nothing in the encoder needs it
        square: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}
        encoder.graph.node.append(helper.make_node("MaxPool", ["conv3_2"], ["pool3"], **square))
    features = helper.make_tensor_value_info("pool3", TensorProto.FLOAT, shape)
    encoder.graph.output.append(features)
    weight = numpy_helper.from_array(np.zeros((count, count, 1, 1), np.float32), "bias4.weight")
    flat = numpy_helper.from_array(values, "bias4.flat")
    decoder.graph.initializer.remove(bias)
    decoder.graph.initializer.extend([weight, flat])
    decoder.graph.input.append(features)
    place = list(decoder.graph.node).index(constant)
    operands = ["pool3", "bias4.weight", "bias4.flat"]
    layer = helper.make_node("Conv", operands, ["bias4"], "bias4/features")
    decoder.graph.node.remove(constant)
    decoder.graph.node.insert(place, layer)
    return "pool3"


def compare(
    label: str,
    wanted: np.ndarray,
    encoder: onnx.ModelProto,
    decoder: onnx.ModelProto,
    features: str | None,
) -> None:
    """HubError unless they rebuild `wanted` whatever the features are, to the last bit."""
    import numpy as np

    size = wanted.shape[2:]
    found = _rebuilt(label, encoder, decoder, size, features)
    if not np.array_equal(wanted, found):
        raise HubError("features reach its decoder; it cannot be demonstrated", subject=label)


def _rebuilt(
    label: str,
    encoder: onnx.ModelProto,
    decoder: onnx.ModelProto,
    size: tuple[int, ...],
    features: str | None = None,
) -> np.ndarray:
    """What two networks make of a random image of that size, and of features that are altered."""
    import numpy as np

    import runtime

    image = np.random.default_rng(0).normal(0, 60, (1, 3, *size)).astype(np.float32)
    front, back = (
        runtime.load(part.SerializeToString(), "cpu", name=label) for part in (encoder, decoder)
    )
    code = front.run({front.inputs[0].name: image})
    if features is not None:
        code[features] = -7 * code[features][:, ::-1]
    return next(iter(back.run(code).values()))
