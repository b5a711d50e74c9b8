"""Which tables and figures there are, when a number is met, and what the small parts do."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from prototxt import ZooError
from zoo.paper import architectures
from zoo.reproduction import controls, objects, report
from zoo.reproduction.digits import read_digits
from zoo.reproduction.inputs import NAMES, Inputs
from zoo.reproduction.items import SOURCES, Number
from zoo.reproduction.registry import ITEMS


def test_every_source_has_items_that_say_what_differs():
    assert {item.source.name for item in ITEMS} == set(SOURCES)
    ids = [item.id for item in ITEMS]
    assert len(set(ids)) == len(ids)
    for item in ITEMS:
        assert item.id.startswith(item.source.name)
        assert item.differs and item.title and item.number
        assert set(item.needs) | set(item.uses) <= set(NAMES)
        whats = [number.what for number in item.numbers]
        assert len(set(whats)) == len(whats)


def test_forty_published_numbers_stand_beside_ours():
    numbers = [n for item in ITEMS for n in item.numbers if n.published is not None]
    assert len(numbers) >= 40


def test_table_ii_is_the_papers():
    table = next(item for item in ITEMS if item.id == "tunnel-table-2")
    by_what = {number.what: number.published for number in table.numbers}
    for encoder, figures in architectures.PUBLISHED.items():
        for arch, figure in figures.items():
            assert by_what[f"RMSE of {arch}, {encoder} encoder, the authors' weights"] == figure
    bits = next(item for item in ITEMS if item.id == "tunnel-bits")
    for arch, number in zip(architectures.ARCHES, bits.numbers, strict=True):
        assert number.published == architectures.bits_per_pixel(arch)


@pytest.mark.parametrize(
    ("number", "ours", "met", "condition"),
    [
        (Number("a", 2.0, margin=0.1), 2.19, True, "within 10%"),
        (Number("a", 2.0, margin=0.1), 1.79, False, "within 10%"),
        (Number("a", -0.4, margin=0.1), -0.43, True, "within 10%"),
        (Number("a", -0.4, "by", 0.02), -0.43, False, "within 0.02"),
        (Number("a", 0.0, "by", 0.0), 0.0, True, "exactly"),
        (Number("a", 0.0, "by", 0.0), 1e-9, False, "exactly"),
        (Number("a", 2.0, "at most"), 2.0, True, "at most"),
        (Number("a", 2.0, "at most"), 2.1, False, "at most"),
        (Number("a", 2.0, "at least"), 1.9, False, "at least"),
        (Number("a", 2.0), None, None, "within 5%"),
        (Number("a"), 2.0, None, ""),
    ],
)
def test_when_a_number_is_met(number, ours, met, condition):
    assert number.met(ours) is met
    assert number.condition == condition


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(None, 4, ""), (0.0, 2, "0.00"), (-0.0071, 2, "-0.01"), (0.00004, 4, "4.0e-05"), (5, 0, "5")],
)
def test_numbers_as_they_are_shown(value, digits, text):
    assert report.figure(value, digits) == text


def digits_file(folder: Path, head: bytes, data: bytes, packed: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    name = "t10k-images-idx3-ubyte"
    if packed:
        (folder / f"{name}.gz").write_bytes(gzip.compress(head + data))
    else:
        (folder / name).write_bytes(head + data)
    return folder


@pytest.mark.parametrize("packed", [False, True])
def test_digits_are_read(tmp_path, packed):
    wanted = np.random.default_rng(0).integers(0, 256, (3, 28, 28)).astype(np.uint8)
    head = struct.pack(">4I", 0x803, *wanted.shape)
    folder = digits_file(tmp_path / "digits", head, wanted.tobytes(), packed)
    assert np.array_equal(read_digits(folder), wanted)


@pytest.mark.parametrize(
    ("head", "data", "said"),
    [
        (b"short", b"", "it has no head"),
        (struct.pack(">4I", 0x801, 1, 28, 28), bytes(784), "no idx file of images"),
        (struct.pack(">4I", 0x803, 1, 27, 28), bytes(784), "no idx file of images"),
        (struct.pack(">4I", 0x803, 2, 28, 28), bytes(784), "ends within its 2 images"),
        (struct.pack(">4I", 0x803, 2**32 - 1, 28, 28), b"", "claims 4294967295 images"),
    ],
)
def test_what_are_no_digits(tmp_path, head, data, said):
    with pytest.raises(ZooError, match=said):
        read_digits(digits_file(tmp_path / "digits", head, data))


def test_no_digits_and_broken_ones(tmp_path):
    with pytest.raises(ZooError, match="no such file"):
        read_digits(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(b"not packed at all")
    with pytest.raises(ZooError, match="cannot be read"):
        read_digits(tmp_path)


def test_shuffled_switches_stay_in_their_windows_and_channels():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 4, (2, 3, 5))
    first = controls.first_places(corners)
    mask = first + corners // 2 * 10 + corners % 2
    mixed = controls.shuffled(mask, rng)
    places = mixed - first
    assert np.isin(places, [0, 1, 10, 11]).all()
    assert not np.array_equal(mixed, mask)
    for one, other in zip(places, mask - first, strict=True):
        assert np.array_equal(np.sort(one, axis=None), np.sort(other, axis=None))


def test_first_places_are_where_unpooling_without_switches_writes():
    wanted = [[[0, 2, 4], [12, 14, 16]]]
    assert controls.first_places(np.zeros((1, 2, 3), np.int64)).tolist() == wanted


def test_the_whole_channel_of_the_most_active_neuron_and_the_neuron_alone():
    values = np.zeros((1, 2, 2, 2), np.float32)
    values[0, 0] = 3
    values[0, 1] = [[5, 1], [-1, 0]]
    assert objects.whole_channel(values)[0].tolist() == [[[0, 0], [0, 0]], [[1, 1], [1, 1]]]
    assert objects.most_active(values)[0].tolist() == [[[0, 0], [0, 0]], [[1, 0], [0, 0]]]


def test_unknown_data_are_refused(tmp_path):
    with pytest.raises(ZooError, match="knows no 'photos'"):
        Inputs({"photos": tmp_path})
    with pytest.raises(ZooError, match="no such file or folder"):
        Inputs({"photographs": tmp_path / "none"})


def test_a_digest_follows_the_data_that_are_taken(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    (folder / "a").write_text("a")
    inputs = Inputs({"photographs": folder})
    assert inputs.digest(["photographs"]) != inputs.digest(["digits"])
    assert inputs.digest(["digits"]) == Inputs().digest(["photographs"])
    assert Inputs(limit=3).digest([]) != Inputs().digest([])
