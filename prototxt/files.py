"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from .errors import FormatError

__all__ = ["atomic_write", "read_bytes"]


def atomic_write(path: str | Path, data: bytes | str | Callable[[BinaryIO], object]) -> None:
    """Write beside `path`, sync, then rename: nobody ever sees half a file.

    `data` is the contents, or a function that writes them to the open binary file. Raises
    FormatError (one line) where the place cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise FormatError(f"{path}: is a directory", None, "name a file")
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent or ".")
        with os.fdopen(handle, "wb") as file:
            if isinstance(data, str):
                file.write(data.encode())
            elif isinstance(data, bytes):
                file.write(data)
            else:
                data(file)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
        temporary = ""
    except OSError as error:
        why = error.strerror or str(error)
        if not path.parent.is_dir():
            why = f"there is no folder {path.parent}"
        raise FormatError(f"{path}: cannot be written: {why}") from None
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def read_bytes(path: str | Path) -> bytes:
    """A file's contents; FormatError (one line) where it cannot be read."""
    path = Path(path)
    if path.is_dir():
        raise FormatError(f"{path}: is a directory", None, "name a file")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file") from None
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror}") from None
