"""Where a hub is, and where its files are kept: a folder, an address, what the package carries."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from prototxt.errors import Argument, Function, Sentence, UsageError
from zoo.errors import HubError
from zoo.hub import index as schema
from zoo.hub.index import Entry, File, Index

MADE_BY = Sentence(
    Function("zoo.hub.publish", ("MODEL.onnx", Argument("hub", "DIR"))), " makes one"
)

EMBEDDED = Path(__file__).parent / "embedded"
"""The hub that the installed package carries."""

LOCK_SECONDS = 600.0
"""How long one process waits for another that works on the same thing."""


HubAddress = str | Path | Sequence[str | Path] | None
"""A folder or an address; several are mirrors of one hub; None is what ZOO_HUB names."""


@dataclass(frozen=True)
class Place:
    """Where the files of a hub are: in `folder`, or at `url`."""

    folder: Path | None = None
    url: str | None = None

    def address(self, entry: Entry, file: File) -> str:
        """Where a file is: its URL, or its path."""
        if self.folder is not None:
            return str(self.folder / entry.path(file))
        return f"{self.url}/{'/'.join(quote(part) for part in entry.path(file).split('/'))}"


@dataclass(frozen=True)
class Hub:
    """A hub and its index; either `folder` or `url` says where it was read, and its files are.

    `mirrors` may have the same files.
    """

    index: Index
    folder: Path | None = None
    url: str | None = None
    mirrors: tuple[Place, ...] = ()

    @property
    def name(self) -> str:
        """As a person reads it."""
        return self.url or ("the embedded hub" if self.folder == EMBEDDED else str(self.folder))

    @property
    def places(self) -> tuple[Place, ...]:
        """Where its files are, in the order in which they are asked."""
        return (Place(self.folder, self.url), *self.mirrors)


def several(hub: HubAddress) -> list[str]:
    """The addresses that are given, else those of ZOO_HUB, which has blanks between several.

    The embedded hub where there are none.
    """
    if isinstance(hub, Sequence) and not isinstance(hub, str) and hub:
        return [str(one) for one in hub]
    if hub and isinstance(hub, str | Path):
        return [str(hub)]
    named = os.environ.get("ZOO_HUB", "")
    if Path(named).is_dir():  # there may be a blank in its name
        return [named] if named else [str(EMBEDDED)]
    return named.split() or [str(EMBEDDED)]


def read_index(folder: Path) -> Index:
    """The index in a hub's folder; HubError where there is none or where it is damaged."""
    path = folder / schema.FILE
    if not folder.is_dir():
        raise HubError(
            "no such folder",
            subject=f"hub {folder}",
            remedy=MADE_BY,
        )
    try:
        # A pipe or a device would be waited for, or read for ever.
        if path.exists() and not path.is_file():
            raise HubError("is no file", subject=path, remedy=MADE_BY)
        if path.stat().st_size > schema.LARGEST_INDEX:
            raise HubError(
                f"larger than the {schema.LARGEST_INDEX >> 20} MiB allowed to an index",
                subject=path,
            )
        text = path.read_bytes()
    except FileNotFoundError:
        raise HubError(
            f"there is no {schema.FILE} in it",
            subject=f"hub {folder}",
            remedy=MADE_BY,
        ) from None
    except OSError as error:
        raise HubError(f"cannot be read: {error.strerror or error}", subject=path) from None
    return schema.read(text, str(path))


def publishing_folder(hub: str | Path | None = None) -> Path:
    """The hub's folder that is published to: `hub`, else what ZOO_HUB names. It need not be there.

    UsageError where neither is given, and for an address.
    """
    given = str(hub) if hub is not None else os.environ.get("ZOO_HUB", "")
    if hub is None and len(several(None)) > 1:
        raise UsageError(
            "ZOO_HUB names several hubs", remedy=Sentence("give one with ", Argument("hub"), " DIR")
        )
    if not given:
        raise UsageError(
            Sentence("neither ", Argument("hub"), " nor ZOO_HUB names the hub's folder")
        )
    # A Path has one of the two slashes.
    if "://" in given or (hub is not None and given.startswith(("http:/", "https:/"))):
        raise UsageError(
            "is an address, and only a folder can be published to",
            subject=given,
            remedy="publish to a folder, and copy that to its host",
        )
    return Path(given)


def cache_folder() -> Path:
    """Where fetched models are kept: ZOO_CACHE, else the platform's folder for such things."""
    given = os.environ.get("ZOO_CACHE")
    base = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", "")
    try:
        if given:
            return Path(given).expanduser()
        if sys.platform == "win32":
            return Path(base) / "caffe-zoo" / "cache" if base else Path.home() / ".caffe-zoo"
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "caffe-zoo"
        # The standard says that a relative path is to be ignored.
        return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "caffe-zoo"
    except RuntimeError:
        raise HubError(
            "there is no home folder to keep models in",
            remedy="ZOO_CACHE names another folder for them",
        ) from None


def kept_in(entry: Entry) -> Path:
    """The cache folder of one version of a model, by its content.

    Two hubs may have models of the same name, and what one of them says must not spoil the other's.
    """
    content = "\n".join(sorted(f"{file.sha256} {file.name}" for file in entry.files))
    digest = sha256(content.encode()).hexdigest()[:16]
    return cache_folder() / "models" / entry.name / f"{entry.version}-{digest}"


def kept_index(url: str) -> Path:
    """Where the index of a URL is kept for `--offline`."""
    return cache_folder() / "indexes" / f"{sha256(url.encode()).hexdigest()[:32]}.json"


@contextlib.contextmanager
def locked(
    path: Path, what: str, hint: str = "ZOO_CACHE names another folder for the cache"
) -> Iterator[None]:
    """Hold the lock file `path`, which the system frees when a process dies."""
    import filelock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path, timeout=LOCK_SECONDS)
        lock.acquire()
    except filelock.Timeout:
        raise _held(path, what) from None
    except OSError as error:
        raise HubError(
            f"cannot be made: {error.strerror or error}", subject=path, remedy=hint
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold a hub's folder, which is there, while it is written to.

    The folder itself is locked, so that no file stays in it; on Windows, which cannot, one does.
    """
    if sys.platform == "win32":
        with locked(folder / ".lock", str(folder), "is the folder writable?"):
            yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise _held(folder, str(folder)) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def _held(path: Path, what: str) -> HubError:
    return HubError(
        f"another process has held {path} for {LOCK_SECONDS / 60:g} minutes",
        subject=what,
        remedy="wait for it, or end it",
    )
