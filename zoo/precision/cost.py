"""What fewer bits cost: differences, flipped switches, RMSE, size and time, before and after."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from runtime import Model

__all__ = ["Cost", "Difference", "Sample", "measure", "rebuilt"]

Feeds = Mapping[str, np.ndarray]

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
    reshaped: int = 0
    """Batches in which it has another shape, as detections come and go; these are not compared."""


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
    top1: float | None
    """The part of the sample in which both see the same class; None where nothing is classified."""
    bytes: tuple[int, int]
    """Of the file in float32 and of this one."""
    milliseconds: tuple[float, float]
    """The median time of a batch in ONNX Runtime, of float32 and of this."""
    provider: str
    kept: tuple[str, ...]
    """Layers with weights that stayed float32."""
    layers: int
    """How many layers with weights there are."""

    def as_dict(self) -> dict[str, Any]:
        """As `zoo convert --json` prints it."""
        found = asdict(self)
        found["outputs"] = [asdict(output) for output in self.outputs]
        found["kept"] = list(self.kept)
        for name in ("rmse", "bytes", "milliseconds"):
            pair = found[name]
            found[name] = None if pair is None else {"float32": pair[0], self.precision: pair[1]}
        return found


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
    floats = [spec.name for spec in before.outputs if spec.dtype == "float32"]
    largest, total, count = dict.fromkeys(floats, 0.0), dict.fromkeys(floats, 0.0), 0
    magnitude, numbers = dict.fromkeys(floats, 0.0), dict.fromkeys(floats, 0)
    reshaped = dict.fromkeys(floats, 0)
    switches = flipped = agreed = judged = 0
    scores = next((name for name in floats if classifies(before, name)), None)
    for feeds in sample.feeds:
        wanted, found = before.run(feeds), after.run(feeds)
        count += 1
        for name, array in wanted.items():
            other = found[name]
            if name not in floats:
                switches += array.size
                flipped += int((array != other).sum()) if array.shape == other.shape else array.size
            elif array.shape != other.shape:
                reshaped[name] += 1
            elif array.size:
                apart = np.abs(other.astype(np.float64) - array)
                largest[name] = max(largest[name], float(apart.max()))
                total[name] += float(apart.sum())
                numbers[name] += array.size
                magnitude[name] = max(magnitude[name], float(np.abs(array).max()))
        if scores is not None:
            best = [
                found[scores].reshape(len(found[scores]), -1).argmax(1) for found in (wanted, found)
            ]
            agreed += int((best[0] == best[1]).sum())
            judged += len(best[0])
    rmse = None
    if rebuilds(before, sample):
        rmse = rebuilt(before, sample), rebuilt(after, sample)
    return Cost(
        precision,
        sample.name,
        count,
        tuple(
            Difference(n, largest[n], total[n] / max(1, numbers[n]), magnitude[n], reshaped[n])
            for n in floats
        ),
        switches,
        flipped,
        rmse,
        agreed / judged if judged else None,
        sizes,
        timed([before, after], sample.feeds[0]),
        before.provider,
        tuple(kept),
        layers,
    )


def classifies(model: Model, output: str) -> bool:
    """Whether an output holds scores of classes: N×C, or N×C×1×1, of two and more."""
    shape = next(spec.shape for spec in model.outputs if spec.name == output)
    dims = shape[1:2]
    plane = all(dim == 1 for dim in shape[2:])
    return len(shape) >= 2 and plane and isinstance(dims[0], int) and dims[0] > 1


def rebuilds(model: Model, sample: Sample) -> bool:
    """Whether an output is an image like the input, and as large as it."""
    from runtime import Feeder, InferenceError, image_output

    if not sample.images:
        return False
    try:
        name = image_output(model)
    except InferenceError:
        return False
    wanted = Feeder(model, sample.mean, sample.size).blob(sample.images[0]).shape
    return bool(model.run(sample.feeds[0], [name])[name].shape[1:] == wanted)


def rebuilt(model: Model, sample: Sample) -> float:
    """The RMSE of a network that rebuilds its image, over a sample; pixels in [0, 1]."""
    import runtime

    named = [(str(place), image) for place, image in enumerate(sample.images)]
    return runtime.evaluate(model, named, sample.mean, sample.size, batch=1).rmse


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
