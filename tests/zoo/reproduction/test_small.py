"""The two small classifiers: as they are defined, trained, and asked of labelled images."""

import json
import shutil
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest

import converters
from prototxt import ZooError
from tests.conftest import ROOT
from zoo.reproduction import objects, run, sensitivity, small
from zoo.reproduction.inputs import Inputs
from zoo.reproduction.salinet import last_max_pooling, reduced, seen
from zoo.reversed import networks
from zoo.reversed.segmentation import Convolutional, before_softmax

NETWORKS = ROOT / "zoo/reproduction/networks"
NAMES = ("deconvnet", "vgg")


def test_the_package_carries_the_definitions() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        patterns = tomllib.load(file)["tool"]["setuptools"]["package-data"]["zoo.reproduction"]
    carried = {path for pattern in patterns for path in (ROOT / "zoo/reproduction").glob(pattern)}
    assert {NETWORKS / n / f"{kind}.prototxt" for n in NAMES for kind in ("net", "solver")} <= (
        carried
    )


@pytest.mark.parametrize(
    ("name", "scores", "pool", "layers"),
    [
        ("deconvnet", "fc6", "pool4", ["conv1", "conv2", "conv3", "conv4", "fc5"]),
        ("vgg", "fc5", "pool3", [f"conv{n}_{m}" for n in (1, 2, 3) for m in (1, 2)] + ["fc4"]),
    ],
)
def test_the_definitions_convert(name: str, scores: str, pool: str, layers: list[str]) -> None:
    graph = converters.convert(NETWORKS / name / "net.prototxt", None).graph
    assert [value.shape[1:] for value in graph.inputs] == [(3, 28, 28)]
    assert before_softmax(graph) == scores and graph.value(scores).shape[1:] == (200,)
    assert last_max_pooling(graph) == pool
    assert small.rectified(graph) == layers  # fc5 by its own name, though Dropout writes to it


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Four classes of three images each: red or green, of stripes or plain."""
    rng = np.random.default_rng(0)
    for number, name in enumerate("abcd"):
        folder = tmp_path / "data/val" / name
        folder.mkdir(parents=True)
        for count in range(3):
            image = rng.integers(0, 40, (32, 32, 3)).astype(np.uint8)
            image[:: 1 + number // 2 * 3, :, 1 + number % 2] += 200
            cv2.imwrite(str(folder / f"{count}.png"), image)
    return tmp_path / "data/val"


@pytest.fixture
def trained(zoo, images: Path, tmp_path: Path) -> Path:
    """Two iterations of the small network's own solver, tested on 12 images instead of 4,000."""
    for name in ("train", "val"):
        assert zoo("data", "build", images, f"{name}.lmdb", "--size", "keep").status == 0
    folder = tmp_path / "small"
    shutil.copytree(NETWORKS / "deconvnet", folder)
    solver = folder / "solver.prototxt"
    text = solver.read_text().replace("test_iter: 40", "test_iter: 1")
    solver.write_text(text.replace("test_interval: 1000", "test_interval: 2"))
    net = folder / "net.prototxt"
    net.write_text(net.read_text().replace("batch_size: 100", "batch_size: 12"))
    assert zoo("train", solver, "-o", folder, "--iterations", 2).status == 0
    shutil.copy(folder / "deconvnet_iter_2.caffemodel", folder / "net.caffemodel")
    return folder


def test_it_answers_as_its_training_said(trained: Path, images: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    last = [row for row in rows if row["kind"] == "test"][-1]
    assert last["iteration"] == 2
    inputs = Inputs({"small-classifier": trained, "labelled": images})
    asked = small.Small.read(inputs)
    own = asked.of_own(asked.probabilities(asked.run(asked.images)), slice(None))
    assert -np.log(own).mean() == pytest.approx(last["loss"], rel=1e-4)
    chosen = ["deconvnet-learning", "deconvnet-colour", "deconvnet-gradient"]
    found = {one.id: one for one in run.reproduce(tmp_path / "out", inputs, items=chosen).outcomes}
    assert {one.why for one in found.values()} == {""}
    values = {n["what"]: n["ours"] for one in found.values() for n in one.numbers}
    assert values["share of right answers at the end"] == pytest.approx(last["accuracy"])
    assert values["share of right answers, unchanged"] == pytest.approx(last["accuracy"])
    assert all(value is not None for value in values.values())
    assert values["change of the first layer's features, without colour"] > 0.05
    assert "changes most for" in found["deconvnet-colour"].notes[-1]


def test_a_log_without_tests(trained: Path, tmp_path: Path) -> None:
    (trained / "metrics.jsonl").write_text('{"kind": "train", "iteration": 1, "loss": 5.3}\n')
    inputs = Inputs({"small-classifier": trained})
    [one] = run.reproduce(tmp_path / "out", inputs, items=["deconvnet-learning"]).outcomes
    assert one.state == "failed" and "tells of no tests" in one.why


def test_classes_have_names(images: Path) -> None:
    assert small.class_names(images, 4) == ["a", "b", "c", "d"]
    assert small.class_names(images, 2) == ["class 0", "class 1"]
    (images.parent / "words.txt").write_text("a\tant, pismire\nc\tcat\n")
    assert small.class_names(images, 4) == ["ant", "b", "cat", "d"]


def test_more_classes_than_scores(trained: Path, tmp_path: Path) -> None:
    for number in range(201):
        (tmp_path / f"many/{number:03}").mkdir(parents=True)
        cv2.imwrite(str(tmp_path / f"many/{number:03}/0.png"), np.zeros((32, 32, 3), np.uint8))
    inputs = Inputs({"small-classifier": trained, "labelled": tmp_path / "many"})
    with pytest.raises(ZooError, match="has 201 classes, the classifier 200"):
        small.Small.read(inputs)


PIXELS = np.random.default_rng(1).integers(60, 190, (12, 16, 3)).astype(np.uint8)
LUMA = np.array([0.114, 0.587, 0.299])


def test_colour_is_taken_away() -> None:
    assert np.abs(sensitivity.desaturated(PIXELS, 0).astype(int) - PIXELS).max() <= 1
    grey = sensitivity.desaturated(PIXELS, 1).astype(int)
    assert np.ptp(grey, axis=2).max() <= 1
    assert np.abs(grey.mean(axis=2) - PIXELS @ LUMA).max() < 1.5


def test_hues_are_turned() -> None:
    assert np.abs(sensitivity.turned(PIXELS, 360).astype(int) - PIXELS).max() <= 1
    grey = np.full((2, 2, 3), 99, np.uint8)
    assert np.array_equal(sensitivity.turned(grey, 120), grey)
    opposite = sensitivity.turned(np.full((1, 1, 3), (100, 100, 140), np.uint8), 180)
    assert opposite[0, 0, 2] < opposite[0, 0, 0]
    assert np.abs(opposite @ LUMA - (100, 100, 140) @ LUMA).max() < 1


def test_edges_are_blurred_or_left_alone() -> None:
    assert np.array_equal(sensitivity.blurred(PIXELS, 0), PIXELS)
    assert np.array_equal(sensitivity.edges(PIXELS, 0), PIXELS)
    assert sensitivity.blurred(PIXELS, 2).std() < PIXELS.std() / 3
    plain = np.full((9, 9, 3), (10, 80, 200), np.uint8)
    assert np.array_equal(sensitivity.edges(plain, 1), plain)
    ramp = np.tile(np.arange(0, 240, 8, np.uint8)[None, :, None], (30, 1, 3))
    assert np.ptp(sensitivity.edges(ramp, 1)[:, 5:-5]) <= 1  # a slope has no edge


def test_a_photograph_many_times_as_large_is_averaged() -> None:
    board = np.indices((160, 160)).sum(axis=0) % 2 * 200
    image = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    assert (reduced(image, 20, 20) == 100).all()
    assert reduced(image, 80, 80) is image
    network = networks.read(NETWORKS / "vgg/net.prototxt", None, "pool3")  # of any size
    (fed,) = seen(network, image).values()
    assert fed.shape == (1, 3, 28, 28) and fed.std(axis=(2, 3)).max() < 0.1


def test_saliency_of_a_small_classifier_that_ends_in_inner_products() -> None:
    net = NETWORKS / "vgg/net.prototxt"
    convolutional = Convolutional(
        networks.read(net, None, "fc5", provider="cpu"), networks.definition(net), "fc5"
    )
    wanted = [("salinet", seed) for seed in objects.SEEDS]
    maps = objects.Saliencies(convolutional, wanted, shorter=32)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    found = maps.of(image)
    assert set(found) == {*wanted, (objects.BLOB, objects.BLOB)}
    assert all(one.shape == (64, 96) and one.max() > 0 for one in found.values())
    assert list(maps.made) == [(32, 48)]  # what the network sees


def test_a_blob_that_was_written_to_in_place() -> None:
    graph = converters.convert(NETWORKS / "deconvnet/net.prototxt", None).graph
    node = next(node for node in graph.nodes if node.name == "conv1")
    assert node.outputs[0].name == "conv1/conv1"
    assert networks.blob_name(graph, node.outputs[0]) == "conv1"
    assert networks.blob_name(graph, graph.inputs[0]) == "data"
    pool = next(node for node in graph.nodes if node.name == "pool1")
    pool.outputs[0].name = "of/pool1"  # its own name, though it ends as one in place would
    assert networks.blob_name(graph, pool.outputs[0]) == "of/pool1"
