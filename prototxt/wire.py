"""Find the arrays in a binary file without copying them.

A caffemodel is a few thousand small fields and some very long runs of floats. `strip` walks the
fields, takes the runs out as views, and gives back a message of the same form that has each run's
number in its place: the protobuf library then reads that, so that a file of any size (its own limit
is 2 GB) costs no second copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["NeedsLibrary", "strip"]

MOST_FIELDS = 100_000
"""Beyond it the library, which is faster, reads the file instead: no network has so many."""

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

RUN = "run"
DROP = "drop"
Plan = Mapping[int, Any]
"""Field number -> the plan of a message within, RUN (an array) or DROP; others are kept."""

BLOB: Plan = {5: RUN, 6: DROP, 8: RUN, 9: DROP, 12: RUN, 13: DROP}
PLANS: dict[str, Plan] = {
    "BlobProto": BLOB,
    "NetParameter": {2: {1: {50: BLOB}, 6: BLOB}, 100: {7: BLOB}},
    "SolverState": {3: BLOB},
}


class NeedsLibrary(Exception):
    """Broken, of unusual form, or of very many fields: the protobuf library has to say."""


def strip(data: memoryview, message: str) -> tuple[bytes, list[memoryview]]:
    """The message with its runs numbered, and the runs. Raises NeedsLibrary."""
    reader = Reader(data)
    return reader.message(0, len(data), PLANS[message]), reader.runs


class Reader:
    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.runs: list[memoryview] = []
        self.left = MOST_FIELDS

    def message(self, start: int, end: int, plan: Plan) -> bytes:
        """What is kept of the message in data[start:end]."""
        kept = bytearray()
        place = start
        while place < end:
            self.left -= 1
            if self.left < 0:
                raise NeedsLibrary
            key, body = self.varint(place, end)
            stop, first = self.field_end(key & 7, body, end)
            what = plan.get(key >> 3)
            if what is None:
                kept += self.data[place:stop]
            elif key & 7 != LENGTH:
                raise NeedsLibrary  # numbers one by one
            elif what is RUN:
                number = str(len(self.runs)).encode()
                self.runs.append(self.data[first:stop])
                kept += self.data[place:body]
                kept += encoded(len(number)) + number
            elif what is not DROP:
                inner = self.message(first, stop, what)
                kept += self.data[place:body]
                kept += encoded(len(inner)) + inner
            place = stop
        return bytes(kept)

    def field_end(self, kind: int, body: int, end: int) -> tuple[int, int]:
        """Where a field ends, and where its contents begin."""
        first = body
        if kind == LENGTH:
            length, first = self.varint(body, end)
            stop = first + length
        elif kind == VARINT:
            _, stop = self.varint(body, end)
        elif kind in (FIXED32, FIXED64):
            stop = body + (4 if kind == FIXED32 else 8)
        else:
            raise NeedsLibrary
        if stop > end:
            raise NeedsLibrary
        return stop, first

    def varint(self, place: int, end: int) -> tuple[int, int]:
        """The number at `place`, and the place behind it."""
        number = shift = 0
        while place < end and shift < 64:
            byte = self.data[place]
            place += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number, place
            shift += 7
        raise NeedsLibrary


def encoded(number: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
