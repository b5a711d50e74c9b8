"""The records of an LMDB, read page by page.

LMDB's own library maps the file into memory and believes what it finds there: a database that is
damaged or cut short ends the process. Here every page is read and checked before anything in it is
believed: its kind, that its nodes lie inside it and do not overlap, that pages are used once, and
that all lie inside the file. What a database of Caffe's cannot be is refused: several values for a
key, databases in a database.

The format is version 1 of lmdb.h and mdb.c (MDB_meta, MDB_page, MDB_node), little-endian. A page
begins with 16 bytes: its number (8), unused (2), flags (2), where its free space begins and ends
(2 + 2) or, of an overflow page, how many there are in a row (4). The places of its nodes follow,
2 bytes each. A node begins with 8 bytes: in a leaf the length of its data (4), flags (2), the
length of its key (2); in a branch the child's page takes the place of the first two. The key and
the data follow, or the number of the overflow page that the data begin in.
"""

from __future__ import annotations

import os
import struct
import weakref
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .errors import FormatError
from .files import require_file

__all__ = ["FILE", "Pages"]

FILE = "data.mdb"
MAGIC, VERSION = 0xBEEFC0DE, 1
EMPTY = 2**64 - 1
"""The root of a tree without pages."""
HEADER = 16
BRANCH, LEAF, OVERFLOW, OTHER = 1, 2, 4, 8 | 0x20 | 0x40
"""Flags of pages; OTHER are those of meta pages and of sorted values."""
IN_OVERFLOW = 1
"""The flag of a node whose data lie in overflow pages."""
DEEPEST = 32
"""Levels, as mdb.c's CURSOR_STACK."""
AT_ONCE = 64
"""Pages that are read together where they lie together."""

META = struct.Struct("<II16xIH46xH34xQQQ")
"""Magic, version, page size, the two tables' flags, root of the main one, last page, transaction"""
PAGE = struct.Struct("<10xHHH")
NODE = struct.Struct("<IHH")
RUN = struct.Struct("<10xHI")
NUMBER = struct.Struct("<Q")


class Damaged(Exception):
    """What is wrong with the file."""


class Pages:
    """Keys in their order, and the value of each. Reads the file `data.mdb` of a folder.

    FormatError (one line) where it is no sound database. The file stays open.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.length = require_file(folder / FILE)
        try:
            self.handle = os.open(folder / FILE, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise FormatError(f"cannot be read: {error.strerror}", subject=folder) from None
        weakref.finalize(self, os.close, self.handle)
        self.keys: list[bytes] = []
        self.offsets, self.lengths = array("Q"), array("Q")
        self.runs = array("Q")
        try:
            self.page, root = self.meta()
            if root != EMPTY:
                self.walk(root)
        except Damaged as error:
            raise FormatError(f"cannot be read as an LMDB: {error}", subject=folder) from None

    def __len__(self) -> int:
        return len(self.keys)

    def value(self, number: int) -> memoryview:
        """The bytes of a record; FormatError (one line) where they are not there."""
        offset, length = self.offsets[number], self.lengths[number]
        try:
            if offset % self.page != HEADER:
                return memoryview(self.read(offset, length))
            data = memoryview(self.read(offset - HEADER, HEADER + length))
            flags, count = RUN.unpack_from(data)
            if not flags & OVERFLOW or count < self.pages_of(length):
                raise Damaged("its page is of another kind")
            return data[HEADER:]
        except Damaged as error:
            key = self.keys[number].decode("utf-8", "replace")
            raise FormatError(f"record {key!r}: {error}", subject=self.path) from None

    def read(self, offset: int, length: int) -> bytes:
        """So many bytes of the file."""
        data = at(self.handle, length, offset)
        if len(data) != length:
            raise Damaged("the file is cut short")
        return data

    def pages_of(self, length: int) -> int:
        """How many overflow pages so many bytes take."""
        return -(-(HEADER + length) // self.page)

    def meta(self) -> tuple[int, int]:
        """The size of a page, and the root of the tree, of the newest transaction."""
        place, found = 0, []
        for _ in range(2):
            if place + HEADER + META.size > self.length:
                raise Damaged("the file is cut short")
            data = self.read(place + HEADER, META.size)
            magic, version, place, _, kind, root, _, transaction = META.unpack(data)
            if magic != MAGIC:
                raise Damaged("the file is none")
            if version != VERSION:
                raise Damaged(f"version {version} of the format; {VERSION} is read")
            if place & (place - 1) or not 512 <= place <= 65536:
                raise Damaged(f"pages of {place} bytes")
            found.append((transaction, place, kind, root))
        _, page, kind, root = max(found, key=lambda meta: meta[0])
        if kind:
            raise Damaged("its keys are not Caffe's: they are sorted otherwise, or not unique")
        return page, root

    def walk(self, root: int) -> None:
        """List all records, level by level from the root."""
        level = np.array([root], np.uint64)
        used = [level]
        for _ in range(DEEPEST):
            children = array("Q")
            kinds = set()
            for number, data in self.pages(level):
                flags, lower, upper = PAGE.unpack_from(data)
                kind = flags & (BRANCH | LEAF | OVERFLOW | OTHER)
                kinds.add(kind)
                if kind not in (BRANCH, LEAF) or len(kinds) > 1:
                    raise Damaged(f"page {number} is of another kind")
                if not HEADER < lower <= upper <= self.page or lower % 2:
                    raise Damaged(f"page {number} has impossible bounds")
                places = struct.unpack_from(f"<{(lower - HEADER) // 2}H", data, HEADER)
                if min(places) < lower or max(places) > self.page - NODE.size:
                    raise Damaged(f"page {number} has nodes outside it")
                if kind == BRANCH:
                    children.extend(
                        number | hint << 32
                        for number, hint, _ in (NODE.unpack_from(data, p) for p in places)
                    )
                else:
                    self.leaf(number, data, places, self.page - lower)
            if not children:
                break
            level = np.frombuffer(children, np.uint64)
            if len(np.unique(level)) < len(level):
                raise Damaged("a page is used twice")
            used.append(level)
        else:
            raise Damaged("a page is used twice")
        self.check_use(np.concatenate(used))

    def pages(self, numbers: np.ndarray) -> Iterator[tuple[int, memoryview]]:
        """Pages with their numbers; those that follow one another are read together."""
        if len(numbers) and int(numbers.max()) >= self.length // self.page:
            raise Damaged(f"page {numbers.max()} is beyond the end of the file")
        steps = np.flatnonzero(np.diff(numbers) != 1) + 1
        for first, last in zip([0, *steps], [*steps, len(numbers)], strict=True):
            for begin in range(first, last, AT_ONCE):
                count = min(AT_ONCE, last - begin)
                number = int(numbers[begin])
                data = memoryview(self.read(number * self.page, count * self.page))
                for i in range(count):
                    yield number + i, data[i * self.page : (i + 1) * self.page]

    def leaf(self, number: int, data: memoryview, places: tuple[int, ...], room: int) -> None:
        """The records of a leaf, whose nodes have so many bytes in all."""
        base = number * self.page
        for place in places:
            length, flags, key = NODE.unpack_from(data, place)
            begin = place + NODE.size + key
            held = NUMBER.size if flags == IN_OVERFLOW else length
            room -= begin + held - place
            if flags & ~IN_OVERFLOW or begin + held > self.page or room < 0:
                raise Damaged(f"page {number} has nodes that do not fit it")
            self.keys.append(bytes(data[place + NODE.size : begin]))
            self.lengths.append(length)
            if flags == IN_OVERFLOW:
                (run,) = NUMBER.unpack_from(data, begin)
                count = self.pages_of(length)
                if run + count > self.length // self.page:
                    raise Damaged(f"page {run} is beyond the end of the file")
                self.runs.extend((run, count))
                self.offsets.append(run * self.page + HEADER)
            else:
                self.offsets.append(base + begin)

    def check_use(self, tree: np.ndarray) -> None:
        """No page twice: neither in the tree, nor for the values of two records."""
        runs = np.array(self.runs, np.uint64).reshape(-1, 2)
        metas = np.array([[0, 2]], np.uint64)
        single = np.stack([tree, np.ones_like(tree)], axis=1)
        rows = np.concatenate([metas, single, runs])
        rows = rows[np.argsort(rows[:, 0])]
        if np.any(rows[1:, 0] < rows[:-1].sum(axis=1)):
            raise Damaged("a page is used twice")
        self.runs = array("Q")


def at(handle: int, length: int, offset: int) -> bytes:
    """Up to so many bytes of an open file, wherever others are reading it."""
    if hasattr(os, "pread"):
        return os.pread(handle, length, offset)
    os.lseek(handle, offset, os.SEEK_SET)
    return os.read(handle, length)
