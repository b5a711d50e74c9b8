"""Sessions on a provider, and what they say of where each node ran."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

NAMES = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
EXACT = {"cuda": {"use_tf32": "0"}}
"""Float32 throughout: TF32, which CUDA's convolutions use otherwise, keeps 10 bits of 23."""
SMALL = 1 << 16
"""Elements of the largest shape or grid of places that may be computed on the CPU."""


def opened(
    model: onnx.ModelProto | str, provider: str, profile: Path | None = None
) -> ort.InferenceSession:
    """A session that computes in float32; AssertionError where it fell back to another provider."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    wanted: list[Any] = [(NAMES[provider], EXACT.get(provider, {}))]
    if provider != "cpu":
        wanted.append(NAMES["cpu"])
    data = model if isinstance(model, str) else model.SerializeToString()
    session = ort.InferenceSession(data, options, providers=wanted)
    assert session.get_providers()[0] == NAMES[provider], session.get_providers()
    return session


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray], provider: str) -> list[np.ndarray]:
    return list(opened(model, provider).run(None, feeds))


def elsewhere(
    model: onnx.ModelProto, feeds: dict[str, np.ndarray], provider: str, folder: Path
) -> list[str]:
    """Nodes that another provider ran on more than shapes: each is a copy there and back.

    ONNX Runtime itself puts what computes shapes onto the CPU, and rightly so.
    """
    session = opened(model, provider, folder / "profile")
    session.run(None, feeds)
    events = json.loads(Path(session.end_profiling()).read_text())
    nodes = [e for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")]
    assert nodes, "nothing was profiled"
    return sorted(
        f"{e['args']['op_name']} {e['name'].removesuffix('_kernel_time')}"
        for e in nodes
        if e["args"]["provider"] != NAMES[provider] and large(e["args"])
    )


def large(node: dict[str, Any]) -> bool:
    """Whether a profiled node read or wrote floats, or integers that are more than a shape.

    A single float may be a count of a loss, which is computed of shapes.
    """
    tensors = [*node.get("input_type_shape", ()), *node.get("output_type_shape", ())]
    return any(
        math.prod(shape) > (1 if "float" in kind else SMALL)
        for tensor in tensors
        for kind, shape in tensor.items()
    )
