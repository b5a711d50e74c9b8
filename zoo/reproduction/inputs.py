"""What a reproduction is made of: data by name, and how much of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prototxt.errors import Argument, Sentence, UsageError, ZooError

if TYPE_CHECKING:
    import numpy as np

    from zoo.hub.places import HubAddress

__all__ = ["NAMES", "Inputs"]

NAMES: Mapping[str, str] = {
    "photographs": "a folder of photographs, or an LMDB; default: the samples that come along",
    "caffemodels": "the folder of the tunnel paper's weights, net*_iter_*.caffemodel",
    "mean": "what these subtract: a .binaryproto or .npy",
    "trainings": "a folder of folders in which `zoo train` left networks of the authors' recipe",
    "classifier": "a folder with net.prototxt and net.caffemodel of a classifier of photographs",
    "objects": "a folder with images/ and, in masks/, STEM.png of the salient object of each",
    "digits": "a folder with MNIST's t10k-images-idx3-ubyte, as it is or .gz",
    "digit-classifier": "a folder with net.prototxt and net.caffemodel of a classifier of digits",
    "small-classifier": "a folder with net.prototxt, net.caffemodel and metrics.jsonl of one",
    "labelled": "images that it was not trained on, a folder of them for each class, or an LMDB",
    "vgg": "a folder with net.prototxt and net.caffemodel of a small classifier after VGG",
}
"""The data that items take, by name."""


@dataclass(frozen=True)
class Inputs:
    """The data that are there, and how much of them is to be taken."""

    paths: Mapping[str, Path] = field(default_factory=dict)
    """By a name of NAMES."""
    held_out: int = 0
    """Of the photographs only those that training with as many held out leaves out."""
    limit: int | None = None
    """Images (of digits too) that each item takes at most."""
    seed: int = 0
    hub: HubAddress = None
    """Where our networks are; default: the hub that comes along."""

    def __post_init__(self) -> None:
        for name, path in self.paths.items():
            if name not in NAMES:
                raise UsageError(
                    Sentence(Argument("data"), f" knows no {name!r}"),
                    remedy=f"it takes {', '.join(NAMES)}",
                )
            if not path.exists():
                raise ZooError("no such file or folder", subject=path)

    @property
    def quick(self) -> bool:
        """Whether only what the package holds is there to work on."""
        return not self.paths

    def path(self, name: str) -> Path | None:
        """Where data of that name are."""
        return self.paths.get(name)

    def network(self, name: str) -> tuple[Path, Path]:
        """Definition and weights in the folder of that name."""
        folder = self.paths[name]
        found = folder / "net.prototxt", folder / "net.caffemodel"
        for path in found:
            if not path.is_file():
                raise ZooError("no such file", subject=path, remedy=f"{name} is {NAMES[name]}")
        return found

    def photographs(self, most: int | None = None) -> tuple[list[Any], str]:
        """The photographs, as `runtime.evaluate` takes them, and their name."""
        from zoo.data.sources import evaluated_images

        data = self.path("photographs")
        images, _, name = evaluated_images(data, self.held_out if data is not None else 0)
        counts = [count for count in (self.limit, most) if count is not None]
        images = images[: min(counts)] if counts else images
        return images, f"{photographs(len(images))} of {Path(name).name}"

    def pictures(self, most: int) -> tuple[list[tuple[str, np.ndarray]], str]:
        """The first photographs that can be read, name and H×W×3 uint8 BGR, and their name."""
        import runtime

        images, _ = self.photographs()
        found: list[tuple[str, np.ndarray]] = []
        for item in images:
            if len(found) == most:
                break
            try:
                pixels = runtime.pixels(item)
            except ZooError:
                continue
            name = item[0] if isinstance(item, tuple) else Path(item).stem
            found.append((str(name), pixels))
        if not found:
            raise ZooError("none of the photographs can be read")
        data = self.path("photographs")
        source = "the sample photographs" if data is None else data.name
        return found, f"{photographs(len(found))} of {source}"

    def labelled(self) -> tuple[list[np.ndarray], np.ndarray, str]:
        """Images with a label each (H×W×3 uint8 BGR; N int64), evenly of all classes; their name.

        ZooError where one is broken.
        """
        import numpy as np

        from zoo.data.sources import Source, held_out_places

        path = self.paths["labelled"]
        source = Source(path)
        count = len(source.names)
        places = held_out_places(count, min(count, self.limit or count))
        images = [source.read(place) for place in places]
        labels = np.array([source.label(place) for place in places])
        return images, labels, f"{len(images):,} labelled images of {path.name}"

    def digest(self, names: Sequence[str]) -> str:
        """Of the data of these names, as far as they are there, and of how much is taken."""
        parts = [f"{self.held_out} {self.limit} {self.seed} {self.hub}"]
        parts += [f"{name} {_digest(path)}" for name in names if (path := self.path(name))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def fed(self, names: Sequence[str]) -> dict[str, Path]:
        """The data of these names, as far as they are there."""
        return {name: path for name in names if (path := self.path(name)) is not None}


def photographs(count: int) -> str:
    """So many of them, in words."""
    return f"{count} photograph{'' if count == 1 else 's'}"


@lru_cache(maxsize=64)
def _digest(path: Path) -> str:
    """Of a file, or of all files in a folder and their places."""
    from prototxt.files import sha256

    if path.is_file():
        return sha256(path)
    whole = hashlib.sha256()
    for one in sorted(p for p in path.rglob("*") if p.is_file()):
        whole.update(f"{one.relative_to(path)} {sha256(one)}\n".encode())
    return whole.hexdigest()
