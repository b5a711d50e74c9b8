"""The range coder of .switches files once more, by whole numbers alone: no constriction."""

import zlib
from collections.abc import Callable, Iterable

import numpy as np

Parts = Callable[[np.ndarray, int, int, int], list[int]]
"""Places of a level as far as they are known, channel, row, column -> four parts of 4096."""
Told = tuple[tuple[int, int, int], list[tuple[int, int, int]], Parts]
"""A level's shape, the order of its switches, and how likely each is."""


def plainly_decoded(levels: Iterable[Told], data: bytes) -> list[np.ndarray]:
    """One switch after another."""
    crc, *words = np.frombuffer(data, "<u4").tolist()
    rest, most = iter(words), 2**64 - 1
    point = next(rest, 0) << 32 | next(rest, 0)
    low, span, found, check = 0, most, [], 0
    for shape, order, parts in levels:
        places = np.zeros(shape, np.uint8)
        for c, y, x in order:
            numbers = parts(places, c, y, x)
            ends = [sum(numbers[:k]) * (2**24 - 4) // 4096 + k for k in range(4)] + [2**24]
            scale = span >> 24
            part = ((point - low) & most) // scale
            place = max(k for k in range(4) if ends[k] <= part)
            places[c, y, x] = place
            low = (low + scale * ends[place]) & most
            span = scale * (ends[place + 1] - ends[place])
            if span < 2**32:
                low, span = (low << 32) & most, span << 32
                point = (point << 32 & most) | next(rest, 0)
        check = zlib.crc32(places.tobytes(), check)
        found.append(places)
    assert zlib.crc32(len(words).to_bytes(4, "little"), check) == crc
    return found
