"""What the live demonstration runs.

The published encoder and decoder, with the features between them brought back.

Converting folds `bias4`, the only way for features into the decoder, to its constants: all of its
weights are zero. To let a visitor alter features and see that nothing comes of it, the encoder here
also gives out `pool3`, and the decoder takes it through that layer, as Caffe's does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import HubError
from zoo.gallery.photographs import Photograph
from zoo.hub.index import Entry, File
from zoo.hub.places import Hub
from zoo.hub.pulling import choose

if TYPE_CHECKING:
    import onnx

MANIFEST = "gallery/demo.json"


@dataclass(frozen=True)
class Demo:
    """One model of the demonstration: what the page reads of it, and its two networks."""

    entry: Entry
    described: dict[str, Any]
    encoder: bytes
    decoder: bytes
    tables: str | None = None
    """By which its switches are coded, as `runtime.switch_tables` has them."""


def collect(hub: Hub) -> list[Demo]:
    """The newest versions that are split in two parts which run in a browser."""
    assert hub.folder is not None
    found = []
    for entry in hub.index.newest():
        parts = _parts(entry)
        how = entry.preprocessing
        if parts is not None and how is not None and how.mean is not None:
            encoder, decoder = (hub.folder / entry.path(file) for file in parts)
            found.append(_demo(hub, entry, encoder, decoder))
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
        if demo.tables is not None:
            site[f"gallery/{demo.described['tables']}"] = demo.tables.encode()
    return site


def _parts(entry: Entry) -> tuple[File, File] | None:
    if entry.task != "reconstruct" or entry.arch is None:
        return None
    try:
        return choose(entry, "portable", "encoder"), choose(entry, "portable", "decoder")
    except HubError:
        return None


def _demo(hub: Hub, entry: Entry, encoder_path: Path, decoder_path: Path) -> Demo:
    from runtime.onnx_files import read_model
    from zoo.paper import architectures

    how = entry.preprocessing
    assert how is not None and how.input_size is not None and entry.arch is not None
    assert isinstance(how.mean, tuple)
    encoder, decoder = read_model(encoder_path), read_model(decoder_path)
    masks = [value.name for value in decoder.graph.input]
    image = decoder.graph.output[0].name
    features = _bring_back_features(encoder, decoder)
    pieces = encoder.SerializeToString(), decoder.SerializeToString()
    compare(entry, encoder_path, decoder_path, pieces, features)
    metric, whole = entry.metric("rmse"), _whole(entry)
    tables = None if whole is None else _tables(hub, entry, whole)
    place = f"{entry.name}/{entry.version}"
    described = {
        "name": entry.name,
        "label": entry.label,
        "arch": entry.arch,
        "encoderKind": entry.encoder,
        "bitsPerPixel": architectures.bits_per_pixel(entry.arch),
        "rmse": metric.value if metric else None,
        "mean": list(how.mean),
        "scale": how.scale,
        "channelOrder": how.channel_order,
        "size": list(how.input_size),
        "input": encoder.graph.input[0].name,
        "output": image,
        "masks": masks,
        "features": features,
        "file": None if whole is None else {"arch": entry.arch, "sha256": whole.sha256},
        "tables": None if tables is None else f"{place}/demo.tables",
        "encoder": f"{place}/demo.encoder.onnx",
        "decoder": f"{place}/demo.decoder.onnx",
    }
    return Demo(entry, described, *pieces, tables)


def _whole(entry: Entry) -> File | None:
    """The network that decodes .switches files of the demonstration; None where it is not here."""
    try:
        return choose(entry, "cpu")
    except HubError:
        return None


def _tables(hub: Hub, entry: Entry, whole: File) -> str | None:
    """By which that network's switches are coded, if it says."""
    from runtime.onnx_files import read_model
    from runtime.switch_tables import METADATA

    assert hub.folder is not None
    stated = read_model(hub.folder / entry.path(whole)).metadata_props
    return next((item.value for item in stated if item.key == METADATA), None)


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
    entry: Entry, encoder: Path, decoder: Path, pieces: tuple[bytes, bytes], features: str | None
) -> None:
    """HubError unless both pairs rebuild the same of a random image, to the last bit."""
    import numpy as np

    import runtime

    assert entry.preprocessing is not None and entry.preprocessing.input_size is not None
    height, width = entry.preprocessing.input_size
    image = np.random.default_rng(0).normal(0, 60, (1, 3, height, width)).astype(np.float32)
    results = []
    for first, second in ((encoder, decoder), pieces):
        front, back = runtime.load(first, "cpu"), runtime.load(second, "cpu")
        code = front.run({front.inputs[0].name: image})
        if features in code:
            code[features] = -7 * code[features][:, ::-1]  # nothing may come of it
        results.append(next(iter(back.run(code).values())))
    if not np.array_equal(results[0], results[1]):
        raise HubError("features reach its decoder; it cannot be demonstrated", subject=entry.label)
