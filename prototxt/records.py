"""Records of Caffe's databases, by number: LMDB of Datums, HDF5 lists."""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from .binary import parse_datum
from .errors import FormatError, ZooError
from .files import is_there, read_lines, require_file, unpacked_limit
from .hdf5 import read_rows, row_shapes
from .lmdb_pages import FILE, Pages
from .shapes import shape_text

Decoding = Literal["color", "gray", "native"]

__all__ = ["Decoding", "HDF5Records", "LMDBRecords", "Records", "decoder"]


class Records(Protocol):
    """Rows in the order in which Caffe reads them; after the last the first follows."""

    def __len__(self) -> int: ...

    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of one row of each top."""

    def name(self, number: int) -> str:
        """What a row is called in an error."""

    def row(self, number: int) -> list[np.ndarray]:
        """One row of each top, float32."""


@dataclass(slots=True)
class Name:
    """What a record is called in an error, put together only where there is one."""

    records: Records
    number: int

    def __str__(self) -> str:
        return self.records.name(self.number)


class LMDBRecords:
    """Datums in the order of their keys: image (C×H×W, BGR, 0..255) and label.

    With `one_size`, `row` refuses an image of another size than the first. Encoded images are
    decoded to colour, to gray, or to what each of them is (`native`).
    """

    def __init__(self, path: Path, one_size: bool = True, decoding: Decoding = "color") -> None:
        if not (path / FILE).is_file():
            raise ZooError(f"not an LMDB folder: there is no {FILE} in it", subject=path)
        self.pages = Pages(path)
        self.keys = self.pages.keys
        if not self.keys:
            raise ZooError("the database is empty", subject=path)
        self.path, self.one_size, self.decoding = path, one_size, decoding
        self.shape = self.image(0)[0].shape

    @functools.cached_property
    def decoded(self) -> Callable[[bytes, object], np.ndarray]:
        """What decodes an image; OpenCV is loaded for the first."""
        return decoder(self.decoding)

    def __len__(self) -> int:
        return len(self.keys)

    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of one row of each top."""
        return [self.shape, ()]

    def name(self, number: int) -> str:
        """What a row is called in an error."""
        key = self.keys[number % len(self.keys)]
        return f"{self.path}: record {key.decode('utf-8', 'replace')!r}"

    def image(self, number: int) -> tuple[np.ndarray, int]:
        """An image as it is stored or decoded, C×H×W, and its label; ZooError for a broken one."""
        place = number % len(self.keys)
        name = Name(self, place)
        datum = parse_datum(self.pages.value(place), name)
        if datum.array is not None:
            return datum.array, datum.label
        return self.decoded(datum.encoded, name), datum.label

    def row(self, number: int) -> list[np.ndarray]:
        """The image and its label, float32; ZooError where it has another size than the first."""
        array, label = self.image(number)
        if self.one_size and array.shape != self.shape:
            ours, first = (shape_text(s) for s in (array.shape, self.shape))
            raise ZooError(
                f"{self.name(number)} is {ours}, the first is {first}",
                remedy="a batch takes images of one size",
            )
        return [array.astype(np.float32), np.array(label, np.float32)]


def decoder(decoding: Decoding) -> Callable[[bytes, object], np.ndarray]:
    """What makes C×H×W uint8 (BGR or gray) of an encoded image and its name for errors.

    FormatError where it is none, or of 16 bits. A JPEG's orientation tag is not obeyed, as it was
    not by Caffe's OpenCV 2.
    """
    from .opencv import cv2, decode

    flags = {
        "color": cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
        "gray": cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION,
        "native": cv2.IMREAD_UNCHANGED,
    }[decoding]

    def decoded(data: bytes, subject: object) -> np.ndarray:
        image = decode(data, flags, subject)
        if image.dtype != np.uint8:
            raise FormatError(f"an image of {image.dtype}, not of bytes", subject=str(subject))
        planes = image if image.ndim == 3 else image[..., None]
        return planes.transpose(2, 0, 1)

    return decoded


class HDF5Records:
    """The rows of the datasets named as the layer's tops, file after file of a list.

    A file is read when the first of its rows is asked for, and then kept; one that is listed
    several times is kept once.
    """

    def __init__(self, path: Path, tops: list[str]) -> None:
        self.path, self.tops = path, tops
        lines = read_lines(path, "one HDF5 file on each line")
        self.files = [self.place(line.strip()) for line in lines if line.strip()]
        if not self.files:
            raise ZooError("lists no files", subject=path)
        distinct = dict.fromkeys(self.files)
        free = unpacked_limit(sum(require_file(file) for file in distinct))
        counts: dict[Path, int] = {}
        rows: set[tuple[tuple[int, ...], ...]] = set()
        for file in distinct:
            shapes, taken = row_shapes(file, tops, free)
            free -= taken
            if len({shape[0] for shape in shapes}) != 1:
                raise ZooError("its datasets differ in their number of rows", subject=file)
            counts[file] = shapes[0][0]
            rows.add(tuple(shape[1:] for shape in shapes))
        if len(rows) != 1:
            raise ZooError("its files hold rows of different shapes", subject=path)
        self.rows = list(rows.pop())
        self.starts = [0, *itertools.accumulate(counts[file] for file in self.files)]
        self.read: dict[Path, list[np.ndarray]] = {}

    def place(self, name: str) -> Path:
        """A file as Caffe finds it, else beside the list."""
        found = Path(name) if is_there(Path(name)) else self.path.parent / name
        return found.resolve() if is_there(found) else found

    def __len__(self) -> int:
        return self.starts[-1]

    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of one row of each top."""
        return self.rows

    def name(self, number: int) -> str:
        """What a row is called in an error."""
        return f"{self.path}: row {number % len(self)}"

    def row(self, number: int) -> list[np.ndarray]:
        """One row of each top, float32."""
        place = number % len(self)
        index = bisect.bisect_right(self.starts, place) - 1
        file = self.files[index]
        if file not in self.read:
            self.read[file] = read_rows(file, self.tops)
        return [array[place - self.starts[index]] for array in self.read[file]]
