"""Arrays of numpy's files, .npy and .npz, which may come from anywhere.

Nothing in them is unpickled, and only numbers are taken: no texts, dates, records or complex
numbers. What a header promises is compared with what is there before any room is made for it.
"""

from __future__ import annotations

import math
import tokenize
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from .errors import FormatError, ZooError
from .files import require_file, unpacked_limit

__all__ = ["NUMBERS", "as_type", "read_array", "read_arrays"]

NUMBERS = "biuf"
"""Kinds of numpy's types that are numbers: truth values, whole, unsigned, real."""

VERSION = (1, 0)
"""Of numpy's format. Later ones are for headers above 64 KiB, as records of many fields have."""

ENCRYPTED = 1
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""How numpy writes; the other ways are unpacked in pieces of any size."""

BROKEN = (
    ValueError,
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    TypeError,
    OverflowError,
)
"""What zipfile and numpy raise for a file that is damaged in one way or another."""


def read_array(path: Path, error: type[ZooError] = FormatError) -> np.ndarray:
    """The array of an .npy file; `error` (one line) for any other file."""
    size = require_file(path, error, "an .npy file")
    try:
        with path.open("rb") as file:
            shape, columns, dtype = header(file, NUMBERS)
            return body(file, shape, columns, dtype, size - file.tell())
    except PermissionError as problem:
        raise error(f"cannot be read: {problem.strerror}", subject=path) from None
    except BROKEN as problem:
        raise error(f"not a plain .npy array ({line(problem)})", subject=path) from None


def read_arrays(path: Path, kinds: str = NUMBERS) -> dict[str, np.ndarray]:
    """Every array of an .npz by name; FormatError (one line) for any other file.

    `kinds` are those of numpy's types that may be in it.
    """
    free = unpacked_limit(require_file(path, FormatError, "an .npz file"))
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                try:
                    arrays[name] = array = unpacked(archive, member, kinds, free)
                except BROKEN as problem:
                    raise ValueError(f"{name}: {line(problem)}") from None
                free -= room(array.shape, array.dtype)
    except PermissionError as problem:
        raise FormatError(f"cannot be read: {problem.strerror}", subject=path) from None
    except BROKEN as problem:
        raise FormatError(f"not an .npz file of arrays ({line(problem)})", subject=path) from None
    return arrays


def as_type(array: np.ndarray, dtype: np.typing.DTypeLike = np.float32) -> np.ndarray:
    """The numbers as another type, contiguous; what is beyond it is infinite, without a warning."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(array, dtype).reshape(array.shape)


def unpacked(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, kinds: str, free: int
) -> np.ndarray:
    """One array, of no more than so many bytes."""
    if member.flag_bits & ENCRYPTED:
        raise ValueError("encrypted")
    if member.compress_type not in METHODS:
        raise ValueError("packed in a way that numpy does not use")
    with archive.open(member) as file:
        shape, columns, dtype = header(file, kinds)
        if room(shape, dtype) > free:
            raise ValueError("more numbers than a file of this size can mean")
        array = body(file, shape, columns, dtype, member.file_size - file.tell())
        file.read(1)  # at the end of a member its checksum is compared
    return array


def header(file: IO[bytes], kinds: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether columns go first, and type; ValueError where it is none of those kinds."""
    version = np.lib.format.read_magic(file)
    if version != VERSION:
        raise ValueError("not numbers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what Python 2 wrote
        shape, columns, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        raise ValueError("objects, not numbers")
    if dtype.kind not in kinds or dtype.itemsize == 0:
        raise ValueError(f"{dtype}, not numbers")
    if any(dim < 0 for dim in shape):
        raise ValueError("negative dimensions")
    return shape, columns, dtype


def room(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Bytes of an array once it is float32, or as it is where that is more."""
    return math.prod(shape) * max(4, dtype.itemsize)


def body(
    file: IO[bytes], shape: tuple[int, ...], columns: bool, dtype: np.dtype, held: int
) -> np.ndarray:
    """The numbers after a header; ValueError where fewer than those are held."""
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > held:
        raise ValueError(f"{held:,} bytes of {wanted:,}")
    array = np.empty(math.prod(shape), dtype)
    place = memoryview(array.view(np.uint8).data)
    while place:
        got = file.readinto(place)  # type: ignore[attr-defined]
        if not got:
            raise EOFError("cut short")
        place = place[got:]
    return array.reshape(shape[::-1]).T if columns else array.reshape(shape)


def line(problem: Exception) -> str:
    """What was wrong, short; numpy's own words for an end that comes too early are long."""
    text = (str(problem).splitlines() or [type(problem).__name__])[0]
    return "cut short" if text.startswith("EOF:") else text
