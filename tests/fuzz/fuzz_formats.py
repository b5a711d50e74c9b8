"""Coverage-guided fuzzing of the parsers, outside the test suite:

    pip install atheris
    python tests/fuzz/fuzz_formats.py text CORPUS -runs=1000000 -max_len=4096 -timeout=1
    python tests/fuzz/fuzz_formats.py binary CORPUS -runs=1000000 -max_len=4096 -timeout=1

CORPUS is a folder to begin from and to grow, as a copy of tests/goldens. Any exception but a
ZooError, a second without an answer or 2 GB of memory ends it with the input that did it.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

with atheris.instrument_imports(include=["prototxt"]):
    import prototxt
    from prototxt import binary, net, schema, solver, text, upgrade
    from prototxt.errors import ZooError

assert all((binary, net, schema, solver, text, upgrade))
SCRATCH = Path(tempfile.mkdtemp()) / "input"


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


if __name__ == "__main__":
    kind = sys.argv.pop(1)
    atheris.Setup(sys.argv, {"text": one_text, "binary": one_binary}[kind])
    atheris.Fuzz()
