"""The .switches file: round trips, exact sizes, and every way to be damaged."""

import lzma
import math
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import codec
from runtime.codec import EntropyModel, Header, places_of, read_header, read_masks, write_switches
from runtime.errors import InferenceError
from runtime.metrics import bits_per_pixel
from runtime.switch_tables import SwitchTables
from tests.scores import drawn_scores

SHA = "ab" * 32


def drawn(header: Header, seed: int = 0, most: int = 4) -> list[np.ndarray]:
    """Masks with every place, or only the first `most` places, of the windows."""
    rng = np.random.default_rng(seed)
    masks = []
    for c, h, w in header.shapes:
        place = rng.integers(0, most, (c, h, w))
        row = 2 * np.arange(h)[:, None] + place // 2
        masks.append(row * (2 * w) + 2 * np.arange(w) + place % 2)
    return masks


def small(coding: str = "lzma2") -> Header:
    return Header(11, 6, (2, 3, 1), "2_3_1", SHA, coding)


def tables(header: Header) -> SwitchTables:
    """Counted on others of that shape."""
    return SwitchTables.counted(places_of(drawn(header, seed, 3)) for seed in (7, 8))


def entropy_model(header: Header) -> EntropyModel:
    if header.coding == "scores":
        return drawn_scores(header.levels, 9, own=99, known=20)
    return tables(header)


def refused(path, known: EntropyModel | None = None) -> str:
    with pytest.raises(InferenceError) as caught:
        list(read_masks(path, known))
    return str(caught.value)


def signed(path, data: bytes) -> None:
    """Write with a checksum that fits: damage that somebody made on purpose."""
    path.write_bytes(data + struct.pack("<I", zlib.crc32(data)))


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    levels=st.tuples(st.lists(st.integers(0, 9), max_size=3), st.integers(1, 9)),
    coding=st.sampled_from(codec.CODINGS),
    most=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_round_trips(tmp_path_factory, height, width, levels, coding, most, seed):
    path = tmp_path_factory.getbasetemp() / "round.switches"
    header = Header(height, width, (*levels[0], levels[1]), "some", SHA, coding)
    masks, known = drawn(header, seed, most), entropy_model(header)
    written = write_switches(path, header, masks, known)
    assert written.size == path.stat().st_size
    assert read_header(path) == header
    found = list(read_masks(path, known))
    assert len(found) == len(masks)
    for mask, before in zip(found, masks, strict=True):
        assert mask.dtype == np.int64
        np.testing.assert_array_equal(mask, before)


def test_blocks_do_not_show(tmp_path, monkeypatch):
    header = Header(50, 90, (3, 5), "x", SHA)
    masks = drawn(header)
    write_switches(tmp_path / "a", header, masks)
    whole = [mask.copy() for mask in read_masks(tmp_path / "a")]
    monkeypatch.setattr(codec, "BLOCK", 64)
    monkeypatch.setattr(codec, "_CHUNK", 16)
    write_switches(tmp_path / "b", header, masks)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    for mask, before in zip(read_masks(tmp_path / "b"), whole, strict=True):
        np.testing.assert_array_equal(mask, before)


def test_the_bytes_are_those_of_the_docstring(tmp_path):
    header = Header(2, 3, (1,), "ab", SHA, "raw")
    mask = np.array(
        [[[5, 2]]]
    )  # 2x4 plane: lower right of the first window, upper left of the next
    written = write_switches(tmp_path / "f", header, [mask])
    data = (
        b"\x89ZSW" b"\x01" b"\x00" b"\x02\0\0\0" b"\x03\0\0\0" b"\x01" b"\x01\0" b"\x02ab"
        + bytes.fromhex(SHA) + bytes([0b11_00_0000])
    )  # fmt: skip
    assert (tmp_path / "f").read_bytes() == data + struct.pack("<I", zlib.crc32(data))
    assert (written.size, written.fixed_bits) == (len(data) + 4, 4)
    assert written.entropy_bits == pytest.approx(2)


@pytest.mark.parametrize("arch", ["8_8_8", "6_12_24", "48_96_192"])
@pytest.mark.parametrize("size", [(8, 8), (16, 40), (128, 128)])
def test_the_fixed_size_is_the_papers(arch, size):
    levels = tuple(map(int, arch.split("_")))
    header = Header(*size, levels, arch, SHA)
    assert header.padded == size
    assert header.fixed_bits == bits_per_pixel(*levels) * 3 * math.prod(size)


def test_entropy(tmp_path):
    assert codec.entropy(np.array([8, 0, 0, 0])) == 0
    assert codec.entropy(np.array([4, 4, 4, 4])) == 32
    assert codec.entropy(np.array([2, 1, 1, 0])) == pytest.approx(6)
    header = Header(128, 128, (4,), "x", SHA)
    flat = write_switches(tmp_path / "flat", header, drawn(header, most=1))
    assert flat.entropy_bits == 0 and flat.size < 100
    noise = write_switches(tmp_path / "noise", header, drawn(header))
    assert noise.entropy_bits == pytest.approx(noise.fixed_bits, rel=1e-3)
    # What cannot be coded costs next to nothing more than the fixed form.
    assert noise.size * 8 < noise.fixed_bits * 1.001 + 800


@pytest.mark.parametrize("coding", codec.CODINGS)
def test_every_flipped_byte_is_found(tmp_path, coding):
    path = tmp_path / "f.switches"
    known = entropy_model(small(coding))
    write_switches(path, small(coding), drawn(small()), known)
    good = path.read_bytes()
    for place in range(len(good)):
        for flip in (1, 0x80, 0xFF):
            path.write_bytes(good[:place] + bytes([good[place] ^ flip]) + good[place + 1 :])
            assert refused(path, known).startswith(f"{path}: ")


@pytest.mark.parametrize("coding", codec.CODINGS)
def test_every_truncation_and_addition_is_found(tmp_path, coding):
    path = tmp_path / "f.switches"
    known = entropy_model(small(coding))
    write_switches(path, small(coding), drawn(small()), known)
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        assert refused(path, known).startswith(f"{path}: ")
        signed(path, good[:length])
        if length != len(good) - 4:
            assert refused(path, known).startswith(f"{path}: ")
    path.write_bytes(good + b"\0")
    assert "checksum" in refused(path, known)
    signed(path, good[:-4] + b"\0")
    assert "switches" in refused(path, known)


def made(height=8, width=8, levels=(1,), coding=1, arch=b"", payload=b"", version=1) -> bytes:
    fixed = struct.pack("<4sBBIIB", b"\x89ZSW", version, coding, height, width, len(levels))
    return (
        fixed + struct.pack(f"<{len(levels)}H", *levels) + bytes([len(arch)]) + arch
        + bytes(32) + payload
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "options"),
    [
        ("an image of 0x8 pixels", {"height": 0}),
        ("an image of 8x4294967295 pixels", {"width": 2**32 - 1}),
        ("an image of 65536x65536 pixels", {"height": 65536, "width": 65536}),
        ("levels of none channels", {"levels": ()}),
        ("levels of 0 channels", {"levels": (0,)}),
        ("levels of 1, 1, 1, 1, 1, 1, 1, 1, 1 channels", {"levels": (1,) * 9}),
        ("the arch's name is not plain text", {"arch": b"\xff"}),
        ("the arch's name is not plain text", {"arch": b"a\n"}),
        ("levels of 1, 0 channels", {"levels": (1, 0)}),
        ("coded in an unknown way (4)", {"coding": 4}),
        ("coded by tables of the model that made it", {"coding": 2, "payload": b"1234"}),
        ("coded by scores of the model that made it", {"coding": 3, "payload": b"1234"}),
        ("is of version 2; this tool reads version 1; update", {"version": 2}),
        ("has 1 bytes of switches instead of 4", {"coding": 0, "payload": b"x"}),
        ("4 bytes cannot hold", {"levels": (999,) * 3, "width": 9999, "payload": b"1234"}),
        ("cannot be decompressed", {"payload": b"\xff" * 9}),
        ("not filled up with zeros", {"width": 2, "height": 2, "coding": 0, "payload": b"\x01"}),
    ],
)  # fmt: skip
def test_lies_with_a_checksum_that_fits(tmp_path, said, options):
    signed(tmp_path / "f", made(**options))
    assert said in refused(tmp_path / "f")


def test_lies_within_the_compressed_part(tmp_path):
    def stream(data: bytes) -> bytes:
        return lzma.compress(data, lzma.FORMAT_RAW, filters=codec._FILTERS)

    for data in (b"123", b"12345"):
        signed(tmp_path / "f", made(payload=stream(data)))
        assert "too soon" in refused(tmp_path / "f") or "follows" in refused(tmp_path / "f")
    signed(tmp_path / "f", made(payload=stream(b"1234") + b"more"))
    assert "something follows its switches" in refused(tmp_path / "f")
    signed(tmp_path / "f", made(payload=stream(b"1234")))
    assert len(list(read_masks(tmp_path / "f"))) == 1


def test_a_bomb_takes_no_memory(tmp_path):
    """A stream that grows to 64 MiB where the header tells of 4 bytes."""
    bomb = lzma.compress(bytes(1 << 26), lzma.FORMAT_RAW, filters=codec._FILTERS)
    signed(tmp_path / "f", made(payload=bomb))
    tracemalloc.start()
    try:
        assert "something follows its switches" in refused(tmp_path / "f")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("coding", codec.CODINGS)
def test_memory_beside_the_masks_is_bounded(tmp_path, coding):
    modelled = coding in codec.MODELLED
    header = Header(2048, 512 if modelled else 2048, (8,), "x", SHA, coding)
    (mask,) = drawn(header, most=2)
    known = entropy_model(header)
    tracemalloc.start()
    try:
        write_switches(tmp_path / "f", header, [mask], known)
        writing = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        for found in read_masks(tmp_path / "f", known):
            assert found.nbytes == mask.nbytes
        reading = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert writing < mask.nbytes * (0.6 if modelled else 0.25)
    assert reading < mask.nbytes * (1.6 if modelled else 1.25)


def test_tables_of_another_model(tmp_path):
    known = tables(small())
    write_switches(tmp_path / "f", small("tables"), drawn(small()), known)
    for others in (None, SwitchTables(known.levels[:2]), SwitchTables(known.levels[::-1])):
        assert "coded by tables of the model that made it" in refused(tmp_path / "f", others)
    with pytest.raises(InferenceError, match="coded by tables of the model"):
        write_switches(tmp_path / "g", small("tables"), drawn(small()))


def test_what_is_no_file_of_switches(tmp_path):
    assert refused(tmp_path).endswith("is a directory; name a .switches file")
    assert refused(tmp_path / "none").endswith("no such file")
    (tmp_path / "f").write_bytes(b"\x89PNG and so on")
    assert "not a .switches file; `zoo encode" in refused(tmp_path / "f")


def test_masks_that_cannot_be_written(tmp_path):
    def said(masks, header) -> str:
        with pytest.raises(InferenceError) as caught:
            write_switches(tmp_path / "f", header, masks)
        assert list(tmp_path.iterdir()) == []
        return str(caught.value)

    masks = drawn(small())
    assert "a mask is" in said([masks[0][:, 1:], *masks[1:]], small())
    for wrong in (-1, 2, 10**9):
        outside = [mask.copy() for mask in masks]
        outside[0][0, 0, 0] = wrong
        assert "points out of its 2x2 window" in said(outside, small())
    assert "an image of 0x1" in said(masks, Header(0, 1, (1,), "", SHA))


def test_the_bytes_do_not_depend_on_the_order_of_memory(tmp_path):
    header = Header(24, 24, (4,), "x", SHA)
    (mask,) = drawn(header)
    write_switches(tmp_path / "a", header, [mask])
    write_switches(tmp_path / "b", header, [np.asfortranarray(mask)])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
