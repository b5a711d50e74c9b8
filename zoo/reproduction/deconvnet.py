"""The figures of *Visualizing and understanding CNNs*: feature maps mapped back to the image."""

from __future__ import annotations

import numpy as np

from zoo.progress import OnProgress, counted
from zoo.reproduction.inputs import Inputs
from zoo.reproduction.items import SOURCES, Item, Made, Picture
from zoo.reproduction.salinet import classifier, first, seen, up_to

__all__ = ["ITEMS"]

DECONVNET = SOURCES["deconvnet"]
MAPS = 6
"""Feature maps that are drawn of a layer: the strongest."""
LAYERS = 5


def maps(inputs: Inputs, on_progress: OnProgress) -> Made:
    """The strongest feature maps of several layers, each mapped back by DeConvNet.

    All of a map comes back, not one neuron.
    """
    import runtime
    from converters.layers.activations import ReLU
    from converters.passes.reverse import METHODS
    from converters.registry import find
    from runtime.pictures import png
    from zoo.reversed import visualization

    whole, _ = classifier(inputs)
    images, data = inputs.pictures(2)
    blobs = [n.outputs[0].name for n in whole.graph.nodes if isinstance(find(n.type), ReLU)]
    blobs = [blobs[place * (len(blobs) - 1) // (LAYERS - 1)] for place in range(LAYERS)]
    blobs = list(dict.fromkeys(blobs))
    step = counted(on_progress, len(blobs) * len(images))
    pictures = []
    networks = {blob: up_to(inputs, blob) for blob in blobs}
    for name, pixels in images:
        rows = []
        for blob, network in networks.items():
            feeds = seen(network, pixels)
            values = np.maximum(network.run(feeds), 0)
            strongest = np.argsort(-values[0].sum(axis=(1, 2)), kind="stable")[:MAPS]
            row = [visualization.as_seen(first(network, feeds))]
            for channel in strongest:
                p = np.zeros_like(values)
                p[0, channel] = values[0, channel]
                found = visualization.visualise(network, blob, METHODS["deconvnet"], feeds, p)
                row.append(visualization.display(found[0]))
            rows.append((f"{blob}: maps {', '.join(map(str, strongest))}", row))
            step()
        columns = ["image", *(f"map {n}" for n in range(1, MAPS + 1))]
        pictures.append(Picture(name, png(runtime.labelled_grid(rows, columns))))
    return Made(data, {}, pictures, whole.notes)


ITEMS = [
    Item(
        "deconvnet-maps",
        DECONVNET,
        "feature maps",
        "the strongest feature maps of several layers, mapped back to the image",
        "Another network and other photographs: the paper's small network, trained on Tiny "
        "ImageNet, is not trained here.",
        maps,
        needs=("classifier",),
        uses=("photographs",),
    )
]
