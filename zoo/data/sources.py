"""Images by number, wherever they come from: a folder, an LMDB, the sample photographs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from prototxt.errors import Argument, Function, Sentence, UsageError, ZooError
from prototxt.records import LMDBRecords
from zoo.progress import OnProgress, counted, unheard

from .lists import Entry, listed

__all__ = [
    "Source",
    "evaluated_images",
    "held_out_places",
    "readable_images",
    "refuse_overwriting",
]


class Source:
    """Images by number: H×W×3 uint8 (BGR), a name, a label."""

    def __init__(self, data: Path | None) -> None:
        self.name = "sample photographs" if data is None else str(data)
        self.records: LMDBRecords | None = None
        self.entries: list[Entry] = []
        self.samples: list[tuple[str, np.ndarray]] = []
        if data is None:
            import runtime

            self.samples = runtime.sample_images()
            self.names = [name for name, _ in self.samples]
        elif (data / "data.mdb").is_file():
            self.records = LMDBRecords(data)
            self.names = [key.decode("utf-8", "replace") for key in self.records.keys]
        else:
            self.entries = listed(data)
            self.names = [entry.name for entry in self.entries]

    def read(self, number: int) -> np.ndarray:
        """One image, H×W×3 uint8 BGR; grey is repeated. ZooError where it is broken."""
        if self.records is not None:
            array = self.records.image(number)[0]
            colour = np.broadcast_to(array, (3, *array.shape[1:]))
            return np.ascontiguousarray(colour.transpose(1, 2, 0))
        if self.entries:
            import runtime

            return runtime.read_image(self.entries[number].path)
        return self.samples[number][1]

    def label(self, number: int) -> int:
        """The label of one image; 0 for sample photographs, which have none."""
        if self.records is not None:
            return self.records.image(number)[1]
        return self.entries[number].label if self.entries else 0

    def items(self) -> list[tuple[str, Callable[[], np.ndarray]]]:
        """Names with what reads each image, for `runtime.evaluate`."""
        return [(name, partial(self.read, number)) for number, name in enumerate(self.names)]


def held_out_places(count: int, number: int) -> list[int]:
    """Which of `count` images are held out of training, so that `number` are: evenly spaced."""
    return sorted({place * count // number for place in range(number)})


def evaluated_images(data: Path | None, held_out: int) -> tuple[list[Any], list[str], str]:
    """What to evaluate, notes on what that is, and the data's name."""
    import runtime

    if data is None:
        samples = runtime.sample_images()
        names = ", ".join(name for name, _ in samples)
        note = Sentence(
            "no ", Argument("data"), f": evaluated scikit-image's sample photographs ({names})"
        )
        return list(samples), [note], "scikit-image samples"
    if (data / "data.mdb").is_file():
        images: list[Any] = Source(data).items()
    else:
        images = list(runtime.list_images(data))
    if not held_out:
        return images, [], str(data)
    places = held_out_places(len(images), held_out)
    note = Sentence(
        f"the {len(places)} of {len(images)} images that ",
        Function("zoo.paper.recipes.images.load_images", (Argument("hold_out", held_out),)),
        " leaves out",
    )
    return [images[place] for place in places], [note], str(data)


def readable_images(
    paths: Sequence[Path], skipped: list[tuple[str, str]], on_progress: OnProgress = unheard
) -> Iterator[tuple[Path, np.ndarray]]:
    """Each image that can be read, H×W×3 uint8 BGR; of the others, (name, reason) to `skipped`.

    `on_progress` is told of each. ZooError where none can be read.
    """
    import runtime

    step = counted(on_progress, len(paths))
    for path in paths:
        try:
            image = runtime.read_image(path)
        except ZooError as error:
            if len(paths) == 1:
                raise
            skipped.append((str(path), error.message))
        else:
            yield path, image
        step()
    if len(skipped) == len(paths):
        raise ZooError(f"none of the {len(paths)} images can be read")


def refuse_overwriting(outputs: Iterable[Path], inputs: Sequence[Path | None]) -> None:
    """UsageError where a file to be written is one of those that are read."""
    read = [path for path in inputs if path is not None and path.exists()]
    for output in outputs:
        if output.exists() and any(output.samefile(path) for path in read):
            raise UsageError(
                "would overwrite its own input",
                subject=output,
                remedy=Sentence("give another ", Argument("output")),
            )
