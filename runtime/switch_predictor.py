"""How likely each switch is, given all around it: scores in whole numbers that add up.

A switch is told by its place in its window, 0..3. What is known when its turn comes are the
switches of all channels in the four windows above (left, straight, right) and to the left, and
those of the channels before in its own window. Each of them adds a score to each place of the
switch that is to be told, on top of what the place scores by itself; windows outside add nothing.
A score S counts 2^(S/32): by its difference d to the best a place has POWERS[d % 32] >> d // 32
parts (at most 31 shifts), which are made 4096ths (`_shares`). Only whole numbers decide anything,
so that a file decodes alike on every machine. The scores are learned with the network, and stand
in its metadata (`METADATA`).

The order is that of waves: window (row y, column x) belongs to wave x + 2y. In a wave the channels
come one after the other, and of each the windows from the first row to the last. Coder and checksum
are those of `switch_tables`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .switch_tables import TOTAL, Reader, Writer, misfit, packed, unpacked

__all__ = ["METADATA", "Scores", "SwitchPredictor"]

METADATA = "zoo.switch_scores"
STEPS = 32
"""Of a score, to double a chance."""
AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, -1))
"""Row and column of the windows that are known, from the one whose switches are told."""
MOST_CHANNELS = 256
"""Of a level."""
POWERS = np.array([round(2 ** (20 - step / STEPS)) for step in range(STEPS)], np.int64)


class Scores(NamedTuple):
    """Of one level of C channels, whose place k of channel c has number 4c + k."""

    own: np.ndarray
    """4C int16: what a place scores by itself."""
    known: np.ndarray
    """5×4C×4C int8: what it scores (third) by one that is known (second), in the windows `AROUND`
    and in its own, where those of its own channel and of later ones are 0."""


class SwitchPredictor:
    """The scores of a network, level by level."""

    coding, metadata = "scores", METADATA

    def __init__(self, levels: Sequence[Scores]) -> None:
        self.levels = list(levels)

    @property
    def channels(self) -> tuple[int, ...]:
        """Of each level."""
        return tuple(len(level.own) // 4 for level in self.levels)

    @classmethod
    def from_metadata(
        cls, metadata: Mapping[str, str], channels: Sequence[int], source: str
    ) -> SwitchPredictor | None:
        """Those in a model's metadata, None where there are none; InferenceError where broken."""
        text = metadata.get(METADATA)
        if text is None:
            return None
        problem = misfit(METADATA, channels, source)
        if max(channels, default=0) > MOST_CHANNELS:
            raise problem
        sizes = [(8 * count, 80 * count * count) for count in channels]
        data = unpacked(text, sum(map(sum, sizes)), problem)
        levels, place = [], 0
        for count, (own, known) in zip(channels, sizes, strict=True):
            first = np.frombuffer(data, "<i2", 4 * count, place).astype(np.int16)
            second = np.frombuffer(data, np.int8, known, place + own)
            levels.append(Scores(first, second.reshape(5, 4 * count, 4 * count)))
            if levels[-1].known[4][~earlier(count)].any():
                raise problem
            place += own + known
        return cls(levels)

    def to_text(self) -> str:
        """As the metadata hold it: `own` and `known` of each level, deflated, in base64."""
        return packed(
            b"".join(own.astype("<i2").tobytes() + known.tobytes() for own, known in self.levels)
        )

    def encode(self, places: Iterable[np.ndarray]) -> bytes:
        """The places of each level (C×h×w uint8, first level first), coded."""
        writer = Writer()
        for scores, known in zip(self.levels, places, strict=True):
            grid = _Grid(scores, known.shape)
            grid.fill(known)
            for at in grid.waves():
                shares = _shares(grid.all_scores(at).reshape(-1, 4)).reshape(len(at), -1, 4)
                writer.put(grid.known[at].T % 4, shares.swapaxes(0, 1))
            writer.level(known)
        return writer.data()

    def decode(
        self, data: bytes, shapes: Iterable[tuple[int, int, int]], source: str
    ) -> Iterator[np.ndarray]:
        """The places of each level again; InferenceError where the bytes are no such places."""
        reader = Reader(data, source)
        for scores, shape in zip(self.levels, shapes, strict=True):
            grid = _Grid(scores, shape)
            for at in grid.waves():
                told = grid.scores_around(at)
                for channel in range(shape[0]):
                    first = 4 * channel
                    known = first + reader.take(_shares(told[:, first : first + 4]))
                    told += grid.within[known]
                    grid.known[at, channel] = known
            yield reader.level(grid.whole())
        reader.finish()


def earlier(channels: int) -> np.ndarray:
    """4C×4C: whether a place that is known is of an earlier channel than one that is told."""
    channel = np.arange(4 * channels) // 4
    return np.asarray(channel[:, None] < channel)


class _Grid:
    """The switches of one level by their windows, as far as they are known."""

    def __init__(self, scores: Scores, shape: tuple[int, ...]) -> None:
        self.channels, self.height, self.width = shape
        self._row = self.width + 2
        self.own = scores.own.astype(np.int32)
        nothing = np.zeros((5, 1, len(self.own)), np.int32)
        *self.outer, self.within = np.concatenate([scores.known, nothing], 1)
        windows = (self.height + 1) * self._row
        self.known = np.full((windows, self.channels), len(self.own), np.int16)
        """Row by row, with a border: the number of each switch's place, or that of nothing."""

    def fill(self, places: np.ndarray) -> None:
        """Take all of them, C×h×w."""
        inside = self._inside()
        inside[:] = places.transpose(1, 2, 0)
        inside += 4 * np.arange(self.channels, dtype=np.int16)

    def whole(self) -> np.ndarray:
        """C×h×w uint8."""
        return np.ascontiguousarray(self._inside().transpose(2, 0, 1) % 4, np.uint8)

    def _inside(self) -> np.ndarray:
        return self.known.reshape(self.height + 1, self._row, self.channels)[1:, 1:-1]

    def waves(self) -> Iterator[np.ndarray]:
        """Wave by wave: where its windows lie in `known`."""
        if not self.channels:
            return
        for wave in range(2 * self.height + self.width - 2):
            first = max(0, -(-(wave - self.width + 1) // 2))
            rows = np.arange(first, min(self.height, wave // 2 + 1))
            if len(rows):
                yield (rows + 1) * self._row + 1 + wave - 2 * rows

    def scores_around(self, at: np.ndarray) -> np.ndarray:
        """N×4C int32: what the places of these windows score by the windows around."""
        found = np.tile(self.own, (len(at), 1))
        for (row, column), scores in zip(AROUND, self.outer, strict=True):
            found += scores[self.known[at + row * self._row + column]].sum(1)
        return found

    def all_scores(self, at: np.ndarray) -> np.ndarray:
        """N×4C int32: by all that is known when their turn comes."""
        found: np.ndarray = self.scores_around(at) + self.within[self.known[at]].sum(1)
        return found


def _shares(scores: np.ndarray) -> np.ndarray:
    """N×4 scores -> whole numbers of which four sum to 4096."""
    best = scores.argmax(1)
    each = np.arange(len(scores))
    behind = scores[each, best, None] - scores
    parts = POWERS[behind % STEPS] >> np.minimum(behind // STEPS, 31)
    whole: np.ndarray = 1 + parts * (TOTAL - 4) // parts.sum(1, keepdims=True)
    whole[each, best] += TOTAL - whole.sum(1)
    return whole
