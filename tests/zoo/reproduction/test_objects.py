"""Saliency by one neuron and by a whole channel, and what is chosen of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

import converters
from zoo.reproduction import objects
from zoo.reversed import networks
from zoo.reversed.segmentation import Convolutional, Seeding, gaussian

NET = """
name: "judge" input: "data" input_shape { dim: 1 dim: 3 dim: 24 dim: 24 }
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1" convolution_param {
  num_output: 8 kernel_size: 5 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "p1" type: "Pooling" bottom: "c1" top: "p1"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "c2" type: "Convolution" bottom: "p1" top: "c2" convolution_param {
  num_output: 5 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "r2" type: "ReLU" bottom: "c2" top: "c2" }
"""
MEAN = """
layer { name: "mean" type: "Pooling" bottom: "c2" top: "mean"
  pooling_param { pool: AVE global_pooling: true } }
"""


def saliencies(tmp_path: Path, text: str, blob: str) -> objects.Saliencies:
    path = tmp_path / "judge.prototxt"
    path.write_text(text)
    network = networks.read(path, None, blob, mean="0", seed=1, provider="cpu")
    wanted = [(method, seed) for method in objects.METHODS for seed in objects.SEEDS]
    definition = networks.definition(path)
    return objects.Saliencies(Convolutional(network, definition, blob), wanted)


def test_the_map_that_the_mean_is_of(tmp_path: Path) -> None:
    pooled = saliencies(tmp_path, NET + MEAN, "mean").convolutional.network.graph
    below = pooled.value(objects.class_map(pooled, "mean"))
    assert below.producer is not None and below.producer.name == "c2"  # before its ReLU
    bare = saliencies(tmp_path, NET, "c2").convolutional.network.graph
    assert objects.class_map(bare, "c2") == "c2"


def test_salinet_is_the_gradient_of_the_neuron_and_of_the_channel(tmp_path: Path) -> None:
    maps = saliencies(tmp_path, NET + MEAN, "mean")
    image = np.random.default_rng(0).integers(0, 256, (26, 34, 3)).astype(np.uint8)
    found = maps.of(image)
    assert np.array_equal(found[objects.BLOB, objects.BLOB], gaussian((26, 34)))
    graph = maps.convolutional.at((26, 34)).graph
    x = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32)).requires_grad_()
    below = graph.value(objects.class_map(graph, "mean"))
    graph.outputs = [graph.value("mean"), below]
    answers, values = converters.to_torch(graph)(x).values()
    channel = int(values[0].amax((1, 2)).argmax())
    for seed, target in (("neuron", answers.max()), ("channel", values[0, channel].sum())):
        (gradient,) = torch.autograd.grad(target, x, retain_graph=True)
        expected = gradient[0].abs().amax(0).numpy()
        assert expected.any()
        assert np.allclose(found["salinet", seed], expected, atol=1e-5 * expected.max())


def test_every_method_is_tried_with_both_seeds_and_the_blob_with_the_same_rules() -> None:
    for method in objects.METHODS:
        tried = objects.settings_of(method)
        assert {one.seed for one in tried} == set(objects.SEEDS)
        assert len(set(tried)) == len(tried) == 4 * len(objects.RULES)
    rules = [one.seeding for one in objects.settings_of(objects.BLOB)]
    assert rules == list(objects.RULES)
    assert objects.authors("salinet").seed == "channel"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (objects.Setting("neuron", Seeding()), "neuron: surely above 0.95, never below 0.3"),
        (
            objects.Setting("channel", Seeding(0.9, 0.1, 0.5, 0.03)),
            "channel: surely above 0.9, likely above 0.5, never below 0.1, smoothed by 0.03",
        ),
    ],
)
def test_settings_in_words(setting: objects.Setting, said: str) -> None:
    assert str(setting) == said
