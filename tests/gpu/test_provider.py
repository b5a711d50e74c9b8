"""Every conversion, the hub's models, and the bench, on the CUDA provider."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import converters
import runtime
from tests.converters.checker import Case
from tests.converters.test_goldens import CASES, case_id
from tests.gpu import sessions
from tests.gpu.conftest import works
from zoo import hub
from zoo.benchmarks import contestants, networks
from zoo.hub.places import EMBEDDED
from zoo.paper import architectures, coding
from zoo.processes import environment

MEAN = np.array([104, 117, 123], np.float32)[:, None, None]
PROOF = [c for c in CASES if c.name.startswith(("conv", "pool", "mini", "unpool"))][:6]
"""What also runs where there is no GPU, to show that these tests work."""


def converted(case: Case, target: str, open_dims: bool) -> tuple[converters.Graph, onnx.ModelProto]:
    graph = case.graph(open_dims=open_dims)
    return graph, converters.to_onnx(converters.fold(graph), target=target)


def holds(folder: Path, target: str, provider: str) -> None:
    """Caffe's numbers within the tolerance of every other path, its masks to the last index."""
    case = Case(folder)
    for open_dims in (True, False):
        graph, model = converted(case, target, open_dims)
        case.compare(graph, sessions.run(model, case.feeds_of(graph), provider))


@pytest.mark.gpu
@pytest.mark.parametrize("target", ["cuda", "portable"])
@pytest.mark.parametrize("folder", CASES, ids=case_id)
def test_goldens(folder: Path, target: str, provider: str) -> None:
    holds(folder, target, provider)


@pytest.mark.gpu
def test_why_cuda_has_its_own_form() -> None:
    """Of several maxima, MaxPool's indices are those of the first by columns, Caffe's by rows.

    Where this fails, `--target cuda` may take MaxPool's indices as `--target cpu` does.
    """
    if not works("cuda"):
        pytest.skip("of the CUDA provider")
    ties = np.array([[[[0, 1], [1, 0]]]], np.float32)
    pool = onnx.helper.make_node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2, 2])
    x, y = (onnx.helper.make_tensor_value_info(n, 1, None) for n in "xy")
    i = onnx.helper.make_tensor_value_info("i", 7, None)
    graph = onnx.helper.make_graph([pool], "ties", [x], [y, i])
    opset = onnx.helper.make_opsetid("", 18)
    model = onnx.helper.make_model(graph, ir_version=9, opset_imports=[opset])
    assert sessions.run(model, {"x": ties}, "cpu")[1].item() == 1
    assert sessions.run(model, {"x": ties}, "cuda")[1].item() == 2


@pytest.mark.gpu
@pytest.mark.parametrize("folder", CASES, ids=case_id)
def test_nothing_runs_elsewhere(folder: Path, provider: str, tmp_path: Path) -> None:
    """`--target cuda` writes what the CUDA provider has, whatever the layer."""
    case = Case(folder)
    graph, model = converted(case, "cuda", True)
    assert sessions.elsewhere(model, case.feeds_of(graph), provider, tmp_path) == []


@pytest.mark.parametrize("target", converters.FORMS)
@pytest.mark.parametrize("folder", PROOF, ids=case_id)
def test_the_goldens_test_works_on_the_cpu(folder: Path, target: str, tmp_path: Path) -> None:
    holds(folder, target, "cpu")
    case = Case(folder)
    graph, model = converted(case, target, True)
    feeds = case.feeds_of(graph)
    assert sessions.elsewhere(model, feeds, "cpu", tmp_path) == []


def test_what_runs_elsewhere_is_told_from_shapes() -> None:
    wide, shape = {"float": [1, 3, 8, 8]}, {"int64": [4]}
    assert sessions.large({"input_type_shape": [shape], "output_type_shape": [wide]})
    assert sessions.large({"output_type_shape": [{"int64": [1, 64, 64, 64]}]})
    assert not sessions.large({"input_type_shape": [shape], "output_type_shape": [shape]})


def photographs() -> np.ndarray:
    """N×3×128×128, BGR less the mean."""
    images = [runtime.resize(image, 128, 128) for _, image in runtime.sample_images()]
    return np.stack([image.transpose(2, 0, 1).astype(np.float32) - MEAN for image in images])


def model_of(arch: str, target: str, folder: Path) -> onnx.ModelProto:
    """The network of the hub, its weights written for a target."""
    files = networks.tunnel(arch, architectures.SIZE, folder)
    graph = converters.load_graph(files.net, files.caffemodel)
    return converters.to_onnx(converters.fold(graph), target=target)


def rmse(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.square((a.astype(np.float64) - b) / 255).mean()))


def check_model(arch: str, provider: str, folder: Path) -> None:
    """One error on each provider, and nothing of it done elsewhere.

    A switch may differ where two sums are equal but for their order, so images are compared.
    """
    images = photographs()
    stored = runtime.load(hub.locate(arch, EMBEDDED, offline=True), "cpu")
    expected = stored.run({"data": images}, ["deconv1_2"])["deconv1_2"]
    for target in converters.FORMS:
        model = model_of(arch, target, folder)
        (found,) = sessions.opened(model, provider).run(["deconv1_2"], {"data": images})
        assert rmse(found, images) == pytest.approx(rmse(expected, images), abs=1e-4)
        if target == "cuda":
            assert sessions.elsewhere(model, {"data": images}, provider, folder) == []


@pytest.mark.gpu
@pytest.mark.parametrize("arch", networks.arches())
def test_models_of_the_hub(arch: str, provider: str, tmp_path: Path) -> None:
    check_model(arch, provider, tmp_path)


def check_binding(provider: str, folder: Path) -> None:
    """Inputs and outputs that stay on the device: the same numbers."""
    path = folder / "model.onnx"
    onnx.save(model_of("8_8_8", "cuda", folder), path)
    model, images = runtime.load(path, provider), photographs()
    assert model.provider == provider
    expected = model.run({"data": images}, ["deconv1_2"])["deconv1_2"]
    found = contestants.bound(model, images)()
    assert found is not None
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.gpu
def test_binding(provider: str, tmp_path: Path) -> None:
    check_binding(provider, tmp_path)


def check_half(provider: str, folder: Path) -> None:
    """The decoder in half precision, from the same switches: within a grey value of 255."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    files = networks.tunnel("16_16_16", architectures.SIZE, folder)
    encoder, decoder = converters.split(converters.load_graph(files.net, files.caffemodel))
    images = photographs()
    masks = sessions.run(converters.to_onnx(encoder, target="cuda"), {"data": images}, provider)
    names = [value.name for value in encoder.outputs]
    whole = converters.to_onnx(converters.fold(decoder), target="cuda")
    feeds = {n: m for n, m in zip(names, masks, strict=True)}
    feeds = {value.name: feeds[value.name] for value in decoder.inputs}
    half = convert_float_to_float16(whole, keep_io_types=True)
    (exact,) = sessions.run(whole, feeds, provider)
    (found,) = sessions.run(half, feeds, provider)
    assert 0 < rmse(found, exact) < 1 / 255


@pytest.mark.gpu
def test_half_precision(provider: str, tmp_path: Path) -> None:
    check_half(provider, tmp_path)


def test_the_models_tests_work_on_the_cpu(tmp_path: Path) -> None:
    check_model("8_8_8", "cpu", tmp_path)
    check_binding("cpu", tmp_path)
    check_half("cpu", tmp_path)
    assert check_switches("8_8_8", "cpu")[0] == 0


def check_switches(name: str, provider: str) -> tuple[int, int]:
    """Files made on the CPU decode alike; how many switches the provider itself sees otherwise, and
    of how many.
    """
    here, there = (coding.open_coder(hub.locate(name, EMBEDDED), p) for p in ("cpu", provider))
    differing = total = 0
    for _, image in runtime.sample_images():
        height, width = image.shape[:2]
        ours, theirs = here.switches(image), there.switches(image)
        differing += sum(int((a != b).sum()) for a, b in zip(ours, theirs, strict=True))
        total += sum(mask.size for mask in ours)
        pictures = [coder.picture(ours, height, width) for coder in (here, there)]
        assert rmse(*pictures) < 1e-4
    return differing, total


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["8_8_8", "64_64_64"])
def test_switches(name: str, provider: str, record_property: Callable[..., None]) -> None:
    differing, total = check_switches(name, provider)
    record_property("differing", f"{differing} of {total}")  # --junitxml FILE shows it
    assert differing < 1e-4 * total


@pytest.mark.gpu
@pytest.mark.parametrize("suite", ["run", "train"])
def test_bench(suite: str, provider: str) -> None:
    command = [sys.executable, "-m", "zoo", "bench", "--suite", suite, "--quick", "--json"]
    done = subprocess.run(
        [*command, "--provider", provider], capture_output=True, text=True, env=environment(1)
    )
    assert done.returncode == 0, done.stderr
    (document,) = json.loads(done.stdout)["suites"]
    ours = document["rows"][0]
    assert ours["absent"] is None and ours["seconds"] > 0
