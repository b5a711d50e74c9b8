"""A model on images, or on arrays: what `zoo run` prints and draws."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prototxt.errors import Sentence, UsageError, ZooError
from zoo.prediction.items import ARRAYS, free_name, listed_images, readable
from zoo.progress import OnProgress, counted, unheard

if TYPE_CHECKING:
    import numpy as np

    from prototxt.preprocessing import Preprocessing, Size
    from runtime import Model

__all__ = ["Run", "Runs", "run"]

DRAWN = ("image-to-image", "reconstruct")
"""Tasks whose answer is a picture, which is written wherever no folder is named."""


@dataclass(frozen=True)
class Run:
    """What a model says of one file. Maps and pictures are not kept, but in `picture`."""

    source: Path
    found: dict[str, Any]
    """As plain data."""
    picture: Path | None
    """The file that it was drawn, or written, into."""

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        drawn = {"picture": str(self.picture)} if self.picture else {}
        return {"image": str(self.source)} | self.found | drawn


@dataclass
class Runs:
    """What a model says of several files, and how that was come by."""

    model: str
    task: str
    runs: list[Run] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """Name of each file that could not be read, and why."""
    how: dict[str, Any] = field(default_factory=dict)
    """How images were fed: `Preprocessing.as_dict`, and the size that they were resized to."""
    provider: str = ""
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Images a second, with reading and drawing them."""
        return len(self.runs) / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """As `zoo run --json` prints it."""
        return {
            "model": self.model,
            "task": self.task,
            "images": [run.as_dict() for run in self.runs],
            "skipped": [{"image": name, "why": why} for name, why in self.skipped],
            "preprocessing": self.how,
            "provider": self.provider,
            "seconds": round(self.seconds, 3),
            "images_per_second": round(self.per_second, 1),
            "notes": self.notes,
        }


def run(
    model: Path,
    sources: Sequence[Path],
    output: Path | None = None,
    *,
    name: str | None = None,
    task: str | None = None,
    labels: Sequence[str] = (),
    mean: str | None = None,
    given: Preprocessing | None = None,
    size: Size | None = None,
    top: int = 5,
    threshold: float = 0.5,
    batch: int = 1,
    provider: str = "auto",
    on_progress: OnProgress = unheard,
) -> Runs:
    """Run the model in an ONNX file on images, folders of them, lists of frames, or .npz files.

    Pictures of what was found go into the folder `output`, which is made if need be; without it
    only those of image-to-image networks are written, into the current folder. `name` is what the
    result calls the model. The others are as `runtime.Predictor` has them; an .npz holds the
    inputs by name and needs none of them. Images that cannot be read are left out and told.
    ZooError where none can be read.
    """
    import runtime
    from converters.metadata import untrained

    opened = runtime.load(model, provider, name=name)
    paths = listed_images(sources)
    started = time.perf_counter()
    arrays = [path.suffix.lower() == ARRAYS for path in paths]
    if any(arrays):
        if not all(arrays):
            raise UsageError("images and .npz files at once", remedy="give one or the other")
        made = run_arrays(opened, paths, output)
    else:
        predictor = runtime.Predictor(
            opened,
            task=task,
            labels=labels,
            mean=mean,
            given=given,
            size=size,
            top=top,
            threshold=threshold,
        )
        made = run_images(predictor, paths, output, batch, on_progress)
    made.model, made.provider = name or str(model), opened.provider
    made.seconds = time.perf_counter() - started
    drawn_by = untrained(opened.metadata)
    made.notes += [drawn_by] if drawn_by else []
    return made


def run_images(
    predictor: Any, paths: Sequence[Path], output: Path | None, batch: int, on_progress: OnProgress
) -> Runs:
    """The same of images."""
    from prototxt.files import write_folder
    from runtime.drawing import drawn
    from runtime.pictures import png
    from runtime.predictions import Picture

    found = Runs("", predictor.task, notes=list(predictor.notes))
    found.how = predictor.how.as_dict() | {"size": list(predictor.size)}
    step, read = counted(on_progress, len(paths)), []
    names: set[str] = set()
    contents = []
    folder = output or (Path() if predictor.task in DRAWN else None)
    stem = Path(predictor.model.source).stem

    def items() -> Iterator[np.ndarray | list[np.ndarray]]:
        """Each image, or the frames of each clip, whose first stands for it."""
        clip: list[tuple[Path, np.ndarray]] = []
        for place, image in readable(paths, found.skipped, step):
            clip.append((paths[place], image))
            if len(clip) == (predictor.frames or 1):
                read.append(clip[0])
                yield [frame for _, frame in clip] if predictor.frames else clip[0][1]
                clip = []
        if clip:
            read.append(clip[0])
            yield [frame for _, frame in clip]

    stretched = False
    for said in predictor.predict_all(items(), batch):
        path, image = read.pop(0)
        picture = drawn(image, said) if folder is not None else None
        target = None
        if folder is not None and picture is not None:
            target = folder / f"{free_name(f'{path.stem}.{stem}', names)}.png"
            contents.append((target, png(picture)))
        stretched |= isinstance(said, Picture) and said.stretched
        found.runs.append(Run(path, said.as_dict(), target))
    if not found.runs:
        name, why = found.skipped[0]
        raise ZooError(
            f"none of the {len(found.skipped)} images can be read" if len(paths) > 1 else why,
            subject=None if len(paths) > 1 else name,
        )
    if stretched:
        found.notes.append(Sentence("numbers of 0 to 1 are drawn from black to white"))
    if folder is not None and contents:
        write_folder(folder, contents)
    return found


def run_arrays(model: Model, paths: Sequence[Path], output: Path | None) -> Runs:
    """The same of .npz files, whose arrays are the inputs, as NAME or in.NAME."""
    import io

    import numpy as np

    from prototxt.arrays import read_arrays
    from prototxt.files import write_folder
    from runtime.predictions import Numbers

    found = Runs("", "other")
    contents = []
    names: set[str] = set()
    for path in paths:
        given = read_arrays(path)
        feeds = {}
        for spec in model.inputs:
            array = given.get(f"in.{spec.name}", given.get(spec.name))
            if array is None:
                held = ", ".join(given) or "nothing"
                raise ZooError(
                    f"has no array {spec.name!r}",
                    subject=path,
                    remedy=f"name its arrays as the inputs are called; it has {held}",
                )
            feeds[spec.name] = np.asarray(array, model.numbers(spec))
        said = model.run(feeds)
        target = None
        if output is not None:
            target = output / f"{free_name(f'{path.stem}.{Path(model.source).stem}', names)}.npz"
            file = io.BytesIO()
            np.savez(file, **said)  # type: ignore[arg-type]
            contents.append((target, file.getvalue()))
        found.runs.append(Run(path, Numbers(said).as_dict(), target))
    if output is not None:
        write_folder(output, contents)
    return found
