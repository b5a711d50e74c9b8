"""The `paper` recipe, the controls of the authors' talk, and several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import converters
import prototxt
from zoo.paper import architectures
from zoo.paper.recipes.images import Images
from zoo.paper.recipes.paper import paper_solver

ARCH = "2_3_4"
PARTS = ("classify/classify", "net")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (32, 32, 32, 3)).astype(np.uint8)
    blurred = [cv2.GaussianBlur(image, (0, 0), 2) for image in noise]
    return np.stack(blurred).transpose(0, 3, 1, 2)


def of(images: np.ndarray, labels: list[int] | None = None) -> Images:
    colour = images.mean((0, 2, 3)).reshape(3, 1, 1)
    return Images(images, images[:0], colour, "noise", len(images), labels=labels or [])


def weights_of(text: str, shape: tuple[int, ...], seed: int) -> converters.Graph:
    net = prototxt.parse_net(text).select("TEST")
    return converters.build_graph(net, shapes={"data": shape}, seed=seed)


def test_the_encoder_stays_and_the_decoder_learns(images, tmp_path):
    solver = paper_solver(ARCH, of(images), tmp_path, iterations=5)
    before = solver.network.weights()
    list(solver.run())
    after = solver.network.weights()
    for layer, blobs in before.items():
        same = all(np.array_equal(a, b) for a, b in zip(blobs, after[layer], strict=True))
        assert same == layer.startswith("conv"), layer
    assert np.array_equal(before["bias4"][0], after["bias4"][0])
    assert solver.definition.type == "AdaGrad" and solver.definition.base_lr == 0.01


def test_a_classifier_first(zoo, tmp_path):
    folder = tmp_path / "photos"
    rng = np.random.default_rng(1)
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
        for number in range(2):
            picture = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
            cv2.imwrite(str(folder / label / f"{number}.png"), picture)
    words = [
        "train", "--arch", "1_1_1", "--recipe", "paper", "--pretrained", "--data", folder,
        "--iterations", 1, "--device", "cpu", "--json",
    ]  # fmt: skip
    run = zoo(*words).json
    assert run["finished"] and run["encoder"] == "pretrained"
    out = tmp_path / "1_1_1"
    classifier = prototxt.read_weights(out / "classify/classify1_1_1_iter_1.caffemodel")
    network = prototxt.read_weights(out / "net1_1_1_iter_1.caffemodel")
    assert "fc4" in classifier and "fc4" not in network
    for layer in ("conv1_1", "conv3_2"):
        assert np.array_equal(classifier[layer][0], network[layer][0])
    assert (out / "1_1_1.onnx").is_file() and (out / "mean.binaryproto").is_file()
    card = json.loads((out / "1_1_1.json").read_text())
    assert card["batch"] == 16
    # killed between its last snapshot and its card
    assert zoo(*words, "--resume", out / "net1_1_1_iter_1.solverstate").status == 0
    again = json.loads((out / "1_1_1.json").read_text())
    assert {**again, "seconds": 0} == {**card, "seconds": 0}
    learned = card["pretraining"]
    assert learned.pop("seconds") > 0
    assert learned == {
        "classes": 2, "training_images": 4, "data": "photos", "iterations": 1, "taken": 1,
    }  # fmt: skip
    # stopped while the encoder was learning classes
    words[words.index("--iterations") + 1] = 2
    state = out / "classify/classify1_1_1_iter_1.solverstate"
    assert zoo(*words, "--resume", state).json["iterations"] == 2
    went_on = [prototxt.read_weights(out / f"{n}1_1_1_iter_2.caffemodel") for n in PARTS]
    assert zoo(*words, "-o", tmp_path / "at_once").status == 0
    for part, expected in zip(PARTS, went_on, strict=True):
        found = prototxt.read_weights(tmp_path / f"at_once/{part}1_1_1_iter_2.caffemodel")
        for layer, blobs in expected.items():
            assert all(map(np.array_equal, blobs, found[layer])), layer
    about = json.loads((out / "1_1_1.json").read_text())
    assert about["pretraining"]["iterations"] == 2


def test_it_ends_where_it_gets_no_better(images, tmp_path, monkeypatch):
    """After three tests that were no better than the best; its weights are kept."""
    some = Images(images[:2], images[-6:], images.mean((0, 2, 3)).reshape(3, 1, 1), "noise", 2)
    solver = paper_solver(ARCH, some, tmp_path, iterations=60)
    assert solver.patience is None
    solver.patience = 3
    losses = iter([5.0, 4.0, 4.5, 4.0, 4.1])
    monkeypatch.setattr(solver, "measure", lambda *_: {"L2_loss": next(losses)})
    events = [(e.kind, e.iteration) for e in solver.run() if e.kind in ("test", "best", "snapshot")]
    assert events == [
        ("test", 2), ("best", 2), ("test", 4), ("best", 4), ("test", 6), ("test", 8),
        ("test", 10), ("snapshot", 10),
    ]  # fmt: skip
    assert not solver.stop


def test_labels_without_an_output_are_refused(images, tmp_path):
    with pytest.raises(prototxt.ZooError, match="200 classes"):
        paper_solver(ARCH, of(images, [200] * len(images)), tmp_path, classify=True)


def test_a_classifier_sees_classes_mixed(images, tmp_path):
    """A folder has one class after the other; of batches of one class nothing can be learned."""
    labels = [place // 16 for place in range(32)]
    marked = images.copy()
    marked[:, 0, 0, 0] = np.arange(32)
    given = of(marked, labels)
    feed = paper_solver(ARCH, given, tmp_path, classify=True).feed
    seen = []
    for number in range(2):
        batch = feed(number)
        assert set(batch["label"]) == {0, 1}
        places = batch["data"][:, 0, 0, 0] + given.mean_image[0, 0, 0]
        seen += places.round().astype(int).tolist()
        assert [labels[place] for place in seen[-16:]] == batch["label"].tolist()
    assert sorted(seen) == list(range(32))
    again = paper_solver(ARCH, given, tmp_path, classify=True).feed(0)
    assert np.array_equal(again["data"], feed(0)["data"])


def test_it_is_tested_on_what_is_held_out_and_the_best_is_kept(images, tmp_path):
    """The first two are trained on, the last six are tested on."""
    some = Images(images[:2], images[-6:], images.mean((0, 2, 3)).reshape(3, 1, 1), "noise", 2)
    solver = paper_solver(ARCH, some, tmp_path, iterations=60)
    events = list(solver.run())
    tests = [e for e in events if e.kind == "test"]
    assert [e.iteration for e in tests] == [2 * n for n in range(1, 31)]
    kept = min(tests, key=lambda e: e.values["L2_loss"])
    assert solver.best == (kept.iteration, "loss", kept.values["L2_loss"])
    # by hand: half a sum of squares over an image, with the weights that were kept
    graph = weights_of(architectures.definition(ARCH, 32), (1, 3, 32, 32), 0)
    stored = prototxt.read_weights(solver.best_path)
    for node in graph.nodes:
        node.blobs = [blob.reshape(old.shape) for blob, old in
                      zip(stored.get(node.name, []), node.blobs, strict=True)]  # fmt: skip
    losses = []
    for image in images[-6:]:
        x = image[None].astype(np.float32) - images[:2].mean(0)
        losses.append(((run_graph(graph, x.astype(np.float32)) - x) ** 2).sum() / 2)
    assert kept.values["L2_loss"] == pytest.approx(np.mean(losses), rel=1e-4)


def test_classes_of_other_images_than_those_rebuilt(zoo, tmp_path):
    rng = np.random.default_rng(1)
    for name in ("named/a", "named/b", "photos"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(2):
            picture = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), picture)
    words = ["train", "--arch", "1_1_1", "--recipe", "paper", "--data", "photos", "--device", "cpu"]
    run = zoo(*words, "--pretrained", "--classes", "named", "--iterations", 1)
    assert "the encoder learns 2 classes" in run.out
    about = zoo(*words, "--pretrained", "--classes", "named", "--iterations", 1, "--json").json
    assert about["data"] == "photos" and about["training_images"] == 2
    refused = zoo(*words, "--classes", "named")
    assert refused.status == 2 and "--classes goes with --pretrained" in refused.err


def graph_with(text: str, seed: int = 0) -> converters.Graph:
    return weights_of(text, (1, 3, 32, 32), seed)


def run_graph(graph: converters.Graph, image: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return converters.to_torch(graph)(torch.from_numpy(image))["deconv1_2"].numpy()


def test_no_feature_value_reaches_the_decoder():
    """The authors' control: change what the bias layer reads, and nothing changes."""
    text = architectures.definition(ARCH, 32)
    graph = graph_with(text)
    image = np.random.default_rng(0).normal(0, 50, (1, 3, 32, 32)).astype(np.float32)
    plain = run_graph(graph, image)
    assert plain.std() > 0
    # Features scaled by a positive factor keep every switch, and change every value.
    louder = graph.clone()
    for node in louder.nodes:
        if node.name == "conv1_1":
            node.blobs = [blob * 7 for blob in node.blobs]
    assert np.array_equal(run_graph(louder, image), plain)


def test_average_pooling_leaves_nothing_to_rebuild_from():
    """The other control: without switches every picture gives the same output."""
    text = architectures.definition(ARCH, 32)
    text = text.replace("pool: MAX", "pool: AVE").replace("unpool: AVE", "unpool: MAX")
    for level in (1, 2, 3):
        text = text.replace(f'  top: "pool{level}_mask"\n', "")
        text = text.replace(f'  bottom: "pool{level}_mask"\n', "")
    graph = graph_with(text)
    assert "AVE" in text and "_mask" not in text
    rng = np.random.default_rng(0)
    first, second = (
        run_graph(graph, rng.normal(0, 50, (1, 3, 32, 32)).astype(np.float32)) for _ in range(2)
    )
    assert np.array_equal(first, second)
    with_switches = graph_with(architectures.definition(ARCH, 32))
    rng = np.random.default_rng(0)
    first, second = (
        run_graph(with_switches, rng.normal(0, 50, (1, 3, 32, 32)).astype(np.float32))
        for _ in range(2)
    )
    assert not np.array_equal(first, second)


SCRIPT = """
import sys
import numpy as np
from pathlib import Path
from zoo.training.distributed import join
from zoo.paper.recipes.modern import Modern, Recipe
from zoo.paper.recipes.encoders import draw
from zoo.training.solver import Solver
from zoo.training.network import Network
import torch, prototxt

torch.set_num_threads(1)
out = Path(sys.argv[1])
pool = np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32)).astype(np.uint8)
mean = np.full((3, 1, 1), 127.0)
sample = torch.from_numpy(((pool - mean) / 255).astype(np.float32))
with join("cpu") as group:
    modern = Modern(
        "2_3_4", draw("2_3_4", 0, sample), pool, mean, Recipe(iterations=4, batch=4, crop=16),
        group=group,
    )
    list(modern.run())
    net = prototxt.parse_net(Path(sys.argv[2]).read_text()).select("TRAIN")
    definition = prototxt.parse_solver('base_lr: 0.1 momentum: 0.9 lr_policy: "fixed" max_iter: 4')
    rows = np.random.default_rng(1).normal(0, 1, (16, 5)).astype(np.float32)
    size = 4 // group.size

    def feed(number):
        part = rows[number * size : (number + 1) * size]
        return {"data": part, "label": part[:, :2] * 2}

    network = Network(net, {"data": (size, 5), "label": (size, 2)}, None, 3)
    solver = Solver(definition, network, feed, prefix=out / "snap", group=group)
    list(solver.run())
    if group.first:
        arrays = {name: t.detach().numpy() for name, t in modern.decoder.state_dict().items()}
        arrays["ip"] = solver.network.weights()["ip"][0]
        np.savez(out / f"of{group.size}.npz", **arrays)
tasks = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
assert not any("gloo" in task for task in tasks), tasks  # one that outlives Python aborts it
"""

NET = """
layer { name: "in" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 4 dim: 5 } shape { dim: 4 dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


@pytest.mark.slow
def test_two_processes_are_one(tmp_path: Path):
    """Gloo, two processes: the weights of one process at the same global batch."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "net.prototxt").write_text(NET)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    arguments = ["script.py", str(tmp_path), "net.prototxt"]
    for command in (
        [sys.executable, *arguments],
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
         *arguments],
    ):  # fmt: skip
        run = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
        )
        assert run.returncode == 0, run.stderr
    with np.load(tmp_path / "of1.npz") as one, np.load(tmp_path / "of2.npz") as two:
        assert set(one.files) == set(two.files)
        for name in one.files:
            assert np.allclose(one[name], two[name], rtol=1e-4, atol=1e-5), name
