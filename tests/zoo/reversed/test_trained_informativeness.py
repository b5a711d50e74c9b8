"""Switches, ReLU masks, both: reversed networks of a trained encoder."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from converters.passes.reverse import reverse
from zoo.paper.recipes.images import Images
from zoo.reversed import networks
from zoo.reversed import trained_informativeness as trained
from zoo.reversed.informativeness import KINDS
from zoo.reversed.networks import Network

NET = """
name: "first" input: "data" input_shape { dim: 16 dim: 3 dim: 24 dim: 24 }
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1" convolution_param {
  num_output: 12 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "p1" type: "Pooling" bottom: "c1" top: "p1"
  pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "c2" type: "Convolution" bottom: "p1" top: "c2" convolution_param {
  num_output: 16 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "r2" type: "ReLU" bottom: "c2" top: "c2" }
layer { name: "p2" type: "Pooling" bottom: "c2" top: "p2"
  pooling_param { kernel_size: 2 stride: 2 } }
"""


@pytest.fixture
def network(tmp_path: Path) -> Network:
    path = tmp_path / "first.prototxt"
    path.write_text(NET)
    shapes = {"data": (16, 3, 24, 24)}
    return networks.read(path, None, "p2", mean="100,110,120", shapes=shapes)


def images() -> Images:
    noise = np.random.default_rng(0).integers(0, 256, (24, 40, 40, 3)).astype(np.uint8)
    pool = np.stack([cv2.GaussianBlur(n, (0, 0), 2) for n in noise]).transpose(0, 3, 1, 2).copy()
    mean = pool.mean((0, 2, 3)).reshape(3, 1, 1)
    return Images(pool[4:], pool[:4], mean, "noise", 20)


def test_each_is_told_what_its_name_says(network) -> None:
    read = {
        kind: {v.name for v in reverse(network.graph, "p2", rules, stored=True).inputs[:-1]}
        for kind, rules in trained.RULES.items()
    }
    assert tuple(read) == KINDS
    assert read["switches"] == {"p1_mask", "p2_mask"}
    assert read["masks"] == {"r1/mask", "r2/mask"}
    assert read["both"] == read["switches"] | read["masks"]


def test_masks_and_switches_are_counted_in_bits(network) -> None:
    switches, masks = trained.bits(network.graph)
    assert masks == 12 * 24 * 24 + 16 * 12 * 12 == 9216
    assert switches == pytest.approx(12 * 12 * 12 * math.log2(9) + 16 * 6 * 6 * 2)


def test_what_the_encoder_tells_is_of_the_images_less_their_mean(network) -> None:
    pixels = images().pool[:2, :, :24, :24]
    told = trained.Encoder(network)(pixels)
    weight, bias = (torch.from_numpy(blob) for blob in network.graph.nodes[0].blobs)
    fed = torch.from_numpy(pixels - np.float32([100, 110, 120]).reshape(3, 1, 1))
    expected = torch.nn.functional.conv2d(fed, weight, bias, padding=1) > 0
    assert torch.equal(told["r1/mask"] > 0, expected) and 0.1 < expected.float().mean() < 0.9


def test_weights_are_scaled_to_the_images(network) -> None:
    graph = reverse(network.graph, "p2", trained.RULES["both"], stored=True)
    rebuilder = trained.Rebuilder(graph, 0)
    told = trained.Encoder(network)(images().pool[:16, :, :24, :24])
    rebuilder.calibrate(told, 0.25)
    made = rebuilder(told).detach()
    assert float(made.std()) == pytest.approx(0.25, rel=1e-3)  # also when the hooks have gone
    other = trained.Encoder(network)(images().pool[1:17, :, :24, :24])
    assert not torch.equal(made, rebuilder(other).detach())


@pytest.mark.slow
def test_masks_at_full_size_tell_more_than_switches(network) -> None:
    """Of this encoder, whose masks are 9,216 bits for 6,630 of switches."""
    seen: list[tuple[int, int]] = []
    found = trained.measure(network, images(), 60, on_progress=lambda *at: seen.append(at))
    assert set(found.rmse) == set(KINDS) and found.held_out == 4
    assert max(found.rmse["both"], found.rmse["masks"]) < 0.9 * found.rmse["switches"]
    assert found.rmse["switches"] < float((images().held / 255).std())
    assert seen[-1] == (180, 180)


def test_tiles_and_parts(network) -> None:
    held = images().held
    tiles = trained.tiles(held, 20)
    assert tiles.shape == (16, 3, 20, 20) and np.array_equal(tiles[4:8], held[:, :, :20, 20:])
    drawn = trained.parts(held, 24, np.random.default_rng(0))
    assert drawn.shape == (16, 3, 24, 24) and len({one.tobytes() for one in drawn}) > 8
