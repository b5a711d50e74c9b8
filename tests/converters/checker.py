"""One checker for every golden case: Caffe's numbers = ONNX Runtime (each target) = PyTorch."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

import converters
from converters.graph import Graph

RTOL = 1e-5
"""Relative to the greatest magnitude of a blob: float32 sums in another order differ so much."""


class Case:
    """A folder with net.prototxt, perhaps net.caffemodel, and io.npz (in.BLOB, out.BLOB)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with np.load(folder / "io.npz") as io:
            self.feeds = {k[3:]: io[k] for k in io.files if k.startswith("in.")}
            self.expected = {k[4:]: io[k] for k in io.files if k.startswith("out.")}

    def graph(self, open_dims: bool = True, outputs: list[str] | None = None) -> Graph:
        weights = self.folder / "net.caffemodel"
        return converters.load_graph(
            self.folder / "net.prototxt",
            weights if weights.exists() else None,
            outputs=outputs or list(self.expected),
            open_dims=open_dims,
        )

    def feeds_of(self, graph: Graph) -> dict[str, np.ndarray]:
        return {v.name: self.feeds[v.name] for v in graph.inputs}

    def compare(self, graph: Graph, found: list[np.ndarray], tolerance: float = RTOL) -> None:
        """Equal to Caffe's blobs, of the inferred shapes; masks equal to the last index."""
        sizes: dict[str, int] = {}
        for value in graph.inputs:
            bind(sizes, value.shape, self.feeds[value.name].shape)
        for (name, expected), value, got in zip(
            self.expected.items(), graph.outputs, found, strict=True
        ):
            assert got.shape == expected.shape, f"{name}: {got.shape}, Caffe has {expected.shape}"
            bind(sizes, value.shape, got.shape)
            assert str(got.dtype) == value.dtype
            if value.dtype == "int64":
                assert np.array_equal(got, expected.astype(np.int64)), f"{name}: masks differ"
            else:
                close(name, got, expected, tolerance)


def bind(sizes: dict[str, int], shape: tuple[int | str, ...], real: tuple[int, ...]) -> None:
    """An inferred shape must be the real one, and a symbol one size throughout."""
    assert len(shape) == len(real), f"inferred {shape}, is {real}"
    for dim, size in zip(shape, real, strict=True):
        assert (sizes.setdefault(dim, size) if isinstance(dim, str) else dim) == size, (
            f"inferred {shape}, is {real}, with {sizes}"
        )


def close(name: str, got: np.ndarray, expected: np.ndarray, tolerance: float = RTOL) -> None:
    got64, expected64 = got.astype(np.float64), expected.astype(np.float64)
    assert np.array_equal(np.isnan(got64), np.isnan(expected64)), f"{name}: NaN elsewhere"
    scale = float(np.nanmax(np.abs(expected64), initial=1e-3))
    worst = float(np.nanmax(np.abs(got64 - expected64), initial=0.0)) / scale
    assert worst <= tolerance, f"{name}: off by {worst:.2e} of its greatest magnitude {scale:g}"


def run_onnx(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Check a model strictly and run it on ONNX Runtime's CPU provider."""
    onnx.checker.check_model(model, full_check=True)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, feeds))


def run_torch(graph: Graph, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Rebuild a graph in PyTorch, which must be fit to be saved, and run it in evaluation mode."""
    import torch

    module = converters.to_torch(graph).eval()
    pickle.dumps(module)
    with torch.no_grad():
        result = module(*(torch.from_numpy(feeds[v.name]) for v in graph.inputs))
    return [result[v.name].numpy() for v in graph.outputs]
