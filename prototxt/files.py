"""Files that appear whole or not at all; digests, folders, mapped contents."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .errors import FormatError, ZooError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "atomic_write",
    "atomic_write_all",
    "find_beside",
    "is_there",
    "lock",
    "make_folder",
    "map_bytes",
    "opened_folder",
    "read_bytes",
    "read_lines",
    "release",
    "remove_leftovers",
    "require_file",
    "sha256",
    "sha256_meanwhile",
    "unpacked_limit",
    "weights_beside",
    "write_folder",
    "writing",
]


Content = bytes | str | Callable[[BinaryIO], object]
"""What a file shall contain, or a function that writes it to the open binary file."""


def atomic_write(path: str | Path, data: Content) -> None:
    """Write beside `path`, sync, then rename: nobody ever sees half a file.

    Raises FormatError (one line) where the place cannot be written.
    """
    atomic_write_all([(path, data)])


def atomic_write_all(contents: Sequence[tuple[str | Path, Content]]) -> None:
    """Write several files, all or none: none is seen before the last is complete and synced.

    Whatever ends the process, old and new ones never stand side by side. What a killed one leaves
    in a folder, the next one that writes there removes.
    """
    with contextlib.ExitStack() as stack:
        folders: dict[Path, Path] = {}
        staged: list[tuple[Path, Path]] = []
        for path, data in ((Path(p), d) for p, d in contents):
            with writing(path):
                if path.is_dir():
                    raise FormatError("is a directory", subject=path, remedy="name a file")
                if path.exists() and not path.is_file():
                    raise FormatError("is no ordinary file", subject=path, remedy="name another")
                if path.parent not in folders:
                    folders[path.parent] = stack.enter_context(staging(path.parent))
                temporary = folders[path.parent] / str(len(staged))
                fill(temporary, data)
                staged.append((temporary, path))
        if len(staged) == 1:
            with writing(path):
                temporary.replace(path)
        else:
            place(staged)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make a FormatError that names `path` of the system's error."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        if not path.parent.is_dir():
            why = f"there is no folder {path.parent}"
        raise FormatError(f"cannot be written: {why}", subject=path) from None


def write_folder(folder: Path, contents: Sequence[tuple[Path, Content]]) -> None:
    """Write files of a folder, all or none; one that is made for them goes where they do not come.

    ZooError in one line where that cannot be.
    """
    new = not folder.exists()
    make_folder(folder)
    try:
        atomic_write_all(contents)
    except BaseException:
        if new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def fill(path: Path, data: Content) -> None:
    """Write and sync a new file."""
    with path.open("xb") as file:
        if isinstance(data, str):
            file.write(data.encode())
        elif isinstance(data, bytes):
            file.write(data)
        else:
            data(file)
        file.flush()
        os.fsync(file.fileno())


def place(staged: Sequence[tuple[Path, Path]]) -> None:
    """Let files take their names; of several that belong together, all or none.

    Those of before make way first: a process that is killed in this instant leaves too few files,
    which is seen, and no old one beside a new one, which is not.
    """
    moved: list[tuple[Path, Path]] = []
    with contextlib.ExitStack() as stack:
        for folder in sorted({path.parent for _, path in staged}):
            stack.enter_context(alone_in(folder))
        try:
            for temporary, path in reversed(staged):
                if os.path.lexists(path):
                    aside = temporary.with_suffix(".old")
                    moved.append((path, aside))
                    with writing(path):
                        path.replace(aside)
            for temporary, path in staged:
                moved.append((temporary, path))
                with writing(path):
                    temporary.replace(path)
        except BaseException:
            for was, now in reversed(moved):
                with contextlib.suppress(OSError):  # the last one may not have come to pass
                    now.replace(was)
            raise


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process is in this block for the same folder."""
    handle = opened_folder(folder)
    try:
        if handle is not None:
            lock(handle, wait=True)
        yield
    finally:
        if handle is not None:
            os.close(handle)


@contextlib.contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A folder in `folder` for what is not complete, locked, and gone at the end."""
    remove_leftovers(folder)
    with contextlib.ExitStack() as stack:
        while True:
            made = Path(tempfile.mkdtemp(LEFTOVER[1], LEFTOVER[0], folder))
            stack.callback(shutil.rmtree, made, ignore_errors=True)
            handle = opened_folder(made)
            if handle is not None:
                stack.callback(os.close, handle)
                lock(handle, wait=True)
            if made.is_dir():  # else it was taken for a leftover just before it was locked
                break
        yield made


LEFTOVER = (".zoo-", ".part")
"""How the name of a folder begins and ends in which files are made."""

_looked_through: set[tuple[int, int]] = set()


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left in a folder; a process that lives holds a lock on its own.

    Once in a process, as a folder may hold many files.
    """
    first, last = LEFTOVER
    with contextlib.suppress(OSError):  # it may not be there, or not for us to list
        found = folder.stat()
        if (found.st_dev, found.st_ino) in _looked_through:
            return
        _looked_through.add((found.st_dev, found.st_ino))
        for path in folder.iterdir():
            if path.name.startswith(first) and path.name.endswith(last):
                handle = opened_folder(path)
                if handle is not None:
                    if lock(handle):
                        shutil.rmtree(path, ignore_errors=True)
                    os.close(handle)


def opened_folder(folder: Path) -> int | None:
    """The handle of a folder, for `lock`; None for a link, where it is gone, and on Windows."""
    if fcntl is None:
        return None
    with contextlib.suppress(OSError):
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    return None


def lock(handle: int, wait: bool = False) -> bool | None:
    """Lock an open file or folder until it is closed, or its process ends, however that be.

    False where another process has it (unless told to `wait`), None where there are no locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # not on this kind of disk
        return None
    return True


LARGEST = 256 << 20
"""Bytes of the largest file that is read whole: a text, an image."""


def require_file(
    path: str | Path, error: type[ZooError] = FormatError, what: str = "a file"
) -> int:
    """The length of an ordinary file; an error of that kind (one line) for anything else.

    A device may never end, and a pipe may never begin.
    """
    path = Path(path)
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise error("no such file", subject=path) from None
    except OSError as problem:
        raise error(f"cannot be read: {problem.strerror}", subject=path) from None
    if stat.S_ISDIR(found.st_mode):
        raise error("is a directory", subject=path, remedy=f"name {what}")
    if not stat.S_ISREG(found.st_mode):
        raise error("is no ordinary file", subject=path, remedy=f"name {what}")
    return found.st_size


MORE = 1 << 16
"""Bytes that a file may have beyond those that it states: what the system makes up states none."""


def read_bytes(
    path: str | Path,
    error: type[ZooError] = FormatError,
    what: str = "a file",
    largest: int = LARGEST,
) -> bytes:
    """A file's contents; an error of that kind (one line) where it cannot be read.

    That is so of what is no ordinary file and of one with more bytes than `largest`.
    """
    path = Path(path)
    if (size := require_file(path, error, what)) > largest:
        raise error(f"{size:,} bytes; at most {largest:,} are read", subject=path)
    try:
        with path.open("rb") as file:
            return file.read(min(size + MORE, largest))
    except OSError as problem:
        raise error(f"cannot be read: {problem.strerror}", subject=path) from None


def read_lines(path: str | Path, remedy: str) -> list[str]:
    """The lines of a text; FormatError (one line) where it is none, which says what to give."""
    data = read_bytes(path)
    try:
        if b"\0" not in data:
            return data.decode().splitlines()
    except UnicodeDecodeError:
        pass
    raise FormatError("not a text file", subject=path, remedy=remedy)


UNPACKED, RATIO = 256 << 20, 16


def unpacked_limit(packed: int) -> int:
    """How many bytes of numbers a file may unpack to that has so many bytes itself.

    Zeros can be packed to a thousandth, or a millionth; numbers that mean something cannot.
    """
    return UNPACKED + RATIO * packed


def map_bytes(path: str | Path) -> memoryview:
    """A file's contents without reading them: mapped, and kept as long as a view of them is.

    FormatError (one line) where that cannot be done, as for what is no ordinary file.
    """
    path = Path(path)
    size = require_file(path)
    try:
        with path.open("rb") as file:
            if not size:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError):
        return memoryview(read_bytes(path, largest=size))


def release(array: np.ndarray) -> None:
    """Give back the memory of an array that is a view of a mapped file; of any other nothing.

    It stays readable, from the file.
    """
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    whole = base.obj if isinstance(base, memoryview) else None
    if not isinstance(whole, mmap.mmap) or not hasattr(mmap, "MADV_DONTNEED") or not array.nbytes:
        return
    first = array.ctypes.data - np.frombuffer(whole, np.uint8).ctypes.data
    start = first - first % mmap.PAGESIZE
    whole.madvise(mmap.MADV_DONTNEED, start, first + array.nbytes - start)


def sha256(path: Path) -> str:
    """The digest of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_meanwhile(path: Path) -> Callable[[], str]:
    """Begin to take a digest in another thread; call the result to have it."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(sha256, path)
    pool.shutdown(wait=False)
    return future.result


def make_folder(path: Path) -> None:
    """Make a folder for output; ZooError in one line where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise ZooError("is a file, not a folder", subject=path, remedy="give a folder") from None
    except OSError as error:
        raise ZooError(f"cannot be made: {error.strerror or error}", subject=path) from None


def weights_beside(model: Path) -> Path:
    """The file for the weights of a model that do not lie in its own.

    The model names it in UTF-8: bytes of its name that are none stand as %e9.
    """
    name = re.sub("[\ud800-\udfff]", lambda byte: f"%{ord(byte[0]) & 0xFF:02x}", model.name)
    return model.with_name(f"{name}.data")


def is_there(path: Path) -> bool:
    """Whether a path that a file names leads anywhere; one that no system can have does not."""
    try:
        return path.exists()
    except OSError:  # too long, or a circle of links
        return False


def find_beside(name: str, path: Path) -> Path | None:
    """A file as Caffe finds it (from the current folder), else beside the file that names it."""
    for candidate in (Path(name), path.parent / name, path.parent / Path(name).name):
        if name and is_there(candidate):
            return candidate
    return None
