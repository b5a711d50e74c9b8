"""Switches, ReLU masks, both: three decoders of one encoder."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from zoo.paper.recipes.encoders import LAYERS, draw
from zoo.paper.recipes.images import Images
from zoo.paper.recipes.modern import Recipe
from zoo.reversed.informativeness import KINDS, compare, without_thresholds


def images() -> Images:
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3)).astype(np.uint8)
    pool = np.stack([cv2.GaussianBlur(n, (0, 0), 2) for n in noise]).transpose(0, 3, 1, 2).copy()
    return Images(pool, pool[:4], pool.mean((0, 2, 3)).reshape(3, 1, 1), "noise", 24)


def test_masks_are_where_the_relus_pass():
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    encoder = draw("3_4_5", 0, x)
    switches, masks = encoder.bottleneck(x.contiguous(memory_format=torch.channels_last))
    assert tuple(masks) == LAYERS
    first = encoder.get_submodule("conv1_1")(x)
    assert torch.equal(masks["conv1_1"], first > 0)
    assert masks["conv3_2"].shape == (2, 5, 4, 4) and switches[2].shape == (2, 2, 2, 5)


def test_an_encoder_without_thresholds_passes_half_of_its_values():
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    encoder = draw("8_8_8", 0, x)
    weights = encoder.get_submodule("conv1_1").weight.clone()
    without_thresholds(encoder)
    assert not any(p.any() for n, p in encoder.named_parameters() if n.endswith("bias"))
    assert torch.equal(encoder.get_submodule("conv1_1").weight, weights)
    _, masks = encoder.bottleneck(x.contiguous(memory_format=torch.channels_last))
    assert 0.45 < masks["conv1_1"].float().mean() < 0.55


def test_without_thresholds_the_three_are_trained_likewise():
    recipe = Recipe(iterations=5, batch=8, crop=32)
    both = [dict(compare("4_4_4", images(), recipe, "cpu", on)) for on in (True, False)]
    assert all(set(found) == set(KINDS) for found in both)
    assert both[0]["switches"] != both[1]["switches"]


@pytest.mark.slow
def test_both_tell_more_than_either():
    recipe = Recipe(iterations=200, batch=8, crop=32, rate=1e-2)
    found = {kind: rmse for kind, rmse in compare("4_4_4", images(), recipe) if rmse is not None}
    assert tuple(found) == KINDS
    assert found["both"] < min(found["switches"], found["masks"])


@pytest.mark.slow
def test_the_command(zoo, tmp_path):
    (tmp_path / "photos").mkdir()
    for number, image in enumerate(images().pool[:4]):
        cv2.imwrite(str(tmp_path / f"photos/{number}.png"), image.transpose(1, 2, 0))
    options = ["--arch", "2_2_2", "--data", "photos", "--iterations", 2, "--device", "cpu"]
    result = zoo("informativeness", *options, "--json").json
    assert set(result["rmse"]) == set(KINDS) and len(result["changes"]) == 3
    assert "-46%" in zoo("informativeness", *options).out
