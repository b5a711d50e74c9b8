"""The small classifier of *Visualizing and understanding CNNs*, and labelled images for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prototxt.errors import ZooError
from prototxt.files import read_lines
from zoo.reproduction.inputs import Inputs
from zoo.reproduction.salinet import classifier, seen

if TYPE_CHECKING:
    from converters import Graph
    from runtime import Model
    from zoo.reversed.networks import Network

__all__ = ["SMALL", "Small", "rectified"]

SMALL = "small-classifier"
"""Its name among the data."""
BATCH = 100


def rectified(graph: Graph) -> list[str]:
    """The blobs that ReLUs write, in order."""
    from converters.layers.activations import ReLU
    from converters.registry import find
    from zoo.reversed.networks import blob_name

    written = [node.outputs[0] for node in graph.nodes if isinstance(find(node.type), ReLU)]
    return [blob_name(graph, value) for value in written]


@dataclass
class Small:
    """The classifier with the images that it is asked of."""

    network: Network
    """Its outputs are what its ReLUs write, then the scores."""
    layers: list[str]
    """What its ReLUs write."""
    scores: str
    """What its softmax reads."""
    images: list[np.ndarray]
    """H×W×3 uint8 BGR, as large as the network wants them."""
    labels: np.ndarray
    names: list[str]
    """Of the classes."""
    data: str
    model: Model

    @classmethod
    def read(cls, inputs: Inputs) -> Small:
        """The classifier and the labelled images. ZooError where they do not fit."""
        from converters.shapes import fixed
        from zoo.reversed import networks

        net, weights = inputs.network(SMALL)
        whole, scores = classifier(inputs, SMALL)
        layers = rectified(whole.graph)
        network = networks.read(net, weights, [*layers, scores], seed=inputs.seed)
        images, labels, data = inputs.labelled()
        _, height, width = networks.image_shape(network)
        if "zoo.crop" in network.properties and height is not None and width is not None:
            images = [middle(image, height, width) for image in images]
        count = math.prod(fixed(whole.graph.value(scores).shape[1:]))
        if labels.max() >= count:
            raise ZooError(
                f"has {labels.max() + 1} classes, the classifier {count}",
                subject=inputs.paths["labelled"],
            )
        names = class_names(inputs.paths["labelled"], count)
        return cls(network, layers, scores, images, labels, names, data, network.model())

    def run(self, images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """All outputs for images (H×W×3 uint8 BGR), by blob."""
        name = self.network.graph.inputs[0].name
        return self.model.run({name: self.fed(images)})

    def fed(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """What they feed to it: N×C×H×W."""
        name = self.network.graph.inputs[0].name
        return np.concatenate([seen(self.network, image)[name] for image in images])

    def batches(self) -> Iterator[slice]:
        """The places of the images, so many at a time."""
        for start in range(0, len(self.images), BATCH):
            yield slice(start, start + BATCH)

    def probabilities(self, found: dict[str, np.ndarray]) -> np.ndarray:
        """Of each class (N×K), from what `run` gave."""
        scores = found[self.scores].astype(np.float64)
        scores = scores.reshape(len(scores), -1)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))

    def surest(self, count: int) -> list[int]:
        """The images, of a class each, whose own class it thinks the most probable."""
        own = np.concatenate(
            [
                self.of_own(self.probabilities(self.run(self.images[batch])), batch)
                for batch in self.batches()
            ]
        )
        order = np.argsort(-own, kind="stable")
        first = {int(self.labels[place]): int(place) for place in order[::-1]}
        return sorted(first.values(), key=lambda place: -own[place])[:count]

    def of_own(self, probabilities: np.ndarray, batch: slice) -> np.ndarray:
        """What a batch's probabilities (N×K) give to the classes that its images have: N."""
        return np.asarray(probabilities[np.arange(len(probabilities)), self.labels[batch]])


def class_names(folder: Path, count: int) -> list[str]:
    """What the classes are called: by their folders, or what a words.txt beside says of these.

    Each of its lines is a folder's name, a tab and words, as Tiny ImageNet has it.
    """
    folders = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if len(folders) != count:
        return [f"class {number}" for number in range(count)]
    words = {}
    if (file := folder.parent / "words.txt").is_file():
        for line in read_lines(file, "a folder's name, a tab, words"):
            name, _, text = line.partition("\t")
            words[name] = text.partition(",")[0].strip()
    return [words.get(name) or name for name in folders]


def middle(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle of an image, as Caffe's data layers crop it in tests."""
    top, left = (max(0, a - b) // 2 for a, b in zip(image.shape, (height, width), strict=False))
    return image[top : top + height, left : left + width]
