"""Table 1 of *Salient deconvolutional networks*: foreground by saliency, and how right it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.progress import OnProgress, counted
from zoo.reproduction.inputs import Inputs
from zoo.reproduction.items import SOURCES, Item, Made, Number, Picture
from zoo.reproduction.salinet import classifier, reduced, up_to
from zoo.reversed.segmentation import Convolutional, Score, Seeding, foreground, gaussian, read_mask

if TYPE_CHECKING:
    from converters import Graph
    from runtime import Model
    from zoo.reversed.networks import Network

__all__ = ["ITEMS"]

SALINET = SOURCES["salinet"]
CHOOSING = 98
"""Images, the first by name, that settings are chosen on; the paper took as many."""
SHORTER = 256
"""Pixels of an image's shorter side, as in the authors' programs."""
CUT, ITERATIONS = 128, 2
"""Pixels of its shorter side as GrabCut sees it, and how often that learns colours anew: a twelfth
of the time of 256 and 5. What it cuts out is enlarged again, and judged in the image's own size."""
BEYOND = 256 / 224
"""How much larger than the network's own input that is there, and for a smaller network here."""
MULTIPLE = 32
"""Of which the longer side is one, so that there are few sizes to build networks for."""
METHODS = ("salinet", "desalinet", "deconvnet")
BLOB = "Gaussian blob"
SEEDS = ("neuron", "channel")
"""What is reversed: the most active neuron before the softmax; or, as in the paper, the indicator
of all places of the channel that holds the most active neuron. Where the softmax reads a mean over
places, that is the map below it."""
AUTHORS = Seeding(surely=0.995, likely=0.90, never=0.005)
"""As near as OpenCV's GrabCut comes to the rule in the authors' programs (quantiles .90, .30 for
what colours are learned from, .995 and .005 for what is certain)."""
RULES = (
    Seeding(surely=0.995, likely=0.75, never=0.05),
    Seeding(surely=0.995, likely=0.40, never=0.40),
)
SMOOTHINGS = (0.03, 0.06)
SHOWN = 4


@dataclass(frozen=True)
class Setting:
    """What is chosen for a method."""

    seed: str
    """One of SEEDS."""
    seeding: Seeding

    def __str__(self) -> str:
        rule = self.seeding
        likely = f", likely above {rule.likely:g}" if rule.likely < 1 else ""
        smooth = f", smoothed by {rule.smoothing:g}" if rule.smoothing else ""
        sure = f"surely above {rule.surely:g}{likely}, never below {rule.never:g}"
        return f"{self.seed}: {sure}{smooth}"


def settings_of(method: str) -> list[Setting]:
    """What is tried of a method. The blob is smooth as it is, and no neuron's."""
    if method == BLOB:
        return [Setting(BLOB, rule) for rule in RULES]
    return [
        Setting(seed, dataclasses.replace(rule, smoothing=smoothing))
        for seed in SEEDS
        for rule in RULES
        for smoothing in SMOOTHINGS
    ]


def authors(method: str) -> Setting:
    """The rule in the authors' programs."""
    return Setting(BLOB if method == BLOB else "channel", AUTHORS)


@dataclass
class Fitted:
    """The networks for images of one size."""

    network: Network
    scores: Model
    """Gives what is reversed by each of SEEDS."""
    told: Model
    """Gives the bottleneck information."""
    reversed: dict[tuple[str, str], Model]
    """By method and seed; they read of it what they need, and a projection."""


@dataclass
class Saliencies:
    """The classifier's saliency maps by each method and seed, for images of any size.

    The networks for one size are kept: those for another take their place.
    """

    convolutional: Convolutional
    wanted: Collection[tuple[str, str]]
    """Methods, and seeds of each; the blob's are none of a network."""
    shorter: int = SHORTER
    """Pixels of the shorter side of what the network sees."""
    made: dict[tuple[int, int], Fitted] = field(default_factory=dict)

    def at(self, size: tuple[int, int]) -> Fitted:
        """The networks for a size."""
        import converters
        from converters.passes.reverse import METHODS as RULES_OF
        from converters.passes.reverse import bottleneck

        if size not in self.made:
            self.made.clear()
            fitted = self.convolutional.at(size)
            graph, blob = fitted.graph, self.convolutional.blob
            below = class_map(graph, blob)
            tops = dict(zip(SEEDS, (blob, below), strict=True))
            reversed_ = {
                (method, seed): fitted.model(
                    converters.reverse(graph, tops[seed], RULES_OF[method], stored=True)
                )
                for method, seed in self.wanted
                if method != BLOB
            }
            scores = graph.clone()
            scores.outputs = [scores.value(name) for name in dict.fromkeys((blob, below))]
            # Back-propagation looks at all that the others look at.
            told = fitted.model(bottleneck(graph, blob, "salinet"))
            self.made[size] = Fitted(fitted, fitted.model(scores), told, reversed_)
        return self.made[size]

    def of(self, image: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
        """H×W by method and seed, and of the blob in the middle."""
        import runtime
        from converters.passes.reverse import PROJECTION
        from zoo.reversed import networks

        height, width = image.shape[:2]
        factor = min(1.0, self.shorter / min(height, width))
        size = round(height * factor), round(width * factor)
        fitted = self.at(size)
        feeds = networks.image_feeds(fitted.network, reduced(image, *size), None)
        answers, *others = fitted.scores.run(feeds).values()
        below = others[0] if others else answers
        told = fitted.told.run(feeds)
        projections = {"neuron": most_active(answers), "channel": whole_channel(below)}
        found = {(BLOB, BLOB): gaussian((height, width))}
        for (method, seed), model in fitted.reversed.items():
            given = {**told, PROJECTION: projections[seed]}
            seen = model.run({one.name: given[one.name] for one in model.inputs})
            salient = np.abs(next(iter(seen.values()))[0]).max(axis=0)
            found[method, seed] = runtime.resize(salient, height, width)
        return found


def class_map(graph: Graph, blob: str) -> str:
    """The blob that a mean over all places is of, before its ReLU; `blob` itself if it is none."""
    from converters.layers.activations import ReLU
    from converters.layers.pooling import Pooling
    from converters.registry import find

    value = graph.value(blob)
    node = value.producer
    if node is None or not isinstance(find(node.type), Pooling) or not node.params.global_pooling:
        return blob
    below = node.inputs[0]
    if below.producer is not None and isinstance(find(below.producer.type), ReLU):
        below = below.producer.inputs[0]
    return str(below.name)


def most_active(values: np.ndarray) -> np.ndarray:
    """The projection on the most active neuron of a blob (1×C×H×W)."""
    p = np.zeros_like(values)
    p.ravel()[values.argmax()] = 1
    return p


def whole_channel(values: np.ndarray) -> np.ndarray:
    """The projection on all places of the channel that holds the most active neuron."""
    p = np.zeros_like(values)
    p[0, int(np.unravel_index(int(values[0].argmax()), values[0].shape)[0])] = 1
    return p


@dataclass(frozen=True)
class Judged:
    """An image and its saliency maps, as GrabCut sees them; the right answer in its own size."""

    path: Path
    image: np.ndarray
    salient: Mapping[tuple[str, str], np.ndarray]
    wanted: np.ndarray

    def found(self, method: str, setting: Setting) -> np.ndarray:
        """The foreground that a method gives, in the image's own size."""
        from prototxt.opencv import cv2

        mask = foreground(
            self.image, self.salient[method, setting.seed], setting.seeding, ITERATIONS
        )
        height, width = self.wanted.shape
        size = (width, height)
        return cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0


def score(
    judged: Sequence[Judged], method: str, setting: Setting, step: Callable[[], Any]
) -> Score:
    """How right a method is with these settings."""

    def one(item: Judged) -> np.ndarray:
        found = item.found(method, setting)
        step()
        return found

    total = Score()
    with ThreadPoolExecutor(workers()) as pool:
        for item, found in zip(judged, pool.map(one, judged), strict=True):
            total.add(found, item.wanted)
    return total


def workers() -> int:
    """How many images are cut out at a time."""
    from runtime.limits import cores

    return cores()


def judge(
    saliencies: Saliencies, paths: Sequence[Path], masks: Path, step: Callable[[], Any]
) -> list[Judged]:
    """Images with their saliency maps and right answers."""
    import runtime
    from prototxt.opencv import cv2

    read = []
    for path in paths:
        image = runtime.read_image(path)
        wanted = read_mask(masks / f"{path.stem}.png", image.shape[:2])
        factor = SHORTER / min(image.shape[:2])
        size = (round(side * factor / MULTIPLE) * MULTIPLE for side in image.shape[:2])
        read.append((path, runtime.resize(image, *size), wanted))
    found: dict[Path, Judged] = {}
    for path, image, wanted in sorted(read, key=lambda one: one[1].shape):
        factor = CUT / min(image.shape[:2])
        height, width = (round(side * factor) for side in image.shape[:2])

        def small(pixels: np.ndarray, size: tuple[int, int] = (width, height)) -> np.ndarray:
            return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))

        salient = {key: small(one) for key, one in saliencies.of(image).items()}
        found[path] = Judged(path, small(image), salient, wanted)
        step()
    return [found[path] for path in paths]


def table1(inputs: Inputs, on_progress: OnProgress, given: str = "classifier") -> Made:
    """Settings chosen on the first images, reported on the others."""
    import runtime
    from runtime.pictures import png
    from zoo.reversed import networks

    network, blob = classifier(inputs, given)
    net, _ = inputs.network(given)
    whole = up_to(inputs, blob, given)
    shorter = min(SHORTER, round(max(whole.graph.inputs[0].nominal[2:]) * BEYOND))
    convolutional = Convolutional(whole, networks.definition(net), blob)
    folder = inputs.paths["objects"]
    paths = runtime.list_images(folder / "images")
    count = min(CHOOSING, len(paths) // 2)
    choosing, reporting = paths[:count][: inputs.limit], paths[count:][: inputs.limit]
    methods = (*METHODS, BLOB)
    tries = sum(len(settings_of(method)) for method in methods)
    total = (1 + tries) * len(choosing) + (1 + 2 * len(methods)) * len(reporting)
    step = counted(on_progress, total)
    tried_of = {method: settings_of(method) for method in methods}
    wanted = {(method, one.seed) for method, all_ in tried_of.items() for one in all_}
    judged = judge(Saliencies(convolutional, wanted, shorter), choosing, folder / "masks", step)
    best: dict[str, Setting] = {}
    notes = list(network.notes)
    for method in methods:
        tried = {one: score(judged, method, one, step).iou for one in tried_of[method]}
        best[method] = max(tried, key=lambda one: tried[one])
        for seed in dict.fromkeys(one.seed for one in tried):
            top = max((one for one in tried if one.seed == seed), key=lambda one: tried[one])
            notes.append(f"{method}, {top}; IoU {tried[top]:.3f} there")
    wanted = {(m, one.seed) for m in methods for one in (best[m], authors(m))}
    judged = judge(Saliencies(convolutional, wanted, shorter), reporting, folder / "masks", step)
    values = {}
    for method in methods:
        own = score(judged, method, best[method], step)
        values[what("mean IoU", method)] = own.iou
        values[what("accuracy", method)] = own.accuracy
        rule = score(judged, method, authors(method), step)
        values[what("mean IoU, the authors' rule", method)] = rule.iou
    rows = []
    for item in judged[:SHOWN]:
        row = [faded(item.image, fitted(item.wanted, item.image))]
        row += [
            faded(item.image, fitted(item.found(method, best[method]), item.image))
            for method in methods
        ]
        rows.append((item.path.name, [square(one) for one in row]))
    sheet = runtime.labelled_grid(rows, ["right answer", *methods])
    data = f"{len(choosing)} images to choose by, {len(reporting)} others, of {folder.name}"
    return Made(data, values, [Picture("what each method cuts out (Fig. 8)", png(sheet))], notes)


def fitted(mask: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A mask in the size of an image."""
    from prototxt.opencv import cv2

    size = (image.shape[1], image.shape[0])
    return cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0


def faded(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """An image whose background is faded."""
    return np.where(mask[..., None], image, 255 - (255 - image) // 5).astype(np.uint8)


def square(image: np.ndarray) -> np.ndarray:
    """On white, as high as wide, so that all of a sheet have one size."""
    side = max(image.shape[:2])
    sheet = np.full((side, side, 3), 252, np.uint8)
    top, left = ((side - n) // 2 for n in image.shape[:2])
    sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    scaled = sheet[:: max(1, side // 256), :: max(1, side // 256)]
    from prototxt.opencv import cv2

    return np.asarray(cv2.resize(scaled, (256, 256), interpolation=cv2.INTER_AREA))


def what(measure: str, method: str) -> str:
    """What a number is called."""
    return f"{measure}, {method}"


DIFFERS = (
    "other images (the paper's are of ImageNet), and OpenCV's GrabCut in place of the authors' "
    f"program for it, {ITERATIONS} iterations on images whose shorter side is {CUT} pixels. What "
    "is reversed, and how it seeds GrabCut, is chosen for each method, the blob among them, of the "
    "same few; below stands what the authors' own rule gives."
)
NUMBERS = [
    Number(what(measure, method), digits=3)
    for measure in ("mean IoU", "accuracy", "mean IoU, the authors' rule")
    for method in (*METHODS, BLOB)
]
ITEMS = [
    Item(
        "salinet-table-1",
        SALINET,
        "Table 1, Fig. 8",
        "the object in an image, by saliency and GrabCut",
        f"Another network, {DIFFERS}",
        table1,
        NUMBERS,
        needs=("classifier", "objects"),
    ),
    Item(
        "salinet-vgg-table-1",
        SALINET,
        "Table 1, Fig. 8, after VGG",
        "the object in an image, by saliency and GrabCut",
        "For VGG-16 of ImageNet a small network after it stands, of our own sizes, trained on "
        "20,000 images of Tiny ImageNet, which sees images whose shorter side is 32 pixels; their "
        f"saliency is enlarged. Besides, {DIFFERS}",
        partial(table1, given="vgg"),
        NUMBERS,
        needs=("vgg", "objects"),
    ),
]
