"""Records of Caffe's databases, by number: LMDB of Datums, HDF5 lists."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from .binary import parse_datum
from .errors import ZooError
from .shapes import shape_text

Decoding = Literal["color", "gray", "native"]

__all__ = ["Decoding", "HDF5Records", "LMDBRecords", "Records", "decoded"]


class Records(Protocol):
    """Rows in the order in which Caffe reads them; after the last the first follows."""

    def __len__(self) -> int: ...

    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of one row of each top."""

    def name(self, number: int) -> str:
        """What a row is called in an error."""

    def row(self, number: int) -> list[np.ndarray]:
        """One row of each top, float32."""


class LMDBRecords:
    """Datums in the order of their keys: image (C×H×W, BGR, 0..255) and label.

    With `one_size`, `row` refuses an image of another size than the first. Encoded images are
    decoded to colour, to gray, or to what each of them is (`native`).
    """

    def __init__(self, path: Path, one_size: bool = True, decoding: Decoding = "color") -> None:
        import lmdb

        if not (path / "data.mdb").is_file():
            raise ZooError("not an LMDB folder: there is no data.mdb in it", subject=path)
        try:
            self.database = environment(path.resolve())
            with self.database.begin() as transaction:
                self.keys = [bytes(key) for key in transaction.cursor().iternext(values=False)]
        except lmdb.Error as error:
            raise ZooError(f"cannot be read as an LMDB: {error}", subject=path) from None
        if not self.keys:
            raise ZooError("the database is empty", subject=path)
        self.path, self.one_size, self.decoding = path, one_size, decoding
        self.shape = self.image(0)[0].shape

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
        key, name = self.keys[number % len(self.keys)], self.name(number)
        with self.database.begin() as transaction:
            datum = parse_datum(bytes(transaction.get(key) or b""), name)
        if datum.array is not None:
            return datum.array, datum.label
        return decoded(datum.encoded, self.decoding, name), datum.label

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


def decoded(
    data: bytes, decoding: Decoding, subject: object, error: type[ZooError] = ZooError
) -> np.ndarray:
    """An encoded image as C×H×W uint8 (BGR or gray); `error` where it is none, or of 16 bits.

    A JPEG's orientation tag is not obeyed, as it was not by Caffe's OpenCV 2.
    """
    from .opencv import cv2, decode

    flags = {
        "color": cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
        "gray": cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION,
        "native": cv2.IMREAD_UNCHANGED,
    }[decoding]
    image = decode(data, flags, subject, error)
    if image.dtype != np.uint8:
        raise error(f"an image of {image.dtype} numbers, not of bytes", subject=str(subject))
    planes = image if image.ndim == 3 else image[..., None]
    return planes.transpose(2, 0, 1)


@functools.cache
def environment(path: Path) -> Any:
    """The open database; LMDB allows a process one for each folder (TRAIN and TEST may share)."""
    import lmdb

    return lmdb.open(str(path), readonly=True, lock=False, readahead=False)


class HDF5Records:
    """The rows of the datasets named as the layer's tops, file after file of a list."""

    def __init__(self, path: Path, tops: list[str]) -> None:
        import h5py

        self.path = path
        try:
            lines = path.read_text().splitlines()
        except OSError as error:
            raise ZooError(f"cannot be read: {error.strerror}", subject=path) from None
        names = [line.strip() for line in lines if line.strip()]
        if not names:
            raise ZooError("lists no files", subject=path)
        parts: dict[str, list[np.ndarray]] = {top: [] for top in tops}
        for name in names:
            file = Path(name) if Path(name).exists() else path.parent / name
            try:
                with h5py.File(file, "r") as stored:
                    for top in tops:
                        if top not in stored:
                            listed = ", ".join(stored)
                            raise ZooError(
                                f"no dataset {top!r}", subject=file, remedy=f"it has {listed}"
                            )
                        parts[top].append(np.asarray(stored[top], np.float32))
            except OSError:
                raise ZooError("cannot be read as HDF5", subject=file) from None
        try:
            self.arrays = [np.concatenate(parts[top]) for top in tops]
        except ValueError:
            raise ZooError("its files hold rows of different shapes", subject=path) from None
        if len({len(a) for a in self.arrays}) != 1 or not len(self.arrays[0]):
            raise ZooError(
                "its datasets differ in their number of rows, or are empty", subject=path
            )

    def __len__(self) -> int:
        return len(self.arrays[0])

    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of one row of each top."""
        return [array.shape[1:] for array in self.arrays]

    def name(self, number: int) -> str:
        """What a row is called in an error."""
        return f"{self.path}: row {number % len(self)}"

    def row(self, number: int) -> list[np.ndarray]:
        """One row of each top, float32."""
        return [array[number % len(array)] for array in self.arrays]
