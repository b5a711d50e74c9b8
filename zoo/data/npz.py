"""Arrays by name from an .npz, which may come from anywhere."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from prototxt.errors import ZooError

__all__ = ["read_npz"]


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Every array of an .npz; nothing in it is unpickled. ZooError for any other file."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if not hasattr(stored, "files"):
                raise ValueError("one array, not several by name")
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise ZooError("no such file", subject=path, remedy="check the path") from None
    except OSError as error:
        raise ZooError(f"cannot be read: {error.strerror or error}", subject=path) from None
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError) as error:
        raise ZooError(f"not an .npz file of arrays ({error})", subject=path) from None
