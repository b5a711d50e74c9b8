"""HDF5 files: rows to train on, weights and solver states (`snapshot_format: HDF5`).

Nothing is read from another file than the one that is named, however it refers to others, and what
a dataset claims to hold is compared with the file's length before any room is made for it.

The names of weights and states end in ``.caffemodel.h5`` and ``.solverstate.h5``. Each blob is a
dataset ``data/LAYER/INDEX`` (Net::ToHDF5 in net.cpp); a blob that shares another's numbers has
none. It is the only format in which Caffe keeps more than 2 GB. The solver's history is
``history/INDEX`` (sgd_solver.cpp).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .arrays import as_type
from .errors import FormatError
from .files import require_file, unpacked_limit

__all__ = ["SIGNATURE", "read_blobs", "read_rows", "read_state", "row_shapes"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"

FILTERS = {1, 2, 3, 32000}
"""HDF5's numbers of deflate, shuffle, fletcher32 and lzf: what they unpack to is bounded, once."""

SLACK = 1 << 16
"""Bytes by which a dataset's storage may surpass its chunks, besides being twice as large."""

MOST_LISTED = 20
"""Names that an error tells of a file's."""

T = TypeVar("T")


def opened(path: str | Path, use: Callable[[Any], T]) -> T:
    """`use` of the open file; whatever the library finds wrong is one line."""
    import h5py

    require_file(path)
    try:
        with h5py.File(path, "r") as file:
            return use(file)
    except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
        why = " ".join(str(error).split())
        raise FormatError(f"not a sound HDF5 file: {why}", subject=path) from None


def found_in(file: Any, name: str) -> Any:
    """The group or dataset of that name; None where it is not in the file itself."""
    import h5py

    place = file
    for part in name.split("/"):
        link = place.get(part, getlink=True) if part and isinstance(place, h5py.Group) else None
        place = place[part] if isinstance(link, h5py.HardLink) else None
    return place


def datasets(group: Any) -> dict[str, Any]:
    """Every dataset below a group, by its name there."""
    import h5py

    found: dict[str, Any] = {}

    def take(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    if isinstance(group, h5py.Group):
        group.visititems(take)
    return found


def read_blobs(path: str | Path, data: memoryview) -> dict[str, list[np.ndarray]]:
    """The blobs by layer name, float32.

    Where the file keeps them in one piece they are views of `data`, the file's contents. A blob
    that another layer owns is an empty array.
    """

    def use(file: Any) -> dict[str, dict[int, np.ndarray]]:
        found: dict[str, dict[int, np.ndarray]] = {}
        free = unpacked_limit(len(data))
        for name, item in datasets(found_in(file, "data")).items():
            match = re.fullmatch(r"(.+)/(\d{1,4})", name)
            if match:
                where = f"{path}: layer {match[1]!r}: blob {match[2]}"
                free -= checked(item, "f", where, free)
                blob = numbers(item, data)
                found.setdefault(match[1], {})[int(match[2])] = blob
        return found

    found = opened(path, use)
    if not found:
        raise FormatError(
            "no weights in this HDF5 file",
            subject=path,
            remedy="they are datasets data/LAYER/INDEX",
        )
    empty = np.empty(0, np.float32)
    return {
        layer: [blobs.get(index, empty) for index in range(max(blobs) + 1)]
        for layer, blobs in found.items()
    }


def read_state(path: str | Path, data: memoryview) -> tuple[int, str, list[np.ndarray], int]:
    """A solver state: iteration, the model's file, history blobs, current step."""

    def use(file: Any) -> tuple[int, str, list[np.ndarray], int]:
        free = unpacked_limit(len(data))
        steps = []
        for name in ("iter", "current_step"):
            item = found_in(file, name)
            if item is None or item.size != 1 or item.dtype.kind not in "iu":
                raise FormatError(f"not a solverstate: there is no {name} in it", subject=path)
            free -= checked(item, "iu", f"{path}: {name}", free)
            steps.append(int(item[()].item()))
        item = found_in(file, "learned_net")
        named = item[()] if item is not None and item.shape == () else b""
        items = datasets(found_in(file, "history"))
        if sorted(items) != sorted(map(str, range(len(items)))):
            raise FormatError("its history is not numbered from 0", subject=path)
        history = []
        for i in range(len(items)):
            item = items[str(i)]
            free -= checked(item, "f", f"{path}: history {i}", free)
            history.append(np.array(numbers(item, data)))
        net = named.decode("utf-8", "replace") if isinstance(named, bytes) else str(named)
        return steps[0], net, history, steps[1]

    return opened(path, use)


def checked(item: Any, kinds: str, where: str, free: int) -> int:
    """The bytes that a dataset's numbers take as float32, which may be so many at most.

    FormatError where it is none, holds other kinds of values, or none of its own.
    """
    import h5py

    if not isinstance(item, h5py.Dataset):
        raise FormatError("a group, not a dataset", subject=where)
    if item.dtype.kind not in kinds or item.shape is None:
        wanted = "floats" if kinds == "f" else "numbers"
        raise FormatError(f"{item.dtype} values, not {wanted}", subject=where)
    held = item.id.get_storage_size()
    if item.is_virtual or item.external or (item.size and not held):
        raise FormatError("its numbers are not in this file", subject=where)
    plan = item.id.get_create_plist()
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    if len(filters) > len(set(filters)) or not FILTERS.issuperset(filters):
        raise FormatError(
            f"packed by the filters {', '.join(map(str, filters))}",
            subject=where,
            remedy="write it with gzip, or unpacked",
        )
    chunks = item.chunks or (1,) * len(item.shape)
    padded = math.prod(-(-dim // side) * side for dim, side in zip(item.shape, chunks, strict=True))
    size = item.size * max(4, item.dtype.itemsize)
    chunk = math.prod(chunks) * item.dtype.itemsize  # which is unpacked at once
    if max(size, chunk) > free or held > 2 * padded * item.dtype.itemsize + SLACK:
        raise FormatError("more numbers than a file of this size can mean", subject=where)
    return int(size)


def numbers(item: Any, data: memoryview) -> np.ndarray:
    """A dataset's numbers as float32, a view of the file's contents where they are that."""
    offset = item.id.get_offset()
    end = None if offset is None else offset + item.size * item.dtype.itemsize
    if end is None or end > len(data) or item.dtype != np.dtype("<f4"):
        return as_type(np.asarray(item[()]))
    return np.frombuffer(data[offset:end], "<f4").reshape(item.shape)


def row_shapes(path: Path, names: Sequence[str], free: int) -> tuple[list[tuple[int, ...]], int]:
    """The shapes of datasets of rows, and the bytes that all of them take as float32.

    FormatError where one is not there, holds no rows, or all take more bytes than are free.
    """

    def use(file: Any) -> tuple[list[tuple[int, ...]], int]:
        shapes, taken = [], 0
        for name in names:
            item = found_in(file, name)
            if item is None:
                listed = ", ".join(itertools.islice(file, MOST_LISTED)) or "none"
                raise FormatError(
                    f"no dataset {name!r} in the file itself",
                    subject=path,
                    remedy=f"it has {listed}",
                )
            taken += checked(item, "fiub", f"{path}: dataset {name!r}", free - taken)
            if not item.shape or not item.size:
                raise FormatError("holds no rows", subject=f"{path}: dataset {name!r}")
            shapes.append(item.shape)
        return shapes, taken

    return opened(path, use)


def read_rows(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """The datasets, float32; only of a file that `row_shapes` has passed."""
    return opened(path, lambda file: [as_type(found_in(file, name)[()]) for name in names])
