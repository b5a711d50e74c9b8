"""The controls change what they say, and nothing else."""

import numpy as np
import pytest
import torch

import runtime
from zoo.compression.controls import KINDS, compare
from zoo.compression.learning import RateRecipe
from zoo.compression.network import RateNetwork
from zoo.paper.recipes.crops import cut_pool
from zoo.paper.recipes.images import Images

WIDTHS = (3, 4, 5)


@pytest.fixture(scope="module")
def values() -> torch.Tensor:
    return torch.randn(2, 5, 4, 3, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", KINDS)
def test_what_is_told_is_hard(name, values):
    network = KINDS[name](WIDTHS, 0, 1.0)
    told, coded = network.code(values)
    ones = coded.view(2, 5, 4, 3, 2)
    np.testing.assert_allclose(ones.sum(2), 1, atol=1e-5)
    np.testing.assert_allclose(ones.amax(2), 1, atol=1e-5)
    if name == "scalars":
        levels = told.view(2, 5, 4, 3, 2)
        assert not levels[:, :, 1:].any()
        np.testing.assert_allclose(levels[:, :, 0], ones.argmax(2) - 1.5, atol=1e-5)
        order = values.amax(2).flatten().argsort()
        assert (levels[:, :, 0].flatten()[order].diff() >= -1e-5).all()
    elif name != "Gumbel":
        assert torch.equal(ones.argmax(2), values.argmax(2)) and torch.equal(told, coded)


@pytest.mark.parametrize("name", KINDS)
def test_all_that_learns_has_a_gradient(name):
    network = KINDS[name](WIDTHS, 0, 1.0)
    images = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(0)) / 4
    coded = network(images)
    (coded.images.square().sum() + coded.bits.sum()).backward()
    without = {n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()}
    expected = {
        "without the pattern": {"pattern"},
        "without context": {"entropy.around", "entropy.within"},
    }
    assert without == expected.get(name, set())


def test_gumbel_draws_by_the_chances():
    values = torch.tensor([0.0, 1.0, 2.0, -1.0]).view(1, 1, 4, 1, 1).expand(1, 1, 4, 100, 100)
    network = KINDS["Gumbel"](WIDTHS, 0, 1.0)
    torch.manual_seed(0)
    share = network.code(values.contiguous())[1].detach().mean((0, 2, 3))
    np.testing.assert_allclose(share, torch.softmax(values[0, 0, :, 0, 0], 0), atol=0.02)
    with torch.no_grad():
        np.testing.assert_allclose(network.code(values.contiguous())[1][0, 2], 1, atol=1e-6)


@pytest.mark.slow
def test_they_are_compared():
    pool = cut_pool([image for _, image in runtime.sample_images()], 4, 32)
    images = Images(pool, pool[:4], pool.mean((0, 2, 3)).reshape(3, 1, 1), "pool", 4)
    found = compare(WIDTHS, images, RateRecipe(iterations=8, batch=2, crop=16, ramp=0), list(KINDS))
    assert found.keys() == KINDS.keys()
    for values in found.values():
        cost = 255**2 * 0.0018 * values["rmse"] ** 2 + values["bits_per_pixel"]
        assert values["loss"] == pytest.approx(cost, rel=1e-3)
    pairs = {(values["rmse"], values["bits_per_pixel"]) for values in found.values()}
    assert len(pairs) == len(KINDS)
    assert KINDS["switches"] is RateNetwork
