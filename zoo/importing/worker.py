"""One model, in a process of its own: what a stranger's file does to it happens to nothing else.

    python -m zoo.importing.worker '{"definitions": [...], "weights": ..., "output": ...}'

It prints one JSON object: what was converted and verified, or why not.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["make"]


def make(job: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the weights by the first definition that they fit, write the model, verify it.

    `job` holds `definitions` (paths, the likeliest first), `weights`, `mean` and `labels` (paths or
    None) and `output`. The result has `definition`, `task`, `notes` and `verified`, or `why`.
    """
    import converters
    from prototxt.errors import UsageError, ZooError
    from prototxt.labels import read_labels
    from prototxt.preprocessing import Preprocessing

    started = time.perf_counter()
    why: list[str] = []
    weights, output = Path(job["weights"]), Path(job["output"])
    for name in job["definitions"]:
        path = Path(name)
        notes: list[str] = []
        try:
            given: dict[str, Any] = {"labels": read_labels(job["labels"])} if job["labels"] else {}
        except ZooError as error:
            given = {}
            notes.append(f"its labels were left out: {error}")
        if job["mean"]:
            given["preprocessing"] = Preprocessing(job["mean"])
        try:
            conversion = converted(converters.convert, path, weights, given, notes)
            conversion.save(output)
        except (ZooError, UsageError) as error:
            why.append(f"{path.name}: {error}")
            output.unlink(missing_ok=True)
            continue
        return {
            "definition": str(path),
            "task": conversion.metadata["zoo.task"],
            "notes": [*notes, *map(str, conversion.notes)],
            "verified": verified(path, output, weights),
            "seconds": round(time.perf_counter() - started, 2),
        }
    return {"why": why[0] if why else "no definition fits these weights", "others": why[1:]}


def converted(
    convert: Any, path: Path, weights: Path, given: dict[str, Any], notes: list[str]
) -> Any:
    """The conversion; labels that are not as many as the classes are left out, and told."""
    from prototxt.errors import UsageError

    try:
        return convert(path, weights, **given)
    except UsageError as error:
        if "labels" not in given:
            raise
        notes.append(f"its labels were left out: {error}")
        rest = {key: value for key, value in given.items() if key != "labels"}
        return convert(path, weights, **rest)


def verified(net: Path, model: Path, weights: Path) -> dict[str, Any]:
    """Whether PyTorch and ONNX Runtime agree: `ok`, and the largest difference or why not."""
    from prototxt.errors import ZooError
    from zoo import extras
    from zoo.checking.verify import verify

    if not extras.installed("torch"):
        return {"ok": None, "why": "PyTorch is not installed"}
    try:
        found = verify(net, model, weights)
    except (ZooError, RuntimeError, MemoryError) as error:
        return {"ok": None, "why": str(error) or type(error).__name__}
    compared = [item for row in found.rows for item in row.comparisons if not item.unjudged]
    worst = max((item.max_rel for item in compared), default=0.0)
    if not found.judged:
        return {"ok": None, "why": "; ".join(found.reasons)}
    return {"ok": found.first is None, "largest": worst}


def main() -> None:
    """Run one job, within limits unless it says `trust`."""
    from runtime import limits

    job = json.loads(sys.argv[1])
    if not job.get("trust"):
        status = limits.supervised()
        if status is not None:
            os._exit(status)
    sys.stdout.write(json.dumps(make(job)) + "\n")


if __name__ == "__main__":
    main()
