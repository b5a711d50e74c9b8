"""How right a model is over images of which the truth is known, by its task."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prototxt.errors import Argument, Sentence, UsageError, ZooError
from zoo.prediction.items import readable
from zoo.progress import OnProgress, counted, unheard

if TYPE_CHECKING:
    import numpy as np

    from prototxt.preprocessing import Preprocessing, Size
    from runtime import Predictor
    from runtime.predictions import Prediction

__all__ = ["TASKS", "Accuracy", "measure", "measures"]

TASKS = ("classify", "segment", "detect", "image-to-image")
"""What can be measured here; `zoo.paper.evaluation` measures reconstructions of the input."""
MASKS = (".png", ".bmp", ".gif", ".jpg")
PICTURES = (".png", ".jpg", ".jpeg", ".JPEG", ".bmp", ".tif", ".tiff", ".webp")
LEAST = 0.01
"""The least score of a box that counts: average precision wants the doubtful ones as well."""


@dataclass
class Accuracy:
    """What was measured, over what."""

    model: str
    task: str
    data: str
    measures: dict[str, float] = field(default_factory=dict)
    """By name: top1 and top5, mean_iou and pixel_accuracy, map, or rmse, psnr and ssim."""
    details: dict[str, Any] = field(default_factory=dict)
    images: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    how: dict[str, Any] = field(default_factory=dict)
    provider: str = ""
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Images a second, with reading them."""
        return self.images / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """As `zoo eval --json` prints it, and the hub reads it."""
        measured = {name: round(value, 6) for name, value in self.measures.items()}
        return {
            "task": self.task,
            **measured,
            "measures": measured,
            **self.details,
            "images": self.images,
            "skipped": len(self.skipped),
            "model": self.model,
            "data": self.data,
            "preprocessing": self.how,
            "provider": self.provider,
            "seconds": round(self.seconds, 3),
            "images_per_second": round(self.per_second, 1),
            "notes": self.notes,
        }


def measures(task: str, truth: Path | None) -> bool:
    """Whether a task is measured here: an image-to-image network by what it should make only."""
    return task in TASKS and not (task == "image-to-image" and truth is None)


def measure(
    model: Path,
    data: Path | None,
    truth: Path | None = None,
    *,
    name: str | None = None,
    task: str | None = None,
    labels: Sequence[str] = (),
    mean: str | None = None,
    given: Preprocessing | None = None,
    size: Size | None = None,
    limit: int | None = None,
    batch: int = 16,
    provider: str = "auto",
    on_progress: OnProgress = unheard,
) -> Accuracy:
    """Measure the model in an ONNX file over the images of a folder.

    `truth` is what is known of them: of a classifier a list of `PATH LABEL` lines (without it
    folders or names tell the class), of a segmenter a folder of masks, of a detector one of
    annotations (PASCAL VOC's XML), of an image-to-image network one of the pictures that it should
    make; each file is named as its image. The others are as `runtime.Predictor` has them. Images
    that cannot be read are left out and told. ZooError where nothing can be measured.
    """
    import runtime
    from converters.metadata import untrained

    opened = runtime.load(model, provider, name=name)
    predictor = runtime.Predictor(
        opened, task=task, labels=labels, mean=mean, given=given, size=size, top=5, threshold=LEAST
    )
    if predictor.task not in TASKS or predictor.frames is not None:
        raise UsageError(
            f"its task is {predictor.task}{' of clips' if predictor.frames else ''}, of which no "
            "accuracy is known",
            subject=opened.source,
            remedy=Sentence("give ", Argument("task"), f", one of {', '.join(TASKS)}"),
        )
    if data is None:
        raise UsageError(
            Sentence(Argument("data"), " is missing"),
            remedy=Sentence("give ", Argument("data"), " DIR with images whose truth is known"),
        )
    paths = runtime.list_images(data)[:limit]
    found = Accuracy(name or str(model), predictor.task, str(data), notes=list(predictor.notes))
    found.how = predictor.how.as_dict() | {"size": list(predictor.size)}
    found.provider = opened.provider
    judge = judges(predictor, paths, data, truth)
    step, read = counted(on_progress, len(paths)), []
    started = time.perf_counter()

    def images() -> Iterator[np.ndarray]:
        for place, image in readable(paths, found.skipped, step):
            read.append(place)
            yield image

    for said in predictor.predict_all(images(), batch):
        judge.add(read.pop(0), said)
        found.images += 1
    if not found.images:
        raise ZooError(f"none of the {len(paths)} images can be read", subject=data)
    found.seconds = time.perf_counter() - started
    found.measures, found.details = judge.measures(), judge.details()
    found.notes += [note] if (note := untrained(opened.metadata)) else []
    return found


@dataclass
class Judge:
    """Compares what is said of each image with the truth."""

    add: Callable[[int, Prediction], None]
    measures: Callable[[], dict[str, float]]
    details: Callable[[], dict[str, Any]]


def judges(predictor: Predictor, paths: Sequence[Path], data: Path, truth: Path | None) -> Judge:
    """The one of the predictor's task."""
    from zoo.prediction import scoring
    from zoo.prediction import truth as known

    if predictor.task == "classify":
        right = known.classes_of(paths, predictor.labels, data, truth, predictor.classes)
        classified = scoring.Classified(predictor.labels)

        def class_of(place: int, said: Any) -> None:
            classified.add([guess.place for guess in said.top], right[place])

        return Judge(class_of, classified.measures, classified.details)
    if truth is None:
        wanted = {"segment": "masks", "detect": "annotations", "image-to-image": "pictures"}
        raise UsageError(
            Sentence(Argument("truth"), " is missing"),
            remedy=Sentence(
                "give ",
                Argument("truth"),
                f" DIR with {wanted[predictor.task]} of the same names",
            ),
        )
    if predictor.task == "segment":
        from runtime.drawing import colour_of

        segmented = scoring.Segmented(predictor.labels)
        colours = {colour_of(place): place for place in range(scoring.VOID)}

        def map_of(place: int, said: Any) -> None:
            path = known.partner(paths[place], truth, MASKS)
            wanted = known.mask(path, colours)
            if wanted.shape != said.map.shape:
                shown = "x".join(map(str, wanted.shape))
                raise ZooError(f"is {shown}, and not as large as its image", subject=path)
            segmented.add(said.map, wanted)

        return Judge(map_of, segmented.measures, segmented.details)
    if predictor.task == "detect":
        detected = scoring.Detected()

        def boxes_of(place: int, said: Any) -> None:
            things = known.annotation(known.partner(paths[place], truth, (".xml",)))
            boxes = [(box.guess.label, box.guess.score, box.corners) for box in said.boxes]
            detected.add(boxes, things)

        return Judge(boxes_of, detected.measures, detected.details)
    return pictures_judge(paths, truth)


def pictures_judge(paths: Sequence[Path], truth: Path) -> Judge:
    """RMSE, PSNR and SSIM of pictures; a wanted one of another size is cut to the middle."""
    import runtime
    from zoo import extras
    from zoo.prediction import truth as known

    errors = runtime.RMSE()
    likeness: list[float] = []

    def picture_of(place: int, said: Any) -> None:
        path = known.partner(paths[place], truth, PICTURES)
        made, wanted = said.image, runtime.read_image(path)
        height, width = made.shape[:2]
        y, x = ((w - m) // 2 for w, m in zip(wanted.shape[:2], (height, width), strict=True))
        if y < 0 or x < 0:
            raise ZooError(
                f"is {wanted.shape[0]}x{wanted.shape[1]}, smaller than the {height}x{width} that "
                "the network makes",
                subject=path,
            )
        wanted = wanted[y : y + height, x : x + width]
        errors.add(*(p.transpose(2, 0, 1)[None].astype("float32") for p in (made, wanted)))
        if extras.installed("skimage") and min(height, width) >= runtime.metrics.SMALLEST:
            likeness.append(runtime.ssim(made, wanted))

    def measures() -> dict[str, float]:
        found = {"rmse": errors.value, "psnr": runtime.psnr(errors.value)}
        return found | ({"ssim": math.fsum(likeness) / len(likeness)} if likeness else {})

    return Judge(picture_of, measures, dict)
