"""What colour and gradients matter to the small classifier: images are changed, and it is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.progress import OnProgress, counted
from zoo.reproduction.inputs import Inputs
from zoo.reproduction.items import SOURCES, Item, Made, Number, Picture
from zoo.reproduction.small import SMALL, Small

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ITEMS"]

YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
"""Luma and chroma of RGB: greys are on the first axis, hues turn about it."""
NAMED = 5
"""Classes that are named as those which a change matters most to."""
SHOWN = 3
"""Images that are shown as they were changed."""


def desaturated(image: np.ndarray, share: float) -> np.ndarray:
    """An H×W×3 uint8 BGR image less that share of its colours; 1 leaves greys."""
    return turned(image, 0, 1 - share)


def turned(image: np.ndarray, degrees: float, saturation: float = 1) -> np.ndarray:
    """It with its hues turned; the luma stays, but for what 0..255 cuts off."""
    angle = np.deg2rad(degrees)
    cosine, sine = saturation * np.cos(angle), saturation * np.sin(angle)
    turning = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    changed = image[..., ::-1] @ (np.linalg.inv(YIQ) @ turning @ YIQ).T
    return rounded(changed[..., ::-1])


def blurred(image: np.ndarray, deviation: float) -> np.ndarray:
    """It blurred by a Gaussian of that standard deviation in pixels; 0 for none."""
    from prototxt.opencv import cv2

    return np.asarray(cv2.GaussianBlur(image, (0, 0), deviation)) if deviation else image


def edges(image: np.ndarray, fineness: float) -> np.ndarray:
    """Its edges alone: less its blur of 1/fineness pixels, plus its mean colour; 0 for all."""
    from prototxt.opencv import cv2

    if not fineness:
        return image
    values = image.astype(np.float32)
    return rounded(values - cv2.GaussianBlur(values, (0, 0), 1 / fineness) + values.mean((0, 1)))


def rounded(values: np.ndarray) -> np.ndarray:
    """As pixels."""
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


@dataclass(frozen=True)
class Change:
    """A way to change images."""

    axis: str
    """What is changed, and its unit."""
    of: Callable[[np.ndarray, float], np.ndarray]
    amounts: Sequence[float]
    """Of which the first is 0: unchanged."""
    named: str
    """An image that was changed by some amount (`{}`)."""


COLOUR = (
    Change("colour taken away", desaturated, (0, 0.25, 0.5, 0.75, 1), "colour less {:.0%}"),
    Change("hues turned, degrees", turned, range(0, 360, 45), "+{:g} degrees"),
)
GRADIENT = (
    Change("blurred, deviation in pixels", blurred, (0, 0.5, 1, 1.5, 2, 3), "blur {:g}"),
    Change("only edges, 1/deviation", edges, (0, 0.25, 0.5, 1, 2), "edges {:g}"),
)


@dataclass
class Response:
    """How the classifier answers images that were changed by some amount."""

    own: list[np.ndarray] = field(default_factory=list)
    """The probability that each image's own class gets."""
    right: list[np.ndarray] = field(default_factory=list)
    """Whether it is the most probable one."""
    moved: dict[str, list[np.ndarray]] = field(default_factory=dict)
    """By layer, |f' - f| / |f| of each image's features f and, once changed, f'."""
    filters: np.ndarray | float = 0.0
    """The sum of |f' - f| over images and places, for each filter of the first layer."""

    def add(
        self,
        small: Small,
        batch: slice,
        before: dict[str, np.ndarray],
        after: dict[str, np.ndarray],
    ) -> None:
        """Count a batch, from what `Small.run` gave of it."""
        probabilities = small.probabilities(after)
        self.own.append(small.of_own(probabilities, batch))
        self.right.append(probabilities.argmax(axis=1) == small.labels[batch])
        for layer in (*small.layers, small.scores):
            old, new = (blobs[layer].reshape(len(blobs[layer]), -1) for blobs in (before, after))
            length = np.linalg.norm(old, axis=1)
            distance = np.linalg.norm(new - old, axis=1) / np.where(length, length, 1)
            self.moved.setdefault(layer, []).append(distance)
        first = small.layers[0]
        self.filters = self.filters + np.abs(after[first] - before[first]).sum(axis=(0, 2, 3))

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return float(np.concatenate(self.right).mean())

    @property
    def probability(self) -> np.ndarray:
        """That of each image's own class."""
        return np.concatenate(self.own)

    def change(self, layer: str) -> float:
        """The mean of what a layer changed."""
        return float(np.concatenate(self.moved[layer]).mean())


def responses(
    small: Small, changes: Sequence[Change], on_progress: OnProgress
) -> tuple[list[list[Response]], np.ndarray]:
    """Of each change and amount; and the sum of |f| for each filter of the first layer."""
    found = [[Response() for _ in change.amounts] for change in changes]
    total: np.ndarray | float = 0.0
    batches = list(small.batches())
    step = counted(on_progress, len(batches))
    for batch in batches:
        images = small.images[batch]
        before = small.run(images)
        total = total + np.abs(before[small.layers[0]]).sum(axis=(0, 2, 3))
        for change, own in zip(changes, found, strict=True):
            for amount, response in zip(change.amounts, own, strict=True):
                changed = [change.of(image, amount) for image in images] if amount else images
                after = small.run(changed) if amount else before
                response.add(small, batch, before, after)
        step()
    return found, np.asarray(total)


def sensitivity(
    inputs: Inputs,
    on_progress: OnProgress,
    changes: Sequence[Change],
    named: Sequence[tuple[str, int, int]],
    filters: tuple[str, int, int],
) -> Made:
    """The classifier's answers to images that are changed more and more.

    `named` are the changes and amounts (by place) whose numbers are told, `filters` that by which
    the first layer's filters are sorted.
    """
    small = Small.read(inputs)
    found, total = responses(small, changes, on_progress)
    first, last = small.layers[0], small.layers[-1]
    values = {right("unchanged"): found[0][0].accuracy}
    for text, change, amount in named:
        response = found[change][amount]
        values[right(text)] = response.accuracy
        values[moved("first", text)] = response.change(first)
        values[moved("last", text)] = response.change(last)
    pictures = [
        Picture(
            "right answers, and how far each layer's features move", curves(small, changes, found)
        ),
        Picture("what it is shown, and the probability of the right class", shown(small, changes)),
    ]
    text, change, amount = filters
    shares = found[change][amount].filters / np.where(total, total, 1)
    sorted_ = sorted_filters(small, np.asarray(shares))
    if sorted_ is not None:
        low, high = float(np.min(shares)), float(np.max(shares))
        caption = f"filters of {first}, from that which changes most {text} ({high:.2f})"
        pictures.append(Picture(f"{caption} to that which changes least ({low:.2f})", sorted_))
    lost = found[0][0].probability - found[change][amount].probability
    notes = [*small.network.notes, classes(small, lost, text)]
    return Made(small.data, values, pictures, notes)


def classes(small: Small, lost: np.ndarray, text: str) -> str:
    """Which classes lose most of the probability that their images' answer has, and which least."""
    known = np.unique(small.labels)
    means = np.array([lost[small.labels == label].mean() for label in known])
    order = np.argsort(-means, kind="stable")
    most, least = (
        ", ".join(f"{small.names[known[place]]} {-means[place]:+.2f}" for place in places)
        for places in (order[:NAMED], order[::-1][:NAMED])
    )
    return f"{text}, the probability of its own class changes most for {most}; least for {least}"


def right(text: str) -> str:
    """What a number of right answers is called."""
    return f"share of right answers, {text}"


def moved(layer: str, text: str) -> str:
    """What a number of how far features move is called."""
    return f"change of the {layer} layer's features, {text}"


def numbers(named: Sequence[tuple[str, int, int]]) -> list[Number]:
    """None of which is at hand as published."""
    texts = [text for text, _, _ in named]
    return [
        *(Number(right(text), digits=3) for text in ("unchanged", *texts)),
        *(Number(moved(layer, text), digits=2) for layer in ("first", "last") for text in texts),
    ]


def curves(small: Small, changes: Sequence[Change], found: Sequence[Sequence[Response]]) -> bytes:
    """Above the share of right answers, below how far the features of each layer move."""
    from zoo.figures import encoded, new_figure

    figure = new_figure(4.4 * len(changes), 5.6)
    axes: Any = figure.subplots(2, len(changes), sharey="row", sharex="col")
    for column, (change, own) in enumerate(zip(changes, found, strict=True)):
        above: Axes = axes[0][column]
        below: Axes = axes[1][column]
        above.plot(change.amounts, [one.accuracy for one in own], marker="o", label="right answers")
        sure = [float(one.probability.mean()) for one in own]
        above.plot(change.amounts, sure, marker="o", label="probability of the right class")
        above.set_ylim(bottom=0)
        for number, layer in enumerate((*small.layers, small.scores)):
            shade = str(0.75 - 0.75 * number / len(small.layers))
            moves = [one.change(layer) for one in own]
            below.plot(change.amounts, moves, marker="o", markersize=3, color=shade, label=layer)
        below.set(xlabel=change.axis)
    axes[0][0].set_ylabel("share of images")
    axes[1][0].set_ylabel("|f' - f| / |f|")
    axes[0][0].legend(fontsize=8, loc="upper right")
    axes[1][0].legend(fontsize=8, loc="lower right")
    for one in axes.flat:
        one.grid(True, linewidth=0.3)
    return encoded(figure)


def shown(small: Small, changes: Sequence[Change]) -> bytes:
    """Some images, as they were changed, and the probability of their class each."""
    import runtime
    from runtime.pictures import png

    kinds = [(change, amount) for change in changes for amount in change.amounts if amount]
    rows = []
    for place in small.surest(SHOWN):
        image = small.images[place]
        row = [image, *(change.of(image, amount) for change, amount in kinds)]
        label = small.labels[place]
        own = small.probabilities(small.run(row))[:, label]
        captions = [f"{small.names[label]} {own[0]:.2f}", *(f"{one:.2f}" for one in own[1:])]
        rows.append(list(zip(row, captions, strict=True)))
    columns = ["image", *(change.named.format(amount) for change, amount in kinds)]
    return png(runtime.captioned_grid(rows, columns, least=128))


def sorted_filters(small: Small, shares: np.ndarray) -> bytes | None:
    """The first layer's filters, from the greatest share to the least; None if they see no BGR."""
    import runtime
    from runtime.pictures import png
    from zoo.reversed.filter_decoding import pictures

    weights = next(node.blobs[0] for node in small.network.graph.nodes if node.blobs)
    if weights.ndim != 4 or weights.shape[1] != 3:
        return None
    order = np.argsort(-shares, kind="stable")
    return png(runtime.mosaic(pictures(weights[order]), gap=4, least=64))


WITHOUT = ("without colour", 0, len(COLOUR[0].amounts) - 1)
TURNED = ("hues turned by 180 degrees", 1, COLOUR[1].amounts.index(180))
BLURRED = ("blurred by 1 pixel", 0, GRADIENT[0].amounts.index(1))
EDGES = ("edges of 1 pixel alone", 1, GRADIENT[1].amounts.index(1))
OURS = (
    "How the paper measured it is not at hand. Here the images that the network was not trained on "
    "are changed, and counted is how many it still answers, and how far the features of each layer "
    "move (the distance, as a share of their length). The network has our own sizes."
)
PACKAGES = ("matplotlib",)
ITEMS = [
    Item(
        "deconvnet-colour",
        SOURCES["deconvnet"],
        "sensitivity to colour",
        "images with less colour, and with other hues",
        OURS,
        partial(sensitivity, changes=COLOUR, named=(WITHOUT, TURNED), filters=WITHOUT),
        numbers((WITHOUT, TURNED)),
        needs=(SMALL, "labelled"),
        packages=PACKAGES,
    ),
    Item(
        "deconvnet-gradient",
        SOURCES["deconvnet"],
        "sensitivity to gradient",
        "images whose edges are blurred, and edges alone",
        OURS,
        partial(sensitivity, changes=GRADIENT, named=(BLURRED, EDGES), filters=BLURRED),
        numbers((BLURRED, EDGES)),
        needs=(SMALL, "labelled"),
        packages=PACKAGES,
    ),
]
