r"""The .switches file: an image as the max-pooling switches of one network, 2 bits for each.

All numbers are little-endian. A file of version 1 is, byte by byte:

    0       4   magic: 89 5A 53 57 (\x89 and "ZSW")
    4       1   version: 1
    5       1   coding of the switches: 0 as they are, 1 LZMA2, 2 by tables of the
                model, 3 by its scores
    6       4   height of the image in pixels
    10      4   width
    14      1   L, the number of levels, 1 to 8
    15      2L  channels of each level, first level first; 0 where a level has no switches
    15+2L   1   A, the length of the arch's name
    16+2L   A   the arch's name, ASCII; empty where the model states none
    ...     32  sha256 of the model's .onnx file
    ...     n   the switches
    end-4   4   CRC-32 of all bytes before it (any damage within 32 bits is found for certain)

The image is padded below and to the right to multiples of 2**L; level k then has height >> k rows
and width >> k columns of each of its channels. A switch is the place of the maximum in its 2×2
window: 0 and 1 in the upper row, 2 and 3 in the lower. Level by level, channel by channel, row by
row, four of them make a byte, the first in the highest bits; the last byte of a level is filled up
with zeros. Coding 1 puts all of these bytes through one LZMA2 stream (lc, lp and pb are 0, the
dictionary has 1 MiB), which marks its own end. Codings 2 and 3 are a range coder's stream, as
`switch_tables` and `switch_predictor` have it.

Coding 2 is taken where the model has tables, 3 where it has scores: switches resemble those beside
them and those of other channels, which the model knows of photographs in advance. LZMA2 knows
nothing, but serves any model: its match finder needs fewer bits than the order-0 entropy of each
channel. As parts of the fixed
size, over twelve photographs and five networks of the paper: order 0 .56 to .62, zlib .54 to .59,
zstandard .53 to .57, LZMA2 .51 to .56. Tables, counted on 90 photographs and tried on 25 others:
8_8_8 .45, 8_8_8-learned .81; benchmarks/rate.json has the files of all.

Both ways go through the masks in blocks of BLOCK switches: apart from the masks of one level (8
bytes a switch, as ONNX has them) and what LZMA2 takes for its dictionary, memory does not grow
with the image.
"""

from __future__ import annotations

import contextlib
import lzma
import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

import prototxt

from .errors import InferenceError
from .switch_predictor import SwitchPredictor
from .switch_tables import SwitchTables

__all__ = ["CodeSize", "Header", "read_header", "read_masks", "write_switches"]

MAGIC = b"\x89ZSW"
VERSION = 1
CODINGS = ("raw", "lzma2", "tables", "scores")
"""By their number in the file."""
MODELLED = CODINGS[2:]
"""Those that need the network's entropy model."""
EntropyModel = SwitchTables | SwitchPredictor
"""How likely the switches of a network are, by those around them."""
BLOCK = 1 << 16
"""Switches that are worked on at a time."""

LONGEST_SIDE = 1 << 16
LARGEST_IMAGE = 1 << 28
"""Pixels; what claims to be larger is refused before anything is allocated."""
MOST_LEVELS = 8
STEEPEST = {"raw": 1, "lzma2": 8192, "tables": 2048, "scores": 2048}
"""Bytes of packed switches to a coded one, at most: LZMA2 makes some 6,800, the likeliest switch by
an entropy model takes 1/946 bit. What claims more is refused.
"""

_FIXED = struct.Struct("<4sBBIIB")
_FILTERS = [
    {
        "id": lzma.FILTER_LZMA2,
        "preset": 9 | lzma.PRESET_EXTREME,
        "dict_size": 1 << 20,
        "lc": 0,
        "lp": 0,
        "pb": 0,
    }
]
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Header:
    """What a file says of itself: the image's size, and the model that made the switches."""

    height: int
    width: int
    levels: tuple[int, ...]
    """Channels of each level, first level first."""
    arch: str
    sha256: str
    """Of the model's .onnx file, in hex."""
    coding: str = "lzma2"
    """Of the switches: ``raw``, 2 bits each, ``lzma2``, ``tables`` or ``scores`` of the model."""

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width that the network saw: multiples of 2**L."""
        unit = 1 << len(self.levels)
        return -(-self.height // unit) * unit, -(-self.width // unit) * unit

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """Channels, height and width of each level's mask."""
        height, width = self.padded
        return [(c, height >> k, width >> k) for k, c in enumerate(self.levels, 1)]

    @property
    def fixed_bits(self) -> int:
        """2 bits for each switch, as the paper counts."""
        return sum(2 * math.prod(shape) for shape in self.shapes)

    @property
    def packed_bytes(self) -> int:
        """The switches at 2 bits each, whole bytes for each level."""
        return sum(-(-math.prod(shape) // 4) for shape in self.shapes)

    def to_bytes(self) -> bytes:
        """The header as the file begins with it."""
        name, count = self.arch.encode("ascii"), len(self.levels)
        coding = CODINGS.index(self.coding)
        fixed = _FIXED.pack(MAGIC, VERSION, coding, self.height, self.width, count)
        levels = struct.pack(f"<{count}H", *self.levels)
        return fixed + levels + bytes([len(name)]) + name + bytes.fromhex(self.sha256)


@dataclass(frozen=True)
class CodeSize:
    """What an image's switches cost, in bits; `size` is of the whole file, in bytes."""

    size: int
    fixed_bits: int
    entropy_bits: float
    """Order-0 entropy: each channel's switches by their own frequencies, and nothing else."""


def write_switches(
    path: str | Path,
    header: Header,
    masks: Iterable[np.ndarray],
    entropy_model: EntropyModel | None = None,
) -> CodeSize:
    """Write masks (C×h×w int64, first level first) to a file, whole or not at all.

    `entropy_model` is the network's (`EncoderDecoder.entropy_model`), which a `coding` needs that
    is neither ``raw`` nor ``lzma2``. Raises
    InferenceError where they are not the masks of 2×2 windows that the header tells of.
    """
    written: list[CodeSize] = []

    def write(file: BinaryIO) -> None:
        written.append(dump(file, header, masks, entropy_model, str(path)))

    prototxt.atomic_write(path, write)
    return written[0]


def dump(
    file: BinaryIO,
    header: Header,
    masks: Iterable[np.ndarray],
    entropy_model: EntropyModel | None = None,
    source: str = "switches",
) -> CodeSize:
    """The same into an open file."""
    check(header, source)
    counts = [np.zeros((channels, 4), np.int64) for channels in header.levels]
    size = crc = 0

    def put(data: bytes) -> None:
        nonlocal crc, size
        crc = zlib.crc32(data, crc)
        size += file.write(data)

    def checked() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for mask, shape, count in zip(masks, header.shapes, counts, strict=True):
            if mask.shape != shape:
                raise InferenceError(f"a mask is {mask.shape}, not {shape}", subject=source)
            yield mask, count

    put(header.to_bytes())
    if header.coding in MODELLED:
        known = _known(entropy_model, header, source)
        put(known.encode(_level(m, c, source) for m, c in checked()))
    else:
        plain = header.coding == "raw"
        coder = None if plain else lzma.LZMACompressor(lzma.FORMAT_RAW, filters=_FILTERS)
        for mask, count in checked():
            for packed in _packed(mask, count, source):
                put(coder.compress(packed) if coder else packed)
        put(coder.flush() if coder else b"")
    put(struct.pack("<I", crc))
    return CodeSize(size, header.fixed_bits, sum(map(entropy, np.concatenate(counts))))


def entropy(counts: np.ndarray) -> float:
    """Bits that symbols take which occur so often, each coded by its frequency."""
    there = counts[counts > 0].astype(np.float64)
    return float((there * np.log2(there.sum() / there)).sum())


def read_header(path: str | Path) -> Header:
    """The header of a file whose checksum has been verified; InferenceError where it is damaged."""
    with _opened(path) as file:
        return _verified(file, str(path))


def read_masks(path: str | Path, entropy_model: EntropyModel | None = None) -> Iterator[np.ndarray]:
    """The masks of a file, level by level: C×h×w int64, indices into planes of 2h×2w.

    `entropy_model` is that of the network that made it, for a file of its `coding`. Everything
    that can be told without decoding is checked before the first is allocated.
    """
    with _opened(path) as file:
        header = _verified(file, str(path))
        end = file.seek(0, 2) - 4
        file.seek(len(header.to_bytes()))
        left = end - file.tell()
        if header.coding in MODELLED:
            known = _known(entropy_model, header, str(path))
            for places in known.decode(file.read(left), header.shapes, str(path)):
                yield pointing(places.astype(np.int64))
            return
        source: _Source = (_Plain if header.coding == "raw" else _Coded)(file, left, str(path))
        for shape in header.shapes:
            yield _unpacked(source, shape, str(path))
        source.finish()


def check(header: Header, source: str) -> None:
    """InferenceError where no file may have such a header."""
    sides = (header.height, header.width)
    if not all(1 <= side <= LONGEST_SIDE for side in sides) or math.prod(sides) > LARGEST_IMAGE:
        raise InferenceError(
            f"an image of {header.height}x{header.width} pixels",
            subject=source,
            remedy=f"1 to {LONGEST_SIDE} a side and {LARGEST_IMAGE >> 20} Mi in all are allowed",
        )
    if (
        not 1 <= len(header.levels) <= MOST_LEVELS
        or not all(0 <= c < 1 << 16 for c in header.levels)
        or not header.levels[-1]
    ):
        listed = ", ".join(map(str, header.levels)) or "none"
        raise InferenceError(f"levels of {listed} channels are not possible", subject=source)
    if not header.arch.isascii() or not header.arch.isprintable() or len(header.arch) > 255:
        raise InferenceError("the arch's name is not plain text", subject=source)


def _damaged(source: str, what: str) -> InferenceError:
    return InferenceError(what, subject=source, remedy="encode the image again")


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[BinaryIO]:
    path = Path(path)
    if path.is_dir():
        raise InferenceError("is a directory", subject=path, remedy="name a .switches file")
    if not path.is_file():
        raise InferenceError("no such file", subject=path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise InferenceError(f"cannot be read: {error.strerror or error}", subject=path) from None
    with file:
        yield file


def _verified(file: BinaryIO, source: str) -> Header:
    """The header, after the whole file's checksum was taken."""
    start = file.read(_FIXED.size)
    if start[: len(MAGIC)] != MAGIC:
        raise InferenceError(
            "not a .switches file",
            subject=source,
            remedy="`zoo encode IMAGE -o FILE.switches` makes one",
        )
    if len(start) > len(MAGIC) and start[4] != VERSION:
        raise InferenceError(
            f"is of version {start[4]}; this tool reads version {VERSION}",
            subject=source,
            remedy="update caffe-zoo, or encode the image again",
        )
    size = file.seek(0, 2)
    file.seek(0)
    left, crc = size - 4, 0
    while left > 0:
        chunk = file.read(min(_CHUNK, left))
        if not chunk:
            break
        crc = zlib.crc32(chunk, crc)
        left -= len(chunk)
    if left != 0 or file.read(4) != struct.pack("<I", crc):
        raise _damaged(source, "is damaged or cut short: its checksum does not fit")
    file.seek(0)
    header = _header(file, size, source)
    check(header, source)
    coded = size - 4 - len(header.to_bytes())
    if header.coding == "raw" and coded != header.packed_bytes:
        raise _damaged(source, f"has {coded} bytes of switches instead of {header.packed_bytes}")
    if header.packed_bytes > coded * STEEPEST[header.coding]:
        raise _damaged(source, f"{coded} bytes cannot hold the switches of so large an image")
    return header


def _header(file: BinaryIO, size: int, source: str) -> Header:
    def take(count: int) -> bytes:
        data = file.read(count)
        if len(data) < count or file.tell() > size - 4:
            raise _damaged(source, "ends within its header")
        return data

    _, _, coding, height, width, count = _FIXED.unpack(take(_FIXED.size))
    if coding >= len(CODINGS):
        raise _damaged(source, f"its switches are coded in an unknown way ({coding})")
    levels = struct.unpack(f"<{count}H", take(2 * count))
    name = take(take(1)[0]).decode("latin-1")
    return Header(height, width, levels, name, take(32).hex(), CODINGS[coding])


def _packed(mask: np.ndarray, counts: np.ndarray, source: str) -> Iterator[bytes]:
    """The bytes of one level, in parts; adds each channel's switches to its counts (C×4)."""
    left = np.zeros(0, np.uint8)
    for plane, count in zip(mask, counts, strict=True):
        step = max(1, BLOCK // plane.shape[1])
        for row in range(0, len(plane), step):
            places = _places(plane[row : row + step], row, source)
            count += np.bincount(places, minlength=4)
            left = np.concatenate([left, places])
            whole = len(left) - len(left) % 4
            if whole >= BLOCK:
                yield _bytes(left[:whole])
                left = left[whole:]
    yield _bytes(np.pad(left, (0, -len(left) % 4)))


def _level(mask: np.ndarray, counts: np.ndarray, source: str) -> np.ndarray:
    """One level's places, C×h×w uint8; adds each channel's to its counts (C×4)."""
    found = np.empty(mask.shape, np.uint8)
    step = max(1, BLOCK // mask.shape[2])
    for plane, places, count in zip(mask, found, counts, strict=True):
        for row in range(0, len(plane), step):
            rows = plane[row : row + step]
            places[row : row + step] = _places(rows, row, source).reshape(rows.shape)
        count += np.bincount(places.ravel(), minlength=4)
    return found


def places_of(masks: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Masks (C×h×w int64) -> the places within the windows, C×h×w uint8 each."""
    return [_level(mask, np.zeros((len(mask), 4), np.int64), "switches") for mask in masks]


def _known(model: EntropyModel | None, header: Header, source: str) -> EntropyModel:
    if model is None or model.channels != header.levels or model.coding != header.coding:
        raise InferenceError(
            f"its switches are coded by {header.coding} of the model that made it",
            subject=source,
            remedy="give that model's (`EncoderDecoder.entropy_model`)",
        )
    return model


def _bytes(places: np.ndarray) -> bytes:
    four = places.reshape(-1, 4)
    return bytes(four[:, 0] << 6 | four[:, 1] << 4 | four[:, 2] << 2 | four[:, 3])


def _corners(first: int, rows: int, columns: int) -> np.ndarray:
    """Index of the upper left value of each window of some rows, in a plane 2·columns wide."""
    down = np.arange(first, first + rows, dtype=np.int64)[:, None] * (4 * columns)
    return down + 2 * np.arange(columns, dtype=np.int64)


def _places(rows: np.ndarray, first: int, source: str) -> np.ndarray:
    """Mask rows (indices into the plane) -> places within the windows, flat uint8."""
    height, columns = rows.shape
    offset = rows - _corners(first, height, columns)
    lower = offset >= 2 * columns
    right = offset - lower * (2 * columns)
    if ((right < 0) | (right > 1)).any():
        raise InferenceError(
            "a switch points out of its 2x2 window",
            subject=source,
            remedy="only poolings of 2x2 with stride 2 can be encoded",
        )
    return np.asarray(2 * lower + right, np.uint8).ravel()


class _Source(Protocol):
    """Where packed switches come from."""

    def take(self, count: int) -> bytes:
        """Exactly so many bytes."""

    def finish(self) -> None:
        """Raise InferenceError where anything is left."""


class _Plain:
    """The bytes as they stand in the file; how many there are was checked before."""

    def __init__(self, file: BinaryIO, left: int, source: str) -> None:
        self.file, self.left, self.source = file, left, source

    def take(self, count: int) -> bytes:
        data = self.file.read(min(count, self.left))
        self.left -= len(data)
        if len(data) < count:
            raise _damaged(self.source, "its switches end too soon")
        return data

    def finish(self) -> None:
        if self.left:
            raise _damaged(self.source, "something follows its switches")


class _Coded(_Plain):
    """The same out of LZMA2; never decodes more than was asked for."""

    def __init__(self, file: BinaryIO, left: int, source: str) -> None:
        super().__init__(file, left, source)
        self.decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)

    def take(self, count: int) -> bytes:
        parts = []
        while count:
            part = self._some(count)
            if not part:
                raise _damaged(self.source, "its switches end too soon")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _some(self, most: int) -> bytes:
        """Up to `most` bytes; none at the end."""
        found = b""
        while not found and not self.decoder.eof:
            chunk = b""
            if self.decoder.needs_input:
                chunk = self.file.read(min(_CHUNK, self.left))
                self.left -= len(chunk)
                if not chunk:
                    raise _damaged(self.source, "its switches end too soon")
            try:
                found = self.decoder.decompress(chunk, most)
            except lzma.LZMAError:
                raise _damaged(self.source, "its switches cannot be decompressed") from None
        return found

    def finish(self) -> None:
        if self._some(1) or self.decoder.unused_data or self.left:
            raise _damaged(self.source, "something follows its switches")


def _unpacked(source: _Source, shape: tuple[int, int, int], name: str) -> np.ndarray:
    """One level: packed places -> C×h×w int64 indices."""
    total = math.prod(shape)
    flat = np.empty(total, np.int64)
    shifts = np.array([6, 4, 2, 0], np.uint8)
    for start in range(0, total, BLOCK):
        count = min(BLOCK, total - start)
        data = np.frombuffer(source.take(-(-count // 4)), np.uint8)
        places = (data[:, None] >> shifts & 3).ravel()
        if places[count:].any():
            raise _damaged(name, "a level's last byte is not filled up with zeros")
        flat[start : start + count] = places[:count]
    return pointing(flat.reshape(shape))


def pointing(mask: np.ndarray) -> np.ndarray:
    """Places (C×h×w int64) -> indices into planes of 2h×2w, in place."""
    columns = mask.shape[2]
    step = max(1, BLOCK // columns)
    for plane in mask:
        for first in range(0, len(plane), step):
            rows = plane[first : first + step]
            rows += (rows >> 1) * (2 * columns - 2) + _corners(first, len(rows), columns)
    return mask
