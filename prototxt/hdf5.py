"""Weights and solver states that Caffe stored as HDF5 (`snapshot_format: HDF5`).

Their names end in ``.caffemodel.h5`` and ``.solverstate.h5``. Each blob is a dataset
``data/LAYER/INDEX`` (Net::ToHDF5 in net.cpp); a blob that shares another's numbers has none. It is
the only format in which Caffe keeps more than 2 GB. The solver's history is ``history/INDEX``
(sgd_solver.cpp).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .errors import FormatError

__all__ = ["SIGNATURE", "read_blobs", "read_state"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"

DEFLATE = 1032
"""Compressed numbers are at most so many times larger than what lies in the file."""

T = TypeVar("T")


def opened(path: str | Path, use: Callable[[Any], T]) -> T:
    """`use` of the open file; whatever the library finds wrong is one line."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return use(file)
    except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
        why = " ".join(str(error).split())
        raise FormatError(f"not a sound HDF5 file: {why}", subject=path) from None


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
        for name, item in datasets(file.get("data")).items():
            match = re.fullmatch(r"(.+)/(\d{1,4})", name)
            if match:
                blob = numbers(item, data, f"{path}: layer {match[1]!r}: blob {match[2]}")
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
        for name in ("iter", "current_step"):
            if name not in file or file[name].size != 1:
                raise FormatError(f"not a solverstate: there is no {name} in it", subject=path)
        named = file["learned_net"][()] if "learned_net" in file else b""
        items = datasets(file.get("history"))
        if sorted(items) != sorted(map(str, range(len(items)))):
            raise FormatError("its history is not numbered from 0", subject=path)
        history = [
            np.array(numbers(items[str(i)], data, f"{path}: history {i}"))
            for i in range(len(items))
        ]
        net = named.decode("utf-8", "replace") if isinstance(named, bytes) else str(named)
        return int(file["iter"][()].item()), net, history, int(file["current_step"][()].item())

    return opened(path, use)


def numbers(item: Any, data: memoryview, where: str) -> np.ndarray:
    """A dataset's numbers as float32."""
    if item.dtype.kind != "f" or item.size is None:
        raise FormatError(f"{item.dtype} values, not floats", subject=where)
    length = item.size * item.dtype.itemsize
    if item.is_virtual or item.external or item.id.get_storage_size() * DEFLATE < length:
        raise FormatError("its numbers are not in this file", subject=where)
    offset = item.id.get_offset()
    end = None if offset is None else offset + length
    if end is None or end > len(data) or item.dtype != np.dtype("<f4"):
        return np.asarray(item[()], np.float32)
    return np.frombuffer(data[offset:end], "<f4").reshape(item.shape)
