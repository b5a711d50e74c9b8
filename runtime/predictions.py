"""What a network says of an image, as one object for each task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Box", "Boxes", "Classes", "Guess", "Numbers", "Picture", "Prediction", "Regions"]


@dataclass(frozen=True)
class Guess:
    """A class and its score."""

    place: int
    """Its number."""
    label: str
    """Its name; where it has none, its number."""
    score: float

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {"class": self.place, "label": self.label, "score": self.score}


@dataclass(frozen=True)
class Classes:
    """What a classifier says: the classes of the greatest scores, the greatest first."""

    top: tuple[Guess, ...]

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {"top": [guess.as_dict() for guess in self.top]}


@dataclass(frozen=True)
class Box:
    """A thing that was found: its class, its score, and where: x and y in pixels of the image."""

    guess: Guess
    left: float
    top: float
    right: float
    bottom: float

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return self.left, self.top, self.right, self.bottom

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return self.guess.as_dict() | {"box": list(self.corners)}


@dataclass(frozen=True)
class Boxes:
    """What a detector says, the greatest score first."""

    boxes: tuple[Box, ...]

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {"boxes": [box.as_dict() for box in self.boxes]}


@dataclass(frozen=True)
class Region:
    """A class and its share of the image's area."""

    place: int
    label: str
    share: float

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {"class": self.place, "label": self.label, "share": self.share}


@dataclass(frozen=True)
class Regions:
    """What a segmenter says: the class of each pixel, H×W, of the image as it was read."""

    map: np.ndarray
    labels: tuple[str, ...]
    """Names of the classes, where they are known."""

    @property
    def regions(self) -> tuple[Region, ...]:
        """The classes that are there, the largest first."""
        places, counts = np.unique(self.map, return_counts=True)
        found = [
            Region(int(place), label_of(self.labels, int(place)), float(count / self.map.size))
            for place, count in zip(places, counts, strict=True)
        ]
        return tuple(sorted(found, key=lambda region: -region.share))

    def as_dict(self) -> dict[str, Any]:
        """As plain data, without the map."""
        return {"regions": [region.as_dict() for region in self.regions]}


@dataclass(frozen=True)
class Picture:
    """What an image-to-image network makes: H×W×3 uint8, BGR."""

    image: np.ndarray
    stretched: bool = False
    """Whether numbers of 0 to 1 were drawn from black to white."""

    def as_dict(self) -> dict[str, Any]:
        """As plain data, without the picture."""
        height, width = self.image.shape[:2]
        return {"size": [height, width]}


@dataclass(frozen=True)
class Numbers:
    """What any other network gives: its outputs by name, of one image or of a whole batch."""

    outputs: dict[str, np.ndarray]

    def as_dict(self) -> dict[str, Any]:
        """Shape and statistics of each output."""
        return {"outputs": {name: statistics(array) for name, array in self.outputs.items()}}


Prediction = Classes | Boxes | Regions | Picture | Numbers
"""What a network says of an image, whatever it is for."""


def statistics(array: np.ndarray) -> dict[str, Any]:
    """Shape, type, least, mean and greatest value; None of what holds no numbers."""
    empty = not array.size
    return {
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "min": None if empty else float(array.min()),
        "mean": None if empty else float(array.mean(dtype=np.float64)),
        "max": None if empty else float(array.max()),
    }


def label_of(labels: Sequence[str], place: int) -> str:
    """The name of a class; its number where it has none."""
    return (labels[place] if 0 <= place < len(labels) else "") or str(place)


def top(scores: np.ndarray, labels: Sequence[str], count: int) -> Classes:
    """The classes of the greatest of C scores; of equal ones the first."""
    order = np.argsort(-scores, kind="stable")[:count]
    return Classes(tuple(Guess(int(i), label_of(labels, int(i)), float(scores[i])) for i in order))
