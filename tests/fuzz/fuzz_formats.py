"""Coverage-guided fuzzing of the parsers, outside the test suite:

    pip install atheris
    python tests/fuzz/fuzz_formats.py text CORPUS -runs=1000000 -max_len=4096 -timeout=1
    python tests/fuzz/fuzz_formats.py binary CORPUS -runs=1000000 -max_len=4096 -timeout=1

CORPUS is a folder to begin from and to grow, as a copy of tests/goldens. What ends it, with the
input that did it: any exception but a ZooError, a second without an answer, and memory out of
proportion to the input, of which every 16th (and each that was slow) is measured.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

with atheris.instrument_imports(include=["prototxt"]):
    import prototxt
    from prototxt import binary, net, schema, solver, text, upgrade
    from prototxt.errors import ZooError

assert all((binary, net, schema, solver, text, upgrade))
MEMORY = Path("/dev/shm")
SCRATCH = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None)) / "input"
SECONDS = 1.0
FLOOR = 256 << 10
"""Bytes that any reading may take, whatever its input: messages, tables made at the first call."""
GROWTH = {"text": 200, "binary": 120}
"""Bytes of memory for a byte of input. The densest text is `a:1 `, a field, a scalar, a place and
their strings in four bytes; the densest binary an empty blob, an array and its shape in two."""


def one_text(data: bytes) -> None:
    content = data.decode("utf-8", "replace")
    with contextlib.suppress(ZooError):
        prototxt.parse_net(content).select("TRAIN")
    with contextlib.suppress(ZooError):
        prototxt.parse_solver(content)


def one_binary(data: bytes) -> None:
    SCRATCH.write_bytes(data)
    for read in (prototxt.read_weights, prototxt.read_solverstate, prototxt.read_binaryproto):
        with contextlib.suppress(ZooError):
            read(SCRATCH)


def bounded(one: Callable[[bytes], None], growth: int) -> Callable[[bytes], None]:
    """`one`, which must answer within a second and with memory in proportion to its input."""
    turn = itertools.count()

    def check(data: bytes) -> None:
        started = time.process_time()
        one(data)
        seconds = time.process_time() - started
        assert seconds < SECONDS, f"{seconds:.2f} s for {len(data)} bytes"
        if next(turn) % 16 and seconds < SECONDS / 20:
            return
        tracemalloc.start()
        try:
            one(data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < FLOOR + growth * len(data), f"{peak} bytes of memory for {len(data)}"

    return check


if __name__ == "__main__":
    kind = sys.argv.pop(1)
    one = {"text": one_text, "binary": one_binary}[kind]
    atheris.Setup(sys.argv, bounded(one, GROWTH[kind]))
    atheris.Fuzz()
