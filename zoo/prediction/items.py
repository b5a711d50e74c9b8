"""What a model is run on: images, folders of them, lists of video frames, arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prototxt.errors import ZooError
from prototxt.files import read_lines

if TYPE_CHECKING:
    import numpy as np

__all__ = ["free_name", "listed_images", "readable"]

LISTS = ".txt"
ARRAYS = ".npz"


def listed_images(sources: Sequence[Path]) -> list[Path]:
    """The files that some sources mean, in their order.

    A folder means the images in it, a .txt those that it names, a line each, relative to its own
    folder (the frames of a video); anything else is itself. ZooError in one line.
    """
    import runtime

    found: list[Path] = []
    for source in sources:
        if source.suffix.lower() == LISTS and source.is_file():
            found += from_list(source)
        elif source.suffix.lower() == ARRAYS:
            found.append(source)
        else:
            found += runtime.list_images(source)
    return found


def from_list(path: Path) -> list[Path]:
    """The files that a text names."""
    names = [line.strip() for line in read_lines(path, "one image a line")]
    found = [path.parent / name for name in names if name]
    if not found:
        raise ZooError("names no images", subject=path, remedy="one image a line")
    return found


def readable(
    paths: Sequence[Path], skipped: list[tuple[str, str]], step: Callable[[], object]
) -> Iterator[tuple[int, np.ndarray]]:
    """The images that can be read, H×W×3 uint8 BGR, each with its place; the others are `skipped`.

    With each name goes why. `step` is called after each.
    """
    import runtime

    for place, path in enumerate(paths):
        try:
            image = runtime.read_image(path)
        except ZooError as error:
            skipped.append((str(path), error.message))
        else:
            yield place, image
        step()


def free_name(stem: str, taken: set[str]) -> str:
    """`stem`, or `stem-2` and so on where two images have one name; notes it as taken."""
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name
