"""Which images, with which labels, in which order."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prototxt.errors import Position, ZooError
from prototxt.files import read_bytes, read_lines
from prototxt.records import decoder

__all__ = ["Entry", "ImageRecords", "listed"]


LABEL = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True)
class Entry:
    """One image: its file, the name that its record gets, its label."""

    path: Path
    name: str
    label: int


def listed(source: Path, labels: Path | None = None, shuffle: int | None = None) -> list[Entry]:
    """The images of a folder, or of a list file `PATH LABEL` with paths relative to the folder.

    Without a list, folders directly below are classes, numbered in their sorted order; images that
    lie in no such folder have label 0. `shuffle` is a seed. ZooError where there are no images.
    """
    import runtime

    if labels is not None:
        entries = from_list(source, labels)
    else:
        paths = runtime.list_images(source)
        root = source if source.is_dir() else source.parent
        names = [path.relative_to(root) for path in paths]
        classes = sorted({name.parts[0] for name in names if len(name.parts) > 1})
        numbers = {name: number for number, name in enumerate(classes)}
        entries = [
            Entry(path, name.as_posix(), numbers.get(name.parts[0], 0) if classes else 0)
            for path, name in zip(paths, names, strict=True)
        ]
    if shuffle is not None:
        random.Random(shuffle).shuffle(entries)
    return entries


def from_list(root: Path, file: Path) -> list[Entry]:
    remedy = "one `PATH LABEL` on each line"
    lines = read_lines(file, remedy)
    entries = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        if not name or LABEL.fullmatch(label) is None:
            raise ZooError(
                f"{line.strip()!r} is not a path and a label",
                position=Position(str(file), number, 1),
                remedy=remedy,
            )
        entries.append(Entry(root / name.strip(), name.strip(), int(label)))
    if not entries:
        raise ZooError("lists no images", subject=file)
    return entries


class ImageRecords:
    """Images named in a list of `PATH LABEL` lines: image (C×H×W, BGR, 0..255) and label."""

    def __init__(
        self,
        path: Path,
        root: Path = Path(),
        size: tuple[int, int] | None = None,
        color: bool = True,
    ) -> None:
        self.entries = from_list(root, path)
        self.size, self.path = size, path
        self.decoded = decoder("color" if color else "gray")
        self.shape = self.row(0)[0].shape

    def __len__(self) -> int:
        return len(self.entries)

    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of one record: the image's, C×H×W, of the first image; the label's, ()."""
        return [self.shape, ()]

    def name(self, number: int) -> str:
        """The path of an image, for errors; after the last it begins again."""
        return str(self.entries[number % len(self.entries)].path)

    def row(self, number: int) -> list[np.ndarray]:
        """As ReadImageToCVMat (io.cpp): decoded to colour or gray, then resized."""
        import runtime

        entry = self.entries[number % len(self.entries)]
        image = self.decoded(read_bytes(entry.path), entry.path)
        if self.size is not None:
            image = runtime.resize(image.transpose(1, 2, 0), *self.size)
            image = np.atleast_3d(image).transpose(2, 0, 1)
        return [image.astype(np.float32), np.array(entry.label, np.float32)]
