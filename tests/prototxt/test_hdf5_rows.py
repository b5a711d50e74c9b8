"""Rows of HDF5 files to train on, which may come from anywhere."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import prototxt
from prototxt import FormatError, ZooError
from prototxt.records import HDF5Records

ROWS = np.arange(24, dtype=np.float32).reshape(4, 2, 3)


def write(path: Path, fill: Callable[[Any], object]) -> Path:
    with h5py.File(path, "w") as file:
        fill(file)
    return path


def listed(folder: Path, *names: str) -> Path:
    (folder / "list.txt").write_text("".join(f"{name}\n" for name in names))
    return folder / "list.txt"


@pytest.mark.parametrize("kind", ["f4", ">f4", "f8", "f2", "i1", "u1", "i8", "?"])
@pytest.mark.parametrize("packing", [{}, {"compression": "gzip"}, {"compression": "lzf"}])
def test_rows_are_floats(tmp_path, kind, packing):
    array = ROWS.astype(kind)

    def fill(file: Any) -> None:
        file.create_dataset("x", data=array, shuffle=bool(packing), **packing)
        file.create_dataset("in/y", data=np.arange(4.0))

    write(tmp_path / "a.h5", fill)
    found = HDF5Records(listed(tmp_path, "a.h5"), ["x", "in/y"])
    assert (len(found), found.shapes()) == (4, [(2, 3), ()])
    row, label = found.row(6)
    assert row.dtype == np.float32 and np.array_equal(row, array[2].astype(np.float32))
    assert label == 2


def test_files_follow_one_another_and_are_read_once(tmp_path, monkeypatch):
    """Three thousand times the same file are one in memory."""
    read = []
    monkeypatch.setattr(
        "prototxt.records.read_rows",
        lambda path, tops, of=prototxt.records.read_rows: read.append(path.name) or of(path, tops),
    )
    for name, start in (("a.h5", 0), ("b.h5", 100)):
        write(tmp_path / name, lambda f, s=start: f.create_dataset("x", data=np.arange(s, s + 3)))
    (tmp_path / "link.h5").symlink_to("a.h5")
    found = HDF5Records(listed(tmp_path, "a.h5", "b.h5", *["link.h5"] * 3000), ["x"])
    assert not read and len(found) == 3 * 3002
    values = [float(found.row(number)[0]) for number in range(len(found) + 1)]
    assert values[:9] == [0, 1, 2, 100, 101, 102, 0, 1, 2] and values[-2:] == [2, 0]
    assert read == ["a.h5", "b.h5"]
    assert found.name(4) == f"{tmp_path / 'list.txt'}: row 4"


def elsewhere(file: Any) -> None:
    file["x"] = h5py.ExternalLink("other.h5", "x")


def round_about(file: Any) -> None:
    file["there"] = h5py.ExternalLink("other.h5", "/")
    file["x"] = h5py.SoftLink("/there/x")


def external(file: Any) -> None:
    file.create_dataset("x", (4, 2), "f4", external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)])


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((4, 2), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4, 2))
    file.create_virtual_dataset("x", layout)


def deflated_twice(file: Any) -> None:
    """A terabyte for every megabyte."""
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((256, 256))
    plan.set_deflate(9)
    plan.set_filter(h5py.h5z.FILTER_DEFLATE, h5py.h5z.FLAG_MANDATORY, (9,))
    space = h5py.h5s.create_simple((256, 256))
    made = h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, space, dcpl=plan)
    made.write_direct_chunk((0, 0), zlib.compress(zlib.compress(bytes(1 << 18))))


def more_than_a_chunk_has(file: Any) -> None:
    """A chunk of four numbers that unpacks to whatever was packed."""
    file.create_dataset("x", (4,), "f4", chunks=(4,), compression="gzip")
    noise = np.random.default_rng(0).bytes(1 << 17)
    file["x"].id.write_direct_chunk((0,), zlib.compress(noise))


@pytest.mark.parametrize(
    ("fill", "why"),
    [
        (elsewhere, "no dataset 'x' in the file itself; it has x"),
        (round_about, "no dataset 'x' in the file itself; it has there, x"),
        (lambda f: None, "no dataset 'x' in the file itself; it has none"),
        (external, "its numbers are not in this file"),
        (virtual, "its numbers are not in this file"),
        (lambda f: f.create_dataset("x", (4,), "f4", chunks=(2,)), "are not in this file"),
        (lambda f: f.create_dataset("x", (2**40, 2), "f4", chunks=(64, 2)), "not in this file"),
        (deflated_twice, "packed by the filters 1, 1; write it with gzip, or unpacked"),
        (more_than_a_chunk_has, "more numbers than a file of this size can mean"),
        (lambda f: f.create_dataset("x", data=[b"no", b"numbers"]), "values, not numbers"),
        (lambda f: f.create_dataset("x", data=["no"]), "values, not numbers"),
        (lambda f: f.create_dataset("x", data=np.zeros(3, "c8")), "complex64 values, not numbers"),
        (lambda f: f.create_dataset("x", data=h5py.Empty("f4")), "values, not numbers"),
        (lambda f: f.create_dataset("x", data=np.float32(1)), "holds no rows"),
        (lambda f: f.create_dataset("x", data=np.zeros((0, 3))), "holds no rows"),
        (lambda f: f.create_group("x"), "a group, not a dataset"),
    ],
)
def test_what_holds_no_rows_of_its_own(tmp_path, monkeypatch, fill, why):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "other.h5", lambda f: f.create_dataset("x", data=np.ones((4, 2), "f4")))
    write(tmp_path / "a.h5", fill)
    with pytest.raises(FormatError) as caught:
        HDF5Records(listed(tmp_path, "a.h5"), ["x"])
    assert why in str(caught.value) and str(caught.value).startswith(str(tmp_path / "a.h5"))


def test_a_small_file_does_not_unpack_to_a_large_one(tmp_path, monkeypatch):
    """Neither one dataset, nor a chunk of which it takes a corner, nor several files together."""
    monkeypatch.setattr("prototxt.files.UNPACKED", 1 << 16)
    monkeypatch.setattr("prototxt.files.RATIO", 1)

    def zeros(file: Any, count: int = 30_000, **how: Any) -> None:
        file.create_dataset("x", data=np.zeros(count, np.float32), compression="gzip", **how)

    write(tmp_path / "one.h5", zeros)
    write(tmp_path / "chunk.h5", lambda f: zeros(f, 10, chunks=(10**6,), maxshape=(None,)))
    for name in "ab":
        write(tmp_path / f"{name}.h5", lambda f: zeros(f, 12_000))
        assert len(HDF5Records(listed(tmp_path, f"{name}.h5"), ["x"])) == 12_000
    for names in (["one.h5"], ["chunk.h5"], ["a.h5", "b.h5"]):
        with pytest.raises(FormatError, match="more numbers than a file of this size can mean"):
            HDF5Records(listed(tmp_path, *names), ["x"])
    assert len(HDF5Records(listed(tmp_path, *["a.h5"] * 5), ["x"])) == 60_000


def test_files_that_do_not_go_together(tmp_path):
    for name, shape in (("a.h5", (4, 2)), ("b.h5", (4, 3)), ("c.h5", (5, 2))):
        write(tmp_path / name, lambda f, s=shape: f.create_dataset("x", data=np.ones(s)))
    with pytest.raises(ZooError, match=r"list\.txt: its files hold rows of different shapes"):
        HDF5Records(listed(tmp_path, "a.h5", "b.h5"), ["x"])
    assert len(HDF5Records(listed(tmp_path, "a.h5", "c.h5"), ["x"])) == 9

    def uneven(file: Any) -> None:
        file["x"], file["y"] = np.ones((4, 2)), np.ones(3)

    write(tmp_path / "d.h5", uneven)
    with pytest.raises(ZooError, match=r"d\.h5: its datasets differ in their number of rows"):
        HDF5Records(listed(tmp_path, "d.h5"), ["x", "y"])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\n \n", "list.txt: lists no files"),
        (bytes(range(256)), "list.txt: not a text file; one HDF5 file on each line"),
        (b"/dev/zero\n", "/dev/zero: is no ordinary file"),
        (b"none.h5\n", "none.h5: no such file"),
        (b"a\0b\n", "list.txt: not a text file"),
        (b"list.txt\n", "list.txt: not a sound HDF5 file"),
    ],
)
def test_lists_that_are_none(tmp_path, content, why):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(ZooError) as caught:
        HDF5Records(tmp_path / "list.txt", ["x"])
    assert why in str(caught.value)


def test_a_list_is_an_ordinary_file():
    with pytest.raises(FormatError, match="/dev/zero: is no ordinary file"):
        HDF5Records(Path("/dev/zero"), ["x"])


def test_weights_are_not_taken_from_another_file(tmp_path):
    write(tmp_path / "other.h5", lambda f: f.create_dataset("data/a/0", data=np.ones(2, "f4")))

    def fill(file: Any) -> None:
        file["data"] = h5py.ExternalLink("other.h5", "data")

    path = write(tmp_path / "w.caffemodel.h5", fill)
    with pytest.raises(FormatError, match="no weights in this HDF5 file"):
        prototxt.read_weights(path)
