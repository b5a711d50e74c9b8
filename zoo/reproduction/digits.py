"""MNIST's own files: images of digits in the idx format."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from prototxt.errors import ZooError

__all__ = ["read_digits"]

NAME = "t10k-images-idx3-ubyte"
MAGIC = 0x803
"""Of unsigned bytes in three dimensions."""
MOST = 1 << 28
"""Bytes that a file may hold."""


def read_digits(folder: Path) -> np.ndarray:
    """The test digits: N×28×28 uint8, white on black. ZooError where they are not as MNIST's."""
    plain, packed = folder / NAME, folder / f"{NAME}.gz"
    path = plain if plain.is_file() else packed
    if not path.is_file():
        raise ZooError("no such file", subject=packed, remedy="MNIST's test images are meant")
    try:
        with gzip.open(path) if path is packed else path.open("rb") as file:
            head = file.read(16)
            if len(head) < 16:
                raise ZooError("is no idx file: it has no head", subject=path)
            magic, count, rows, columns = struct.unpack(">4I", head)
            if magic != MAGIC or (rows, columns) != (28, 28):
                raise ZooError("is no idx file of images of 28x28 bytes", subject=path)
            size = count * rows * columns
            if size > MOST:
                raise ZooError(f"claims {count} images", subject=path)
            data = file.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise ZooError(f"cannot be read: {error}", subject=path) from None
    if len(data) != size:
        raise ZooError(f"ends within its {count} images", subject=path)
    return np.frombuffer(data, np.uint8).reshape(count, rows, columns)
