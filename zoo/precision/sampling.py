"""What models are compared and calibrated on: photographs of a folder, or what stands in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prototxt.errors import Argument, Sentence
from prototxt.preprocessing import Preprocessing
from zoo.precision.cost import Sample

if TYPE_CHECKING:
    from converters import Conversion
    from runtime import Model

__all__ = ["MOST", "drawn", "photographs"]

MOST = 200
"""How many images of a folder are used at most: evenly spaced, in the order of their names."""


def photographs(model: Model, folder: Path | None) -> tuple[Sample, list[str]]:
    """Images of a folder, or sample photographs, fed as the model's metadata say; and notes.

    InferenceError where the model takes something else than one image, or an image cannot be read.
    """
    import runtime

    fixed = runtime.fixed_size(model)
    channels = 1 if (runtime.image_shape(model) or (0, 0))[1] == 1 else 3
    own = Preprocessing.from_metadata(model.metadata)
    # Nobody's habit is known for grey images.
    none = "0" if channels == 1 and own.mean is None and not own.in_model else None
    how, size, notes = runtime.resolve(model.metadata, mean=none, fixed=fixed)
    mean = how.mean_values(channels)
    if none is not None:
        notes = [*notes, "the model of grey images states no mean: none is subtracted"]
    if folder is None:
        images = [image for _, image in runtime.sample_images()]
        name = f"{len(images)} sample photographs"
        notes = [
            *notes,
            Sentence("no ", Argument("calibrate"), ": measured on ", name),
        ]
    else:
        paths = runtime.list_images(folder)
        chosen = [paths[place] for place in sorted({i * len(paths) // MOST for i in range(MOST)})]
        images = [runtime.read_image(path) for path in chosen]
        name = f"{len(images)} of {len(paths)} images of {folder}"
    feeder = runtime.Feeder(model, mean, size)
    batch = model.inputs[0].shape[0]
    many = batch if isinstance(batch, int) else 1
    feeds = [
        {model.inputs[0].name: np.repeat(feeder.feed(image)[None], many, 0)} for image in images
    ]
    return Sample(feeds, images, mean, size, name), notes


def drawn(conversion: Conversion, model: Model) -> tuple[Sample, list[str]]:
    """Drawn numbers for a model that takes something else than one image, as large as it says."""
    from converters.legal_inputs import legal_inputs
    from converters.shapes import fixed
    from zoo.checking.probes import probe

    graph = conversion.graph
    shapes = {value.name: value.nominal or fixed(value.shape) for value in graph.inputs}
    legal = legal_inputs(graph)
    feeds = [probe("random", shapes, legal, seed, 1) for seed in range(4)]
    names = [spec.name for spec in model.inputs]
    feeds = [{name: feed[name] for name in names} for feed in feeds]
    note = Sentence("the network takes something else than one image: measured on drawn input")
    return Sample(feeds, [], None, (1, 1), "drawn input"), [note]
