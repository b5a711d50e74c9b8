"""Files read within bounds, and folders written whole or not at all."""

from __future__ import annotations

import errno
import os
import tracemalloc
from pathlib import Path

import pytest

from prototxt import FormatError, UsageError, ZooError
from prototxt.files import (
    atomic_write,
    atomic_write_all,
    find_beside,
    is_there,
    lock,
    map_bytes,
    opened_folder,
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


def test_what_killed_processes_left_is_removed_by_the_next(tmp_path):
    """A process that lives has a lock on the folder in which it makes its files."""
    for name in (".zoo-dead.part", ".zoo-alive.part", ".zoo-other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0").write_text("half")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".zoo-link.part").symlink_to("elsewhere")
    alive = opened_folder(tmp_path / ".zoo-alive.part")
    assert alive is not None and lock(alive)
    atomic_write(tmp_path / "whole", b"1")
    os.close(alive)
    assert sorted(os.listdir(tmp_path)) == [
        *(".zoo-alive.part", ".zoo-link.part", ".zoo-other", "elsewhere", "whole")
    ]


def test_a_lock_is_one_processs_until_it_is_closed(tmp_path):
    with (tmp_path / "a").open("wb") as first, (tmp_path / "a").open("rb") as second:
        assert lock(first.fileno()) and lock(first.fileno())
        assert lock(second.fileno()) is False
        first.close()
        assert lock(second.fileno())


def test_of_several_files_that_cannot_all_be_placed_those_of_before_stay(tmp_path, monkeypatch):
    for name in "ab":
        (tmp_path / name).write_text("before")
    real = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name == "b" and Path(source).suffix != ".old":
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    contents = [(tmp_path / name, b"now") for name in "abc"]
    with pytest.raises(FormatError, match="b: cannot be written: No space left on device"):
        atomic_write_all(contents)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a": "before",
        "b": "before",
    }
    monkeypatch.undo()
    atomic_write_all(contents)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        "abc", "now"
    )


@pytest.mark.parametrize("name", [b"n" * 255, b"two\nlines", "網絡".encode(), b"caf\xe9\xff"])
def test_any_name_can_be_written(tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    for content in (b"first", b"second"):
        atomic_write(path, content)
        assert path.read_bytes() == content
    assert [os.fsencode(path.name) for path in tmp_path.iterdir()] == [name]


def test_written_files_have_the_rights_of_any_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        atomic_write(tmp_path / "a", b"1")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_what_is_no_ordinary_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    for name in ("pipe", "null"):
        with pytest.raises(FormatError, match=f"{name}: is no ordinary file; name another"):
            atomic_write(tmp_path / name, b"1")
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "null").is_symlink()
