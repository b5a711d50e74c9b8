"""The figures of *Salient deconvolutional networks*, and its section 3.3."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.progress import OnProgress, counted
from zoo.reproduction.inputs import Inputs
from zoo.reproduction.items import SOURCES, Item, Made, Number, Picture

if TYPE_CHECKING:
    from converters import Graph
    from zoo.paper.recipes.images import Images
    from zoo.reversed.informativeness import Informativeness
    from zoo.reversed.networks import Network

__all__ = ["ITEMS", "last_max_pooling"]

SALINET = SOURCES["salinet"]
MANY = 4
"""Times as large as what a network sees."""
SHOWN = 5
"""Photographs that are drawn."""
ITERATIONS = {True: 300, False: 1000}
"""Of each training of section 3.3, quick or not."""
ARCHES = {True: "8_8_8", False: "16_16_16"}
TRAINED = {True: 20, False: 300}
"""The same where a classifier's first layers are the encoder."""
PART = 64
"""Rows and columns of what it sees of a photograph."""


def max_poolings(graph: Graph) -> list[str]:
    """The blobs of all max poolings; ZooError where there are none."""
    from converters.layers.pooling import Pooling
    from converters.registry import find
    from prototxt.errors import ZooError
    from zoo.reversed.networks import blob_name

    found = [
        blob_name(graph, node.outputs[0])
        for node in graph.nodes
        if isinstance(find(node.type), Pooling) and node.params.pool.name == "MAX"
    ]
    if not found:
        raise ZooError("has no max pooling", subject=graph.name)
    return found


def last_max_pooling(graph: Graph) -> str:
    """The blob of the last max pooling; ZooError where there is none."""
    return max_poolings(graph)[-1]


def classifier(inputs: Inputs, name: str = "classifier") -> tuple[Network, str]:
    """The classifier, and the blob that its softmax reads."""
    from zoo.reversed import networks
    from zoo.reversed.segmentation import before_softmax

    net, weights = inputs.network(name)
    network = networks.read(net, weights, None, seed=inputs.seed)
    networks.image_shape(network)
    return network, before_softmax(network.graph)


def up_to(inputs: Inputs, blob: str, name: str = "classifier") -> Network:
    """The classifier up to a blob."""
    from zoo.reversed import networks

    net, weights = inputs.network(name)
    return networks.read(net, weights, blob, seed=inputs.seed)


def seen(network: Network, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """What a photograph feeds to the network."""
    from zoo.reversed import networks

    networks.image_shape(network)
    height, width = network.graph.inputs[0].nominal[2:]
    return networks.image_feeds(network, reduced(pixels, height, width), None)


def reduced(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """An H×W×3 uint8 image in that size, where it is many times as large; else as it is.

    It is averaged, as Tiny ImageNet's were: the plain bilinear filter would take a few pixels.
    """
    from prototxt.opencv import cv2

    if min(image.shape[0] / height, image.shape[1] / width) < MANY:
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))


def first(network: Network, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
    """The image as it was fed, C×H×W."""
    return np.asarray(feeds[network.graph.inputs[0].name][0])


def central(values: np.ndarray) -> np.ndarray:
    """A projection on the channel that is strongest in the middle of a blob (1×C×H×W)."""
    p = np.zeros_like(values)
    middle = tuple(size // 2 for size in values.shape[2:])
    p[(0, int(values[(0, slice(None), *middle)].argmax()), *middle)] = 1
    return p


def figure1(inputs: Inputs, on_progress: OnProgress, given: str = "classifier") -> Made:
    """The most active neuron of the last layer, by the three methods that have a name."""
    import runtime
    from runtime.pictures import png
    from zoo.reversed import visualization

    _, blob = classifier(inputs, given)
    network = up_to(inputs, blob, given)
    images, data = inputs.pictures(SHOWN)
    step = counted(on_progress, len(images))
    rows = []
    for name, pixels in images:
        feeds = seen(network, pixels)
        p, _ = visualization.projection(network.run(feeds), "max")
        drawn = visualization.drawn_by_name(network, blob, feeds, p)
        rows.append((name, [visualization.as_seen(first(network, feeds)), *drawn]))
        step()
    sheet = runtime.labelled_grid(rows, ["image", *visualization.NAMED])
    return Made(data, {}, [Picture(f"the most active neuron of {blob}", png(sheet))], network.notes)


def figure3(inputs: Inputs, on_progress: OnProgress, given: str = "classifier") -> Made:
    """The eight combinations of rules, at the last max pooling."""
    from runtime.pictures import png
    from zoo.reversed import visualization

    whole, _ = classifier(inputs, given)
    blob = last_max_pooling(whole.graph)
    network = up_to(inputs, blob, given)
    [(name, pixels)], data = inputs.pictures(1)
    feeds = seen(network, pixels)
    p, (neuron,) = visualization.projection(network.run(feeds), "max")
    rules = visualization.combinations()
    step = counted(on_progress, len(rules))
    found = {}
    for one, rule in rules.items():
        found[one] = visualization.visualise(network, blob, rule, feeds, p)[0]
        step()
    sheet = visualization.sheet(found, first(network, feeds))
    caption = f"{name}: neuron {neuron} of {blob}"
    return Made(data, {}, [Picture(caption, png(sheet))], network.notes)


def figure4(inputs: Inputs, on_progress: OnProgress, given: str = "classifier") -> Made:
    """Several neurons at one blob: a method that shows what they select differs from row to row."""
    from runtime.pictures import png
    from zoo.reversed import visualization

    whole, last = classifier(inputs, given)
    images, data = inputs.pictures(1)
    blobs = [last_max_pooling(whole.graph), last]
    step = counted(on_progress, len(blobs))
    pictures = []
    for blob in blobs:
        network = up_to(inputs, blob, given)
        feeds = seen(network, images[0][1])
        sheet = visualization.selectivity(network, blob, feeds, inputs.seed)
        pictures.append(Picture(f"neurons of {blob}", png(sheet)))
        step()
    return Made(data, {}, pictures, whole.notes)


def figure5(inputs: Inputs, on_progress: OnProgress, given: str = "classifier") -> Made:
    """What the structure alone shows: no bottleneck information, and drawn weights."""
    import runtime
    from converters.passes.reverse import METHODS, ReLURule, Rules
    from runtime.pictures import png
    from zoo.reversed import networks, visualization

    whole, last = classifier(inputs, given)
    images, data = inputs.pictures(1)
    plain = Rules(ReLURule.IDENTITY, False, False)
    blobs = [last_max_pooling(whole.graph), last]
    step = counted(on_progress, 4 * len(blobs))
    rows = []
    for blob in blobs:
        network = up_to(inputs, blob, given)
        feeds = seen(network, images[0][1])
        p = central(network.run(feeds)) if network.run(feeds).ndim == 4 else None
        if p is None:
            p, _ = visualization.projection(network.run(feeds), "max")
        row = [visualization.as_seen(first(network, feeds))]
        for name in ("deconvnet", "desalinet"):
            values = visualization.visualise(network, blob, METHODS[name], feeds, p)[0]
            row += [visualization.display(values), visualization.display(faint(values))]
            step()
        row.append(
            visualization.display(visualization.visualise(network, blob, plain, feeds, p)[0])
        )
        step()
        network.graph = networks.drawn(network.graph, inputs.seed)
        row.append(
            visualization.display(visualization.visualise(network, blob, plain, feeds, p)[0])
        )
        step()
        rows.append((f"the middle of {blob}", row))
    columns = [
        "image",
        "deconvnet",
        "|x|^0.1",
        "desalinet",
        "|x|^0.1",
        "neither",
        "and drawn weights",
    ]
    sheet = runtime.labelled_grid(rows, columns)
    return Made(data, {}, [Picture("a neuron in the middle", png(sheet))], whole.notes)


def faint(values: np.ndarray) -> np.ndarray:
    """What is faint made visible: the power of 0.1, sign kept."""
    return np.asarray(np.sign(values) * np.abs(values) ** 0.1, np.float32)


def figure6(inputs: Inputs, on_progress: OnProgress, given: str = "classifier") -> Made:
    """A neuron in the middle of the image: what is drawn beyond what it sees."""
    import runtime
    from runtime.pictures import png
    from zoo.reversed import visualization

    whole, _ = classifier(inputs, given)
    blob = last_max_pooling(whole.graph)
    network = up_to(inputs, blob, given)
    images, data = inputs.pictures(SHOWN)
    step = counted(on_progress, len(images))
    rows = []
    for name, pixels in images:
        feeds = seen(network, pixels)
        p = central(network.run(feeds))
        drawn = visualization.drawn_by_name(network, blob, feeds, p)
        rows.append((name, [visualization.as_seen(first(network, feeds)), *drawn]))
        step()
    sheet = runtime.labelled_grid(rows, ["image", *visualization.NAMED])
    caption = f"the strongest neuron in the middle of {blob}"
    return Made(data, {}, [Picture(caption, png(sheet))], whole.notes)


def figure7(inputs: Inputs, on_progress: OnProgress, given: str = "classifier") -> Made:
    """Reversed networks fed with noise, beside an image of the same phase."""
    from runtime.pictures import png
    from zoo.reversed import visualization

    _, blob = classifier(inputs, given)
    network = up_to(inputs, blob, given)
    images, data = inputs.pictures(2)
    step = counted(on_progress, len(images))
    pictures = []
    for name, pixels in images:
        sheet = visualization.fourier(network, blob, seen(network, pixels), inputs.seed)
        pictures.append(Picture(name, png(sheet)))
        step()
    return Made(data, {}, pictures, network.notes)


SHARES = {
    ("both", "switches"): "L2 error, both instead of switches alone",
    ("both", "masks"): "L2 error, both instead of masks alone",
    ("switches", "masks"): "L2 error, switches instead of masks",
}
TOLD = ("switches", "masks", "both")


def trained_on(inputs: Inputs) -> tuple[Images, bool]:
    """The photographs in memory, some held out, and whether to train for a short time only."""
    from zoo.paper.recipes.images import load_images

    data = inputs.path("photographs")
    hold_out = inputs.held_out if data is not None else 0
    images = load_images(data, hold_out, 4 if inputs.quick else 16, seed=inputs.seed)
    return images, inputs.quick or inputs.limit is not None


def held(images: Images) -> str:
    """What the errors are measured on."""
    count = len(images.held)
    return f"{count} held out" if count else "measured on what it was trained on"


def informativeness(inputs: Inputs, on_progress: OnProgress, thresholds: bool = True) -> Made:
    """Three decoders of one encoder: told switches, ReLU masks, or both."""
    from zoo.reversed.informativeness import measure

    images, quick = trained_on(inputs)
    arch, iterations = ARCHES[quick], ITERATIONS[quick]
    found = measure(
        arch,
        images,
        iterations,
        seed=inputs.seed,
        thresholds=thresholds,
        on_progress=on_progress,
    )
    notes = [f"{arch}, {iterations} iterations each, seed {inputs.seed}; {held(images)}"]
    return Made(f"{images.count} photographs of {name_of(images.source)}", told(found), (), notes)


def told(found: Informativeness) -> dict[str, float]:
    """What a comparison found, by what its numbers are called."""
    shares = {
        SHARES[row["told"], row["instead_of"]]: float(row["rmse_change"]) for row in found.changes
    }
    return shares | {told_what(name): found.rmse[name] for name in TOLD}


def of_a_classifier(inputs: Inputs, on_progress: OnProgress) -> Made:
    """Reversed networks of a classifier's first layers: told switches, ReLU masks, or both."""
    from zoo.reversed import networks
    from zoo.reversed.trained_informativeness import BATCH, bits, measure

    whole, _ = classifier(inputs)
    blob = max_poolings(whole.graph)[:2][-1]
    shape = (BATCH, 3, PART, PART)
    network = networks.read(
        *inputs.network("classifier"),
        blob,
        shapes={whole.graph.inputs[0].name: shape},
        seed=inputs.seed,
    )
    images, quick = trained_on(inputs)
    iterations = TRAINED[quick]
    found = measure(network, images, iterations, seed=inputs.seed, on_progress=on_progress)
    switches, masks = (count / PART**2 for count in bits(network.graph))
    notes = [
        *network.notes,
        f"{network.graph.name} up to {blob}, {iterations} iterations each, seed {inputs.seed}; "
        f"{held(images)}",
        f"{switches:.1f} bits of switches and {masks:.1f} of masks for each pixel",
    ]
    return Made(f"{images.count} photographs of {name_of(images.source)}", told(found), (), notes)


def without_thresholds(inputs: Inputs, on_progress: OnProgress) -> Made:
    """The same with an encoder whose biases are 0."""
    return informativeness(inputs, on_progress, False)


def told_what(name: str) -> str:
    """What the number of a decoder is called."""
    return f"RMSE, told {name}"


def name_of(source: str) -> str:
    """The last part of where images are."""
    return source.rstrip("/").rpartition("/")[2]


MASKS = (
    "Masks are of all six convolutions, at full resolution: four bits for each of the switches'."
)
TOLD_NUMBERS = [
    Number(SHARES["both", "switches"], -0.15, "by", 0.05, 2),
    Number(SHARES["both", "masks"], -0.46, "by", 0.05, 2),
    Number(SHARES["switches", "masks"], -0.36, "by", 0.05, 2),
    *(Number(told_what(name)) for name in TOLD),
]

OTHER = (
    "Another network than the paper's (AlexNet, VGG-16), the classifier that is given, and other "
    "photographs."
)
SMALL = (
    "For VGG-16 of ImageNet a small network after it stands, of our own sizes, trained on 20,000 "
    "images of Tiny ImageNet at 32x32: it sees other photographs, as 28x28 pixels."
)


def figures(name: str, number: str, title: str, make: Any, differs: str = "") -> list[Item]:
    """Two items that draw what a classifier sees of photographs: the one given, and after VGG."""
    return [
        Item(
            f"salinet-{kind}{name}",
            SALINET,
            f"{number}{column}",
            title,
            f"{other} {differs}".strip(),
            partial(make, given=given),
            needs=(given,),
            uses=("photographs",),
        )
        for kind, column, other, given in (
            ("", "", OTHER, "classifier"),
            ("vgg-", ", after VGG", SMALL, "vgg"),
        )
    ]


FIGURES = [
    figures("figure-1", "Fig. 1", "what makes the answer, by three methods", figure1),
    figures("figure-3", "Fig. 3", "four rules for ReLU, two for pooling", figure3),
    figures(
        "figure-4",
        "Fig. 4",
        "how much the picture says of the neuron",
        figure4,
        "Here all methods stand beside DeConvNet.",
    ),
    figures("figure-5", "Fig. 5", "what of it is the architecture", figure5),
    figures("figure-6", "Fig. 6", "a neuron in the middle, by three methods", figure6),
    figures("figure-7", "Fig. 7", "phase and drawn magnitudes", figure7),
]
ITEMS = [
    *chain.from_iterable(FIGURES),
    Item(
        "salinet-informativeness",
        SALINET,
        "section 3.3",
        "how much switches and ReLU masks tell of an image",
        "Another network: the tunnel paper's encoder, random, with thresholds that silence windows "
        "on purpose, so that a mask, too, tells how bright a place is. " + MASKS,
        informativeness,
        TOLD_NUMBERS,
        uses=("photographs",),
        packages=("torch",),
    ),
    Item(
        "salinet-informativeness-zero",
        SALINET,
        "section 3.3, biases 0",
        "the same of an encoder without thresholds",
        "Another network: the tunnel paper's encoder, random. " + MASKS,
        without_thresholds,
        TOLD_NUMBERS,
        uses=("photographs",),
        packages=("torch",),
    ),
    Item(
        "salinet-informativeness-trained",
        SALINET,
        "section 3.3, a classifier",
        "the same of the first layers of a network that was trained to classify",
        "Another network, its first layers alone, parts of photographs. What is reversed is as in "
        "the paper: masks after each ReLU, as large as it is, DeConvNet's rule where there are "
        "none; the weights of each reversed network are learnt, and of the image it reads nothing "
        "but what it is told.",
        of_a_classifier,
        TOLD_NUMBERS,
        needs=("classifier",),
        uses=("photographs",),
        packages=("torch",),
    ),
]
