"""onnxruntime-web's WebAssembly, the runtime of browsers, under node."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["PACKAGE", "Answer", "missing", "run"]

PACKAGE = "onnxruntime-web"
SCRIPT = Path(__file__).with_name("web_runtime.cjs")
NOT_FOUND = 3
SECONDS = 570
"""For which all models together may compute."""

Blobs = Mapping[str, np.ndarray]
Answer = tuple[str, dict[str, np.ndarray]]
"""Its version, and the outputs by name."""


def missing() -> str:
    """What has to be installed for it; empty where all is there."""
    node = shutil.which("node")
    if node is None:
        return f"node is not installed, which runs {PACKAGE}"
    if subprocess.run([node, str(SCRIPT)], capture_output=True).returncode == NOT_FOUND:
        return f"{PACKAGE} is not installed; npm install {PACKAGE}, in this folder"
    return ""


def run(jobs: Sequence[tuple[Path, Blobs]]) -> list[Answer | str]:
    """Models, each with what it is fed; of one that does not run, why, in the runtime's own words.

    All in one process of node, one after the other, with one thread. Raises RuntimeError where
    node itself ends, subprocess.TimeoutExpired after `SECONDS`.
    """
    node = shutil.which("node")
    assert node is not None, "missing() tells"
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / str(place) for place in range(len(jobs))]
        for folder, (model, feeds) in zip(folders, jobs, strict=True):
            folder.mkdir()
            write(folder, model, feeds)
        done = subprocess.run(
            [node, str(SCRIPT), *map(str, folders)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise RuntimeError(lines[-1] if lines else f"node ended with status {done.returncode}")
        return [read(folder) for folder in folders]


def write(folder: Path, model: Path, feeds: Blobs) -> None:
    """A job as the script reads it: the model in one file, weights included."""
    import onnx

    (folder / "model.onnx").write_bytes(onnx.load(model).SerializeToString())
    described = []
    for place, (name, array) in enumerate(feeds.items()):
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        (folder / f"input{place}").write_bytes(little.tobytes())
        described.append({"name": name, "type": array.dtype.name, "shape": list(array.shape)})
    (folder / "inputs.json").write_text(json.dumps(described))


def read(folder: Path) -> Answer | str:
    """What the script wrote of a job."""
    failed = folder / "failed.txt"
    if failed.exists():
        return failed.read_text(errors="replace").strip() or "no reason given"
    said: dict[str, Any] = json.loads((folder / "outputs.json").read_text())
    found = {}
    for place, output in enumerate(said["outputs"]):
        kind = np.dtype(output["type"]).newbyteorder("<")
        numbers = np.frombuffer((folder / f"output{place}").read_bytes(), kind)
        found[output["name"]] = numbers.reshape(output["shape"])
    return said["version"], found
