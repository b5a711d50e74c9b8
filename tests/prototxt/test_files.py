"""Files read within bounds, and folders written whole or not at all."""

from __future__ import annotations

import errno
import os
import tracemalloc
from pathlib import Path

import pytest

from prototxt import FormatError, UsageError, ZooError
from prototxt.files import (
    find_beside,
    is_there,
    map_bytes,
    read_bytes,
    read_lines,
    require_file,
    write_folder,
)
from prototxt.records import HDF5Records


def test_what_is_no_ordinary_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    for name, why in {
        "pipe": "is no ordinary file; name a text",
        "zero": "is no ordinary file; name a text",
        "loop": "cannot be read: Too many levels of symbolic links",
        "": "is a directory; name a text",
        "none": "no such file",
        "a\0b": "no such file",
        "n" * 5000: "cannot be read: File name too long",
    }.items():
        for read in (require_file, read_bytes):
            with pytest.raises(UsageError) as caught:
                read(tmp_path / name, UsageError, "a text")
            assert str(caught.value) == f"{tmp_path / name}: {why}"
    with pytest.raises(FormatError, match="is no ordinary file"):
        map_bytes(tmp_path / "zero")


def test_lengths(tmp_path):
    (tmp_path / "a").write_bytes(b"1234")
    assert require_file(tmp_path / "a") == 4
    assert read_bytes(tmp_path / "a", largest=4) == map_bytes(tmp_path / "a") == b"1234"
    with pytest.raises(FormatError, match="4 bytes; at most 3 are read"):
        read_bytes(tmp_path / "a", largest=3)
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(FormatError, match="1,099,511,627,776 bytes; at most 268,435,456 are read"):
        read_bytes(tmp_path / "sparse")


def test_lines(tmp_path):
    (tmp_path / "a").write_bytes("eins\nzw\u00f6\n".encode())
    assert read_lines(tmp_path / "a", "names") == ["eins", "zw\u00f6"]
    for content in (b"\xff", b"a\0b"):
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(FormatError, match="a: not a text file; names"):
            read_lines(tmp_path / "a", "names")


def test_a_folder_appears_with_all_its_files_or_not_at_all(tmp_path):
    folder = tmp_path / "new" / "out"

    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(FormatError, match="b: cannot be written: No space left on device"):
        write_folder(folder, [(folder / "a", b"1"), (folder / "b", full)])
    assert not folder.exists()
    write_folder(folder, [(folder / "a", b"1")])
    with pytest.raises(FormatError):
        write_folder(folder, [(folder / "a", b"2"), (folder / "b", full)])
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [("a", b"1")]
    with pytest.raises(ZooError, match="is a file, not a folder; give a folder"):
        write_folder(folder / "a", [(Path("x"), b"")])


def test_reading_takes_what_the_file_takes(tmp_path):
    """Not the room of the largest file that may be read."""
    (tmp_path / "a").write_bytes(b"abc")
    tracemalloc.start()
    try:
        assert read_bytes(tmp_path / "a") == b"abc"
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_name_that_no_system_has_is_of_no_file(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for name in ("n" * 300, "n/" * 3000, "a\0b", "loop"):
        assert not is_there(Path(name)) and not is_there(tmp_path / name)
        assert find_beside(name, tmp_path / "net.prototxt") is None
    (tmp_path / "list").write_text("n" * 300)
    with pytest.raises(ZooError, match="File name too long"):
        HDF5Records(tmp_path / "list", ["data"])
