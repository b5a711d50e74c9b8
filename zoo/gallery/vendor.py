"""onnxruntime-web, the runtime of the demonstration, from its npm package.

The tarball is pinned by its SHA-256, fetched once by `npm pack`, and kept in the cache.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prototxt.errors import Argument, Sentence
from prototxt.files import sha256
from zoo.errors import HubError
from zoo.hub.places import cache_folder


@dataclass(frozen=True)
class Package:
    """An npm package of one version, by the SHA-256 of its tarball."""

    name: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        """What `npm pack` calls the tarball."""
        return f"{self.name}-{self.version}.tgz"

    def kept(self) -> Path:
        """Where the tarball is kept once it was fetched."""
        return cache_folder() / "npm" / self.file

    def is_right(self, path: Path) -> bool:
        """Whether the package is there, and is the pinned one by its SHA-256."""
        return path.is_file() and sha256(path) == self.sha256

    def fetch(self, needed_by: str, remedy: str) -> Path:
        """Where the tarball is, once `npm pack` put it there; HubError where it cannot."""
        path = self.kept()
        if self.is_right(path):
            return path
        npm = shutil.which("npm")
        if npm is None:
            raise HubError(
                f"{needed_by} needs {self.name}, and there is no npm to fetch it", remedy=remedy
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            run = subprocess.run(
                [npm, "pack", f"{self.name}@{self.version}", "--silent"],
                cwd=folder,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
            )
            got = Path(folder) / self.file
            if run.returncode or not self.is_right(got):
                raise HubError(f"npm cannot fetch {self.name} {self.version}", remedy=remedy)
            got.replace(path)
        return path


RUNTIME = Package(
    "onnxruntime-web",
    "1.30.0",
    "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71",
)
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
    Argument("runtime_web", RUNTIME.file),
    ", or leave the demonstration out with ",
    Argument("demo", False),
)


def runtime_files(tarball: Path | None = None) -> dict[str, bytes]:
    """The runtime's files by their path in the site; HubError where it cannot be had."""
    path = tarball or RUNTIME.fetch("the demonstration", REMEDY)
    if not path.is_file():
        raise HubError("no such file", subject=path)
    if not RUNTIME.is_right(path):
        name = f"{RUNTIME.name}@{RUNTIME.version}"
        raise HubError(
            f"not {RUNTIME.name} {RUNTIME.version}: its sha256 differs",
            subject=path,
            remedy=f"`npm pack {name}` fetches it",
        )
    return {f"gallery/ort/{name}": data for name, data in members(path, "dist", FILES).items()}


def members(tarball: Path, folder: str, names: Sequence[str]) -> dict[str, bytes]:
    """Files of a package's folder, by name."""
    found = {}
    with tarfile.open(tarball) as archive:
        for name in names:
            member = archive.extractfile("/".join(filter(None, ("package", folder, name))))
            assert member is not None
            found[name] = member.read()
    return found
