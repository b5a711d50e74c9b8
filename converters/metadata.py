"""What a converted model says of itself, as ONNX metadata properties.

caffe.prototxt, caffe.prototxt.sha256   name and digest of the definition
caffe.weights, caffe.weights.sha256     the same of the caffemodel, where there was one
caffe.phase                             test or train
zoo.version                             the version of this tool
zoo.weights                             "caffemodel", or "fillers, seed N" where none was given
zoo.arch                                n1_n2_n3, of a network of the paper
zoo.network                             the name of another network whose structure is known
zoo.task                                what it is for, one of `prototxt.tasks.TASKS`
zoo.labels                              names of its classes, one a line
zoo.part                                encoder or decoder, of a model that was split
zoo.images                              apart, where those of a batch do not depend on one another
zoo.precision                           float16 or int8, of a model that is not in float32
zoo.cost                                what that changed, measured (JSON; `zoo.precision.cost`)
zoo.names, zoo.nhwc                     see `prototxt.borders`

How it wants its images is in `prototxt.preprocessing`; `zoo.preprocessing` says all of that once
more as one JSON object, for programs that are not this one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from prototxt.files import sha256
from prototxt.labels import labels_text
from prototxt.preprocessing import Preprocessing
from prototxt.version import __version__

from .families import KnownNetwork

__all__ = ["describe", "untrained"]


def describe(
    definition: Path,
    weights: Path | None,
    *,
    trained: bool,
    phase: str,
    seed: int,
    preprocessing: Preprocessing,
    channels: int | None,
    known: KnownNetwork | None = None,
    task: str = "other",
    labels: Sequence[str] = (),
    apart: bool = False,
    digest: Callable[[], str] | None = None,
) -> dict[str, str]:
    """The properties of a model about to be written. Reads the files to take their digests.

    `weights` is the caffemodel, if it is a file; without `trained` fillers drew. `channels` are
    those of the images that it takes, None where it takes none; `labels` name its classes; `apart`
    tells that the images of a
    batch have nothing to do with one another. `digest` gives that of the weights,
    where it is being taken already.
    """
    found = {
        "caffe.prototxt": as_text(definition.name),
        "caffe.phase": phase,
        "zoo.version": __version__,
        "zoo.weights": "caffemodel" if trained else f"fillers, seed {seed}",
    }
    if definition.is_file():
        found["caffe.prototxt.sha256"] = sha256(definition)
    if weights is not None:
        found["caffe.weights"] = as_text(weights.name)
        found["caffe.weights.sha256"] = digest() if digest is not None else sha256(weights)
    if apart:
        found["zoo.images"] = "apart"
    if known is not None:
        found["zoo.arch" if known.arch else "zoo.network"] = known.arch or known.name
    found["zoo.task"] = task
    if labels:
        found["zoo.labels"] = labels_text(labels)
    stated = preprocessing.to_metadata(channels)
    if channels is not None:
        found["zoo.preprocessing"] = json.dumps(Preprocessing.from_metadata(stated).as_dict())
    return {**found, **stated}


def as_text(name: str) -> str:
    """A file's name as UTF-8: bytes of it that are none, as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def untrained(metadata: Mapping[str, str]) -> str | None:
    """A sentence about a model whose weights nobody trained, None of any other."""
    weights = metadata.get("zoo.weights", "")
    if not weights.startswith("fillers"):
        return None
    return f"this network is untrained: its weights were drawn by {weights}"
