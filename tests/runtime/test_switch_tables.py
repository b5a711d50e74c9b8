"""The tables that a range coder shortens switches by, against a coder written here."""

import base64
import zlib
from collections.abc import Iterator

import numpy as np
import pytest

from runtime.errors import InferenceError
from runtime.switch_tables import METADATA, SwitchTables
from tests.runtime.range_decoder import Told, plainly_decoded

SHAPES = [(3, 12, 10), (5, 6, 5)]


def drawn(seed: int) -> list[np.ndarray]:
    """Places that resemble the one above and the channel before."""
    rng = np.random.default_rng(seed)
    found = []
    for channels, height, width in SHAPES:
        places = rng.integers(0, 4, (channels, height, width))
        for c in range(channels):
            for y in range(1, height):
                same = rng.random(width) < 0.7
                places[c, y] = np.where(same, places[c, y - 1], places[c, y])
        found.append(places.astype(np.uint8))
    return found


@pytest.fixture
def tables() -> SwitchTables:
    return SwitchTables.counted(drawn(seed) for seed in range(30))


def around(places: np.ndarray, c: int, y: int, x: int) -> int:
    """The context of one switch, as the docstring has it."""

    def known(c: int, y: int, x: int) -> int:
        inside = c >= 0 and y >= 0 and 0 <= x < places.shape[2]
        return int(places[c, y, x]) if inside else 0

    above, left, right = known(c, y - 1, x), known(c, y, x - 1), known(c, y - 1, x + 1)
    return ((above * 4 + left) * 4 + right) * 4 + known(c - 1, y, x)


def order(shape: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Wave by wave, in a wave from the last column to the first, then by channel."""
    everywhere = np.argwhere(np.ones(shape, bool)).tolist()
    return sorted(map(tuple, everywhere), key=lambda p: (p[2] + 2 * p[1] + p[0], -p[2], p[0]))


def by_tables(tables: SwitchTables) -> Iterator[Told]:
    """What is to be decoded, and how it is told."""
    for table, shape in zip(tables.levels, SHAPES, strict=True):

        def parts(places: np.ndarray, c: int, y: int, x: int, table=table) -> list[int]:
            return table[c, around(places, c, y, x)].tolist()

        yield shape, order(shape), parts


def test_what_is_encoded_is_decoded_by_whole_numbers(tables):
    places = drawn(100)
    data = tables.encode(places)
    for decoder in (tables.decode(data, SHAPES, "f"), plainly_decoded(by_tables(tables), data)):
        for found, before in zip(decoder, places, strict=True):
            np.testing.assert_array_equal(found, before)
    assert 8 * len(data) < 0.8 * 2 * sum(p.size for p in places)


def test_the_size_is_what_the_tables_say(tables):
    places = drawn(100)
    bits = 0.0
    for table, known in zip(tables.levels, places, strict=True):
        for c, y, x in order(known.shape):
            bits -= np.log2(table[c, around(known, c, y, x), known[c, y, x]] / 4096)
    assert 8 * len(tables.encode(places)) == pytest.approx(bits, abs=32 + 64)


def test_counting(tables):
    for level in tables.levels:
        assert level.dtype == np.uint16 and level.min() >= 1
        assert (level.sum(2, dtype=np.int64) == 4096).all()
    # Contexts in which the place above is 2 expect 2.
    assert (tables.levels[0][:, 2 * 64 : 3 * 64].argmax(2) == 2).mean() > 0.95


def test_nothing_counted_is_nothing_known():
    found = SwitchTables.counted([[np.zeros((1, 1, 1), np.uint8)]])
    assert abs(int(found.levels[0][0, 255, 3]) - 1024) < 500


def test_metadata(tables):
    text = tables.to_text()
    again = SwitchTables.from_metadata({METADATA: text}, [3, 5], "m.onnx")
    for level, before in zip(again.levels, tables.levels, strict=True):
        np.testing.assert_array_equal(level, before)
    assert SwitchTables.from_metadata({}, [3, 5], "m.onnx") is None


@pytest.mark.parametrize(
    "text",
    [
        "no base64!",
        base64.b64encode(b"not deflated").decode(),
        base64.b64encode(zlib.compress(bytes(100))).decode(),
        base64.b64encode(zlib.compress(bytes(2 * 3 * 256 * 8))).decode(),
        base64.b64encode(zlib.compress(b"\xff" * (2 * 3 * 256 * 8))).decode(),
        base64.b64encode(zlib.compress(bytes(1 << 24))).decode(),
        base64.b64encode(zlib.compress(bytes(2 * 3 * 256 * 8))[:-3]).decode(),
    ],
)
def test_broken_metadata_are_refused(text):
    with pytest.raises(InferenceError, match=r"m\.onnx: its metadata .* do not fit its 8 channels"):
        SwitchTables.from_metadata({METADATA: text}, [3, 5], "m.onnx")


def test_other_bytes_are_refused(tables):
    data = tables.encode(drawn(100))
    for damaged in (b"", data[:3], data[:-4], data + bytes(4), b"\xff" * len(data), data[:4]):
        with pytest.raises(InferenceError, match="its switches cannot be decoded"):
            list(tables.decode(damaged, SHAPES, "f"))
