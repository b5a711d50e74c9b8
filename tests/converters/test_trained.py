"""Networks that others trained and published, against what Caffe and OpenCV 4 answered."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import converters
import prototxt
from tests.converters.checker import run_onnx, run_torch

MEAN = np.array([104, 117, 123], np.float32)[:, None, None]


def folders(shared: Path) -> list[Path]:
    return sorted(path.parent for path in (shared / "caffe" / "trained").glob("*/io.npz"))


def apart(name: str, found: np.ndarray, expected: np.ndarray) -> None:
    """Within 1e-4 of the greatest magnitude; where nothing is found, Caffe says so in a row."""
    if expected.shape[-1:] == (7,) and expected.size == 0:
        assert found.ravel().tolist() == [0, *[-1] * 6], name
        return
    assert found.shape == expected.shape, name
    greatest = np.abs(expected).max()
    assert np.abs(found - expected).max() <= 1e-4 * greatest, name


def test_they_answer_as_before(shared: Path) -> None:
    """Every blob that is given, in every target and in PyTorch."""
    assert len(folders(shared)) == 8
    for folder in folders(shared):
        with np.load(folder / "io.npz") as io:
            feeds = {k[3:]: io[k] for k in io.files if k.startswith("in.")}
            expected = {k[4:]: io[k] for k in io.files if k.startswith("out.")}
        net = prototxt.read_net(folder / "net.prototxt").select("TEST")
        shapes = {name: array.shape for name, array in feeds.items()}
        graph = converters.convert(
            net,
            folder / "net.caffemodel",
            shapes=shapes,
            outputs=list(expected),
        ).graph
        for target in converters.FORMS:
            found = run_onnx(converters.to_onnx(converters.fold(graph), target=target), feeds)
            for value, array in zip(graph.outputs, found, strict=True):
                apart(f"{folder.name}, {target}: {value.name}", array, expected[value.name])
        found = run_torch(graph, feeds)
        for value, array in zip(graph.outputs, found, strict=True):
            apart(f"{folder.name}, torch: {value.name}", array, expected[value.name])
