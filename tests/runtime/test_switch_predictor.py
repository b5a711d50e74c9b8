"""The scores that a range coder shortens switches by, against a coder written here."""

import base64
import zlib
from collections.abc import Iterator

import numpy as np
import pytest

from runtime.errors import InferenceError
from runtime.switch_predictor import METADATA, SwitchPredictor
from tests.runtime.range_decoder import Told, plainly_decoded
from tests.scores import drawn_scores

SHAPES = [(3, 7, 10), (0, 3, 5), (2, 2, 3)]
AROUND = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 0)]


@pytest.fixture
def predictor() -> SwitchPredictor:
    return drawn_scores([shape[0] for shape in SHAPES], 0)


def drawn(predictor: SwitchPredictor, seed: int) -> list[np.ndarray]:
    """Places as likely as the scores say."""
    rng = np.random.default_rng(seed)
    found = []
    for shape, order, parts in by_scores(predictor):
        places = np.zeros(shape, np.uint8)
        for c, y, x in order:
            places[c, y, x] = rng.choice(4, p=np.array(parts(places, c, y, x)) / 4096)
        found.append(places)
    return found


def by_scores(predictor: SwitchPredictor) -> Iterator[Told]:
    """What is to be decoded, and how it is told: as the docstring has it, in Python's integers."""
    for (own, known), shape in zip(predictor.levels, SHAPES, strict=True):
        everywhere = map(tuple, np.argwhere(np.ones(shape, bool)).tolist())
        order = sorted(everywhere, key=lambda p: (p[2] + 2 * p[1], p[0], p[1]))
        turn = {place: number for number, place in enumerate(order)}

        def parts(places, c, y, x, own=own, known=known, shape=shape, turn=turn) -> list[int]:
            scores = [int(own[4 * c + k]) for k in range(4)]
            for number, (down, right) in enumerate(AROUND):
                for before in range(shape[0]):
                    there = (before, y + down, x + right)
                    if turn.get(there, len(turn)) < turn[c, y, x]:
                        place = 4 * before + int(places[there])
                        for k in range(4):
                            scores[k] += int(known[number, place, 4 * c + k])
            powers = []
            for score in scores:
                whole, part = divmod(max(scores) - score, 32)
                powers.append(round(2 ** (20 - part / 32)) >> min(whole, 31))
            found = [1 + power * 4092 // sum(powers) for power in powers]
            found[scores.index(max(scores))] += 4096 - sum(found)
            return found

        yield shape, order, parts


def test_what_is_encoded_is_decoded_by_whole_numbers(predictor):
    places = drawn(predictor, 1)
    data = predictor.encode(places)
    decoded = predictor.decode(data, SHAPES, "f")
    for decoder in (decoded, plainly_decoded(by_scores(predictor), data)):
        for found, before in zip(decoder, places, strict=True):
            np.testing.assert_array_equal(found, before)
            assert found.dtype == np.uint8
    assert predictor.channels == (3, 0, 2)


def test_the_size_is_what_the_scores_say(predictor):
    places = drawn(predictor, 2)
    bits = 0.0
    for (_, order, parts), known in zip(by_scores(predictor), places, strict=True):
        for c, y, x in order:
            bits -= np.log2(parts(known, c, y, x)[known[c, y, x]] / 4096)
    size = 8 * len(predictor.encode(places))
    assert size == pytest.approx(bits, abs=32 + 64)
    assert bits < 2 * sum(p.size for p in places)


def test_metadata(predictor):
    text = predictor.to_text()
    again = SwitchPredictor.from_metadata({METADATA: text}, [3, 0, 2], "m.onnx")
    for level, before in zip(again.levels, predictor.levels, strict=True):
        for found, array in zip(level, before, strict=True):
            np.testing.assert_array_equal(found, array)
    assert SwitchPredictor.from_metadata({}, [3, 5], "m.onnx") is None


SIZE = 8 * 5 + 80 * 9 + 80 * 4


@pytest.mark.parametrize(
    "text",
    [
        "no base64!",
        base64.b64encode(b"not deflated").decode(),
        base64.b64encode(zlib.compress(bytes(SIZE - 1))).decode(),
        base64.b64encode(zlib.compress(bytes(SIZE + 1))).decode(),
        base64.b64encode(zlib.compress(b"\1" * SIZE)).decode(),
        base64.b64encode(zlib.compress(bytes(1 << 24))).decode(),
        base64.b64encode(zlib.compress(bytes(SIZE))[:-3]).decode(),
    ],
)
def test_broken_metadata_are_refused(text):
    with pytest.raises(InferenceError, match=r"m\.onnx: its metadata .* do not fit its 5 channels"):
        SwitchPredictor.from_metadata({METADATA: text}, [3, 2], "m.onnx")


def test_more_channels_than_scores_are_for():
    with pytest.raises(InferenceError, match="do not fit its 257 channels"):
        SwitchPredictor.from_metadata({METADATA: ""}, [257], "m.onnx")


def test_other_bytes_are_refused(predictor):
    data = predictor.encode(drawn(predictor, 3))
    for damaged in (b"", data[:3], data[:-4], data + bytes(4), b"\xff" * len(data), data[:4]):
        with pytest.raises(InferenceError, match="its switches cannot be decoded"):
            list(predictor.decode(damaged, SHAPES, "f"))
