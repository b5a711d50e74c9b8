"""What a model makes of the photographs: it is really run, and what it says is kept as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prototxt.errors import ZooError
from prototxt.preprocessing import Preprocessing
from zoo.gallery.photographs import Photograph, encode, smaller
from zoo.hub.index import Entry, File
from zoo.hub.places import Hub
from zoo.hub.pulling import choose

if TYPE_CHECKING:
    import runtime

Site = dict[str, bytes]

SMALL = 256
"""Longest side, in pixels, of what an image-to-image network is shown on, and of thumbnails."""


@dataclass(frozen=True)
class Shown:
    """One photograph and what a model makes of it; paths are the site's."""

    photograph: Photograph
    original: str
    picture: str | None = None
    """What was drawn, where it is a picture."""
    lines: tuple[tuple[str, float], ...] = ()
    """Label and score of classes or boxes, the greatest first; of regions the share of the area."""
    rmse: float | None = None
    """Of a reconstruction, with pixels in [0, 1]."""


@dataclass(frozen=True)
class ModelPage:
    """A version of a model that has a page."""

    entry: Entry
    page: str
    bits: float | None = None
    """Of an image's switches, for each pixel and channel; None where it has none."""
    shown: list[Shown] = field(default_factory=list)
    best: Shown | None = None
    """What stands for it on the first page."""
    live: bool = False
    """Whether its page runs it."""

    @property
    def words(self) -> str:
        """What a search looks through."""
        entry = self.entry
        parts = (entry.name, entry.task, entry.arch, entry.encoder, entry.source, entry.licence)
        return " ".join(part for part in parts if part).lower()


def main_file(entry: Entry) -> File:
    """The file that a page tells of: the whole network where there is one."""
    for target in ("portable", "cpu"):
        whole = [
            file
            for file in entry.models
            if file.network
            and file.network.part == "whole"
            and file.network.precision == "float32"
            and target in file.network.targets
        ]
        if whole:
            return choose(entry, target)
    return entry.models[0]


def predictor(hub: Hub, entry: Entry, task: str | None = None) -> runtime.Predictor:
    """The model, open on the CPU; ZooError where it takes no image."""
    import runtime

    assert hub.folder is not None
    path = hub.folder / entry.path(main_file(entry))
    return runtime.Predictor(runtime.load(path, "cpu"), task=task)


def seen_at(predictor: runtime.Predictor) -> tuple[int, int]:
    """Height and width that images are resized to; of the paper's networks those of training."""
    if predictor.task == "reconstruct":
        return predictor.fixed or predictor.how.input_size or predictor.size
    return predictor.size


def show(
    predictor: runtime.Predictor, photographs: Sequence[Photograph], below: str, site: Site
) -> list[Shown]:
    """Run a model on every photograph; pictures go into the site, under the folder `below`.

    None of a model whose answer is numbers.
    """
    if predictor.task == "other":
        return []
    unknown = Preprocessing.from_metadata(predictor.model.metadata).mean is None
    if predictor.task == "reconstruct" and unknown:
        return []  # what it rebuilt with another mean were no picture of it
    each = rebuilt if predictor.task == "reconstruct" else predicted
    return [each(predictor, photograph, below, site) for photograph in photographs]


def rebuilt(predictor: runtime.Predictor, photograph: Photograph, below: str, site: Site) -> Shown:
    """The photograph as the network sees it, and as it gives it back."""
    from zoo.paper import reconstruction

    height, width = size = seen_at(predictor)
    grey = "-grey" if len(predictor.mean) == 1 else ""
    found = reconstruction.reconstruct(predictor.model, photograph.pixels, predictor.mean, size)
    original = f"gallery/photographs/{photograph.number}-{height}x{width}{grey}.png"
    picture = f"{below}/{photograph.number}.png"
    site[original], site[picture] = encode(found.original), encode(found.image)
    return Shown(photograph, original, picture, rmse=found.rmse)


def predicted(
    predictor: runtime.Predictor, photograph: Photograph, below: str, site: Site
) -> Shown:
    """What a classifier, a detector, a segmenter or an image-to-image network says of it."""
    from runtime.drawing import drawn
    from runtime.predictions import Boxes, Classes, Picture, Regions

    pixels, original = photograph.pixels, photograph.path
    if predictor.task == "image-to-image":
        pixels = smaller(pixels, SMALL)
        original = f"gallery/photographs/{photograph.number}-small.png"
        site[original] = encode(pixels)
    found = predictor.predict(pixels)
    if isinstance(found, Classes):
        return Shown(photograph, original, lines=tuple((g.label, g.score) for g in found.top))
    suffix = ".png" if isinstance(found, Picture) else ".jpg"
    picture = f"{below}/{photograph.number}{suffix}"
    made = drawn(pixels, found)
    assert made is not None
    site[picture] = encode(made, suffix)
    if isinstance(found, Boxes):
        lines = tuple((box.guess.label, box.guess.score) for box in found.boxes)
    else:
        regions = found.regions if isinstance(found, Regions) else ()
        lines = tuple((region.label, region.share) for region in regions)
    return Shown(photograph, original, picture, lines)


def thumbnail(shown: Sequence[Shown], task: str) -> Shown | None:
    """What stands for a model: of a detector the first photograph on which it found something."""
    if task == "detect":
        return next((one for one in shown if one.lines), None) or (shown[0] if shown else None)
    if task == "classify":
        return max(shown, key=lambda one: one.lines[0][1], default=None)
    return shown[0] if shown else None


def reason(error: ZooError) -> str:
    """Why a model is not shown, without naming a file of this machine."""
    return f"{error.message}; {error.remedy}" if error.remedy else error.message
