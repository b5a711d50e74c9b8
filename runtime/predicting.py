"""Any converted network on images: what it is for decides what is made of its outputs.

model = runtime.load("squeezenet.onnx")
runtime.Predictor(model).predict(runtime.read_image("cat.jpg")).top[0].label
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from prototxt.errors import Argument, Sentence, UsageError
from prototxt.labels import labels_of
from prototxt.preprocessing import Preprocessing, Size
from prototxt.tasks import TASKS, ends_of, task_stated, wanted_outputs

from .boxes import Found, from_pairs, from_rows
from .errors import InferenceError
from .feeding import (
    Feeder,
    channels_of,
    fixed_size,
    frames_of,
    planes,
    refuse_half,
    resolve,
)
from .images import resize
from .predictions import (
    Box,
    Boxes,
    Guess,
    Numbers,
    Picture,
    Prediction,
    Regions,
    label_of,
    top,
)
from .session import Model

__all__ = ["Predictor", "task_of"]

BACKGROUND = "background"
TOP = 5
THRESHOLD = 0.5
"""The least score of what is told as found."""


def task_of(model: Model) -> str:
    """What a model is for: as its metadata state it, else by its inputs and outputs."""
    return task_stated(model.metadata, model.inputs, model.outputs)


Item = np.ndarray | Sequence[np.ndarray]
"""An image, or the frames of a clip: H×W×3 uint8 BGR."""


class Predictor:
    """A model that takes one image, or one clip of a video, ready to say what it makes of them.

    `task` (of `prototxt.tasks.TASKS`), `labels` (names of classes by number), `mean`, `size` and
    `given` (scale, crop, order of channels) stand in place of what the model's metadata state.
    UsageError or InferenceError where they do not go with the model, or it takes something else
    than one image.
    """

    def __init__(
        self,
        model: Model,
        *,
        task: str | None = None,
        labels: Sequence[str] = (),
        mean: str | None = None,
        size: Size | None = None,
        given: Preprocessing | None = None,
        top: int = TOP,
        threshold: float = THRESHOLD,
    ) -> None:
        self.model, self.top, self.threshold = model, top, threshold
        self.fixed = fixed_size(model, clips=True)
        self.frames = frames_of(model)
        self.task = task or task_of(model)
        self.outputs = wanted(model, self.task, asked=task is not None)
        self.labels = tuple(labels) or labels_of(model.metadata)
        self.check_labels(asked=bool(labels))
        channels = channels_of(model)
        self.how, self.size, notes = resolve(
            model.metadata, mean=mean, size=size, fixed=self.fixed, given=given, channels=channels
        )
        self.mean = self.how.mean_values(channels)
        self.any_size = (
            size is None and self.fixed is None and self.task in ("image-to-image", "reconstruct")
        )
        self.notes: list[str] = [note for note in (*notes, model.note) if note]
        if self.labels == () and self.task in ("classify", "detect", "segment"):
            self.notes.append(
                Sentence(
                    "the model names no classes, they are told by number; give ", Argument("labels")
                )
            )

    @property
    def classes(self) -> int | None:
        """How many classes a classifier tells apart; None of any other, and where it is open."""
        if self.task != "classify":
            return None
        _, outputs = ends_of(self.model.metadata, self.model.inputs, self.model.outputs)
        count = next(end.shape[1] for end in outputs if end.name == self.outputs[0])
        return count if isinstance(count, int) else None

    def check_labels(self, asked: bool) -> None:
        """UsageError where labels that were given are not as many as a classifier's classes."""
        if self.classes is not None and self.labels and self.classes != len(self.labels):
            if asked:
                raise UsageError(
                    f"names {len(self.labels)} classes, but the network has {self.classes}",
                    subject=Argument("labels"),
                )
            self.labels = ()

    def feeder(self, image: np.ndarray) -> Feeder:
        """What feeds an H×W×3 image.

        Resized as the model wants it; or as it is, where any size goes and that of what comes out
        matters.
        """
        size = (image.shape[0], image.shape[1]) if self.any_size else self.size
        return Feeder(self.model, self.mean, size, crop=not self.any_size, how=self.how)

    def fed(self, item: Item, feeder: Feeder) -> np.ndarray:
        """What the model takes for an image, or for the frames of a clip."""
        if self.frames is None:
            return feeder.feed(first_of(item))
        frames = [item] if isinstance(item, np.ndarray) else list(item)
        frames += frames[-1:] * (self.frames - len(frames))
        return np.stack([feeder.feed(frame) for frame in frames[: self.frames]], 1)

    def predict(self, image: Item) -> Prediction:
        """What the network makes of an H×W×3 uint8 BGR image, or of several, the frames of a clip.

        A network of clips takes `frames` of them: those after are left out, and of too few the last
        one stands still.
        """
        return next(self.predict_all([image]))

    def predict_all(self, images: Iterable[Item], batch: int = 1) -> Iterator[Prediction]:
        """The same of several, `batch` at a time where the model takes any number."""
        fixed = self.model.inputs[0].shape[0]
        most = fixed if isinstance(fixed, int) else batch
        group: list[tuple[np.ndarray, np.ndarray, Feeder]] = []
        for item in images:
            image = first_of(item)
            feeder = self.feeder(image)
            fed = self.fed(item, feeder)
            if group and (len(group) == most or fed.shape != group[0][1].shape):
                yield from self.run(group)
                group = []
            group.append((image, fed, feeder))
        if group:
            yield from self.run(group)

    def run(self, group: Sequence[tuple[np.ndarray, np.ndarray, Feeder]]) -> Iterator[Prediction]:
        """Run some images, with what is fed of each, at once."""
        data = np.stack([fed for _, fed, _ in group])
        fixed = self.model.inputs[0].shape[0]
        if isinstance(fixed, int) and len(group) < fixed:
            data = np.concatenate([data, np.repeat(data[-1:], fixed - len(group), 0)])
        names = self.outputs or None
        found = self.model.run({self.model.inputs[0].name: data}, names)
        found = {name: planes(self.model, name, array) for name, array in found.items()}
        for array in (found[name] for name in self.outputs):
            if np.isnan(array).any():
                raise InferenceError(
                    "gives NaN",
                    subject=self.model.source,
                    remedy="its weights are not sound, or it is fed otherwise than it was trained",
                )
        rows: dict[int, Found] | None = None
        if self.task == "detect" and len(self.outputs) == 1:
            rows = from_rows(found[self.outputs[0]], self.threshold)
        for place, (image, _, feeder) in enumerate(group):
            if self.task == "other":
                yield Numbers({name: of_image(a, place, len(data)) for name, a in found.items()})
                continue
            arrays = [found[name] for name in self.outputs]
            if rows is not None:
                yield self.boxes(rows.get(place, []), image, feeder)
            elif self.task == "detect":
                boxes, scores = (array[place] for array in arrays)
                pairs = from_pairs(boxes, scores, input_size(feeder), self.threshold)
                yield self.boxes(pairs, image, feeder)
            else:
                yield self.interpret(arrays[0][place], image, feeder)

    def interpret(self, found: np.ndarray, image: np.ndarray, feeder: Feeder) -> Prediction:
        """What one output says of one image: C×1×1 scores, C×H×W scores or an image."""
        if self.task == "classify":
            return top(found.reshape(-1), self.labels, self.top)
        if self.task == "segment":
            return self.regions(found, image, feeder)
        return picture(found, feeder)

    def boxes(self, found: Found, image: np.ndarray, feeder: Feeder) -> Boxes:
        """Boxes in pixels of the image, clipped to it."""
        height, width = image.shape[:2]
        top, left, tall, wide = feeder.window
        boxes = []
        for label, score, (x0, y0, x1, y1) in found:
            xs = [min(max((left + x * wide) * width, 0), width) for x in (x0, x1)]
            ys = [min(max((top + y * tall) * height, 0), height) for y in (y0, y1)]
            corners = (round(float(v), 2) for v in (xs[0], ys[0], xs[1], ys[1]))
            boxes.append(Box(Guess(label, self.found_label(label), score), *corners))
        return Boxes(tuple(boxes))

    def found_label(self, label: int) -> str:
        """The name of a detector's class; class 0 is the background, which a list may leave out."""
        named = self.labels and BACKGROUND not in self.labels[0].lower() and self.labels[0]
        return label_of(("", *self.labels) if named else self.labels, label)

    def regions(self, scores: np.ndarray, image: np.ndarray, feeder: Feeder) -> Regions:
        """The best class of each pixel of the image."""
        size = input_size(feeder)
        planes = np.stack([resize(plane, *size) for plane in scores])
        best = planes.argmax(0) if len(planes) > 1 else (planes[0] > THRESHOLD)
        height, width = image.shape[:2]
        top, left, tall, wide = feeder.window
        y0, x0 = round(top * height), round(left * width)
        y1, x1 = round((top + tall) * height), round((left + wide) * width)
        found = np.zeros((height, width), np.int32)
        rows = (np.arange(y1 - y0) * best.shape[0]) // max(y1 - y0, 1)
        columns = (np.arange(x1 - x0) * best.shape[1]) // max(x1 - x0, 1)
        found[y0:y1, x0:x1] = best[rows[:, None], columns]
        return Regions(found, self.labels)


def wanted(model: Model, task: str, asked: bool) -> tuple[str, ...]:
    """The outputs that a task reads; all (an empty tuple) of ``other``.

    UsageError where a model has no such outputs and the user `asked` for the task, InferenceError
    where its metadata state it.
    """
    if task not in TASKS:
        raise UsageError(f"no task {task!r}", remedy=f"one of {', '.join(TASKS)}")
    refuse_half(model.inputs, model.outputs, model.source)
    if task == "other":
        return ()
    found = wanted_outputs(task, *ends_of(model.metadata, model.inputs, model.outputs))
    if not found:
        listed = ", ".join(f"{s.name} {'x'.join(map(str, s.shape))}" for s in model.outputs)
        error = UsageError if asked else InferenceError
        raise error(
            f"gives {listed}: nothing for the task {task}",
            subject=model.source,
            remedy=Sentence("give ", Argument("task", "other") if not asked else "another task"),
        )
    return found


def input_size(feeder: Feeder) -> Size:
    """Height and width of the blob that a feeder makes."""
    return feeder.crop or feeder.size


def picture(found: np.ndarray, feeder: Feeder) -> Picture:
    """A C×H×W image that a network made, by the inverse of how its own was fed.

    A mean image says nothing of another size than its own: its average colour stands in.
    """
    mean = feeder.mean.reshape(len(feeder.mean), -1).mean(1).reshape(-1, 1, 1)
    values = found / np.float32(feeder.scale)
    if len(values) == len(mean):
        values = values + mean
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    stretched = low >= 0 and 0 < high <= 1
    pixels = np.clip(np.rint(values * 255 if stretched else values), 0, 255).astype(np.uint8)
    image = pixels.transpose(1, 2, 0)
    if image.shape[2] == 1:
        return Picture(np.repeat(image, 3, 2), stretched)
    return Picture(np.ascontiguousarray(image[..., ::-1] if feeder.rgb else image), stretched)


def of_image(array: np.ndarray, place: int, images: int) -> np.ndarray:
    """What an output says of one of so many images; all of it where it is not one row for each."""
    return array[place : place + 1] if array.ndim and len(array) == images else array


def first_of(item: Item) -> np.ndarray:
    """The image, or the first frame of a clip."""
    return item if isinstance(item, np.ndarray) else item[0]
