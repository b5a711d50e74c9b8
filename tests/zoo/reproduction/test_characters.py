"""The network made by hand: it recognises characters, and its filters decode to them."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import converters
import prototxt
from zoo.reproduction import characters, filters
from zoo.reproduction.inputs import Inputs
from zoo.reversed import filter_decoding as decoding
from zoo.reversed.networks import Network

NAMES = list(characters.CHARACTERS)
EXAMPLE = Path(__file__).parents[3] / "docs/examples/characters.py"


@pytest.fixture(scope="module")
def graph() -> converters.Graph:
    return converters.convert(prototxt.parse_net(characters.PROTOTXT), characters.weights()).graph


def test_a_drawing_has_the_strokes_of_its_character() -> None:
    rows, columns = np.nonzero(characters.drawing("T", 10, 12))
    assert {(int(r), int(c)) for r, c in zip(rows, columns, strict=True)} == {
        *((10, c) for c in range(12, 29)),
        *((r, 20) for r in range(10, 27)),
    }
    x = characters.drawing("X")[12:29, 12:29]
    assert np.array_equal(x, np.maximum(np.eye(17), np.eye(17)[::-1]))


@pytest.mark.parametrize("unpool", decoding.UNPOOLS)
def test_each_decoded_filter_is_most_like_its_character(graph, unpool) -> None:
    decoded = decoding.filters(graph, "characters", unpool)[:, 0]
    drawings = np.stack([characters.drawing(name) for name in NAMES])
    like = filters.likeness(decoded, drawings)
    assert filters.own(like.T) == 1
    # Of another network's filters, those of the same weights in another order, it is not so.
    wrong = graph.clone()
    node = next(n for n in wrong.nodes if n.name == "meetings")
    node.blobs = [node.blobs[0][::-1], node.blobs[1]]
    assert (
        filters.own(
            filters.likeness(decoding.filters(wrong, "characters", unpool)[:, 0], drawings).T
        )
        < 0.5
    )


def test_characters_are_recognised_under_noise(graph) -> None:
    network = Network(graph, {}, "cpu")
    rng = np.random.default_rng(0)
    images = np.stack([characters.drawing(name, 10, 13) for name in NAMES])[:, None]
    noisy = images + rng.normal(0, 0.1, images.shape).astype(np.float32)
    answers = network.run({"data": noisy}).reshape(len(NAMES), -1)
    assert [NAMES[place] for place in answers.argmax(axis=1)] == NAMES


def test_the_example_and_the_command(zoo, tmp_path) -> None:
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    run = zoo(
        "filters",
        "characters.prototxt",
        "--weights",
        "characters.caffemodel",
        "--layer",
        "characters",
        "--json",
    )
    assert run.json["shape"] == [len(NAMES), 1, 30, 30] and run.json["notes"] == []
    with np.load(tmp_path / "filters" / "characters.npz") as file:
        graph = converters.convert("characters.prototxt", "characters.caffemodel").graph
        assert np.array_equal(file["filters"], decoding.filters(graph, "characters"))


def test_the_item_has_its_numbers_and_pictures() -> None:
    item = next(one for one in filters.ITEMS if one.id == "filters-characters")
    made = item.make(Inputs(), lambda *_: None)
    assert set(made.values) == {number.what for number in item.numbers}
    assert made.values[filters.RECOGNISED] == 1
    assert len(made.pictures) == 3 and "81 places" in made.data
