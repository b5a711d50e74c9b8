"""A model by the names and layouts of its definition, whatever those of its file are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prototxt.borders import Borders

if TYPE_CHECKING:
    from runtime import IOSpec, Model

__all__ = ["load"]


def load(model: Path | bytes, provider: str, name: str | None = None) -> Model:
    """Open a model; its inputs and outputs are called as the definition's blobs, N×C×H×W.

    `name` is what errors call it, by default its path.

    Raises:
        InferenceError: not an ONNX model, or a provider that does not work here.
        FormatError: a model that says of its names what no conversion writes.
    """
    import runtime

    loaded = runtime.load(model, provider, name=name)
    borders = Borders.from_metadata(loaded.metadata)
    if borders == Borders():
        return loaded

    class AsConverted(runtime.Model):
        """It runs the file as it is; feeds and outputs are turned and renamed on the way."""

        def __init__(self) -> None:
            self.__dict__.update(loaded.__dict__)
            self.inputs = [blob_spec(spec, borders.inputs, borders) for spec in loaded.inputs]
            self.outputs = [blob_spec(spec, borders.outputs, borders) for spec in loaded.outputs]

        def run(
            self, feeds: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None
        ) -> dict[str, np.ndarray]:
            fed = {}
            for blob, array in feeds.items():
                name = borders.inputs.get(blob, blob)
                turned = name in borders.nhwc
                fed[name] = np.ascontiguousarray(array.transpose(0, 2, 3, 1)) if turned else array
            names = {blob: borders.outputs.get(blob, blob) for blob in outputs or ()}
            wanted = None if outputs is None else list(names.values())
            found = loaded.run(fed, wanted)
            return {
                blob_of(name, borders.outputs): np.ascontiguousarray(array.transpose(0, 3, 1, 2))
                if name in borders.nhwc
                else array
                for name, array in found.items()
            }

    return AsConverted()


def blob_of(name: str, names: Mapping[str, str]) -> str:
    """The blob that is called so in the model."""
    return next((blob for blob, new in names.items() if new == name), name)


def blob_spec(spec: IOSpec, names: Mapping[str, str], borders: Borders) -> IOSpec:
    shape = spec.shape
    if spec.name in borders.nhwc:
        shape = (shape[0], shape[3], *shape[1:3])
    return dataclasses.replace(spec, name=blob_of(spec.name, names), shape=shape)
