"""The figures of *Visualizing and understanding CNNs*: a training, and what its features show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from prototxt.errors import ZooError
from zoo.progress import OnProgress, counted
from zoo.reproduction.inputs import Inputs
from zoo.reproduction.items import SOURCES, Item, Made, Number, Picture
from zoo.reproduction.salinet import classifier, first, seen, up_to
from zoo.reproduction.small import SMALL, Small, rectified

if TYPE_CHECKING:
    from zoo.reversed.networks import Network

__all__ = ["ITEMS"]

DECONVNET = SOURCES["deconvnet"]
MAPS = 6
"""Feature maps that are drawn of a layer: the strongest."""
LAYERS = 5
STRONGEST = 9
"""Places that excite a feature map most, of an image each."""
SIDE = 84
"""Pixels that each is shown with."""
IMAGES = 4
"""Images whose feature maps are drawn."""

ACCURACY, ACCURACY_5, TEST_LOSS, LOSS, BEST = (
    "share of right answers at the end",
    "share of right answers among five",
    "loss of the tests at the end",
    "loss of the training at the end",
    "greatest share of right answers",
)


def learning(inputs: Inputs, on_progress: OnProgress) -> Made:
    """Losses and right answers over the iterations, as the training's own log has them."""
    from zoo.training.curves import read_metrics

    log = inputs.paths[SMALL] / "metrics.jsonl"
    if not log.is_file():
        raise ZooError("no such file", subject=log, remedy="`zoo train` writes it")
    rows, tests = read_metrics(log), read_metrics(log, "test")
    wanted = {"loss", "accuracy"}
    if not rows or not tests or not all(wanted <= set(row) for row in tests):
        raise ZooError(
            "tells of no tests that have a loss and an accuracy",
            subject=log,
            remedy="a solver with test_iter and an Accuracy layer make it tell them",
        )
    losses = [row.get("smoothed_loss", row["loss"]) for row in rows]
    end = tests[-1]
    values = {
        ACCURACY: end["accuracy"],
        BEST: max(row["accuracy"] for row in tests),
        TEST_LOSS: end["loss"],
        LOSS: losses[-1],
    }
    if "accuracy_5" in end:
        values[ACCURACY_5] = end["accuracy_5"]
    best = max(tests, key=lambda row: row["accuracy"])["iteration"]
    notes = [f"the greatest share is that of iteration {best:,} of {end['iteration']:,}"]
    picture = Picture("loss and right answers", learning_curves(rows, losses, tests))
    on_progress(1, 1)
    return Made(f"metrics.jsonl of {inputs.paths[SMALL].name}", values, [picture], notes)


def learning_curves(
    rows: Sequence[Mapping[str, Any]], losses: Sequence[float], tests: Sequence[Mapping[str, Any]]
) -> bytes:
    """Losses on the left (pale of one batch, over it `losses`), right answers on the right."""
    from zoo.figures import encoded, new_figure

    figure = new_figure(9.6, 3.8)
    left, right = figure.subplots(1, 2)
    iterations = [row["iteration"] for row in rows]
    left.plot(iterations, [row["loss"] for row in rows], color="#4c72b0", alpha=0.3, linewidth=0.8)
    left.plot(iterations, losses, color="#4c72b0", label="training")
    tested = [row["iteration"] for row in tests]
    left.plot(tested, [row["loss"] for row in tests], color="#dd8452", marker="o", label="tests")
    left.set(xlabel="iteration", ylabel="loss")
    for name, text in (("accuracy_5", "among five"), ("accuracy", "the first")):
        if all(name in row for row in tests):
            right.plot(tested, [row[name] for row in tests], marker="o", label=text)
    right.set(xlabel="iteration", ylabel="share of right answers, tests")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.grid(True, linewidth=0.3)
        axes.legend(fontsize=8)
    return encoded(figure)


def maps(inputs: Inputs, on_progress: OnProgress) -> Made:
    """The strongest feature maps of several layers of the classifier of photographs."""
    whole, _ = classifier(inputs)
    images, data = inputs.pictures(2)
    blobs = rectified(whole.graph)
    blobs = [blobs[place * (len(blobs) - 1) // (LAYERS - 1)] for place in range(LAYERS)]
    networks = {blob: up_to(inputs, blob) for blob in dict.fromkeys(blobs)}
    return Made(data, {}, mapped_back(networks, images, on_progress), whole.notes)


def small_maps(inputs: Inputs, on_progress: OnProgress) -> Made:
    """The strongest feature maps of each layer of the small classifier."""
    small = Small.read(inputs)
    networks = {blob: up_to(inputs, blob, SMALL) for blob in (*small.layers, small.scores)}
    images = [(small.names[small.labels[n]], small.images[n]) for n in small.surest(IMAGES)]
    return Made(small.data, {}, mapped_back(networks, images, on_progress), small.network.notes)


def mapped_back(
    networks: Mapping[str, Network],
    images: Sequence[tuple[str, np.ndarray]],
    on_progress: OnProgress,
) -> list[Picture]:
    """Of each image a sheet with a row for each blob: its strongest maps, by DeConvNet.

    All of a map comes back, not one neuron.
    """
    import runtime
    from converters.passes.reverse import METHODS
    from runtime.pictures import png
    from zoo.reversed import visualization

    step = counted(on_progress, len(networks) * len(images))
    pictures = []
    for name, pixels in images:
        rows = []
        for blob, network in networks.items():
            feeds = seen(network, pixels)
            values = np.maximum(network.run(feeds), 0)
            sums = values[0].reshape(values.shape[1], -1).sum(axis=1)
            strongest = np.argsort(-sums, kind="stable")[:MAPS]
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
    return pictures


def strongest(inputs: Inputs, on_progress: OnProgress) -> Made:
    """What excites some feature maps of each layer most, and what DeConvNet makes of it."""
    import runtime
    from runtime.pictures import png

    small = Small.read(inputs)
    layers = [name for name in small.layers if len(small.network.graph.value(name).shape) == 4]
    batches = list(small.batches())
    step = counted(on_progress, len(batches) + len(layers) * MAPS)
    greatest: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
    for batch in batches:
        found = small.run(small.images[batch])
        for layer in layers:
            greatest[layer].append(found[layer].max(axis=(2, 3)))
        step()
    rows = []
    for layer in layers:
        network = up_to(inputs, layer, SMALL)
        peaks = np.concatenate(greatest[layer])
        order = np.argsort(-peaks, axis=0, kind="stable")[:STRONGEST]
        means = np.take_along_axis(peaks, order, axis=0).mean(axis=0)
        chosen = np.argsort(-means, kind="stable")[:MAPS]
        drawn = []
        for channel in chosen:
            drawn.append(places(small, network, layer, int(channel), order[:, channel]))
            step()
        shown = ", ".join(map(str, chosen))
        rows.append((f"{layer}: maps {shown}, mapped back", [back for back, _ in drawn]))
        rows.append((f"{layer}: where they are greatest", [patch for _, patch in drawn]))
    sheet = runtime.labelled_grid(rows, [])
    caption = f"the {STRONGEST} images that excite a feature map most, of {MAPS} maps a layer"
    return Made(small.data, {}, [Picture(caption, png(sheet))], small.network.notes)


def places(
    small: Small, network: Network, layer: str, channel: int, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What excites a map most in some images: as DeConvNet maps it back, and as it is; mosaics."""
    import runtime
    from converters.passes.reverse import METHODS
    from prototxt.opencv import cv2
    from zoo.reversed import visualization

    blob = small.fed([small.images[place] for place in images])
    feeds = {network.graph.inputs[0].name: blob}
    values = network.run(feeds)
    p = np.zeros_like(values)
    for index, one in enumerate(values[:, channel]):
        row, column = divmod(int(one.argmax()), one.shape[1])
        p[index, channel, row, column] = one[row, column]
    found = visualization.visualise(network, layer, METHODS["deconvnet"], feeds, p)
    drawn: tuple[list[np.ndarray], list[np.ndarray]] = [], []
    for index, back in enumerate(found):
        field = visualization.field_of(network.graph, layer, p[index], blob.shape[2:])
        pair = visualization.display(back, field), visualization.as_seen(blob[index])
        for pictures, picture in zip(drawn, pair, strict=True):
            part = visualization.in_field(picture, field)
            pictures.append(cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST))
    return runtime.mosaic(drawn[0]), runtime.mosaic(drawn[1])


OWN = (
    "The sizes of the network are ours, as the paper's Table 1 is not at hand: four convolutions "
    "and three overlapping max pools after Zeiler and Fergus, trained on 20,000 images of Tiny "
    "ImageNet at 32x32."
)
ITEMS = [
    Item(
        "deconvnet-learning",
        DECONVNET,
        "learning curves",
        "loss and right answers of the small network over its training",
        OWN,
        learning,
        [Number(what, digits=3) for what in (ACCURACY, ACCURACY_5, BEST, TEST_LOSS, LOSS)],
        needs=(SMALL,),
        packages=("matplotlib",),
    ),
    Item(
        "deconvnet-maps-small",
        DECONVNET,
        "feature maps, the small network",
        "the strongest feature maps of each layer, mapped back to the image",
        f"{OWN} Drawn are the images whose class it is surest of.",
        small_maps,
        needs=(SMALL, "labelled"),
    ),
    Item(
        "deconvnet-strongest",
        DECONVNET,
        "feature maps, what excites them",
        "the images that excite a feature map most, and what is mapped back of each",
        f"{OWN} As in Zeiler and Fergus (Fig. 2), nine images a map.",
        strongest,
        needs=(SMALL, "labelled"),
    ),
    Item(
        "deconvnet-maps",
        DECONVNET,
        "feature maps, another network",
        "the strongest feature maps of several layers, mapped back to the image",
        "Another network than the paper's, the classifier that is given, and other photographs.",
        maps,
        needs=("classifier",),
        uses=("photographs",),
    ),
]
