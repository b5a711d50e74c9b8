"""What the part of a model's page reads that runs the model in the page.

All that `runtime.Predictor` would do to an image and make of the outputs, as plain data: the page's
`predict.js` and `feeding.js` do the same by the same numbers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zoo.gallery.photographs import Photograph
from zoo.gallery.showing import main_file, seen_at
from zoo.hub.index import Entry

if TYPE_CHECKING:
    import runtime

TASKS = ("classify", "detect", "image-to-image", "reconstruct")
"""Tasks whose answers the page can show."""
LARGEST = 256 << 20
"""Bytes of a model that a page fetches."""
LONGEST = 320
"""Longest side, in pixels, of a photograph for a network that takes any size: it takes time."""


def runs_in_a_page(predictor: runtime.Predictor, entry: Entry) -> bool:
    """Whether its page can run a model: one file that is not too large, with an answer to show."""
    alone = not any(file.kind == "data" for file in entry.files)
    return predictor.task in TASKS and alone and main_file(entry).size <= LARGEST


def manifest(
    predictor: runtime.Predictor, entry: Entry, photographs: Sequence[Photograph]
) -> bytes:
    """The file that the page reads; paths in it are those of the site."""
    described = describe(predictor) | {
        "file": entry.path(main_file(entry)),
        "bytes": main_file(entry).size,
        "samples": [{"name": photo.name, "url": photo.path} for photo in photographs],
    }
    return (json.dumps(described, indent=1) + "\n").encode()


def describe(predictor: runtime.Predictor) -> dict[str, Any]:
    """How images are fed and outputs understood."""
    import numpy as np

    from runtime import boxes

    any_size = predictor.task == "image-to-image" and predictor.any_size
    size = seen_at(predictor)
    feeder = predictor.feeder(np.zeros((*size, 3), np.uint8))
    names = predictor.labels
    if predictor.task == "detect" and names:  # the background may stand before them
        names = tuple(predictor.found_label(number) for number in range(len(names) + 1))
    return {
        "task": predictor.task,
        "input": predictor.model.inputs[0].name,
        "outputs": list(predictor.outputs),
        "channelOrder": "GRAY" if feeder.grey else "RGB" if feeder.rgb else "BGR",
        "size": None if any_size else list(size),
        "longest": LONGEST,
        "crop": list(feeder.crop) if feeder.crop and not any_size else None,
        "mean": [float(value) for value in feeder.mean.reshape(len(feeder.mean), -1).mean(1)],
        "scale": feeder.scale,
        "labels": list(names),
        "top": predictor.top,
        "threshold": predictor.threshold,
        "overlap": boxes.OVERLAP,
        "priors": {
            "strides": boxes.STRIDES,
            "sides": boxes.SIDES,
            "variances": boxes.VARIANCES,
        },
    }
