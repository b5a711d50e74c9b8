"""Every golden, published networks and the paper's, written for every runtime, in each of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import converters
from tests.converters.checker import Case
from tests.converters.test_goldens import CASES, case_id
from zoo import extras
from zoo.benchmarks import networks
from zoo.checking.comparison import compare
from zoo.checking.runtimes import RUNTIMES
from zoo.paper import architectures

OTHERS = [
    pytest.param(
        name, marks=pytest.mark.skipif(not extras.installed(module), reason=f"needs {module}")
    )
    for name, module in (("openvino", "openvino"), ("opencv", "cv2"))
]
SCALAR = "OpenCV has no tensors without dimensions"
KNOWN = {
    ("opencv", "filter_two"): "OpenCV has no Compress",
    ("opencv", "reduction_all"): SCALAR,
    ("opencv", "reduction_asum_axis0"): SCALAR,
    ("opencv", "reduction_mean_axis0"): SCALAR,
    ("opencv", "reduction_sum_axis0"): SCALAR,
    ("opencv", "reduction_sumsq_axis0"): SCALAR,
    ("openvino", "argmax_flat_ties"): "OpenVINO's ArgMax takes the first of equal values",
}
"""What a runtime cannot, whatever the form; a test fails where it can."""


def agree(model: onnx.ModelProto, feeds: dict[str, np.ndarray], name: str, folder: Path) -> None:
    path = str(folder / "model.onnx")
    onnx.save(model, path)
    expected, found = (RUNTIMES[one](path, feeds)[1] for one in ("onnxruntime", name))
    for blob, array in expected.items():
        assert compare(blob, (name, found[blob]), ("onnxruntime", array)).ok, blob


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("folder", CASES, ids=case_id)
def test_goldens(folder: Path, name: str, tmp_path: Path) -> None:
    case = Case(folder)
    graph = case.graph(open_dims=False)
    model = converters.to_onnx(converters.fold(graph), target=name)
    reason = KNOWN.get((name, folder.name))
    if reason is None:
        agree(model, case.feeds_of(graph), name, tmp_path)
        return
    try:
        agree(model, case.feeds_of(graph), name, tmp_path)
    except Exception:  # an assertion, or whatever the runtime raises
        return
    pytest.fail(f"{name} can by now: {reason}", pytrace=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_published_networks(shared: Path, name: str, tmp_path: Path) -> None:
    for path in sorted((shared / "caffe" / "trained").glob("*/io.npz")):
        with np.load(path) as io:
            feeds = {k[3:]: io[k] for k in io.files if k.startswith("in.")}
        converted = converters.convert(path.parent / "net.prototxt", path.parent / "net.caffemodel")
        model = converters.to_onnx(converters.fold(converted.graph))
        agree(model, feeds, name, tmp_path)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("arch", ["8_8_8", "12_24_48", "64_64_64"])
def test_the_papers_networks(arch: str, name: str, tmp_path: Path) -> None:
    """With open height and width; 100x76 is no multiple of 8.

    Sums in another order turn a switch in a million, which changes some pixels much: the whole
    image is compared, and the switches.
    """
    files = networks.tunnel(arch, architectures.SIZE, tmp_path)
    graph = converters.convert(files.net, files.caffemodel).graph
    x = np.random.default_rng(0).normal(0, 60, (2, 3, 100, 76)).astype(np.float32)
    path = str(tmp_path / "model.onnx")
    onnx.save(converters.to_onnx(converters.fold(graph)), path)
    expected, found = (RUNTIMES[one](path, {"data": x})[1] for one in ("onnxruntime", name))
    for blob, array in expected.items():
        if array.dtype == np.int64:
            assert (array != found[blob]).sum() <= 1e-5 * array.size + 1
        else:
            apart = np.linalg.norm(array - found[blob]) / np.linalg.norm(array)
            assert apart < 5e-3, apart
