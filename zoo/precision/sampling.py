"""What models are compared and calibrated on: photographs of a folder, or what stands in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np

from prototxt.errors import Argument, Sentence
from zoo.precision.cost import Sample

if TYPE_CHECKING:
    from converters import Conversion
    from runtime import Model

__all__ = ["MOST", "drawn", "photographs"]

Made_ = TypeVar("Made_")

MOST = 200
"""How many images of a folder are used at most: evenly spaced, in the order of their names."""


class Made(Sequence[Made_]):
    """What is made of each of some things, whenever it is asked for: nothing is kept."""

    def __init__(self, things: Sequence[Any], make: Callable[[Any], Made_]) -> None:
        self.things, self.make = things, make

    def __len__(self) -> int:
        return len(self.things)

    @overload
    def __getitem__(self, place: int) -> Made_: ...
    @overload
    def __getitem__(self, place: slice) -> Made[Made_]: ...
    def __getitem__(self, place: int | slice) -> Made_ | Made[Made_]:
        if isinstance(place, slice):
            return Made(self.things[place], self.make)
        return self.make(self.things[place])


def photographs(
    model: Model, images: Path | Sequence[Path] | None, most: int | None = MOST
) -> tuple[Sample, list[str]]:
    """Images of a folder, or those named, fed as the model's metadata say; and notes.

    None is sample photographs. `most` are taken, evenly spaced, and kept in memory; with None all
    are, each read whenever it is asked for. InferenceError where the model takes something else
    than one image, or an image cannot be read.
    """
    import runtime
    from runtime.feeding import channels_of

    fixed = runtime.fixed_size(model)
    channels = channels_of(model)
    how, size, notes = runtime.resolve(model.metadata, fixed=fixed, channels=channels)
    mean = how.mean_values(channels)
    feeder = runtime.Feeder(model, mean, size)
    batch = model.inputs[0].shape[0]
    many = batch if isinstance(batch, int) else 1

    def feeds(image: np.ndarray) -> dict[str, np.ndarray]:
        return {model.inputs[0].name: np.repeat(feeder.feed(image)[None], many, 0)}

    if images is None:
        read = [image for _, image in runtime.sample_images()]
        name = f"{len(read)} sample photographs"
        notes = [*notes, Sentence("no ", Argument("calibrate"), ": measured on ", name)]
        return Sample([feeds(image) for image in read], read, mean, size, name), notes
    paths = runtime.list_images(images) if isinstance(images, Path) else list(images)
    chosen = chosen_of(paths, most)
    name = f"{len(chosen)} of {len(paths)} images"
    if isinstance(images, Path):
        name += f" of {images}"
    seen = Made(chosen, runtime.read_image)
    if most is not None:
        read = list(seen)
        return Sample([feeds(image) for image in read], read, mean, size, name), notes
    return Sample(Made(seen, feeds), seen, mean, size, name), notes


def chosen_of(paths: Sequence[Path], most: int | None) -> Sequence[Path]:
    """So many of them at most, evenly spaced; None is all."""
    if most is None:
        return paths
    return [paths[place] for place in sorted({i * len(paths) // most for i in range(most)})]


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
