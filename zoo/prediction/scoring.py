"""What predictions are judged by: top-1 and top-5, intersection over union, average precision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Classified", "Detected", "Segmented", "Truth"]

VOID = 255
"""The class of pixels that do not count, in PASCAL VOC's masks."""
MOST_CONFUSIONS = 10
FIVE = 5
LEAST_OVERLAP = 0.5


class Classified:
    """Top-1, top-5 and which class was taken for which."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = labels
        self.count = self.first = self.five = 0
        self.pairs: Counter[tuple[int, int]] = Counter()
        self.of_class: Counter[int] = Counter()

    def add(self, top: Sequence[int], truth: int) -> None:
        """The classes of the greatest scores of an image, the greatest first, and the right one."""
        self.count += 1
        self.of_class[truth] += 1
        self.first += top[0] == truth
        self.five += truth in top[:FIVE]
        if top[0] != truth:
            self.pairs[truth, top[0]] += 1

    def measures(self) -> dict[str, float]:
        """Shares of the images: the right class came first, was among the first five."""
        return {"top1": self.first / self.count, "top5": self.five / self.count}

    def details(self) -> dict[str, Any]:
        """The confusions that came most often."""
        found = [
            {"truth": self.name(truth), "found": self.name(found), "images": count,
             "of": self.of_class[truth]}
            for (truth, found), count in self.pairs.most_common(MOST_CONFUSIONS)
        ]  # fmt: skip
        return {"confusions": found, "confused": self.count - self.first}

    def name(self, place: int) -> str:
        """The name of a class; its number where it has none."""
        from runtime.predictions import label_of

        return label_of(self.labels, place)


class Segmented:
    """Intersection over union, class by class, over all pixels of all images (PASCAL VOC's)."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = labels
        self.matrix = np.zeros((VOID + 1, VOID + 1), np.int64)
        """Pixels by true class and by the one found."""

    def add(self, found: np.ndarray, truth: np.ndarray) -> None:
        """H×W classes of both; pixels of class `VOID` do not count."""
        counts = truth != VOID
        pairs = truth[counts].astype(np.int64) * (VOID + 1) + np.minimum(found[counts], VOID)
        self.matrix += np.bincount(pairs, minlength=self.matrix.size).reshape(self.matrix.shape)

    def of_classes(self) -> dict[int, float]:
        """Of each class that is in the truth or was found."""
        both = np.diag(self.matrix)
        either = self.matrix.sum(0) + self.matrix.sum(1) - both
        return {int(c): float(both[c] / either[c]) for c in np.flatnonzero(either)}

    def measures(self) -> dict[str, float]:
        """The mean over the classes, and the share of pixels of the right class."""
        values = list(self.of_classes().values())
        total = int(self.matrix.sum())
        return {
            "mean_iou": float(np.mean(values)) if values else 0.0,
            "pixel_accuracy": float(np.diag(self.matrix).sum() / total) if total else 0.0,
        }

    def details(self) -> dict[str, Any]:
        """Of each class, by name."""
        from runtime.predictions import label_of

        return {"iou": {label_of(self.labels, c): iou for c, iou in self.of_classes().items()}}


@dataclass(frozen=True)
class Truth:
    """A thing that is in an image: its class's name and its corners, pixels."""

    name: str
    corners: tuple[float, float, float, float]
    difficult: bool = False
    """It counts neither as found nor as missed."""


@dataclass
class OfClass:
    """What was found of one class."""

    scores: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    there: int = 0


class Detected:
    """Average precision as PASCAL VOC has it (its devkit, VOCevaldet.m).

    That is the area under precision over recall. A box is right that overlaps a thing by half, and
    is the first of that thing.
    """

    def __init__(self) -> None:
        self.classes: dict[str, OfClass] = {}

    def add(
        self,
        found: Sequence[tuple[str, float, tuple[float, float, float, float]]],
        truth: Sequence[Truth],
    ) -> None:
        """Name, score and corners of what was found in an image, and what is in it."""
        for thing in truth:
            self.of(thing.name).there += not thing.difficult
        taken: set[int] = set()
        for name, score, corners in sorted(found, key=lambda box: -box[1]):
            rivals = [i for i, thing in enumerate(truth) if thing.name == name]
            near = [overlap(corners, truth[i].corners) for i in rivals]
            best = max(near, default=0.0)
            place = rivals[near.index(best)] if near else -1
            if best < LEAST_OVERLAP:
                self.judge(name, score, right=False)
            elif not truth[place].difficult:
                self.judge(name, score, right=place not in taken)
                taken.add(place)

    def of(self, name: str) -> OfClass:
        """What was found of a class."""
        return self.classes.setdefault(name, OfClass())

    def judge(self, name: str, score: float, *, right: bool) -> None:
        """Note one box."""
        of_class = self.of(name)
        of_class.scores.append(score)
        of_class.right.append(right)

    def of_classes(self) -> dict[str, float]:
        """The average precision of each class of which anything is there."""
        return {name: average_precision(c) for name, c in self.classes.items() if c.there}

    def measures(self) -> dict[str, float]:
        """The mean over the classes."""
        values = list(self.of_classes().values())
        return {"map": float(np.mean(values)) if values else 0.0}

    def details(self) -> dict[str, Any]:
        """Of each class, by name."""
        return {"average_precision": dict(sorted(self.of_classes().items()))}


def average_precision(found: OfClass) -> float:
    """The area under precision, made to fall, over recall."""
    order = np.argsort(-np.array(found.scores), kind="stable")
    right = np.array(found.right, bool)[order]
    hits = np.cumsum(right)
    recall = np.concatenate([[0], hits / found.there])
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall) * envelope).sum())


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes, whose corners are pixels that belong to them."""
    wide = min(a[2], b[2]) - max(a[0], b[0]) + 1
    tall = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if wide <= 0 or tall <= 0:
        return 0.0
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return wide * tall / (sum(areas) - wide * tall)
