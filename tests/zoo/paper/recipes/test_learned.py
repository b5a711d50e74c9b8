"""Encoders that learn their switches: the gradient, the training, its files, the command."""

from __future__ import annotations

import dataclasses
import json

import cv2
import pytest
import torch

import runtime
from prototxt.errors import UsageError
from tests.zoo.drawn import folder_of, photographs, sample
from zoo import hub
from zoo.errors import HubError
from zoo.paper import architectures
from zoo.paper.recipes.encoders import draw
from zoo.paper.recipes.images import Images
from zoo.paper.recipes.learned import Learned, soft_switches
from zoo.paper.recipes.modern import Modern, Recipe, recipe_for
from zoo.paper.recipes.switches import Soft, pool_switches, soft_unpool
from zoo.paper.recipes.tunnel import TunnelRun

ARCH = "5_6_7"
RECIPE = Recipe(
    iterations=12, batch=4, crop=16, rate=1e-2, candidates=1, trial=2, encoder="learned", clip=0.03
)


def relaxed(x: torch.Tensor, values: torch.Tensor, temperature: float) -> torch.Tensor:
    """Unpooling by the softmax of each window's values and of a fifth, 0, for the first place."""
    n, c, h, w = values.shape
    windows = values.view(n, c, h // 2, 2, w // 2, 2).permute(0, 1, 2, 4, 3, 5).flatten(4)
    share = torch.cat([windows, torch.zeros_like(windows[..., :1])], -1).div(temperature)
    share = share.softmax(-1)
    first, others = share[..., :1] + share[..., 4:], share[..., 1:4]
    spread = torch.cat([first, others], -1) * x[..., None]
    return spread.view(n, c, h // 2, w // 2, 2, 2).permute(0, 1, 2, 4, 3, 5).reshape(n, c, h, w)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 3.0])
def test_forward_hard_backward_soft(temperature):
    generator = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    values, x, slopes = normal(2, 5, 6, 8), normal(2, 5, 3, 4), normal(2, 5, 6, 8)
    values[0, :, :2, :2] = -values[0, :, :2, :2].abs()  # silent windows
    values[1, 0] *= 300  # no overflow in the exponentials
    values.requires_grad_(True)
    x.requires_grad_(True)
    _, flat = torch.nn.functional.max_pool2d(values.relu(), 2, return_indices=True)
    hard = torch.nn.functional.max_unpool2d(x, flat, 2)
    positions = pool_switches(values.detach().relu())[1]
    found = soft_unpool(x, Soft(positions, values, temperature))
    assert torch.equal(found, hard)
    (for_x,) = torch.autograd.grad(hard, x, slopes)
    soft = relaxed(x.double(), values.double(), temperature)
    (for_values,) = torch.autograd.grad(soft, values, slopes.double())
    ours = torch.autograd.grad(found, (x, values), slopes)
    assert torch.allclose(ours[0], for_x)
    assert (ours[1] - for_values).abs().max() < 1e-6 * for_values.abs().max()


def test_every_convolution_of_the_encoder_is_told(pool, mean):
    run = Learned(ARCH, draw(ARCH, 0, sample(pool, mean)), pool, mean, RECIPE)
    run.step()
    missing = [
        name
        for name, parameter in run.encoder.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert missing == []


def test_what_is_told_are_the_switches_of_the_encoder(pool, mean):
    encoder, images = draw(ARCH, 1, sample(pool, mean)), sample(pool, mean)
    for soft, hard in zip(soft_switches(encoder, images, 0.5), encoder(images), strict=True):
        assert torch.equal(soft.positions, hard)


@pytest.mark.slow
def test_it_does_better_than_a_random_encoder(pool, mean):
    found = []
    for kind in (Modern, Learned):
        encoder = draw("4_4_4", 0, sample(pool, mean))
        recipe = dataclasses.replace(RECIPE, iterations=1000)
        run = kind("4_4_4", encoder, pool, mean, recipe)
        for _ in run.run():
            pass
        found.append(run.rmse(pool))
    assert found[1] < 0.9 * found[0]


def test_killed_and_resumed_it_ends_the_same(tmp_path, pool, mean, monkeypatch):
    from zoo.paper.recipes import run as recipe_run

    monkeypatch.setattr(recipe_run, "SAVE_EVERY", 0.0)
    images = Images(pool, pool[:2], mean, "pool", 8)

    def run(folder: str) -> TunnelRun:
        return TunnelRun("2_3_4", images, RECIPE, tmp_path / folder)

    whole = run("whole")
    card = whole.finished(lambda _: None)
    assert card and card["name"] == "2_3_4-learned" and card["encoder"] == "learned"
    for event in run("broken").run():
        if event.kind == "snapshot" and event.iteration >= 5:
            break
    resumed = run("broken")
    assert resumed.finished(lambda _: None, resume=True)
    for ours, theirs in zip(whole.training.parameters, resumed.training.parameters, strict=True):
        assert torch.equal(ours, theirs)
    assert len(whole.training.parameters) == 2 * 6 + 1 + 2 * 6


@pytest.mark.slow
def test_the_command_and_the_hub(zoo, tmp_path):
    """Trained, published, found by its name; an arch alone still means the random encoder."""
    folder = folder_of(tmp_path)
    options = ["--data", folder, "--iterations", 2, "--device", "cpu", "--hold-out", 2]
    options += ["--encoders", 1, "--quiet"]
    assert zoo("train", "--arch", "2_3_4", *options).status == 0
    assert zoo("train", "--arch", "2_3_4", "--encoder", "learned", *options).status == 0
    card = json.loads((tmp_path / "2_3_4-learned/2_3_4-learned.json").read_text())
    assert card["rmse_held_out"] > 0 and card["temperature"] == 0.5
    named = ["--name", "2_3_4-learned", "--encoder", "learned"]
    learned = tmp_path / "2_3_4-learned/2_3_4-learned.onnx"
    assert zoo("publish", learned, "--hub", "hub", *named).status == 0
    assert zoo("publish", tmp_path / "2_3_4/2_3_4.onnx", "--hub", "hub").status == 0
    assert hub.locate("2_3_4", "hub").name == "2_3_4.onnx"
    assert hub.locate("2_3_4-learned@1.0", "hub").name == "2_3_4-learned.onnx"
    assert hub.locate("2_3_4", "hub", encoder="learned").name == "2_3_4-learned.onnx"


@pytest.mark.slow
def test_learned_networks_come_along(zoo, tmp_path):
    """Each rebuilds better than its twin of the same bits, here on scikit-image's photographs."""
    for arch in architectures.ARCHES:
        twins = [
            zoo("eval", "--arch", name, "--json").json["rmse"] for name in (arch, f"{arch}-learned")
        ]
        assert twins[1] < 0.9 * twins[0], (arch, twins)
    picture = tmp_path / "photo.png"
    cv2.imwrite(str(picture), photographs(1, 64)[0])
    errors = [
        zoo("reconstruct", picture, "--arch", name, "-o", name, "--json").json["pictures"][0][
            "rmse"
        ]
        for name in ("8_8_8", "8_8_8-learned")
    ]
    assert errors[1] < errors[0]


def test_learned_switches_are_an_ordinary_network():
    """The same operators and shapes as the random encoder's: only the weights differ."""
    for arch in architectures.ARCHES:
        ours, theirs = (runtime.load(hub.locate(name)) for name in (arch, f"{arch}-learned"))
        assert ours.inputs == theirs.inputs and ours.outputs == theirs.outputs
        assert theirs.metadata["zoo.arch"] == arch


@pytest.mark.parametrize(
    "arguments",
    [
        ["--encoder", "learned", "--recipe", "paper"],
        ["--encoder", "pretrained"],
    ],
)
def test_wrong_usage(zoo, arguments, tmp_path):
    assert zoo("train", "--arch", "8_8_8", *arguments).status == 2
    assert list(tmp_path.iterdir()) == []


def test_names():
    assert architectures.model_name("8_8_8", "random") == "8_8_8"
    assert architectures.arch_of(architectures.model_name("8_8_8", "learned")) == "8_8_8"
    with pytest.raises(UsageError):
        architectures.arch_of("8_8_8-other")
    with pytest.raises(HubError, match="no model '8_8_8'"):
        hub.locate("8_8_8", encoder="pretrained")
    assert recipe_for("8_8_8", None, 0, False, encoder="learned").clip
