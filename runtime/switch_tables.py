"""How likely each switch is, given those around it: tables by which a range coder shortens them.

A switch is told by its place in its window, 0..3. What is known when its turn comes are the places
above, to the left and above to the right in its own channel, and that of the channel before in the
same window: 256 contexts of each channel, where what lies outside counts as 0. For each a table has
four whole numbers that sum to 4096: how often each place occurs there. They are counted on
photographs, once, and stand in the model's metadata (`METADATA`), so that a file decodes by its
model alone, and alike on every machine: no floating point decides anything.

The order is that of waves: switch (channel c, row y, column x) belongs to wave x + 2y + c, and all
that it is told by belongs to earlier ones. A wave is decoded at once, its switches by column, the
last first, then by channel. The coder is constriction's RangeEncoder (words of 32 bits, a state of
64). Where the numbers before place k sum to s, and with its own to t, k takes the part from
s·(2²⁴-4)//4096 + k up to t·(2²⁴-4)//4096 + k + 1 of 2²⁴ (the last up to 2²⁴): that is what
`Categorical(perfect=False)` makes of 4096ths. Before the words stands the CRC-32 of all places,
level by level, and of the words' number (4 bytes): what was decoded is what was encoded, or it is
refused.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from .errors import InferenceError

__all__ = ["METADATA", "SwitchTables"]

METADATA = "zoo.switch_tables"
CONTEXTS = 256
TOTAL = 4096
"""What the four numbers of a context sum to."""
BACKED = 4.0
"""As how many switches the guess counts that knows less of what is around."""


class SwitchTables:
    """The tables of a network: for each level C×256×4 uint16, each four summing to 4096."""

    coding, metadata = "tables", METADATA

    def __init__(self, levels: Sequence[np.ndarray]) -> None:
        self.levels = [np.asarray(level, np.uint16) for level in levels]

    @property
    def channels(self) -> tuple[int, ...]:
        """Of each level."""
        return tuple(len(level) for level in self.levels)

    @classmethod
    def counted(cls, images: Iterable[Sequence[np.ndarray]]) -> SwitchTables:
        """Of images' places: for each image and level C×h×w uint8."""
        counts: list[np.ndarray] = []
        for places in images:
            counts = counts or [np.zeros((len(p), CONTEXTS, 4), np.int64) for p in places]
            for level, known in zip(counts, places, strict=True):
                _count(level, known)
        return cls([_rounded(_smoothed(level)) for level in counts])

    @classmethod
    def from_metadata(
        cls, metadata: Mapping[str, str], channels: Sequence[int], source: str
    ) -> SwitchTables | None:
        """Those in a model's metadata, None where there are none; InferenceError where broken."""
        text = metadata.get(METADATA)
        if text is None:
            return None
        problem = misfit(METADATA, channels, source)
        data = unpacked(text, 2 * 3 * CONTEXTS * sum(channels), problem)
        three = np.frombuffer(data, "<u2").astype(np.int64).reshape(-1, CONTEXTS, 3)
        whole = np.concatenate([three, TOTAL - three.sum(2, keepdims=True)], 2)
        if whole.min() < 1:
            raise problem
        return cls(np.split(whole, np.cumsum(channels)[:-1]))

    def to_text(self) -> str:
        """As the metadata hold it: the first three numbers of each context, deflated, in base64."""
        return packed(b"".join(level[..., :3].astype("<u2").tobytes() for level in self.levels))

    def encode(self, places: Iterable[np.ndarray]) -> bytes:
        """The places of each level (C×h×w uint8, first level first), coded."""
        writer = Writer()
        for table, known in zip(self.levels, places, strict=True):
            grid = Grid.holding(known)
            for at, channels in grid.waves():
                writer.put(grid.flat[at], table[channels, grid.contexts(at)])
            writer.level(known)
        return writer.data()

    def decode(
        self, data: bytes, shapes: Iterable[tuple[int, int, int]], source: str
    ) -> Iterator[np.ndarray]:
        """The places of each level again; InferenceError where the bytes are no such places."""
        reader = Reader(data, source)
        for table, shape in zip(self.levels, shapes, strict=True):
            grid = Grid(shape)
            for at, channels in grid.waves():
                grid.flat[at] = reader.take(table[channels, grid.contexts(at)])
            yield reader.level(grid.inside)
        reader.finish()


def packed(data: bytes) -> str:
    """An entropy model's numbers as metadata hold them: deflated, in base64."""
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def unpacked(text: str, size: int, problem: InferenceError) -> bytes:
    """The inverse, of so many bytes; `problem` where it is no such text, however far it grows."""
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(text, validate=True), size + 1)
    except (binascii.Error, ValueError, zlib.error):
        raise problem from None
    if len(data) != size or not unpacker.eof:
        raise problem
    return data


def misfit(name: str, channels: Sequence[int], source: str) -> InferenceError:
    """What to say of a model's metadata that are no entropy model of its switches."""
    return InferenceError(
        f"its metadata {name} do not fit its {sum(channels)} channels of switches",
        subject=source,
        remedy="convert it again",
    )


class Writer:
    """The range coder's words, and the checksum of what they tell."""

    def __init__(self) -> None:
        import constriction

        self._coder = constriction.stream.queue.RangeEncoder()
        self._kind = constriction.stream.model.Categorical(perfect=False)
        self._crc = 0

    def put(self, places: np.ndarray, shares: np.ndarray) -> None:
        """Code places (uint8) by how many of 4096 parts each of the four has."""
        chances = shares.reshape(-1, 4) / np.float64(TOTAL)
        self._coder.encode(places.ravel().astype(np.int32), self._kind, chances)

    def level(self, places: np.ndarray) -> None:
        """All places of a level (C×h×w uint8), once they are coded."""
        self._crc = zlib.crc32(places.tobytes(), self._crc)

    def data(self) -> bytes:
        """The checksum and the words."""
        words: np.ndarray = self._coder.get_compressed()
        return _check(self._crc, len(words)) + bytes(words.astype("<u4").tobytes())


class Reader:
    """The inverse; InferenceError where the bytes were not written so."""

    def __init__(self, data: bytes, source: str) -> None:
        import constriction

        self._wrong = InferenceError(
            "its switches cannot be decoded", subject=source, remedy="encode the image again"
        )
        if len(data) < 4 or len(data) % 4:
            raise self._wrong
        self._check, words = data[:4], np.frombuffer(data[4:], "<u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)
        self._kind = constriction.stream.model.Categorical(perfect=False)
        self._crc, self._words = 0, len(words)

    def take(self, shares: np.ndarray) -> np.ndarray:
        """The next places (N int32), by N×4 parts of 4096."""
        try:
            found: np.ndarray = self._coder.decode(self._kind, shares / np.float64(TOTAL))
        except (AssertionError, ValueError):
            raise self._wrong from None
        return found

    def level(self, places: np.ndarray) -> np.ndarray:
        """The same places (C×h×w uint8), once all of a level are decoded."""
        self._crc = zlib.crc32(places.tobytes(), self._crc)
        return places

    def finish(self) -> None:
        """Compare the checksum."""
        if _check(self._crc, self._words) != self._check:
            raise self._wrong


def _check(crc: int, words: int) -> bytes:
    """What stands before the words."""
    return struct.pack("<I", zlib.crc32(struct.pack("<I", words), crc))


class Grid:
    """The places of one level with a border of zeros, and the order in which they are coded."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = channels, height, width = shape
        self._row = width + 2
        self._plane = (height + 1) * self._row
        self.flat = np.zeros((channels + 1) * self._plane, np.uint8)
        whole = self.flat.reshape(channels + 1, height + 1, self._row)
        self.inside = whole[1:, 1:, 1:-1]
        """C×h×w, a view."""

    @classmethod
    def holding(cls, places: np.ndarray) -> Grid:
        """With these places (C×h×w uint8) in it."""
        grid = cls(places.shape)
        grid.inside[:] = places
        return grid

    def waves(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Wave by wave: where its switches lie in `flat`, and of which channels they are."""
        channels, height, width = self.shape
        if not channels:
            return
        channel, row = (axis.ravel() for axis in np.mgrid[:channels, :height])
        first = channel + 2 * row  # the wave of the row's first switch
        order = np.argsort(first, kind="stable")
        channel, row, first = channel[order], row[order], first[order]
        start = (channel + 1) * self._plane + (row + 1) * self._row + 1 - first
        for wave in range(channels + 2 * height + width - 3):
            begin, end = np.searchsorted(first, (wave - width + 1, wave + 1))
            yield start[begin:end] + wave, channel[begin:end]

    def contexts(self, at: np.ndarray) -> np.ndarray:
        """0..255 for each of those places: what is known around it."""
        flat, row = self.flat, self._row
        above, right = flat[at - row].astype(np.int64), flat[at - row + 1]
        found: np.ndarray = above << 6 | flat[at - 1] << 4 | right << 2 | flat[at - self._plane]
        return found


def _count(counts: np.ndarray, places: np.ndarray) -> None:
    """Add one level's places (C×h×w) to C×256×4 counts."""
    grid = Grid.holding(places)
    channels, height, width = places.shape
    index = np.arange(grid.flat.size).reshape(channels + 1, height + 1, width + 2)[1:, 1:, 1:-1]
    planes = (channels, height * width)
    contexts = grid.contexts(index.reshape(planes))
    joint = (np.arange(channels)[:, None] * CONTEXTS + contexts) * 4 + places.reshape(planes)
    counts += np.bincount(joint.ravel(), minlength=counts.size).reshape(counts.shape)


def _smoothed(counts: np.ndarray) -> np.ndarray:
    """Chances of C×256×4 counts: rare contexts lean on wider ones, those on the channel's own."""
    by = counts.reshape(len(counts), 4, 4, 4, 4, 4).astype(np.float64)  # above, left, right, before
    chances: np.ndarray = np.full((len(counts), 1, 1, 1, 1, 4), 0.25)
    for summed in ((1, 2, 3, 4), (3, 4), (3,), ()):
        seen = by.sum(summed, keepdims=True) if summed else by
        chances = (seen + BACKED * chances) / (seen.sum(-1, keepdims=True) + BACKED)
    found: np.ndarray = chances.reshape(counts.shape)
    return found


def _rounded(chances: np.ndarray) -> np.ndarray:
    """Whole numbers of at least 1 that sum to 4096, as near as they come."""
    whole: np.ndarray = 1 + np.floor(chances * (TOTAL - 4)).astype(np.int64)
    best = whole.argmax(-1)[..., None]
    left = TOTAL - whole.sum(-1, keepdims=True)
    np.put_along_axis(whole, best, np.take_along_axis(whole, best, -1) + left, -1)
    assert math.prod(whole.shape) == 0 or whole.min() >= 1
    return whole.astype(np.uint16)
