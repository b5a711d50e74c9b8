"""Arrays of .npy and .npz files that may come from anywhere."""

from __future__ import annotations

import io
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from prototxt import FormatError
from prototxt.arrays import as_type, read_array, read_arrays
from prototxt.preprocessing import read_mean, read_mean_image

FLOATS = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def npy(array: object, **how: bool) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **how)  # type: ignore[arg-type]
    return file.getvalue()


def claim(shape: str, kind: str = "<f4", held: int = 64) -> bytes:
    """A header that promises an array, and so many bytes of it."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(held)


@pytest.mark.parametrize("kind", ["?", "u1", "<i8", ">f4", "<f2", "<f8"])
def test_what_numpy_writes_is_read(tmp_path, kind):
    for array in (FLOATS.astype(kind), np.asfortranarray(FLOATS.astype(kind)), np.zeros((0, 3))):
        (tmp_path / "a.npy").write_bytes(npy(array))
        found = read_array(tmp_path / "a.npy")
        assert found.dtype == array.dtype and np.array_equal(found, array)
        for save in (np.savez, np.savez_compressed):
            save(tmp_path / "a.npz", one=array, two=array[:1])
            assert list(read_arrays(tmp_path / "a.npz")) == ["one", "two"]
            assert np.array_equal(read_arrays(tmp_path / "a.npz")["one"], array)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "cut short"),
        (npy(FLOATS)[:20], "cut short"),
        (npy(FLOATS).replace(b"NUMPY\1\0", b"NUMPY\2\0"), "not numbers"),
        (npy(FLOATS).replace(b"(2, 3, 4)", b"((((((((("), "multi-line statement"),
        (npy(FLOATS)[:-4], "92 bytes of 96"),
        (npy(np.array([{}], object), allow_pickle=True), "objects, not numbers"),
        (pickle.dumps([1, 2, 3]), "magic string"),
        (npy(np.array(["a"])), "<U1, not numbers"),
        (npy(np.zeros(3, np.complex64)), "complex64, not numbers"),
        (npy(np.zeros(3, "M8[s]")), "datetime64[s], not numbers"),
        (npy(np.zeros(3, [("a", "f4")])), "not numbers"),
        (npy(np.zeros(3, [("\u00fc", "f4")])), "not numbers"),
        (npy(np.zeros(3, "V0")), "not numbers"),
        (claim("(3, 500000, 500000)"), "64 bytes of 3,000,000,000,000"),
        (claim("(3, -8, 8)"), "negative dimensions"),
        (claim("(0, 4611686018427387904, 4611686018427387904)"), ""),
        (claim("(1, ) * 99"), ""),
        (claim("(" + "1, " * 99 + ")"), ""),
        (claim("__import__('os')"), ""),
        (claim("(" * 4000 + ")" * 4000), ""),
        (b"PK\x03\x04" + bytes(40), "magic string"),
    ],
)
def test_what_is_no_array_of_numbers(tmp_path, content, why):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(FormatError) as caught:
        read_array(tmp_path / "a.npy")
    assert str(caught.value).startswith(f"{tmp_path / 'a.npy'}: not a plain .npy array (")
    assert why in caught.value.message
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("in.data.npy", content)
    with pytest.raises(FormatError, match=r"not an \.npz file of arrays \(in\.data: "):
        read_arrays(tmp_path / "a.npz")


def test_damaged_archives(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=FLOATS)
    whole = path.read_bytes()
    entry = whole.rindex(b"PK\x01\x02")
    broken = {
        "cut": (whole[: len(whole) // 2], "not a zip file"),
        "tail": (whole[:-4], "not a zip file"),
        "inside": (whole[:60] + bytes(30) + whole[90:], "x: "),
        "checksum": (whole[: entry + 16] + bytes(4) + whole[entry + 20 :], "x: Bad CRC-32"),
        "encrypted": (whole[: entry + 8] + b"\1" + whole[entry + 9 :], "x: encrypted"),
        "odd": (whole[: entry + 10] + b"\x63" + whole[entry + 11 :], "x: packed in a way"),
        "text": (b"no archive", "not a zip file"),
    }
    for content, why in broken.values():
        path.write_bytes(content)
        with pytest.raises(FormatError) as caught:
            read_arrays(path)
        assert "not an .npz file of arrays (" in str(caught.value) and why in str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packings_without_a_bound_are_not_unpacked(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as file:
        file.writestr("x.npy", npy(FLOATS))
    with pytest.raises(FormatError, match="x: packed in a way that numpy does not use"):
        read_arrays(tmp_path / "a.npz")


def test_a_small_file_does_not_unpack_to_a_large_one(tmp_path):
    """Refused by its headers: nothing is made room for."""
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.npy", claim("(100, 1000, 1000)", "|u1", 100_000_000))
    tracemalloc.start()
    with pytest.raises(FormatError, match="x: more numbers than a file of this size can mean"):
        read_arrays(path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_many_small_ones_together_neither(tmp_path, monkeypatch):
    monkeypatch.setattr("prototxt.files.UNPACKED", 1000)
    np.savez(tmp_path / "a.npz", x=np.zeros(1000, bool))
    assert read_arrays(tmp_path / "a.npz")["x"].size == 1000
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(9):
            file.writestr(f"{number}.npy", npy(np.zeros(4000, np.float32)))
    with pytest.raises(FormatError, match="more numbers than"):
        read_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.full((3, 2, 2), np.nan), "not finite"),
        (np.full((3, 2, 2), np.inf, np.float32), "not finite"),
        (np.full((3, 2, 2), 1e300), "not finite"),
        (np.zeros((3, 0, 2)), "the mean is 3x0x2, not 3xHxW"),
        (np.zeros((1, 1, 3, 2, 2)), "the mean is 1x1x3x2x2, not 3xHxW"),
        (np.float32(1), "the mean is "),
    ],
)
def test_means_that_are_none(tmp_path, array, why):
    np.save(tmp_path / "m.npy", array)
    with pytest.raises(FormatError, match=why):
        read_mean(tmp_path / "m.npy")


def test_a_mean_in_caffes_format_is_finite_too(tmp_path):
    from prototxt import write_binaryproto

    write_binaryproto(tmp_path / "m.binaryproto", np.full((3, 2, 2), np.nan, np.float32))
    with pytest.raises(FormatError, match="holds numbers that are not finite"):
        read_mean_image(tmp_path / "m.binaryproto")


def test_only_ordinary_files_are_read():
    for read in (read_array, read_arrays, read_mean_image):
        with pytest.raises(FormatError, match="/dev/zero: is no ordinary file"):
            read(Path("/dev/zero"))


def test_numbers_beyond_a_type_are_infinite():
    """Without a warning, which the tests would raise."""
    assert as_type(np.array([1.5, 1e300])).tolist() == [1.5, np.inf]
    assert as_type(np.float64(2)).shape == ()
    assert as_type(np.array([[2.0, 1], [3, 4]]).T, "int64").flags.c_contiguous
