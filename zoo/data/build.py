"""Databases as convert_imageset and compute_image_mean write them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import prototxt
from prototxt import Datum
from prototxt.errors import FormatError, ZooError
from prototxt.files import lock, opened_folder, read_bytes
from prototxt.lmdb_pages import Pages
from prototxt.records import LMDBRecords
from prototxt.shapes import shape_text
from zoo.progress import OnProgress, unheard

from .lists import Entry

__all__ = ["Built", "build", "describe", "mean"]

FIRST_SIZE = 256 << 20
"""Bytes that a database may grow to at first: so many addresses LMDB takes for itself."""
COMMIT_EVERY = 1000
COMMIT_BYTES = 64 << 20
"""How many records, or bytes of them, are held in memory before they are written."""
STATE, DATABASE = "build.json", "lmdb"
"""What lies in the folder of an unfinished database: what it is to be, and itself."""


@dataclass
class Built:
    """What was written; `skipped` has (name, reason), `resumed` the images done before."""

    records: int = 0
    resumed: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)


def build(
    entries: Sequence[Entry],
    output: Path,
    size: tuple[int, int] | None = (128, 128),
    gray: bool = False,
    encoded: bool = False,
    on_progress: OnProgress = unheard,
) -> Built:
    """Write an LMDB of raw Datums (C×H×W uint8, BGR), or of the files themselves (`encoded`).

    `size` is height and width (OpenCV bilinear); None keeps each image's. Keys are
    `00000000_NAME`. The database appears under its name when it is whole. An interrupted one in
    which records are written waits as `NAME.partial`, and the same call goes on with it. Broken
    images are skipped and counted.
    """
    import lmdb

    if not output.parent.is_dir():
        raise ZooError(f"cannot be written: there is no folder {output.parent}", subject=output)
    partial = output.with_name(output.name + ".partial")
    state = fingerprint(entries, size, gray, encoded)
    result = Built()
    try:
        with taken(partial, output):
            start = resume(partial, state, result)
            prototxt.atomic_write(partial / STATE, json.dumps(state))
            opened = lmdb.open(
                os.fsencode(partial / DATABASE), map_size=FIRST_SIZE, sync=True, metasync=False
            )
            with contextlib.closing(opened) as database:
                rows: list[tuple[bytes, bytes]] = []
                waiting = 0
                for index in range(start, len(entries)):
                    for key, data in record(index, entries[index], size, gray, encoded, result):
                        rows.append((key, data))
                        waiting += len(data)
                    on_progress(index + 1, len(entries))
                    if len(rows) == COMMIT_EVERY or waiting > COMMIT_BYTES:
                        write(database, rows)
                        rows, waiting = [], 0
                if rows:
                    write(database, rows)
            if not result.resumed + result.records:
                raise ZooError(
                    f"none of the {len(entries)} images can be read: {result.skipped[0][1]}",
                    subject=output,
                )
            (partial / DATABASE / "lock.mdb").unlink(missing_ok=True)
            (partial / DATABASE).rename(output)
    except (lmdb.Error, OSError) as error:
        remedy = f"what is done stays in {partial.name}; the same command goes on with it"
        raise ZooError(
            f"cannot be written: {reason(error)}",
            subject=output,
            remedy=remedy if partial.exists() else None,
        ) from None
    return result


@contextlib.contextmanager
def taken(partial: Path, output: Path) -> Iterator[None]:
    """The folder of an unfinished database for this process alone, kept if there are records in it.

    ZooError where another process has it, or where the database is there already.
    """
    partial.mkdir(exist_ok=True)
    handle = opened_folder(partial)
    try:
        if handle is not None and lock(handle) is False:
            raise ZooError("another process builds it", subject=output, remedy="wait for that one")
        try:
            if output.exists():
                raise ZooError(
                    "is there already", subject=output, remedy="name another, or remove it"
                )
            yield
        finally:
            if not written(partial):
                shutil.rmtree(partial, ignore_errors=True)
    finally:
        if handle is not None:
            os.close(handle)


def written(partial: Path) -> list[bytes]:
    """The keys of the records that are in an unfinished database."""
    try:
        return Pages(partial / DATABASE).keys
    except FormatError:  # it ended before anything was written
        return []


def write(database: Any, rows: Sequence[tuple[bytes, bytes]]) -> None:
    """Put records into an LMDB, in one transaction; it is made larger until they fit."""
    import lmdb

    while True:
        try:
            with database.begin(write=True) as transaction:
                for key, data in rows:
                    transaction.put(key, data)
            return
        except lmdb.MapFullError:
            database.set_mapsize(2 * database.info()["map_size"])


def reason(error: Exception) -> str:
    """The system's words: LMDB's own text begins with the call, or the path, that failed."""
    text = getattr(error, "strerror", None) or str(error)
    return text.rpartition(": ")[2]


def fingerprint(
    entries: Sequence[Entry], size: tuple[int, int] | None, gray: bool, encoded: bool
) -> dict[str, Any]:
    """What must be the same for an interrupted database to be gone on with."""
    names = "\n".join(f"{e.name} {e.label}" for e in entries)
    digest = hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()
    return {"list": digest, "size": list(size or ()), "gray": gray, "encoded": encoded}


def resume(partial: Path, state: dict[str, Any], result: Built) -> int:
    """The index to go on from; ZooError where the partial database is of another build."""
    keys = written(partial)
    if not keys:
        shutil.rmtree(partial / DATABASE, ignore_errors=True)
        return 0
    try:
        if json.loads(read_bytes(partial / STATE)) != state:
            raise ValueError
        result.resumed = len(keys)
        return int(keys[-1][:8]) + 1
    except (ValueError, FormatError):
        raise ZooError(
            "is of another build", subject=partial, remedy="remove it to start anew"
        ) from None


def record(
    index: int,
    entry: Entry,
    size: tuple[int, int] | None,
    gray: bool,
    encoded: bool,
    result: Built,
) -> list[tuple[bytes, bytes]]:
    """The key and the Datum of one image; nothing of a broken one, which is counted."""
    import runtime
    from prototxt.opencv import cv2

    try:
        image = runtime.read_image(entry.path)
        whole = read_bytes(entry.path) if encoded and size is None else b""
    except ZooError as error:
        result.skipped.append((entry.name, error.message))
        return []
    if whole:
        datum = Datum(None, whole, entry.label)
    else:
        if size is not None:
            image = runtime.resize(image, *size)
        if gray:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None]
        if encoded:
            data = cv2.imencode(".png", image)[1].tobytes()
            datum = Datum(None, data, entry.label)
        else:
            datum = Datum(np.ascontiguousarray(image.transpose(2, 0, 1)), b"", entry.label)
    result.records += 1
    key = f"{index:08d}_{entry.name}".encode("utf-8", "surrogateescape")[:511]
    return [(key, prototxt.serialize_datum(datum))]


def mean(database: Path, output: Path, on_progress: OnProgress = unheard) -> np.ndarray:
    """Write the mean image (C×H×W) of a database as a .binaryproto; returns it."""
    records = LMDBRecords(database)
    total = np.zeros(records.shape, np.float64)
    for index in range(len(records)):
        total += records.row(index)[0]
        on_progress(index + 1, len(records))
    average = (total / len(records)).astype(np.float32)
    prototxt.write_binaryproto(output, average)
    return average


def describe(database: Path) -> dict[str, Any]:
    """Records, shapes, labels and channel means of a database."""
    records = LMDBRecords(database)
    shapes: dict[str, int] = {}
    labels: dict[int, int] = {}
    sums = np.zeros(records.shape[0])
    for index in range(len(records)):
        image, label = records.image(index)
        shown = shape_text(image.shape)
        shapes[shown] = shapes.get(shown, 0) + 1
        labels[label] = labels.get(label, 0) + 1
        if image.shape[0] == len(sums):
            sums += image.reshape(len(sums), -1).mean(1, dtype=np.float64)
    return {
        "kind": "lmdb",
        "records": len(records),
        "shapes": shapes,
        "labels": len(labels),
        "label_range": [min(labels), max(labels)],
        "channel_means": [round(float(v) / len(records), 3) for v in sums],
        "first_key": records.keys[0].decode("utf-8", "replace"),
        "last_key": records.keys[-1].decode("utf-8", "replace"),
        "bytes": sum(p.stat().st_size for p in database.iterdir()),
    }
