"""Table 1 of *Salient deconvolutional networks*: foreground by saliency, and how right it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    from runtime import Model
    from zoo.reversed.networks import Network

__all__ = ["ITEMS"]

SALINET = SOURCES["salinet"]
CHOOSING = 98
"""Images, the first by name, that settings are chosen on; the paper took as many."""
SHORTER = 256
"""Pixels of an image's shorter side, as in the authors' programs."""
BEYOND = 256 / 224
"""How much larger than the network's own input that is there, and for a smaller network here."""
METHODS = ("salinet", "desalinet", "deconvnet")
BLOB = "Gaussian blob"
AUTHORS = Seeding(surely=0.995, likely=0.90, never=0.005)
"""As near as OpenCV's GrabCut comes to the rule in the authors' programs (quantiles .90, .30 for
what colours are learned from, .995 and .005 for what is certain)."""
SETTINGS = [
    Seeding(rule.surely, rule.never, rule.likely, smoothing)
    for rule in (Seeding(), AUTHORS, Seeding(surely=0.995, likely=0.75, never=0.05))
    for smoothing in (0.0, 0.03)
]
SHOWN = 4


@dataclass
class Saliencies:
    """The classifier's saliency maps by each method, for images of any size.

    The networks for one size are kept: those for another take their place.
    """

    network: Network
    blob: str
    convolutional: Convolutional
    shorter: int
    """Pixels of the shorter side of what the network sees."""
    made: dict[tuple[int, int], tuple[Network, Model, dict[str, Model]]] = field(
        default_factory=dict
    )

    def at(self, size: tuple[int, int]) -> tuple[Network, Model, dict[str, Model]]:
        """The network for a size, its scores, and its reverse by each method."""
        import converters
        from converters.passes.reverse import METHODS as RULES

        if size not in self.made:
            self.made.clear()
            fitted = self.convolutional.at(size)
            reversed_ = {
                method: fitted.model(converters.reverse(fitted.graph, self.blob, RULES[method]))
                for method in METHODS
            }
            self.made[size] = fitted, fitted.model(), reversed_
        return self.made[size]

    def of(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """H×W of each method, and of the blob in the middle."""
        import runtime
        from converters.passes.reverse import PROJECTION
        from zoo.reversed import networks

        height, width = image.shape[:2]
        factor = min(1.0, self.shorter / min(height, width))
        size = round(height * factor), round(width * factor)
        fitted, scores, reversed_ = self.at(size)
        feeds = networks.image_feeds(fitted, reduced(image, *size), None)
        values = next(iter(scores.run(feeds).values()))
        p = whole_channel(values)
        found = {
            method: np.abs(next(iter(model.run({**feeds, PROJECTION: p}).values()))[0]).max(axis=0)
            for method, model in reversed_.items()
        }
        found = {method: runtime.resize(one, height, width) for method, one in found.items()}
        return {**found, BLOB: gaussian((height, width))}


def whole_channel(values: np.ndarray) -> np.ndarray:
    """The projection on all active places of the channel that holds the most active neuron."""
    channel = int(np.unravel_index(int(values[0].argmax()), values[0].shape)[0])
    p = np.zeros_like(values)
    p[0, channel] = values[0, channel] > 0
    if not p.any():
        p[0, channel] = values[0, channel] == values[0, channel].max()
    return p


@dataclass(frozen=True)
class Judged:
    """An image, resized, its saliency maps and the right answer (in the image's own size)."""

    path: Path
    image: np.ndarray
    salient: Mapping[str, np.ndarray]
    wanted: np.ndarray

    def found(self, method: str, seeding: Seeding) -> np.ndarray:
        """The foreground that a method gives, in the image's own size."""
        from prototxt.opencv import cv2

        mask = foreground(self.image, self.salient[method], seeding)
        height, width = self.wanted.shape
        size = (width, height)
        return cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0


def score(
    judged: Sequence[Judged], method: str, seeding: Seeding, step: Callable[[], Any]
) -> Score:
    """How right a method is with these settings."""

    def one(item: Judged) -> np.ndarray:
        found = item.found(method, seeding)
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


def settings_of(method: str) -> list[Seeding]:
    """What is tried of a method: a blob is smooth as it is."""
    return [one for one in SETTINGS if method != BLOB or not one.smoothing]


def judge(
    saliencies: Saliencies, paths: Sequence[Path], masks: Path, step: Callable[[], Any]
) -> list[Judged]:
    """Images with their saliency maps and right answers."""
    import runtime

    read = []
    for path in paths:
        image = runtime.read_image(path)
        wanted = read_mask(masks / f"{path.stem}.png", image.shape[:2])
        factor = SHORTER / min(image.shape[:2])
        resized = runtime.resize(image, *(round(side * factor) for side in image.shape[:2]))
        read.append((path, resized, wanted))
    found: dict[Path, Judged] = {}
    for path, image, wanted in sorted(read, key=lambda one: one[1].shape):
        found[path] = Judged(path, image, saliencies.of(image), wanted)
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
    least = max(whole.graph.inputs[0].nominal[2:])
    saliencies = Saliencies(
        whole,
        blob,
        Convolutional(whole, networks.definition(net), blob),
        min(SHORTER, round(least * BEYOND)),
    )
    folder = inputs.paths["objects"]
    paths = runtime.list_images(folder / "images")
    count = min(CHOOSING, len(paths) // 2)
    choosing, reporting = paths[:count][: inputs.limit], paths[count:][: inputs.limit]
    methods = (*METHODS, BLOB)
    tries = sum(len(settings_of(method)) for method in methods)
    total = (1 + tries) * len(choosing) + (1 + 2 * len(methods)) * len(reporting)
    step = counted(on_progress, total)
    judged = judge(saliencies, choosing, folder / "masks", step)
    best: dict[str, Seeding] = {}
    notes = list(network.notes)
    for method in methods:
        tried = {one: score(judged, method, one, step).iou for one in settings_of(method)}
        best[method] = max(tried, key=lambda one: tried[one])
        notes.append(f"{method}: {described(best[method])}; IoU {tried[best[method]]:.3f} there")
    judged = judge(saliencies, reporting, folder / "masks", step)
    values = {}
    for method in methods:
        own = score(judged, method, best[method], step)
        values[what("mean IoU", method)] = own.iou
        values[what("accuracy", method)] = own.accuracy
        rule = score(judged, method, AUTHORS, step)
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


def described(seeding: Seeding) -> str:
    """Settings in words."""
    likely = f", likely above {seeding.likely:g}" if seeding.likely < 1 else ""
    smooth = f", smoothed by {seeding.smoothing:g}" if seeding.smoothing else ""
    return f"surely above {seeding.surely:g}{likely}, never below {seeding.never:g}{smooth}"


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
    "program for it. Settings are chosen for each method, the blob among them, of the same few; "
    "below them stands what the authors' own rule gives."
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
