"""onnxruntime-web, the runtime of the demonstration, from its npm package.

The tarball is pinned by its SHA-256, fetched once by `npm pack`, and kept in the cache.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from prototxt.errors import Argument, Sentence
from prototxt.files import sha256
from zoo.errors import HubError
from zoo.hub.places import cache_folder

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web-{VERSION}.tgz"
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
"""WebAssembly alone, and WebGPU; the page loads one or the other."""

REMEDY = Sentence(
    "give it with ",
    Argument("runtime_web", PACKAGE),
    ", or leave the demonstration out with ",
    Argument("demo", False),
)


def kept() -> Path:
    """Where the tarball is kept once it was fetched."""
    return cache_folder() / "npm" / PACKAGE


def runtime_files(tarball: Path | None = None) -> dict[str, bytes]:
    """The runtime's files by their path in the site; HubError where it cannot be had."""
    path = tarball or kept()
    if tarball is None and not is_right(path):
        fetch(path)
    if not path.is_file():
        raise HubError("no such file", subject=path)
    if not is_right(path):
        raise HubError(
            f"not onnxruntime-web {VERSION}: its sha256 differs",
            subject=path,
            remedy=f"`npm pack onnxruntime-web@{VERSION}` fetches it",
        )
    found = {}
    with tarfile.open(path) as archive:
        for name in FILES:
            member = archive.extractfile(f"package/dist/{name}")
            assert member is not None
            found[f"gallery/ort/{name}"] = member.read()
    return found


def is_right(path: Path) -> bool:
    """Whether the package is there, and is the pinned one by its SHA-256."""
    return path.is_file() and sha256(path) == SHA256


def fetch(path: Path) -> None:
    """`npm pack` into the cache."""
    npm = shutil.which("npm")
    if npm is None:
        raise HubError(
            "the demonstration needs onnxruntime-web, and there is no npm to fetch it",
            remedy=REMEDY,
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        run = subprocess.run(
            [npm, "pack", f"onnxruntime-web@{VERSION}", "--silent"],
            cwd=folder,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        got = Path(folder) / PACKAGE
        if run.returncode or not is_right(got):
            raise HubError(f"npm cannot fetch onnxruntime-web {VERSION}", remedy=REMEDY)
        got.replace(path)
