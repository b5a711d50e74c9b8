"""Images that claim too much, and what libraries would print of them."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest

from prototxt import FormatError
from prototxt.opencv import cv2, decode
from prototxt.stderr import silenced

ROOT = Path(__file__).resolve().parents[2]


def png(side: int) -> bytes:
    """The beginning of a PNG of that side, one bit a pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 16))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def bmp(side: int) -> bytes:
    """Run-length coded: two bytes are the whole picture."""
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, 6, 0, 0, 1, 0)
    return struct.pack("<2sIHHI", b"BM", 64, 0, 0, 58) + head + bytes(4) + b"\0\1"


BOMBS = {
    "a.png": png(30_000),
    "a.bmp": bmp(30_000),
    "a.ppm": b"P6 30000 30000 255\n" + bytes(64),
    "b.ppm": b"P6 1000000 1000000 255\n" + bytes(64),
}
READ = """
import resource, sys
sys.path.insert(0, {root!r})
import runtime
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
for name in sys.argv[1:]:
    try:
        print(runtime.read_image(name).shape)
    except runtime.InferenceError as error:
        print(error)
"""


def test_bombs_are_refused_by_their_headers(tmp_path):
    """In a process of its own: the limit is set before OpenCV is loaded."""
    for name, content in {**BOMBS, "sound.bmp": bmp(100)}.items():
        (tmp_path / name).write_bytes(content)
    names = [*BOMBS, "sound.bmp"]

    def said(**more: str) -> list[str]:
        kept = {k: v for k, v in os.environ.items() if k != "OPENCV_IO_MAX_IMAGE_PIXELS"}
        run = subprocess.run(
            [sys.executable, "-c", READ.format(root=str(ROOT)), *names],
            cwd=tmp_path,
            env={**kept, **more},
            capture_output=True,
            text=True,
        )
        assert (run.returncode, run.stderr) == (0, "")
        return run.stdout.splitlines()

    remedy = "set OPENCV_IO_MAX_IMAGE_PIXELS to allow it"
    assert said() == [
        *(f"{name}: an image of more than 134217728 pixels; {remedy}" for name in BOMBS),
        "(100, 100, 3)",
    ]
    smaller = said(OPENCV_IO_MAX_IMAGE_PIXELS="9999")
    assert smaller[-1] == f"sound.bmp: an image of more than 9999 pixels; {remedy}"


def test_libraries_print_nothing(capfd):
    whole = cv2.imencode(".png", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    jpeg = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    for data in (whole[:60], jpeg[:-40], b"", b"no image"):
        with pytest.raises(FormatError, match="x: not an image, or a broken one"):
            decode(data, cv2.IMREAD_COLOR, "x")
    assert decode(jpeg, cv2.IMREAD_COLOR, "x").shape == (16, 16, 3)
    os.write(2, b"and afterwards\n")
    assert capfd.readouterr() == ("", "and afterwards\n")


def test_threads_share_the_silence(capfd):
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with silenced():
            inside.set()
            assert leave.wait(10)
            os.write(2, b"unheard\n")

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(10)
    with silenced():
        os.write(2, b"unheard\n")
    os.write(2, b"still unheard\n")
    leave.set()
    thread.join()
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"
