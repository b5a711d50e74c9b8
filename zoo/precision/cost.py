"""What fewer bits cost: differences, flipped switches, RMSE, size and time, before and after."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from runtime import Model

__all__ = [
    "DEPARTURE",
    "RMSE_ALLOWED",
    "Comparison",
    "Cost",
    "Difference",
    "Sample",
    "class_scores",
    "measure",
    "rebuilt_output",
]

Feeds = Mapping[str, np.ndarray]

RMSE_ALLOWED = 0.0004
"""How far fewer bits may move the RMSE of a network that rebuilds its image."""
DEPARTURE = 0.05
"""How far they may move the output of any other network but a classifier: `Difference.departure`.
It is 26 dB of signal to noise."""
OTHER_CLASS = 0.02
"""In which part of the images another class may come first before it is told."""
PROBABILITY = 0.1
"""How far a probability may move before it is told."""

RUNS = 15
"""How often a batch is timed; the median counts."""


@dataclass(frozen=True)
class Sample:
    """What models are run on to be compared."""

    feeds: Sequence[Feeds]
    """A batch each, of one image unless the model fixes another number."""
    images: Sequence[np.ndarray]
    """H×W×3 uint8, BGR, as they were read; empty where the model takes no images."""
    mean: np.ndarray | None
    size: tuple[int, int]
    """Height and width that images are resized to."""
    name: str
    """Where they come from."""
    classes: Sequence[int] = ()
    """The class of each image, where they are known."""


@dataclass(frozen=True)
class Difference:
    """How far an output is from float32's, over the whole sample."""

    output: str
    largest: float
    """The largest absolute difference."""
    mean: float
    """The mean absolute difference."""
    magnitude: float
    """The greatest magnitude of float32's output."""
    departure: float
    """The root of the mean squared difference, over the standard deviation of float32's output."""
    numbers: int
    """How many were compared."""
    crossed: int | None
    """How many probabilities lie on the other side of one half; None where float32's numbers are
    not all from 0 to 1."""
    reshaped: int = 0
    """Batches in which it has another shape, as detections come and go; these are not compared."""

    @property
    def worse(self) -> list[str]:
        """What of it is considerable, in words."""
        found = []
        if self.departure > DEPARTURE:
            found.append(f"{self.output} departs by {self.departure:.1%} of its standard deviation")
        if self.crossed is not None and self.largest > PROBABILITY:
            found.append(
                f"probabilities of {self.output} move by up to {self.largest:.2f}; "
                f"{self.crossed:,} of {self.numbers:,} cross one half"
            )
        if self.reshaped:
            found.append(f"{self.output} has another shape on {self.reshaped:,} of the images")
        return found


class Differences:
    """Gathers the `Difference` of one output, batch by batch."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.numbers = self.reshaped = self.crossed = 0
        self.largest = self.magnitude = self.total = self.squares = 0.0
        self.sum = self.sum_of_squares = 0.0
        self.low, self.high = np.inf, -np.inf

    def add(self, wanted: np.ndarray, found: np.ndarray) -> None:
        """One batch, in float32 and in fewer bits."""
        if wanted.shape != found.shape:
            self.reshaped += 1
            return
        if not wanted.size:
            return
        exact = wanted.astype(np.float64)
        apart = np.abs(found - exact)
        self.numbers += exact.size
        self.largest = max(self.largest, float(apart.max()))
        self.magnitude = max(self.magnitude, float(np.abs(exact).max()))
        self.total += float(apart.sum())
        self.squares += float(np.square(apart).sum())
        self.sum += float(exact.sum())
        self.sum_of_squares += float(np.square(exact).sum())
        self.low, self.high = min(self.low, float(exact.min())), max(self.high, float(exact.max()))
        self.crossed += int(((exact > 0.5) != (found > 0.5)).sum())

    def found(self) -> Difference:
        """Over all batches that were added."""
        count = max(1, self.numbers)
        variance = max(0.0, self.sum_of_squares / count - (self.sum / count) ** 2)
        probable = self.numbers > 0 and self.low >= 0 and self.high <= 1
        return Difference(
            self.output,
            self.largest,
            self.total / count,
            self.magnitude,
            math.sqrt(self.squares / count / variance) if variance else 0.0,
            self.numbers,
            self.crossed if probable else None,
            self.reshaped,
        )


@dataclass(frozen=True)
class Cost:
    """What a model of fewer bits costs and saves."""

    precision: str
    sample: str
    images: int
    """How many batches, of one image each unless the model fixes another number."""
    outputs: tuple[Difference, ...]
    switches: int
    """Whole numbers among the outputs, each one compared."""
    flipped: int
    """How many of them are others than float32's."""
    rmse: tuple[float, float] | None
    """Of float32 and of this, pixels in [0, 1]; None where no output is an image like the input."""
    same_class: float | None
    """The part of the sample in which both see the same class; None where nothing is classified."""
    top1: tuple[float, float] | None
    """The part that float32 and this classify right; None where the sample has no labels."""
    bytes: tuple[int, int]
    """Of the file in float32 and of this one."""
    milliseconds: tuple[float, float]
    """The median time of a batch in ONNX Runtime, of float32 and of this."""
    provider: str
    kept: tuple[str, ...]
    """Layers with weights that stayed float32."""
    layers: int
    """How many layers with weights there are."""

    @property
    def worse(self) -> tuple[str, ...]:
        """What got considerably worse, in words; empty where nothing did."""
        found = []
        if self.flipped:
            found.append(f"{self.flipped:,} of {self.switches:,} switches flipped")
        if self.rmse is not None and self.rmse[1] - self.rmse[0] > RMSE_ALLOWED:
            found.append(f"the RMSE rises by {self.rmse[1] - self.rmse[0]:.4f}")
        if self.same_class is not None:
            if 1 - self.same_class > OTHER_CLASS:
                found.append(
                    f"another class comes first in {1 - self.same_class:.1%} of the images"
                )
        elif self.rmse is None:
            found += [line for output in self.outputs for line in output.worse]
        return tuple(found)

    def as_dict(self) -> dict[str, Any]:
        """As `zoo convert --json` prints it."""
        found = asdict(self)
        found["outputs"] = [asdict(output) for output in self.outputs]
        found["kept"], found["worse"] = list(self.kept), list(self.worse)
        for name in ("rmse", "top1", "bytes", "milliseconds"):
            pair = found[name]
            found[name] = None if pair is None else {"float32": pair[0], self.precision: pair[1]}
        return found

    def as_metadata(self) -> str:
        """The property `zoo.cost` of the model: what a person chooses by, as JSON."""
        pairs = {"rmse": self.rmse, "top1": self.top1}
        found: dict[str, Any] = {
            "sample": Path(self.sample).name,  # whose folder it lay in is nobody's business
            "images": self.images,
            "largest": _short(max((output.largest for output in self.outputs), default=0.0)),
        }
        found |= {name: list(map(_short, pair)) for name, pair in pairs.items() if pair is not None}
        if self.same_class is not None:
            found["same_class"] = _short(self.same_class)
        return json.dumps(found)


def _short(number: float) -> float:
    return float(f"{number:.6g}")


def measure(
    before: Model,
    after: Model,
    sample: Sample,
    *,
    precision: str,
    sizes: tuple[int, int],
    kept: Sequence[str],
    layers: int,
) -> Cost:
    """Run both models on a sample and compare what they give.

    `sizes` are those of the files in bytes; `kept` of `layers` stayed float32.
    """
    compared = Comparison(before, after, sample)
    judged, right = compared.judged, compared.right
    return Cost(
        precision,
        sample.name,
        compared.batches,
        tuple(one.found() for one in compared.outputs.values()),
        compared.switches,
        compared.flipped,
        compared.rmse,
        compared.agreed / judged if judged else None,
        (right[0] / judged, right[1] / judged) if judged and sample.classes else None,
        sizes,
        timed([before, after], sample.feeds[0]),
        before.provider,
        tuple(kept),
        layers,
    )


class Comparison:
    """What a model in float32 and one in fewer bits give of a sample, batch by batch."""

    def __init__(self, before: Model, after: Model, sample: Sample) -> None:
        from runtime.metrics import RMSE

        self.models = (before, after)
        floats = [spec.name for spec in before.outputs if spec.dtype == "float32"]
        self.outputs = {name: Differences(name) for name in floats}
        self.scores = class_scores(before)
        self.image = rebuilt_output(before, sample)
        self.batches = self.switches = self.flipped = self.agreed = self.judged = 0
        self.right = [0, 0]
        self.errors = RMSE(), RMSE()
        for place, feeds in enumerate(sample.feeds):
            runs = before.run(feeds), after.run(feeds)
            self.batches += 1
            self.differ(*runs)
            if self.scores is not None:
                self.classify(runs, sample.classes[place] if sample.classes else None)
            if self.image is not None:
                self.rebuild(runs, sample.images[place], sample)

    @property
    def rmse(self) -> tuple[float, float] | None:
        """Of both, pixels in [0, 1]; None where no image is rebuilt."""
        first, second = self.errors
        return None if self.image is None else (first.value, second.value)

    @property
    def departure(self) -> float:
        """The greatest `Difference.departure` of an output."""
        return max((one.found().departure for one in self.outputs.values()), default=0.0)

    def differ(self, wanted: Feeds, found: Feeds) -> None:
        """Count differences and switches."""
        for name, array in wanted.items():
            other = found[name]
            if name in self.outputs:
                self.outputs[name].add(array, other)
                continue
            self.switches += array.size
            same = array.shape == other.shape
            self.flipped += int((array != other).sum()) if same else array.size

    def classify(self, runs: tuple[Feeds, Feeds], label: int | None) -> None:
        """Which class comes first; `label` is the right one, where it is known."""
        assert self.scores is not None
        scores = [run[self.scores] for run in runs]
        first, second = (found.reshape(len(found), -1).argmax(1) for found in scores)
        self.judged += len(first)
        self.agreed += int((first == second).sum())
        self.right[0] += int((first == label).sum())
        self.right[1] += int((second == label).sum())

    def rebuild(self, runs: tuple[Feeds, Feeds], image: np.ndarray, sample: Sample) -> None:
        """How far both are from the image that they are given; as `runtime.evaluate`."""
        from runtime import Feeder
        from runtime.feeding import planes

        assert self.image is not None
        feeder = Feeder(self.models[0], sample.mean, sample.size)
        wanted = feeder.blob(image)[None] / feeder.scale
        for error, model, run in zip(self.errors, self.models, runs, strict=True):
            # All images of a batch are one, repeated.
            error.add(planes(model, self.image, run[self.image])[:1] / feeder.scale, wanted)


def class_scores(model: Model) -> str | None:
    """The output that holds scores of classes: N×C, or N×C×1×1, of two and more.

    None where there is none, or other floats as well: then they may be places of what is detected.
    """
    floats = [spec for spec in model.outputs if spec.dtype == "float32"]
    if len(floats) != 1:
        return None
    dims = floats[0].shape[1:2]
    plane = all(dim == 1 for dim in floats[0].shape[2:])
    several = len(dims) == 1 and isinstance(dims[0], int) and dims[0] > 1
    return floats[0].name if plane and several else None


def rebuilt_output(model: Model, sample: Sample) -> str | None:
    """The output that is an image like the input, and as large as it; None where there is none."""
    from runtime import Feeder, InferenceError, image_output
    from runtime.feeding import planes

    if not sample.images:
        return None
    try:
        name = image_output(model)
    except InferenceError:
        return None
    wanted = Feeder(model, sample.mean, sample.size).blob(sample.images[0]).shape
    found = planes(model, name, model.run(sample.feeds[0], [name])[name])
    return name if found.shape[1:] == wanted else None


def timed(models: Sequence[Model], feeds: Feeds) -> tuple[float, float]:
    """The median time of a batch of both models, in milliseconds, measured in turn."""
    taken: list[list[float]] = [[] for _ in models]
    for turn in range(RUNS + 1):
        for model, times in zip(models, taken, strict=True):
            started = time.perf_counter()
            model.run(feeds)
            if turn:  # the first run allocates
                times.append(1000 * (time.perf_counter() - started))
    first, second = (statistics.median(times) for times in taken)
    return first, second
