"""onnxruntime-web's WebAssembly under node: every golden, published networks and the paper's.

Skipped where node finds no onnxruntime-web: `npm install onnxruntime-web` in some folder, and
NODE_PATH naming its node_modules.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

import converters
from tests.converters.checker import Case
from tests.converters.test_goldens import CASES, case_id
from zoo.benchmarks import networks
from zoo.checking import web_runtime
from zoo.checking.comparison import compare
from zoo.checking.runtimes import RUNTIMES
from zoo.paper import architectures

NODE = shutil.which("node")

Job = tuple[Path, dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def web() -> None:
    if why := web_runtime.missing():
        pytest.skip(why)


def departs(jobs: dict[str, Job]) -> dict[str, str]:
    """Which jobs, by name, do not run, or to which other numbers than in ONNX Runtime."""
    found: dict[str, str] = {}
    for (name, job), answer in zip(jobs.items(), web_runtime.run([*jobs.values()]), strict=True):
        if isinstance(answer, str):
            found[name] = answer
            continue
        model, feeds = job
        for blob, array in RUNTIMES["onnxruntime"](str(model), feeds)[1].items():
            row = compare(blob, ("web", answer[1][blob]), ("onnxruntime", array))
            if not row.ok:
                found[name] = row.sentence()
    return found


@pytest.mark.usefixtures("web")
def test_goldens(tmp_path: Path) -> None:
    """All in one process of node, which takes its time to start."""
    jobs = {}
    for place, folder in enumerate(CASES):
        case = Case(folder)
        graph = case.graph(open_dims=False)
        path = tmp_path / f"{place}.onnx"
        onnx.save(converters.to_onnx(converters.fold(graph), target="wasm"), path)
        jobs[case_id(folder)] = path, case.feeds_of(graph)
    assert len(jobs) > 150
    assert departs(jobs) == {}


@pytest.mark.usefixtures("web")
def test_published_networks(shared: Path, tmp_path: Path) -> None:
    jobs = {}
    for path in sorted((shared / "caffe" / "trained").glob("*/io.npz")):
        with np.load(path) as io:
            feeds = {k[3:]: io[k] for k in io.files if k.startswith("in.")}
        net = path.parent / "net.prototxt"
        model = tmp_path / f"{path.parent.name}.onnx"
        converters.convert(net, net.with_suffix(".caffemodel")).save(model)
        jobs[path.parent.name] = model, feeds
    assert len(jobs) >= 8
    assert departs(jobs) == {}


@pytest.mark.usefixtures("web")
@pytest.mark.parametrize("target", converters.FORMS)
def test_the_papers_networks(target: str, tmp_path: Path) -> None:
    """With open height and width; 100x76 is no multiple of 8."""
    jobs, x = [], np.random.default_rng(0).normal(0, 60, (2, 3, 100, 76)).astype(np.float32)
    for arch in ("8_8_8", "12_24_48"):
        files = networks.tunnel(arch, architectures.SIZE, tmp_path)
        path = tmp_path / f"{arch}.{target}.onnx"
        converters.convert(files.net, files.caffemodel, target=target).save(path)
        jobs.append((path, {"data": x}))
    for (path, feeds), answer in zip(jobs, web_runtime.run(jobs), strict=True):
        assert not isinstance(answer, str), answer
        for blob, array in RUNTIMES["onnxruntime"](str(path), feeds)[1].items():
            found = answer[1][blob]
            if array.dtype == np.int64:
                # Sums in another order turn a switch in a million, and with it some pixels.
                assert (array != found).sum() <= 1e-5 * array.size + 1
            else:
                assert np.linalg.norm(array - found) / np.linalg.norm(array) < 5e-3


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NODE_PATH", "")
    monkeypatch.chdir(tmp_path)
    said = web_runtime.missing()
    assert said == "onnxruntime-web is not installed; npm install onnxruntime-web, in this folder"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert web_runtime.missing() == "node is not installed, which runs onnxruntime-web"


STAND_IN = """
exports.env = { wasm: {}, versions: { web: "1.2.3" } };
exports.Tensor = class {
  constructor(type, data, dims) { Object.assign(this, { type, data, dims }); }
};
exports.InferenceSession = {
  async create(model) {
    if (model.length > 1e5) throw new Error("too large for me");
    return {
      outputNames: ["y", "m"],
      async run({ x, m }) { return { y: x, m }; },
      async release() {},
    };
  },
};
"""


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_numbers_pass_to_and_fro(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A package that gives back what it is given, and refuses large models."""
    package = tmp_path / "node_modules" / "onnxruntime-web"
    package.mkdir(parents=True)
    (package / "index.js").write_text(STAND_IN)
    monkeypatch.setenv("NODE_PATH", "")
    monkeypatch.chdir(tmp_path)
    text = '<ir_version: 8, opset_import: ["": 18]> g (float[2] x, int64[3] m) => (float[2] y) '
    small = onnx.parser.parse_model(text + "{ y = Relu(x) }")
    onnx.save(small, tmp_path / "small.onnx")
    large = onnx.parser.parse_model(text + "{ y = Relu(x) }")
    large.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(50_000), "w"))
    onnx.save(large, tmp_path / "large.onnx")
    feeds = {"x": np.array([1.5, -2], np.float32), "m": np.array([1, -2, 1 << 40], np.int64)}
    jobs = [(tmp_path / name, feeds) for name in ("large.onnx", "small.onnx")]
    refused, answer = web_runtime.run(jobs)
    assert refused == "too large for me"
    version, found = answer
    assert version == "1.2.3"
    for blob, name in (("y", "x"), ("m", "m")):
        assert found[blob].dtype == feeds[name].dtype
        assert np.array_equal(found[blob], feeds[name])
