"""Coverage-guided fuzzing of what reads strangers' files, outside the test suite:

    pip install atheris
    python tests/fuzz/fuzz_formats.py KIND CORPUS -runs=1000000 -max_len=4096 -timeout=1

KIND is one of those in `KINDS`. CORPUS is a folder to begin from and to grow, as a copy of
tests/goldens. What ends it, with the input that did it: any exception but a ZooError, a second
without an answer, and memory out of proportion to the input, of which every 16th (and each that was
slow) is measured.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import tempfile
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import atheris
import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

ROOMS = ("data", "hub", "importing", "inspection", "prediction")

with atheris.instrument_imports(
    include=[
        "prototxt",
        "runtime.codec",
        "runtime.switch_predictor",
        "runtime.switch_tables",
        "zoo.data",
        "zoo.hub",
        "zoo.importing",
        "zoo.prediction",
    ]
):
    import prototxt
    from prototxt import arrays, binary, labels, net, preprocessing, schema, solver, text, upgrade
    from prototxt.errors import ZooError
    from prototxt.records import HDF5Records, LMDBRecords
    from runtime import codec
    from runtime.switch_predictor import Scores, SwitchPredictor
    from runtime.switch_tables import SwitchTables
    from zoo.data import lists
    from zoo.hub import index
    from zoo.importing import readme
    from zoo.inspection import programs
    from zoo.inspection.onnx_model import Tensor
    from zoo.prediction import truth

assert all((binary, net, schema, solver, text, upgrade, h5py))
MEMORY = Path("/dev/shm")
SCRATCH = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None)) / "input"
SECONDS = 1.0
FLOOR = 256 << 10
"""Bytes that any reading may take, whatever its input: messages, tables made at the first call."""
SPARSE = 32 << 20
"""The same of label maps: one line may name the class of the largest number that they may have."""
GROWTH = 200
"""Bytes of memory for a byte of input. The densest text is `a:1 `, a field, a scalar, a place and
their strings in four bytes; the densest binary an empty blob, an array and its shape in two."""


LONGEST = 1 << 13
"""Sides of pictures whose switches are decoded by tables, row after row: 65536 take a second."""


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


def one_database(data: bytes) -> None:
    folder = SCRATCH.with_name("database")
    folder.mkdir(exist_ok=True)
    (folder / "data.mdb").write_bytes(data)
    with contextlib.suppress(ZooError):
        records = LMDBRecords(folder, one_size=False)
        for number in range(min(len(records), 8)):
            with contextlib.suppress(ZooError):
                records.row(number)


def one_list(data: bytes) -> None:
    SCRATCH.write_bytes(data)
    with contextlib.suppress(ZooError):
        HDF5Records(SCRATCH, ["data"])


def one_code(data: bytes) -> None:
    """As it is, and with a checksum that fits; by tables or scores where it asks for small ones."""
    for end in (b"", zlib.crc32(data).to_bytes(4, "little")):
        SCRATCH.write_bytes(data + end)
        with contextlib.suppress(ZooError):
            header = codec.read_header(SCRATCH)
            levels = header.levels if max(header.padded) <= LONGEST else ()
            small = [count for count in levels if count < 64]
            known: codec.EntropyModel = SwitchTables([np.full((n, 256, 4), 1024) for n in small])
            if header.coding == "scores":
                zeros = [(np.zeros(4 * n, int), np.zeros((5, 4 * n, 4 * n), int)) for n in small]
                known = SwitchPredictor([Scores(*each) for each in zeros])
            for _ in codec.read_masks(SCRATCH, known):
                pass


def one_index(data: bytes) -> None:
    with contextlib.suppress(ZooError):
        index.read(data, "index.json")


def one_archive(data: bytes) -> None:
    for name, read in (("input.npy", arrays.read_array), ("input.npz", arrays.read_arrays)):
        path = SCRATCH.with_name(name)
        path.write_bytes(data)
        with contextlib.suppress(ZooError):
            read(path)


STATED = (
    *("zoo.mean", "zoo.scale", "zoo.crop", "zoo.resize_size", "zoo.input_size"),
    *("zoo.channel_order", "zoo.names", "zoo.nhwc", "zoo.task", "zoo.labels", "zoo.input"),
)
TAKEN = [Tensor("data", ("batch", 3, "height", "width"), "float32")]
GIVEN = [Tensor("prob", ("batch", 10), "float32")]


def one_metadata(data: bytes) -> None:
    """Lines, of which the first byte says which property each is."""
    said = {
        STATED[line[0] % len(STATED)]: line[1:].decode("utf-8", "replace")
        for line in data.split(b"\0")
        if line
    }
    with contextlib.suppress(ZooError):
        how = preprocessing.Preprocessing.from_metadata(said)
        how.told(), how.as_dict()
    with contextlib.suppress(ZooError):
        compile(programs.snippet(said, TAKEN, GIVEN, "net.onnx"), "snippet", "exec")


def one_truth(data: bytes) -> None:
    """Lists of classes and images, label maps, annotations, the front matter of a readme.md."""
    for name, read in (
        ("labels.txt", labels.read_labels),
        ("labels.prototxt", labels.read_labels),
        ("list.txt", lambda path: lists.from_list(path.parent, path)),
        ("a.xml", truth.annotation),
        ("readme.md", lambda path: readme.read_readme(path.parent)),
    ):
        folder = SCRATCH.with_name(name.partition(".")[2])
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_bytes(data)
        with contextlib.suppress(ZooError):
            read(path)


KINDS: dict[str, Callable[[bytes], None]] = {
    "text": one_text,
    "binary": one_binary,
    "lmdb": one_database,
    "hdf5-list": one_list,
    "switches": one_code,
    "index": one_index,
    "arrays": one_archive,
    "metadata": one_metadata,
    "truth": one_truth,
}


def memory(one: Callable[[bytes], None], data: bytes) -> int:
    """Bytes that it takes at most at a time."""
    tracemalloc.start()
    try:
        one(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def bounded(kind: str) -> Callable[[bytes], None]:
    """One of `KINDS`, which must answer within a second and with memory in proportion to its input.

    Two are measured by the clock alone: few bytes of switches may mean a large picture, and
    compiling the program of a model makes Python's own tables grow now and then.
    """
    one = KINDS[kind]
    turn = itertools.count()
    floor = SPARSE if kind == "truth" else FLOOR

    def check(data: bytes) -> None:
        started = time.process_time()
        one(data)
        seconds = time.process_time() - started
        assert seconds < SECONDS, f"{seconds:.2f} s for {len(data)} bytes"
        if kind in ("switches", "metadata") or (next(turn) % 16 and seconds < SECONDS / 20):
            return
        # Python's own tables (of interned names) grow now and then: not twice in a row.
        peak = min(memory(one, data) for _ in range(2))
        assert peak < floor + GROWTH * len(data), f"{peak} bytes of memory for {len(data)}"

    return check


if __name__ == "__main__":
    atheris.Setup(sys.argv, bounded(sys.argv.pop(1)))
    atheris.Fuzz()
