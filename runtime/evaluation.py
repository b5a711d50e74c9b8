"""Run a reconstruction network over images and measure how far off it is."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from prototxt.errors import ZooError
from prototxt.shapes import shape_text

from .errors import InferenceError
from .feeding import Feeder, blob_shape, planes, planes_shape
from .images import read_image, resize
from .metrics import RMSE, SMALLEST, ssim
from .session import Model

__all__ = ["Evaluation", "check_image", "evaluate", "image_output", "pixels"]

Item = str | Path | tuple[str, np.ndarray] | tuple[str, Callable[[], np.ndarray]]


@dataclass
class Evaluation:
    """The outcome; RMSE over pixels in [0, 1]. `skipped` has (name, reason) of broken images."""

    rmse: float
    images: int
    per_image: list[tuple[str, float]]
    seconds: float
    images_per_second: float
    skipped: list[tuple[str, str]] = field(default_factory=list)
    ssim: float | None = None
    """The mean structural similarity of the pictures; None where scikit-image is not installed, or
    they are smaller than its window."""


def pixels(item: Item) -> np.ndarray:
    """H×W×3 uint8, BGR; ZooError where the image is broken."""
    if not isinstance(item, tuple):
        return read_image(item)
    image = item[1]
    return image() if callable(image) else image


def image_output(model: Model, output: str | None = None) -> str:
    """The output that is an image like the input: rank 4 and as many channels."""
    source = blob_shape(model) or ()
    shapes = {
        o.name: planes_shape(model.metadata, o) for o in model.outputs if o.dtype == "float32"
    }
    fitting = [
        name
        for name, shape in shapes.items()
        if len(shape) == len(source) and shape[1] == source[1]
        and all(a == b or not (isinstance(a, int) and isinstance(b, int))
                for a, b in zip(shape[2:], source[2:], strict=True))
    ]  # fmt: skip
    if output is not None:
        if output not in [o.name for o in model.outputs]:
            raise InferenceError(f"no output {output!r}", subject=model.source)
        return output
    if len(fitting) != 1:
        listed = ", ".join(o.name for o in model.outputs)
        raise InferenceError(
            f"{'no' if not fitting else 'more than one'} output is an image "
            f"like the input (it has {listed})",
            subject=model.source,
            remedy="give a network that reconstructs its input",
        )
    return fitting[0]


def check_image(found: np.ndarray, like: np.ndarray, model: Model, what: str) -> None:
    """InferenceError where a model gave no image like the one that it was asked to rebuild.

    Of another size, or where not all of it are numbers, which then say nothing.
    """
    if found.shape != like.shape:
        raise InferenceError(
            f"gives {shape_text(found.shape, 'a number')} of {what}, which is "
            f"{shape_text(like.shape)}",
            subject=model.source,
            remedy="give a network that reconstructs its input",
        )
    if not np.isfinite(found).all():
        kind = "NaN" if np.isnan(found).any() else "infinite numbers"
        raise InferenceError(
            f"gives {kind} of {what}",
            subject=model.source,
            remedy="its weights are not sound, or it is fed otherwise than it was trained",
        )


def evaluate(
    model: Model,
    images: Iterable[Item],
    mean: np.ndarray | None,
    size: tuple[int, int] = (128, 128),
    batch: int = 16,
    limit: int | None = None,
    on_progress: Callable[[int], object] | None = None,
    output: str | None = None,
) -> Evaluation:
    """RMSE of a network's reconstruction of its own input.

    As in the paper the mean stays subtracted on both sides and nothing is clipped. Where the
    model's metadata state a scale, the error is that of unscaled pixels.

    Args:
        model: one whose output is an image like its input.
        images: paths, or (name, H×W×3 uint8 BGR, or what returns it); broken ones are skipped and
            counted.
        mean: C×1×1 or C×H×W; None is that of the model's metadata. A model that takes pixels has
            its own.
        size: height and width that images are resized to.
        batch: how many are run at once, unless the model fixes it.
        limit: take the first so many only.
        on_progress: is called after each image with the number done.
        output: the name of the image, where several outputs would fit.

    Raises:
        InferenceError: a model that rebuilds no image, or no image that can be read.
    """
    name, measure = image_output(model, output), RMSE()
    feeder = Feeder(model, mean, size)
    skipped: list[tuple[str, str]] = []
    labels: list[str] = []
    started = time.perf_counter()
    likeness: list[float] = []
    spent = 0.0  # on what is measured besides, and counts as no time of the network
    similar = min(size) >= SMALLEST and importlib.util.find_spec("skimage") is not None
    fixed = model.inputs[0].shape[0]
    if isinstance(fixed, int):
        batch = fixed

    def small() -> Iterator[np.ndarray]:
        for index, item in enumerate(images):
            if limit is not None and index >= limit:
                return
            label = item[0] if isinstance(item, tuple) else str(item)
            try:
                image = pixels(item)
            except ZooError as error:
                skipped.append((label, error.message))
                continue
            labels.append(label)
            yield resize(image, *size)

    def run(group: list[np.ndarray]) -> None:
        wanted = np.stack([feeder.blob(image) for image in group])
        other = feeder.pixels or feeder.nhwc
        data = np.stack([feeder.feed(image) for image in group]) if other else wanted
        if isinstance(fixed, int) and len(group) < fixed:
            data = np.concatenate([data, np.repeat(data[-1:], fixed - len(group), 0)])
        found = planes(model, name, model.run({model.inputs[0].name: data}, [name])[name])
        found = found[: len(group)]
        others = " and others" if len(group) > 1 else ""
        check_image(found, wanted, model, f"{labels[-len(group)]}{others}")
        measure.add(found / feeder.scale, wanted / feeder.scale)
        if similar:
            nonlocal spent
            began = time.perf_counter()
            likeness.extend(
                ssim(feeder.picture(a), feeder.picture(b))
                for a, b in zip(found, wanted, strict=True)
            )
            spent += time.perf_counter() - began
        if on_progress:
            for done in range(len(measure.per_image) - len(group), len(measure.per_image)):
                on_progress(done + 1)

    group: list[np.ndarray] = []
    for image in small():
        group.append(image)
        if len(group) == batch:
            run(group)
            group = []
    if group:
        run(group)
    count = len(measure.per_image)
    if not count:
        raise InferenceError(
            f"none of the {len(skipped)} images can be read" if skipped else "no images to evaluate"
        )
    seconds = time.perf_counter() - started - spent
    alike = float(np.mean(likeness)) if likeness else None
    per_image = list(zip(labels, measure.per_image, strict=True))
    return Evaluation(measure.value, count, per_image, seconds, count / seconds, skipped, alike)
