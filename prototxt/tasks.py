"""What a network is for, as far as its inputs and outputs tell: the words, and the rules.

reconstruct      an image out of which comes the image itself (the tunnel paper's networks)
classify         scores of classes: N×C
detect           boxes: Caffe's rows 1×1×K×7, or N×K×4 beside N×K×C
segment          a class for each pixel: N×C×H×W of an image of H×W
image-to-image   another image: N×1×H×W or N×3×H×W
other            anything else
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .borders import Borders

__all__ = ["TASKS", "End", "Spec", "ends_of", "recognised", "task_stated", "wanted_outputs"]

TASKS = ("reconstruct", "classify", "detect", "segment", "image-to-image", "other")

Dims = tuple[int | str, ...]

ROW = 7
"""Numbers of a row of Caffe's detections: image, label, score, xmin, ymin, xmax, ymax."""
CORNERS = 4


@dataclass(frozen=True)
class End:
    """An output: its name, its shape (N×C×H×W), its type, and what is known of its numbers."""

    name: str
    shape: Dims
    dtype: str = "float32"
    scores: bool | None = None
    """Whether they are scores of classes; None where only the shape tells."""
    detections: bool | None = None
    """Whether they are rows of detections; None where only the shape tells."""


class Spec(Protocol):
    """An input or output, as `runtime.IOSpec` and a hub's `Tensor` are; open sizes are texts."""

    @property
    def name(self) -> str:
        """As the model has it."""

    @property
    def shape(self) -> Dims:
        """N×C×H×W or N×H×W×C."""

    @property
    def dtype(self) -> str:
        """As numpy has it."""


def ends_of(
    metadata: Mapping[str, str], inputs: Sequence[Spec], outputs: Sequence[Spec]
) -> tuple[list[Dims], list[End]]:
    """The shapes of a model's inputs, N×C×H×W, and its outputs, as the rules judge them."""
    planes = Borders.from_metadata(metadata).planes
    shapes = [planes(spec.name, spec.shape, spec.dtype) for spec in inputs]
    return shapes, [End(s.name, planes(s.name, s.shape, s.dtype), s.dtype) for s in outputs]


def task_stated(
    metadata: Mapping[str, str], inputs: Sequence[Spec], outputs: Sequence[Spec]
) -> str:
    """What a model is for: as its metadata state it, else by its inputs and outputs."""
    stated = metadata.get("zoo.task", "")
    return stated if stated in TASKS else recognised(*ends_of(metadata, inputs, outputs))


def recognised(inputs: Sequence[Dims], outputs: Sequence[End]) -> str:
    """The task of a network with these inputs (N×C×H×W) and outputs; never ``reconstruct``."""
    for task in ("detect", "classify", "segment", "image-to-image"):
        if wanted_outputs(task, inputs, outputs, sure=False):
            return task
    return "other"


def wanted_outputs(
    task: str, inputs: Sequence[Dims], outputs: Sequence[End], *, sure: bool = True
) -> tuple[str, ...]:
    """The outputs that hold what a network of a task is asked for; none where it gives no such.

    One name, but of a detector that gives boxes and scores apart: boxes, scores. Of several outputs
    of one shape, as classifiers have in training, it is the last. `sure` is that the task is known.
    """
    floats = [end for end in outputs if end.dtype in ("float32", "float16")]
    if task == "detect":
        rows = [end.name for end in floats if is_rows(end, sure)]
        return tuple(rows[:1]) if rows else boxes_and_scores(floats)
    if len({end.shape for end in floats}) != 1:
        return ()
    end, image = floats[-1], image_of(inputs)
    fits = {
        "classify": is_classes(end),
        "segment": image is not None and is_map(end, image),
        "image-to-image": image is not None and is_image(end),
        "reconstruct": image is not None and is_image(end) and end.shape[1] == image[1],
    }
    return (end.name,) if fits.get(task) else ()


def is_rows(end: End, sure: bool) -> bool:
    """Whether an output is rows of detections: how many must be open, unless one is `sure`."""
    if end.detections is not None:
        return end.detections
    shape = end.shape
    fits = len(shape) == 4 and shape[1] == 1 and shape[3] == ROW
    return fits and (sure or isinstance(shape[2], str))


def boxes_and_scores(floats: Sequence[End]) -> tuple[str, ...]:
    """N×K×4 and N×K×C of the same K boxes."""
    if len(floats) != 2 or any(len(end.shape) != 3 for end in floats):
        return ()
    for boxes, scores in (floats, floats[::-1]):
        classes = scores.shape[2]
        several = isinstance(classes, int) and classes > 1 and scores.scores is not False
        if boxes.shape[:2] == scores.shape[:2] and boxes.shape[2] == CORNERS and several:
            return boxes.name, scores.name
    return ()


def is_classes(end: End) -> bool:
    """Whether an output is one score for each of several classes: N×C, or N×C×1×1."""
    shape = end.shape
    several = len(shape) > 1 and isinstance(shape[1], int) and shape[1] > 1
    return several and all(dim == 1 for dim in shape[2:]) and end.scores is not False


def is_map(end: End, image: Dims) -> bool:
    """Whether an output is a score for each class and pixel."""
    if len(end.shape) != 4 or all(dim == 1 for dim in end.shape[2:]):
        return False
    if end.scores:
        return True
    return end.shape[1] not in (1, 3) and end.shape[2:] == image[2:]


def is_image(end: End) -> bool:
    """Whether an output may be an image, grey or of three colours."""
    plane = end.shape[2:]
    return len(end.shape) == 4 and end.shape[1] in (1, 3) and any(dim != 1 for dim in plane)


def image_of(inputs: Sequence[Dims]) -> Dims | None:
    """The input that is an image; None where there is none, or several inputs."""
    first = inputs[0] if len(inputs) == 1 else ()
    return first if len(first) == 4 and first[1] in (1, 3) else None
