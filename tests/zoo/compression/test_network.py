"""The networks made for small files: training's form of them is what their definition does."""

import math

import numpy as np
import pytest
import torch

import converters
import prototxt
import runtime
from converters.families import recognise
from prototxt.errors import UsageError
from runtime.encoder_decoder import load_encoder_decoder
from runtime.switch_predictor import METADATA, SwitchPredictor
from zoo.compression import definitions
from zoo.compression.network import EntropyModel, RateNetwork, one_of_four

NAME = "4_5_6-rate-2"


@pytest.fixture
def network() -> RateNetwork:
    made = RateNetwork((4, 5, 6), seed=3)
    generator = torch.Generator().manual_seed(4)
    for parameter in made.parameters():  # nothing at 0
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    return made


@pytest.fixture
def exported(network, tmp_path):
    text = definitions.definition(NAME)
    types = {layer.name: layer.type for layer in definitions.layers_of(NAME)}
    blobs = network.blobs()
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    weights = path.with_suffix(".caffemodel")
    prototxt.write_weights(weights, blobs, {name: types[name] for name in blobs}, NAME)
    made = converters.convert(path, weights)
    made.save(path.with_suffix(".onnx"))
    return path.with_suffix(".onnx")


def photograph(height: int, width: int) -> np.ndarray:
    """1×3×H×W in [0,1] minus a half."""
    return runtime.resize(runtime.sample_images()[1][1], height, width).transpose(2, 0, 1)[
        None
    ].astype(np.float32) / 255 - np.float32(0.5)


def test_training_and_definition_are_one_network(network, exported):
    images = photograph(48, 72)
    coder = load_encoder_decoder(exported, "cpu")
    assert coder.levels == [0, 0, 6] and coder.metadata["zoo.network"] == NAME
    with torch.no_grad():
        switches = one_of_four(network.encode(torch.from_numpy(images)), 1)
        rebuilt = network.decode(switches).numpy()
        assert torch.equal(network(torch.from_numpy(images)).images, torch.from_numpy(rebuilt))
    *_, masks = coder.encode(images * 255)
    (*_, places) = runtime.codec.places_of([masks])
    assert np.array_equal(switches.view(6, 4, 6, 9).argmax(1).numpy(), places)
    assert len(np.unique(places)) == 4
    whole = runtime.load(exported, "cpu").run({"data": images * 255})["image"]
    assert rebuilt.std() > 0.01
    np.testing.assert_allclose(whole, rebuilt * 255, atol=1e-3)
    # Of any size, not only that of the definition: 48 rows of a taller image's, far from its end.
    assert coder.shapes(80, 72)[-1] == (6, 10, 9)


def test_weights_and_back(network):
    again = RateNetwork((4, 5, 6), seed=9)
    again.load_blobs(network.blobs())
    images = torch.from_numpy(photograph(24, 32))
    with torch.no_grad():
        ours, theirs = again.encode(images), network.encode(images)
        torch.testing.assert_close(ours, theirs)
        switches = one_of_four(theirs, 1)
        torch.testing.assert_close(again.decode(switches), network.decode(switches))


def test_the_entropy_model_is_what_the_file_is_coded_by():
    model = EntropyModel(5)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data = 0.5 * torch.randn(parameter.shape, generator=generator)
    values = torch.randn(1, 5, 4, 7, 9, generator=generator)
    switches = one_of_four(values, 1)
    places = values.argmax(2)[0].numpy().astype(np.uint8)
    coded = SwitchPredictor([model.quantised()]).encode([places])
    bits = float(model(switches).detach().sum())
    assert 8 * len(coded) == pytest.approx(bits, rel=0.01, abs=96)
    assert bits != pytest.approx(2 * places.size, rel=0.05)


def test_an_even_start_costs_two_bits_a_switch():
    switches = one_of_four(torch.randn(2, 5, 4, 3, 3), 1)
    bits = EntropyModel(5)(switches)
    assert torch.allclose(bits, torch.full((2, 3, 3), 10.0))


def test_straight_through():
    """Forward the greatest alone, backward a softmax."""
    values = torch.tensor([0.0, 2.0, 1.0, 2.0]).view(1, 1, 4, 1, 1).requires_grad_()
    found = one_of_four(values, 0.5)
    assert torch.allclose(found.flatten(), torch.tensor([0.0, 1, 0, 0]), atol=1e-6)
    slopes = torch.tensor([1.0, -2.0, 3.0, 0.5])
    (found.flatten() * slopes).sum().backward()
    chances = torch.softmax(values.detach().flatten() / 0.5, 0)
    wanted = chances * (slopes - (chances * slopes).sum()) / 0.5
    assert torch.allclose(values.grad.flatten(), wanted)


def test_the_same_seed_draws_the_same(network):
    first, second = (RateNetwork((4, 5, 6), seed=1).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = RateNetwork((4, 5, 6), seed=2).state_dict()
    assert not torch.equal(first["conv1_1.weight"], other["conv1_1.weight"])
    assert math.isclose(first["pattern"].std(), 0.1, rel_tol=0.3)


def test_names():
    assert definitions.parsed("16_32_64-rate-3") == ((16, 32, 64), 3)
    assert definitions.network_name("16_32_64", 3) == "16_32_64-rate-3"
    for name in ("16_32_64", "16_32-rate-1", "1_2_3-rate-0", "1_2_3-rate-7", "a-rate-1"):
        with pytest.raises(UsageError, match="is not of the form n1_n2_n3-rate-N"):
            definitions.parsed(name)


def test_what_is_recognised():
    text = definitions.definition(NAME)
    assert recognise(prototxt.parse_net(text)).name == NAME
    assert recognise(prototxt.parse_net(text.replace("-rate-2", "-rate-3"))).name == "4_5_6-rate-3"
    for before, after in (("stride: 8", "stride: 4"), ("4_5_6-rate", "4_5_7-rate"), ("-rate", "")):
        assert recognise(prototxt.parse_net(text.replace(before, after))) is None


def test_metadata_name():
    assert METADATA == "zoo.switch_scores"
