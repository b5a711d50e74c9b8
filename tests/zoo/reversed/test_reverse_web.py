"""Reversed networks in onnxruntime-web's WebAssembly, the runtime of the gallery, under node.

Skipped where node or the runtime is not at hand; nothing is fetched.
"""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import converters
from converters.passes.reverse import METHODS, reverse
from tests.converters.checker import close, run_onnx
from tests.converters.test_reverse import EIGHT, TWO_BLOCKS, built
from zoo.gallery import vendor

NODE = shutil.which("node")
RUNTIME = vendor.RUNTIME.kept()  # of the real cache, before any test names another

SCRIPT = """
import fs from "node:fs";
const file = (name) => new URL(name, import.meta.url);
const ort = await import(file("gallery/ort/ort.wasm.min.mjs").href);
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmBinary = fs.readFileSync(file("gallery/ort/ort-wasm-simd-threaded.wasm"));
ort.env.wasm.wasmPaths = { mjs: file("gallery/ort/ort-wasm-simd-threaded.mjs").href };
const job = JSON.parse(fs.readFileSync(file("job.json")));
const feeds = {};
for (const [name, shape] of Object.entries(job.feeds)) {
  const bytes = fs.readFileSync(file(name + ".bin"));
  const numbers = new Float32Array(new Uint8Array(bytes).buffer);
  feeds[name] = new ort.Tensor("float32", numbers, shape);
}
for (const name of job.models) {
  const session = await ort.InferenceSession.create(
    new Uint8Array(fs.readFileSync(file(name + ".onnx"))));
  const { visualisation } = await session.run(feeds);
  fs.writeFileSync(file(name + ".bin"), new Uint8Array(visualisation.data.buffer));
}
"""


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(NODE is None, reason="needs node")
@pytest.mark.skipif(
    not vendor.RUNTIME.is_right(RUNTIME), reason="needs onnxruntime-web in the cache"
)
@pytest.mark.parametrize("target", converters.FORMS)
def test_the_browsers_runtime_gives_the_same_numbers(tmp_path: Path, target: str) -> None:
    graph, rng = built(TWO_BLOCKS, 3), np.random.default_rng(5)
    feeds = {
        "data": rng.normal(size=(2, 3, 20, 17)).astype(np.float32),
        "projection": rng.normal(size=(2, 5, 3, 2)).astype(np.float32),
    }
    (tmp_path / "gallery" / "ort").mkdir(parents=True)
    for name, content in vendor.runtime_files(RUNTIME).items():
        (tmp_path / name).write_bytes(content)
    expected = {}
    for index, rules in enumerate([*EIGHT, METHODS["salinet"]]):
        model = converters.to_onnx(reverse(graph, "pool2", rules), target=target)
        (tmp_path / f"model{index}.onnx").write_bytes(model.SerializeToString())
        expected[f"model{index}"] = run_onnx(model, feeds)[0]
    for name, array in feeds.items():
        array.tofile(tmp_path / f"{name}.bin")
    shapes = {name: array.shape for name, array in feeds.items()}
    job = {"models": list(expected), "feeds": shapes}
    (tmp_path / "job.json").write_text(json.dumps(job))
    (tmp_path / "run.mjs").write_text(SCRIPT)
    assert NODE is not None
    ran = subprocess.run(
        [NODE, tmp_path / "run.mjs"], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    for name, array in expected.items():
        found = np.fromfile(tmp_path / f"{name}.bin", np.float32).reshape(array.shape)
        close(name, found, array)
