"""LMDBs read page by page: as LMDB's own library reads them, and damaged in every way."""

from __future__ import annotations

import itertools
import random
import struct
from pathlib import Path

import lmdb
import numpy as np
import pytest

from prototxt import Datum, FormatError, serialize_datum
from prototxt.lmdb_pages import BRANCH, IN_OVERFLOW, LEAF, OVERFLOW, Pages
from prototxt.records import LMDBRecords

PAGE = 4096


def database(folder: Path, records: dict[bytes, bytes]) -> bytearray:
    with (
        lmdb.open(str(folder), map_size=1 << 26) as opened,
        opened.begin(write=True) as transaction,
    ):
        for key, value in records.items():
            transaction.put(key, value)
    return bytearray((folder / "data.mdb").read_bytes())


def numbered(count: int, size: int) -> dict[bytes, bytes]:
    rng = random.Random(size)
    return {b"%08d_k" % i: rng.randbytes(size) for i in range(count)}


def contents(folder: Path) -> list[tuple[bytes, bytes]]:
    found = Pages(folder)
    return [(key, bytes(found.value(number))) for number, key in enumerate(found.keys)]


def test_it_reads_what_lmdb_reads(tmp_path):
    """Databases that grew and shrank: several levels, free pages, values within and without."""
    rng = random.Random(0)
    sizes = [0, 1, 100, 2030, 2040, 2048, 4079, 4080, 4081, 20_000]
    for trial in range(12):
        folder = tmp_path / str(trial)
        with lmdb.open(str(folder), map_size=1 << 28) as opened:
            for _ in range(rng.randint(1, 4)):
                with opened.begin(write=True) as transaction:
                    for _ in range(rng.choice([0, 1, 30, 1500])):
                        key = rng.randbytes(rng.choice([1, 3, 8, 200, 511]))
                        cursor = transaction.cursor()
                        if rng.random() < 0.2 and cursor.set_range(key):
                            cursor.delete()
                        else:
                            transaction.put(key, rng.randbytes(rng.choice(sizes)))
            with opened.begin() as transaction:
                expected = [(bytes(key), bytes(value)) for key, value in transaction.cursor()]
        assert contents(folder) == expected


def test_other_sizes_of_a_page(tmp_path):
    """A database is of the system's own: here a meta page says 512, and a leaf is as small."""
    data = bytearray(4 * 512)
    for place, transaction in ((0, 0), (512, 1)):
        struct.pack_into("<10xHHH", data, place, 8, 0, 0)
        tables = struct.pack("<IHH5Q", 512, 8, 0, 0, 0, 0, 0, 2**64 - 1)
        main = struct.pack("<IHH5Q", 0, 0, 1, 0, 1, 0, 1, 3)
        meta = struct.pack("<IIQQ", 0xBEEFC0DE, 1, 0, 1 << 20) + tables + main
        data[place + 16 : place + 152] = meta + struct.pack("<QQ", 3, transaction)
    struct.pack_into("<Q2xHHHH", data, 3 * 512, 3, LEAF, 18, 500, 500)
    struct.pack_into("<IHH3s1s", data, 3 * 512 + 500, 1, 0, 3, b"key", b"v")
    (tmp_path / "data.mdb").write_bytes(data)
    assert contents(tmp_path) == [(b"key", b"v")]


def pages(data: bytes, flag: int) -> list[int]:
    """Offsets of the pages of a kind."""
    return [
        p for p in range(0, len(data), PAGE) if struct.unpack_from("<H", data, p + 10)[0] == flag
    ]


def node(data: bytes, page: int, index: int = 0) -> int:
    return page + struct.unpack_from("<H", data, page + 16 + 2 * index)[0]


META = PAGE + 16
"""Of the only transaction that was written."""
MAIN = META + 72


@pytest.fixture
def small(tmp_path):
    """Two levels; its first leaf, its branch."""
    data = database(tmp_path / "small", numbered(60, 200))
    return data, pages(data, LEAF)[0], pages(data, BRANCH)[0]


@pytest.fixture
def large(tmp_path):
    """Values in overflow pages; where the first's number stands."""
    data = database(tmp_path / "large", numbered(3, 5000))
    first = node(data, pages(data, LEAF)[0])
    return data, first, first + 8 + struct.unpack_from("<H", data, first + 6)[0]


def refusal(folder: Path, data: bytes) -> str:
    (folder / "data.mdb").write_bytes(data)
    with pytest.raises(FormatError) as caught:
        contents(folder)
    assert caught.value.subject == str(folder)
    return caught.value.message


@pytest.mark.parametrize(
    ("place", "form", "value", "why"),
    [
        ("leaf+10", "H", 4, "is of another kind"),
        ("leaf+10", "H", LEAF | 0x20, "is of another kind"),
        ("leaf+10", "H", BRANCH, "is of another kind"),
        ("branch+10", "H", LEAF, "has nodes that do not fit it"),
        ("leaf+12", "H", 0xFFFE, "has impossible bounds"),
        ("leaf+12", "H", 16, "has impossible bounds"),
        ("leaf+14", "H", 8192, "has impossible bounds"),
        ("leaf+16", "H", 0xFFF0, "has nodes outside it"),
        ("leaf+16", "H", 4, "has nodes outside it"),
        ("node", "I", 0xFFFFFFF0, "has nodes that do not fit it"),
        ("node+4", "H", 2, "has nodes that do not fit it"),
        ("node+6", "H", 0xFFFF, "has nodes that do not fit it"),
        ("child", "I", 1_000_000, "page 1000000 is beyond the end of the file"),
        ("child", "I", 0, "page 0 is of another kind"),
        ("meta", "I", 1, "the file is none"),
        ("meta+4", "I", 2, "version 2 of the format; 1 is read"),
        ("meta+24", "I", 5000, "pages of 5000 bytes"),
        ("main+4", "H", 4, "its keys are not Caffe's"),
        ("main+40", "Q", 1, "page 1 is of another kind"),
        ("main+40", "Q", 2**63, "is beyond the end of the file"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, small, place, form, value, why):
    data, leaf, branch = small
    base, _, offset = place.partition("+")
    places = {"leaf": leaf, "branch": branch, "node": node(data, leaf), "meta": META, "main": MAIN}
    places["child"] = node(data, branch)
    struct.pack_into("<" + form, data, places[base] + int(offset or 0), value)
    assert why in refusal(tmp_path, data)


def test_no_page_twice(tmp_path, small, large):
    data, _, branch = small
    cycle, twins = data.copy(), data.copy()
    struct.pack_into("<I", cycle, node(data, branch), branch // PAGE)
    struct.pack_into("<I", twins, node(data, branch), pages(data, LEAF)[1] // PAGE)
    assert refusal(tmp_path, cycle).endswith(("is used twice", "is of another kind"))
    assert refusal(tmp_path, twins).endswith("a page is used twice")
    ring = data.copy()  # every child of the root is the root
    for index in range((struct.unpack_from("<H", data, branch + 12)[0] - 16) // 2):
        struct.pack_into("<I", ring, node(data, branch, index), branch // PAGE)
    assert refusal(tmp_path, ring).endswith("a page is used twice")
    data, _, run = large
    struct.pack_into("<Q", data, run, (pages(data, OVERFLOW)[1]) // PAGE)
    assert refusal(tmp_path, data).endswith("a page is used twice")
    struct.pack_into("<Q", data, run, pages(data, LEAF)[0] // PAGE)
    assert refusal(tmp_path, data).endswith("a page is used twice")


def test_nodes_do_not_overlap(tmp_path, small):
    """Else a page would hold two thousand long keys, and a small file fill the memory."""
    data, leaf, _ = small
    count = 1000
    struct.pack_into("<HH", data, leaf + 12, 16 + 2 * count, PAGE)
    struct.pack_into(f"<{count}H", data, leaf + 16, *[PAGE - 500] * count)
    struct.pack_into("<IHH", data, leaf + PAGE - 500, 0, 0, 490)
    assert refusal(tmp_path, data).endswith("has nodes that do not fit it")


@pytest.mark.parametrize(
    ("value", "why"),
    [(2**40, "is beyond the end"), (2**64 - 1, "is beyond the end"), (1, "is used twice")],
)
def test_overflow_pages_that_are_not_there(tmp_path, large, value, why):
    data, first, run = large
    longer = data.copy()
    struct.pack_into("<Q", data, run, value)
    assert why in refusal(tmp_path, data)
    struct.pack_into("<I", longer, first, 0x7FFFFFF0)
    assert "is beyond the end" in refusal(tmp_path, longer)


def test_overflow_pages_of_another_kind_are_found_when_they_are_read(tmp_path, large):
    data, _, _ = large
    struct.pack_into("<H", data, pages(data, OVERFLOW)[1] + 10, LEAF)
    assert refusal(tmp_path, data) == "record '00000001_k': its page is of another kind"
    data = database(tmp_path / "other", numbered(3, 5000))
    struct.pack_into("<I", data, pages(data, OVERFLOW)[2] + 12, 1)
    assert "record '00000002_k'" in refusal(tmp_path, data)


def test_every_way_of_being_cut_short_is_one_line(tmp_path, small, large):
    for data, *_ in (small, large):
        for length in itertools.chain(range(0, len(data) - PAGE, 999), [len(data) - 1]):
            text = refusal(tmp_path, data[:length])
            assert "cut short" in text or "beyond the end" in text, length


def test_a_file_that_shrinks_while_it_is_read(tmp_path, large):
    """A mapped one would end the process."""
    data, *_ = large
    (tmp_path / "data.mdb").write_bytes(data)
    found = Pages(tmp_path)
    (tmp_path / "data.mdb").write_bytes(data[:PAGE])
    with pytest.raises(FormatError, match="record '00000000_k': the file is cut short"):
        found.value(0)


def test_noise_in_any_page_is_read_or_refused(tmp_path, small, large):
    rng = random.Random(3)
    refused = 0
    for _ in range(600):
        data = bytearray(rng.choice([small, large])[0])
        for _ in range(rng.choice([1, 2, 30])):
            page, width = rng.randrange(len(data) // PAGE), rng.choice([1, 2, 4, 8])
            place = page * PAGE + rng.randrange(rng.choice([180, PAGE - 8]))
            value = rng.choice([0, 1, 2, 2**16 - 1, 2**32 - 1, page, rng.getrandbits(64)])
            data[place : place + width] = (value % 2 ** (8 * width)).to_bytes(width, "little")
        (tmp_path / "data.mdb").write_bytes(data)
        try:
            contents(tmp_path)
        except FormatError:
            refused += 1
    assert 100 < refused < 500


def test_a_datum_without_numbers(tmp_path):
    for shape in ((0, 4, 4), (3, 2**30, 0)):
        message = serialize_datum(Datum(np.zeros((1, 1, 1), np.uint8), b"", 0))
        head = b"".join(
            bytes([8 * number]) + varint(side) for number, side in enumerate(shape, start=1)
        )
        database(tmp_path / str(shape[1]), {b"k": head + message[9:]})
        with pytest.raises(FormatError, match="no image: its shape is"):
            LMDBRecords(tmp_path / str(shape[1]))


def varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number % 128 + 128)
        number //= 128
    return bytes([*parts, number])


def test_flags_stand_as_lmdb_writes_them(large):
    data, first, _ = large
    assert struct.unpack_from("<H", data, first + 4)[0] == IN_OVERFLOW
