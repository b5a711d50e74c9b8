"""How trained networks come into the package's own hub, and what their cards say."""

from __future__ import annotations

import json

import pytest

from tests.zoo.drawn import folder_of
from zoo.data.sources import evaluated_images
from zoo.hub import open_hub
from zoo.paper.recipes.embed import card, embed

ABOUT = {
    "name": "8_8_8", "arch": "8_8_8", "encoder": "random", "recipe": "modern", "iterations": 4000,
    "batch": 16, "crop": 64, "seed": 0, "candidates": 8, "encoder_seed": 3, "seconds": 500.0,
    "mean": [1.0, 2.0, 3.5], "bits_per_pixel": 1.75, "held_out": 100, "published": 0.1464,
    "rmse_held_out": 0.10689, "data": "photographs", "training_images": 400, "pool": 6400,
    "date": "2026-11-27",
}  # fmt: skip


def test_a_card_says_how_it_came_about():
    text = card(ABOUT, 0.1423)
    assert "| this network, 100 images held out | 0.1069 |" in text
    assert "| the authors' weights, the same images | 0.1423 |" in text
    assert "| encoder | the best of 8 random draws (seed 3); never trained |" in text
    assert "| decoder | recipe `modern`: 4,000 × 16 parts of 64×64 pixels, seed 0 |" in text
    assert "| time | 8 minutes |" in text
    learned = card({**ABOUT, "encoder": "learned", "device": "G"}, None)
    assert "gradients; begun as a random draw (seed 3) |" in learned
    assert "| time | 8 minutes on G |" in learned and "same images | not at hand |" in learned


@pytest.mark.parametrize("encoder", ["random", "learned"])
def test_a_card_of_a_network_that_went_on_from_another(encoder):
    text = card({**ABOUT, "encoder": encoder, "encoder_seed": None, "started_from": "8_8_8"}, None)
    assert "that of an earlier `8_8_8`" in text and "None" not in text
    assert "seed 0, going on from that one's weights |" in text


def test_a_trained_network_is_published_with_what_it_was_measured_by(zoo, tmp_path):
    photos = folder_of(tmp_path)
    options = ["--hold-out", 2, "--iterations", 2, "--encoders", 1, "--device", "cpu", "-q"]
    folder = tmp_path / "runs/8_8_8"
    run = zoo("train", "--arch", "8_8_8", "--data", photos, *options, "-o", folder)
    assert run.status == 0, run.err
    about = json.loads((folder / "8_8_8.json").read_text())
    images, _, _ = evaluated_images(photos, 2)
    every, _, _ = evaluated_images(photos, 0)
    others = [image for image in every if image not in images]
    (line,) = embed(tmp_path / "runs", images, others, None, None, tmp_path / "hub")
    assert line.startswith("published 8_8_8@") and "of the authors'" not in line
    (entry,) = open_hub(tmp_path / "hub").index.versions("8_8_8")
    assert entry.metric("rmse").value == pytest.approx(about["rmse_held_out"], abs=2e-6)
    (model,) = (tmp_path / "hub").rglob("8_8_8.onnx")
    told = zoo("eval", "--model", model, "--data", photos, "--held-out", 2, "--json").json
    assert told["rmse"] == pytest.approx(entry.metric("rmse").value, abs=1e-6)
