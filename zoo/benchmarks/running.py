"""The `run` suite: ONNX Runtime on our models beside what else runs the same network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prototxt.errors import ZooError

from .crew import Measurement, compete
from .networks import Files, caffenet, classifier, convert, tunnel

__all__ = ["OURS", "Settings", "macs", "rows", "run"]

OURS = "ONNX Runtime, zoo convert"
PEAK = ("matrices, numpy", "matrices, torch")
TOLERANCE = 1e-2
"""Root of the mean squared difference, over that of the values."""


@dataclass(frozen=True)
class Settings:
    """How long and how wide to measure."""

    threads: int
    rounds: int = 9
    turn: float = 0.4
    """Seconds that each contestant runs in each round."""
    provider: str = "cpu"
    side: int = 128
    compiled: bool = True
    classifier_side: int = 227
    classifier_hidden: int = 4096
    matrix: int = 2048
    opencv: str | None = None
    """A folder of packages with OpenCV 4, where the installed one reads no Caffe files."""

    @property
    def target(self) -> str:
        """What models are written for."""
        return "cpu" if self.provider == "cpu" else "cuda"


def run(
    folder: Path,
    arches: Sequence[str],
    batches: Sequence[int],
    settings: Settings,
    on_round: Callable[[], object] = lambda: None,
) -> list[dict[str, Any]]:
    """Rows of all networks and batch sizes."""
    result = []
    for arch in arches:
        files = tunnel(arch, settings.side, folder, settings.target)
        shape = [3, settings.side, settings.side]
        for batch in batches:
            specs = contestants(files, "deconv1_2", [batch, *shape], settings)
            result += measure(arch, batch, files.naive, specs, settings, on_round)
    text = caffenet(settings.classifier_side, settings.classifier_hidden)
    files = classifier(folder, "caffenet", text)
    convert(files, settings.target)
    for batch in batches:
        shape = [batch, 3, settings.classifier_side, settings.classifier_side]
        specs = contestants(files, "prob", shape, settings)
        specs["OpenCV DNN"] = {
            "kind": "opencv", "net": str(files.net), "caffemodel": str(files.caffemodel),
            "shape": shape, "threads": settings.threads, "path": settings.opencv,
        }  # fmt: skip
        result += measure("caffenet", batch, files.onnx, specs, settings, on_round)
    return result


def contestants(
    files: Files, output: str, shape: list[int], settings: Settings
) -> dict[str, dict[str, Any]]:
    """Who runs a network at a shape; ours is the first."""
    common = {"shape": shape, "threads": settings.threads, "provider": settings.provider}
    torch = {
        **common, "kind": "torch", "net": str(files.net), "caffemodel": str(files.caffemodel),
        "output": output,
    }  # fmt: skip
    specs: dict[str, dict[str, Any]] = {
        OURS: {**common, "kind": "onnxruntime", "model": str(files.onnx)}
    }
    if files.naive.exists():
        specs["ONNX Runtime, naive export"] = {
            **common, "kind": "plain onnxruntime", "model": str(files.naive)
        }  # fmt: skip
    if settings.provider == "cpu":
        plain = {**common, "kind": "plain onnxruntime"}
        specs["ONNX Runtime, opened without us"] = {**plain, "model": str(files.onnx)}
        specs["ONNX Runtime, portable"] = {
            **common, "kind": "onnxruntime", "model": str(files.portable)
        }  # fmt: skip
        specs["OpenVINO, zoo convert"] = {
            **common, "kind": "openvino", "model": str(files.portable), "output": output
        }  # fmt: skip
    specs["torch, eager"] = torch
    if settings.compiled:
        specs["torch, compiled"] = {**torch, "compiled": True}
    return specs


def matrices(settings: Settings, dtype: str = "float32") -> dict[str, dict[str, Any]]:
    """The contestants that measure the machine's peak."""
    common = {"kind": "matrices", "size": settings.matrix, "threads": settings.threads}
    torch = {**common, "library": "torch", "provider": settings.provider, "dtype": dtype}
    if settings.provider != "cpu" or dtype != "float32":
        return {PEAK[1]: torch}
    return {PEAK[0]: {**common, "library": "numpy"}, PEAK[1]: torch}


def measure(
    network: str,
    batch: int,
    counted: Path,
    specs: dict[str, dict[str, Any]],
    settings: Settings,
    on_round: Callable[[], object],
) -> list[dict[str, Any]]:
    """The rows of one network at one batch size; `counted` is the model whose work is counted."""
    for number, spec in enumerate(specs.values()):
        spec["keep"] = str(counted.with_name(f"result{number}.npy"))
    peaks = matrices(settings)
    found = compete({**specs, **peaks}, settings.threads, settings.rounds, settings.turn, on_round)
    for name in peaks:
        if (why := found[name].absent) and name == PEAK[-1]:
            raise ZooError(f"the machine's peak cannot be measured: {why}")
    found = agreed(found, specs)
    work = macs(counted, specs[OURS]["shape"]) / 1e9
    return rows(network, batch, work, found, settings.matrix)


def agreed(
    found: Mapping[str, Measurement], specs: Mapping[str, Mapping[str, Any]]
) -> dict[str, Measurement]:
    """Those that compute what ours does; the others have no figures: what is faster must be right.

    Two sums of one thing in another order may turn a switch, which changes a few pixels much.
    """
    if found[OURS].absent:
        raise ZooError(f"{found[OURS].absent}", subject=OURS)
    result, ours = dict(found), np.load(specs[OURS]["keep"]).astype(np.float64)
    for name, spec in specs.items():
        if found[name].absent:
            continue
        apart = float(np.linalg.norm(np.load(spec["keep"]) - ours) / np.linalg.norm(ours))
        if not apart <= TOLERANCE:
            result[name] = Measurement(absent=f"its result departs from ours by {apart:.2g} of it")
    return result


def rows(
    network: str, batch: int, gmacs: float, found: Mapping[str, Measurement], matrix: int
) -> list[dict[str, Any]]:
    """Figures of each contestant; `gmacs` are 10^9 multiply-adds of the whole batch.

    `ratio` is how many times as long as ours it takes.
    """
    best = min(timing.median for n in PEAK if n in found and (timing := found[n].seconds))
    peak = matrix**3 / 1e9 / best
    ours = found[OURS].seconds
    result = []
    for name, one in found.items():
        timing, work = one.seconds, matrix**3 / 1e9 if name in PEAK else gmacs
        row: dict[str, Any] = {
            "network": network,
            "batch": batch,
            "contestant": name,
            "absent": one.absent,
            "seconds": None,
            "quartiles": None,
            "ratio": None,
            "images_per_second": None,
            "gmacs_per_second": None,
            "share_of_peak": None,
            "peak_rss": one.peak_rss,
            "start_seconds": one.start,
        }
        if timing is not None:
            speed = work / timing.median
            row |= {
                "seconds": timing.median,
                "quartiles": [timing.low, timing.high],
                "gmacs_per_second": speed,
                "share_of_peak": speed / peak,
            }
            if name not in PEAK and ours is not None:
                row["ratio"] = timing.median / ours.median
                row["images_per_second"] = batch / timing.median
        result.append(row)
    return result


def macs(model: Path, shape: Sequence[int]) -> int:
    """Multiply-adds of the convolutions and inner products of a model at an input shape."""
    import onnx

    loaded = onnx.load(model, load_external_data=False)
    dims = loaded.graph.input[0].type.tensor_type.shape.dim
    for dim, size in zip(dims, shape, strict=True):
        dim.dim_value = size
    # Computed where shape inference cannot follow: every plane of MaxUnpool is twice its input's.
    inferred = onnx.shape_inference.infer_shapes(loaded, data_prop=True).graph
    known = {
        info.name: [dim.dim_value for dim in info.type.tensor_type.shape.dim]
        for info in [*inferred.value_info, *inferred.input, *inferred.output]
    }
    stored = {tensor.name: tensor for tensor in loaded.graph.initializer}
    total = 0
    for node in loaded.graph.node:
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            place = known[node.input[0] if node.op_type == "ConvTranspose" else node.output[0]]
            spatial = place[2:] if node.op_type.startswith("Conv") else []
            total += math.prod(stored[node.input[1]].dims) * shape[0] * math.prod(spatial)
    return total
