"""Hubs behind fsspec: the same limits and checks as over HTTP, whatever the library does."""

import sys
import threading
import time
from typing import ClassVar

import pytest

from tests.zoo.hub.web import FILES, files_below
from zoo.hub import locate

fsspec = pytest.importorskip("fsspec")
from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402

NET = "2_3_4/1.0/net.onnx"
URL = "odd://bucket/hub"


class Odd(MemoryFileSystem):
    """Files in memory, of a service that may fail."""

    protocol = ("odd",)
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list] = [""]
    faults: ClassVar[dict] = {}
    asked: ClassVar[list] = []

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("odd://", "memory://"))

    def _open(self, path, mode="rb", **options):
        if mode == "rb":
            name = path.rpartition("/")[2]
            self.asked.append(name)
            if name in self.faults:
                return self.faults[name](super()._open(path, mode, **options))
        return super()._open(path, mode, **options)


@pytest.fixture
def odd(hub, monkeypatch):
    """The hub as a bucket."""
    fsspec.register_implementation("odd", Odd, clobber=True)
    monkeypatch.setitem(sys.modules["zoo.hub.remotes"].REMOTES, "odd", "fsspec")
    monkeypatch.setattr(Odd, "store", {})
    monkeypatch.setattr(Odd, "pseudo_dirs", [""])
    monkeypatch.setattr(Odd, "faults", {})
    monkeypatch.setattr(Odd, "asked", [])
    system = fsspec.filesystem("odd", skip_instance_cache=True)
    for path in hub.rglob("*"):
        if path.is_file():
            system.pipe(f"/bucket/hub/{path.relative_to(hub)}", path.read_bytes())
    return Odd


def test_a_hub_in_a_bucket(zoo, cache, hub, odd, tmp_path, monkeypatch):
    assert "2_3_4" in zoo("list", "--hub", URL).out
    data = zoo("pull", "2_3_4", "--hub", f"{URL}/", "-o", "out", "--json").json
    assert (data["hub"], [row["fetched"] for row in data["files"]]) == (URL, [True] * 4)
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (hub / "2_3_4/1.0" / name).read_bytes()
    odd.store.clear()
    assert locate("2_3_4", URL, offline=True).is_file()
    refusal = zoo("list", "--hub", URL).refusal
    assert refusal == f"{URL}/index.json: no such file; is it the address of a hub?"


def broken(error):
    def open_(file):
        def read(count):
            raise error

        file.read = read
        return file

    return open_


def slow(file):
    def read(count):
        time.sleep(0.2)
        return b"x"

    file.read = read
    return file


def endless(file):
    file.read = lambda count: b"x" * count
    return file


def stuck(file):
    file.read = lambda count: threading.Event().wait(5) and b""
    return file


FAULTS = {
    "nothing": (broken(FileNotFoundError("x")), "no such file; is it the address of a hub?", 1),
    "refused": (broken(PermissionError("x")), "may not be read; are you logged in there?", 1),
    "cut": (broken(TimeoutError("secret")), "cannot be read: TimeoutError; tried 4 times", 4),
    "odd": (broken(KeyError("secret")), "cannot be read: KeyError; tried 4 times", 4),
    "drips": (slow, "not complete after 1 seconds", 1),
    "stuck": (stuck, "not complete after 1 seconds", 1),
    "endless": (endless, "gives more than the SIZE bytes that it may have; tried 4 times", 4),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_service_that_fails(zoo, cache, hub, odd, hasty, tmp_path, name):
    fault, said, attempts = FAULTS[name]
    odd.faults["net.onnx"] = fault
    said = said.replace("SIZE", str((hub / NET).stat().st_size))
    refusal = zoo("pull", "2_3_4", "--hub", URL, "-o", "out").refusal
    assert refusal == f"{URL}/{NET}: {said}"
    assert odd.asked.count("net.onnx") == attempts
    assert not (tmp_path / "out").exists()
    assert files_below(cache / "models") == set()
    odd.faults["index.json"] = fault
    odd.faults.pop("net.onnx")
    assert zoo("list", "--hub", URL).refusal.startswith(f"{URL}/index.json: ")


def test_no_thread_stays(zoo, cache, odd, hasty):
    odd.faults["net.onnx"] = slow
    before = threading.active_count()
    assert zoo("pull", "2_3_4", "--hub", URL).status == 1
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before


def test_what_was_tampered_with(zoo, cache, hub, odd):
    odd.store[f"/bucket/hub/{NET}"].seek(0)
    odd.store[f"/bucket/hub/{NET}"].write(b"x")
    refusal = zoo("pull", "2_3_4", "--hub", URL).refusal
    assert refusal.startswith(f"{URL}/{NET}: its sha256 is not the one in the index")
    # A mirror of another kind has it.
    assert zoo("pull", "2_3_4", "--hub", URL, "--hub", hub).status == 0


def test_a_download_goes_on(cache, hub, odd, monkeypatch):
    monkeypatch.setattr("zoo.hub.fetching.KEPT", 1)
    content, begun = (hub / NET).read_bytes(), []

    def once(file):
        begun.append(file.tell())
        seek, read = file.seek, file.read

        def noted(place):
            begun[-1] = place
            return seek(place)

        def half(count):
            if file.tell() >= len(content) // 2 and len(begun) == 1:
                raise ConnectionError
            return read(min(count, len(content) // 4))

        file.seek, file.read = noted, half
        return file

    odd.faults["net.onnx"] = once
    assert locate("2_3_4", URL).read_bytes() == content
    assert begun[0] == 0 and begun[1] >= len(content) // 2


@pytest.mark.parametrize(
    ("url", "module", "package"),
    [
        ("hf://me/zoo", "fsspec", "fsspec"),
        ("hf://me/zoo", "huggingface_hub", "huggingface_hub"),
        ("s3://bucket/zoo", "s3fs", "s3fs"),
    ],
)
def test_a_package_that_is_missing(zoo, cache, monkeypatch, url, module, package):
    monkeypatch.setitem(sys.modules, "s3fs", sys)  # whether it is there or not
    monkeypatch.setitem(sys.modules, module, None)
    assert zoo("list", "--hub", url).refusal == (
        f"zoo list: needs {package}, which is not installed; pip install 'caffe-zoo[remotes]'"
    )
