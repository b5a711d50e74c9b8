"""What the tests of the gallery share: a browser, and hubs of several kinds of models."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import converters
import prototxt
import runtime
from prototxt.preprocessing import Preprocessing
from tests.zoo.gallery.browser import BROWSER, DRIVER, Browser, headless
from zoo import hub as hubs
from zoo.gallery import vendor
from zoo.hub.server import Server

RUNTIME = vendor.RUNTIME.kept()  # of the real cache, before any test names another


@pytest.fixture(scope="session")
def onnxruntime_web() -> Path | None:
    """The tarball, where it is in the cache; no test fetches it."""
    return RUNTIME if vendor.RUNTIME.is_right(RUNTIME) else None


@pytest.fixture(scope="session")
def few_photographs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for name, image in runtime.sample_images()[:2]:
        runtime.write_png(folder / f"{name}.png", image[::3, ::3])
    return folder


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    pytest.importorskip("selenium.webdriver", reason="needs selenium")
    if BROWSER is None or DRIVER is None:
        pytest.skip("needs chromium and chromedriver")
    with headless() as browser:
        yield browser


INPUT = 'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {} }} }} }}'
CONV = """layer {{ name: "{0}" type: "Convolution" bottom: "data" top: "{0}"
  convolution_param {{ num_output: {1} kernel_size: {2} stride: {2} {3}
    weight_filler {{ type: "gaussian" std: {4} }} }} }}"""
LAYER = 'layer {{ name: "{0}" type: "{1}" bottom: "{2}" top: "{0}" {3} }}'


def dims(*sides: int) -> str:
    return INPUT.format(" ".join(f"dim: {side}" for side in sides))


CLASSIFIER = "\n".join(
    [
        dims(1, 3, 16, 16),
        CONV.format("conv", 8, 2, "", 0.05),
        LAYER.format("pool", "Pooling", "conv", "pooling_param { pool: AVE global_pooling: true }"),
        LAYER.format(
            "score",
            "InnerProduct",
            "pool",
            'inner_product_param { num_output: 7 weight_filler { type: "gaussian" std: 0.3 } }',
        ),
        LAYER.format("prob", "Softmax", "score", ""),
    ]
)


def heads(name: str, numbers: int, kind: str, spread: float) -> list[str]:
    flat = f"reshape_param {{ shape {{ dim: 0 dim: -1 dim: {numbers} }} }}"
    order = "permute_param { order: 0 order: 2 order: 3 order: 1 }"
    last = "softmax_param { axis: 2 }" if kind == "Softmax" else ""
    return [
        CONV.format(f"{name}_conv", numbers, 8, "", spread),
        LAYER.format(f"{name}_rows", "Permute", f"{name}_conv", order),
        LAYER.format(f"{name}_flat", "Reshape", f"{name}_rows", flat),
        LAYER.format(name, kind, f"{name}_flat", last),
    ]


DETECTOR = "\n".join(
    [
        dims(1, 1, 40, 48),
        *heads("boxes", 4, "Sigmoid", 0.05),
        *heads("scores", 3, "Softmax", 0.6),
    ]
)
FILTER = "\n".join([dims(1, 3, 32, 32), CONV.format("better", 3, 1, "", 0.5)])
NUMBERS = "\n".join(
    [
        dims(1, 10),
        LAYER.format("two", "InnerProduct", "data", "inner_product_param { num_output: 2 }"),
    ]
)

SMALL = {
    "small-classifier": (
        CLASSIFIER,
        Preprocessing((104.0, 117.0, 123.0), resize=(20, 24), crop=(16, 16)),
        tuple("cat dog bird fish horse tree <b>stone</b>".split()),
    ),
    "small_detector": (DETECTOR, Preprocessing((0.0,), scale=1 / 255), ("face", "hand")),
    "small_filter": (FILTER, Preprocessing((0.0,), scale=1 / 255, channel_order="RGB"), ()),
    "numbers": (NUMBERS, Preprocessing(), ()),
}
"""Networks of each kind, by name: definition, how they are fed, names of classes."""


@pytest.fixture(scope="session")
def any_hub(tmp_path_factory) -> Path:
    """A hub without the paper's networks: one of each other kind; for reading only."""
    folder = tmp_path_factory.mktemp("any")
    for name, (text, how, labels) in SMALL.items():
        net = folder / f"{name}.prototxt"
        net.write_text(f'name: "{name}"\n{text}\n')
        graph = converters.build_graph(prototxt.read_net(net).select("TEST"))
        blobs = {node.name: node.blobs for node in graph.nodes if node.blobs}
        if name == "small_detector":  # boxes around the middle
            blobs["boxes_conv"][1] = np.array([-1.5, -1.5, 1.5, 1.5], np.float32)
        weights = folder / f"{name}.caffemodel"
        prototxt.write_weights(weights, blobs)
        model = folder / f"{name}.onnx"
        converters.convert(net, weights, preprocessing=how, labels=labels).save(model)
        hubs.publish([model], folder / "hub", licence="MIT")
    return folder / "hub"


@pytest.fixture(scope="module")
def url(gallery) -> Iterator[str]:
    """Where the module's `gallery` is served."""
    with Server(gallery) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.url
        server.shutdown()


@pytest.fixture
def demo(gallery, chromium, url) -> Callable[..., Browser]:
    """Opens the demonstration and waits until its first photograph is rebuilt."""
    if not (gallery / "demo.html").exists():
        pytest.skip("needs onnxruntime-web in the cache: run `zoo publish --gallery` once")

    def start(at: str = url, query: str = "?backend=wasm", **how: Any) -> Browser:
        chromium.open(f"{at}/demo.html{query}", **how)
        chromium.until("document.body.dataset.state === 'done'")
        assert "error" not in chromium("document.getElementById('status').className")
        return chromium

    return start
