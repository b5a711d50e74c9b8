"""What a model is run on: images, folders of them, lists of video frames, arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prototxt.errors import ZooError
from prototxt.files import read_lines

__all__ = ["free_name", "listed_images"]

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


def free_name(stem: str, taken: set[str]) -> str:
    """`stem`, or `stem-2` and so on where two images have one name; notes it as taken."""
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name
