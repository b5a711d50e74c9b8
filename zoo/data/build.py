"""Databases as convert_imageset and compute_image_mean write them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import prototxt
from prototxt import Datum
from prototxt.errors import ZooError
from prototxt.records import LMDBRecords
from prototxt.shapes import shape_text
from zoo.progress import OnProgress, unheard

from .lists import Entry

__all__ = ["Built", "build", "describe", "mean"]

MAP_SIZE = 1 << 40
"""The most that a database may grow to; the file is as large as what is in it."""
COMMIT_EVERY = 1000
STATE = "build.json"


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
    `00000000_NAME`. The database appears under its name when it is whole; an interrupted one waits
    as `NAME.partial` and the same call goes on with it. Broken images are skipped and counted.
    """
    import lmdb

    if output.exists():
        raise ZooError("is there already", subject=output, remedy="name another, or remove it")
    if not output.parent.is_dir():
        raise ZooError(f"cannot be written: there is no folder {output.parent}", subject=output)
    partial = output.with_name(output.name + ".partial")
    state = fingerprint(entries, size, gray, encoded)
    result = Built()
    start = resume(partial, state, result)
    database = None
    try:
        partial.mkdir(exist_ok=True)
        prototxt.atomic_write(partial / STATE, json.dumps(state))
        database = lmdb.open(str(partial), map_size=MAP_SIZE, sync=True, metasync=False)
        for first in range(start, len(entries), COMMIT_EVERY):
            with database.begin(write=True) as transaction:
                for index in range(first, min(first + COMMIT_EVERY, len(entries))):
                    put(transaction, index, entries[index], size, gray, encoded, result)
                    on_progress(index + 1, len(entries))
        database.close()
        database = None
        if not result.records and not result.resumed:
            shutil.rmtree(partial)
            raise ZooError(
                f"none of the {len(entries)} images can be read: {result.skipped[0][1]}",
                subject=output,
            )
        (partial / STATE).unlink()
        partial.rename(output)
    except (lmdb.Error, OSError) as error:
        raise ZooError(
            f"cannot be written: {reason(error)}",
            subject=output,
            remedy=f"what is done stays in {partial.name}; the same command goes on with it",
        ) from None
    finally:
        if database is not None:
            database.close()
    return result


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
    import lmdb

    if not partial.exists():
        return 0
    try:
        if json.loads((partial / STATE).read_text()) != state:
            raise ValueError
        with lmdb.open(str(partial), readonly=True, lock=False) as database:
            result.resumed = database.stat()["entries"]
            with database.begin() as transaction:
                cursor = transaction.cursor()
                return int(bytes(cursor.key())[:8]) + 1 if cursor.last() else 0
    except (OSError, ValueError):
        raise ZooError(
            "is of another build", subject=partial, remedy="remove it to start anew"
        ) from None
    except lmdb.Error:
        return 0


def put(
    transaction: Any,
    index: int,
    entry: Entry,
    size: tuple[int, int] | None,
    gray: bool,
    encoded: bool,
    result: Built,
) -> None:
    import runtime
    from prototxt.opencv import cv2

    try:
        image = runtime.read_image(entry.path)
    except ZooError as error:
        result.skipped.append((entry.name, error.message))
        return
    if encoded and size is None:
        datum = Datum(None, entry.path.read_bytes(), entry.label)
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
    key = f"{index:08d}_{entry.name}".encode("utf-8", "surrogateescape")[:511]
    transaction.put(key, prototxt.serialize_datum(datum))
    result.records += 1


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
