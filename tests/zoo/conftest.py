"""What the tests of the commands share."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import converters
import prototxt
from tests.command import Run
from tests.zoo.drawn import photographs
from zoo.paper import architectures
from zoo.paper.recipes.crops import make_pool


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A paper-like network, small enough to run in no time."""
    path = tmp_path / "small.prototxt"
    path.write_text(architectures.definition("2_3_4", 16))
    return path


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub with one small network, drawn so that it gives an image; for reading only."""
    folder = tmp_path_factory.mktemp("published")
    net, weights = folder / "net.prototxt", folder / "net.caffemodel"
    net.write_text(architectures.definition("2_3_4", 16))
    graph = converters.build_graph(prototxt.read_net(net).select("TEST"))
    blobs = {node.name: node.blobs for node in graph.nodes if node.blobs}
    blobs["bias4"][1] = blobs["bias4"][1] + 100  # by default nothing leaves the bottleneck
    prototxt.write_weights(weights, blobs)
    for extra in (["--target", "cpu"], ["--split"]):
        command = ["convert", net, "--weights", weights, "-o", folder / "net.onnx", *extra]
        assert Run((*command, "--mean", "104,117,123")).status == 0
    (folder / "card.md").write_text("# A small network\n")
    models = [folder / f"net{part}.onnx" for part in ("", ".encoder", ".decoder")]
    run = Run(("publish", *models, "--hub", folder / "hub", "--card", folder / "card.md"))
    assert run.status == 0, run.err
    return folder / "hub"


@pytest.fixture
def hub(published: Path, tmp_path: Path) -> Path:
    """The same hub, to be spoilt."""
    return Path(shutil.copytree(published, tmp_path / "hub"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no hub from outside, no proxy, and no waiting between attempts."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("ZOO_HUB", raising=False)
    monkeypatch.setattr("zoo.hub.fetching.PAUSE", 0.0)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def pool() -> np.ndarray:
    """Parts of photographs to train on: N×3×32×32, uint8."""
    return make_pool(photographs(8, 48), 4, 32)


@pytest.fixture(scope="module")
def mean(pool: np.ndarray) -> np.ndarray:
    """Their mean colour."""
    return pool.mean((0, 2, 3)).reshape(3, 1, 1)
