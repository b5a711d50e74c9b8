"""Weights that are only to be had by their address: fetched once, whole, and where it broke off."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from prototxt.errors import ZooError
from prototxt.files import make_folder
from zoo.errors import TransientError
from zoo.hub.fetching import BoundedWriter, download, with_retries
from zoo.hub.index import LARGEST_FILE

__all__ = ["fetched"]

SECONDS = 3600.0


def fetched(url: str, folder: Path, sha1: str = "") -> Path:
    """The file at an `http(s)` address, in `folder`, which is made if need be.

    What is there already is taken as it is. A download that breaks off leaves its part, from which
    the next goes on; `sha1`, where it is stated, judges the whole. ZooError in one line.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ZooError("is no http address", subject=url)
    mark = hashlib.sha256(url.encode()).hexdigest()[:12]
    last = unquote(urlsplit(url).path).rpartition("/")[2]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip(".-") or "weights"
    path = folder / f"{mark}-{name}"
    if path.is_file():
        return path
    make_folder(folder)
    part = path.with_name(f".{path.name}.part")

    def attempt() -> None:
        with part.open("r+b" if part.exists() else "w+b") as file:
            output = BoundedWriter(file, LARGEST_FILE, url, None)
            output.resume()
            try:
                download(url, output, SECONDS)
            except TransientError:
                if output.bad:
                    output.restart()
                raise

    with_retries(attempt)
    if sha1 and digest(part) != sha1.lower():
        part.unlink()
        raise ZooError("what came has another sha1 than its readme.md states", subject=url)
    part.replace(path)
    return path


def digest(path: Path) -> str:
    """The SHA-1 of a file, as readme.md files state it."""
    found = hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            found.update(data)
    return found.hexdigest()
