"""Pictures of what a network's neurons respond to: what `zoo visualize` draws.

After *Salient deconvolutional networks* (Mahendran and Vedaldi, ECCV 2016); the reversed networks
themselves are `converters/passes/reverse.py`.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prototxt.errors import Argument, Sentence, ZooError
from prototxt.shapes import shape_text
from zoo.progress import OnProgress, counted, unheard
from zoo.reversed.receptive import receptive_field

if TYPE_CHECKING:
    from converters import Graph, Rules
    from converters.graph import Shape
    from zoo.reversed.networks import Network

SATURATION = float(np.log(99))
"""Where the logistic function is 0.99."""


def combinations() -> dict[str, Rules]:
    """The paper's eight, by ReLU rule and then by pooling; those that have a name, by it."""
    from converters.passes.reverse import METHODS, ReLURule, Rules

    named = {(rules.relu, rules.switches): name for name, rules in METHODS.items()}
    found = {}
    for relu, switches in itertools.product(ReLURule, (True, False)):
        name = named.get((relu, switches))
        # LRN goes as in the named method of the same ReLU rule.
        lrn = relu is ReLURule.MASK
        rules = METHODS[name] if name else Rules(relu, switches, lrn)
        found[name or rules.name] = rules
    return found


def projection(blob: np.ndarray, neuron: str, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """p for each image of a blob (N×C×H×W or N×C), and in words what was chosen.

    `neuron` is ``max`` (1 where the blob is greatest), ``C,H,W`` (or C) or ``random``, a
    non-negative mixture of all neurons, uniform in [0, 1].
    """
    if neuron == "random":
        drawn = np.random.default_rng(seed).uniform(size=blob.shape).astype(np.float32)
        return drawn, ["a random mixture"] * len(blob)
    p, chosen = np.zeros(blob.shape, np.float32), []
    for index, values in enumerate(blob):
        if neuron == "max":
            found = np.unravel_index(int(values.argmax()), values.shape)
            place = tuple(int(i) for i in found)
        else:
            place = parse_place(neuron, values.shape)
        p[(index, *place)] = 1
        chosen.append(",".join(map(str, place)))
    return p, chosen


def parse_place(text: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """``C,H,W`` as indices into a blob; fewer of them are followed by 0 where nothing is left."""
    from prototxt.errors import UsageError

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UsageError(Sentence(Argument("neuron"), f" {text!r} is not max, random or C,H,W"))
    place = [int(part) for part in parts]
    place += [0] * sum(size == 1 for size in shape[len(place) :])
    if len(place) != len(shape) or any(i >= n for i, n in zip(place, shape, strict=True)):
        shown = shape_text(shape)
        raise ZooError(
            f"not in the blob, which is {shown}",
            subject=Argument("neuron", text),
            remedy="count from 0",
        )
    return tuple(place)


def visualise(
    network: Network, blob: str, rules: Rules, feeds: Mapping[str, np.ndarray], p: np.ndarray
) -> np.ndarray:
    """phi† of one set of rules: N×C×H×W, float32."""
    import converters

    backward = converters.reverse(network.graph, blob, rules)
    if len(backward.outputs) != 1:
        listed = ", ".join(v.name for v in backward.outputs)
        raise ZooError(f"there is no one image: {listed}", subject=network.graph.name)
    return network.run({**feeds, backward.inputs[-1].name: p}, backward)


def models(
    network: Network, blob: str, name: str, rules: Rules, target: str, stored: bool
) -> dict[str, bytes]:
    """The reversed network as ONNX, by file name: NAME.onnx, which takes image and projection.

    With `stored` two instead: NAME.bottleneck.onnx gives, NAME.stored.onnx takes what the reverse
    needs of the forward pass. Of a method that needs nothing there is only the second.
    """
    import converters

    properties = {**network.properties, "zoo.blob": blob, "zoo.reversed": name}
    if stored:
        parts = {f"{name}.stored": converters.reverse(network.graph, blob, rules, stored=True)}
        if len(parts[f"{name}.stored"].inputs) > 1:
            parts[f"{name}.bottleneck"] = converters.bottleneck(network.graph, blob, rules)
    else:
        parts = {name: converters.reverse(network.graph, blob, rules)}
    return {
        f"{part}.onnx": converters.to_onnx(
            graph, target, metadata={**properties, "zoo.part": part.rpartition(".")[2]}
        ).SerializeToString()
        for part, graph in parts.items()
    }


def display(values: np.ndarray, field: Field | None = None) -> np.ndarray:
    """C×H×W as an H×W×3 uint8 BGR picture: the logistic function, 0 grey.

    sigma(-log(99) x / a), with a the 0.5 % quantile (of the receptive field, where that is known):
    there the picture is 1 % of white. The paper prints sigma(x / (-log(99) a)), which would leave
    everything between 45 and 55 % grey.
    """
    inside = values if field is None else values[:, field.rows, field.columns]
    quantile = float(np.quantile(inside, 0.005))
    if quantile >= 0:  # nothing is negative: the other end takes its place
        quantile = -float(np.quantile(inside, 0.995))
    if quantile == 0:
        quantile = -float(np.abs(inside).max())
    scaled = values / -quantile if quantile else np.zeros_like(values)
    grey = 1 / (1 + np.exp(-np.clip(SATURATION * scaled, -50, 50)))
    return picture(grey * 255)


def picture(values: np.ndarray) -> np.ndarray:
    """C×H×W of 0..255 as H×W×3 uint8; of other channels than 1 or 3 the greatest."""
    grey = values.max(axis=0, keepdims=True)
    planes = values if len(values) == 3 else np.repeat(grey, 3, axis=0)
    rounded: np.ndarray = np.clip(np.rint(planes), 0, 255)
    return rounded.astype(np.uint8).transpose(1, 2, 0)


def as_seen(blob: np.ndarray) -> np.ndarray:
    """What was fed, C×H×W, as a picture: stretched from its least to its greatest value."""
    low, high = float(blob.min()), float(blob.max())
    return picture((blob - low) / (high - low or 1) * 255)


@dataclass(frozen=True)
class Field:
    """The part of an image that a neuron sees."""

    rows: slice
    columns: slice

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def outlined(self, image: np.ndarray) -> np.ndarray:
        """An H×W×3 uint8 picture, enlarged where it is small, with a frame around the field."""
        from prototxt.opencv import cv2
        from runtime.pictures import enlarged

        shown = np.ascontiguousarray(enlarged(image))
        factor = len(shown) // len(image)
        first = self.columns.start * factor - 2, self.rows.start * factor - 2
        last = self.columns.stop * factor + 1, self.rows.stop * factor + 1
        return np.asarray(cv2.rectangle(shown, first, last, FRAME, 2))

    def stretched(self, image: np.ndarray) -> np.ndarray:
        """The field alone, as large as the whole is shown, on white where it is less wide or high.

        Pixel by pixel, so that nothing is smoothed.
        """
        from prototxt.opencv import cv2
        from runtime.pictures import enlarged

        part, sheet = image[self.rows, self.columns], np.full_like(enlarged(image), 252)
        factor = min(a / b for a, b in zip(sheet.shape[:2], self.size, strict=True))
        height, width = (max(1, int(size * factor)) for size in self.size)
        top, left = (len(sheet) - height) // 2, (sheet.shape[1] - width) // 2
        large = cv2.resize(part, (width, height), interpolation=cv2.INTER_NEAREST)
        sheet[top : top + height, left : left + width] = large
        return sheet


FRAME = (40, 90, 255)
"""The colour of the frame, BGR."""


def field_of(graph: Graph, blob: str, p: np.ndarray, plane: tuple[int, ...]) -> Field | None:
    """What of an image (height, width) the neuron sees that a projection (C×H×W, or C) takes.

    None where it takes several neurons, or one that sees (more than half of) the whole.
    """
    places = np.argwhere(p)
    if len(places) != 1:
        return None
    found = receptive_field(graph, blob, tuple(map(int, places[0])))
    if found is None:
        return None
    rows, columns = (
        slice(max(0, span.start), min(span.stop, size))
        for span, size in zip(found, plane, strict=True)
    )
    field = Field(rows, columns)
    return field if 0 < 2 * math.prod(field.size) < math.prod(plane) else None


def beside(
    image: np.ndarray, values: np.ndarray, field: Field | None, about: str, method: str
) -> list[tuple[np.ndarray, str]]:
    """The image (as it was fed) and what was found (C×H×W each), as pictures with captions.

    Where the neuron sees a part only, that is framed, and stands behind them, stretched.
    """
    seen, shown = as_seen(image), display(values, field)
    if field is None:
        return [(seen, about), (shown, method)]
    of = "x".join(map(str, field.size))
    return [
        (field.outlined(seen), about),
        (field.outlined(shown), method),
        (field.stretched(seen), f"its receptive field, {of}"),
        (field.stretched(shown), f"{method}, the same"),
    ]


TITLES = {
    "identity": "ReLU: identity",
    "relu": "ReLU: ReLU (DeConvNet)",
    "mask": "ReLU: mask (SaliNet)",
    "mask+relu": "ReLU: both (DeSaliNet)",
}


def in_field(shown: np.ndarray, field: Field | None) -> np.ndarray:
    """A picture, or where the neuron sees a part of it only, that part."""
    return shown if field is None else field.stretched(shown)


def framed(image: np.ndarray, field: Field | None) -> np.ndarray:
    """The image as it was fed, C×H×W, as a picture with the part framed that the neuron sees."""
    return as_seen(image) if field is None else field.outlined(as_seen(image))


def sheet(
    found: Mapping[str, np.ndarray], image: np.ndarray, field: Field | None = None
) -> np.ndarray:
    """The eight combinations of one image: a column for each ReLU rule, switches above centre."""
    import runtime

    rules = combinations()
    rows = []
    for switches, title in ((True, "pooling: switches"), (False, "pooling: centre")):
        names = [name for name, r in rules.items() if r.switches is switches]
        first = framed(image, field) if switches else in_field(as_seen(image), field)
        drawn = [in_field(display(found[name], field), field) for name in names]
        rows.append((title, [first, *drawn]))
    columns = ["image", *(TITLES[r.relu.value] for r in rules.values() if r.switches)]
    return runtime.labelled_grid(rows, columns)


NAMED = ("deconvnet", "salinet", "desalinet")


def selectivity(
    network: Network, blob: str, feeds: Mapping[str, np.ndarray], seed: int
) -> np.ndarray:
    """The named methods for several neurons of the first image (the paper's Fig. 4).

    A method that shows what a neuron is selective for differs from row to row.
    """
    import runtime

    first = {name: array[:1] for name, array in feeds.items()}
    values = network.run(first)
    rng = np.random.default_rng(seed)
    places = [tuple(int(rng.integers(n)) for n in values.shape[1:]) for _ in range(2)]
    chosen = ["max", *(",".join(map(str, place)) for place in places), "random"]
    image, rows = first[network.graph.inputs[0].name][0], []
    for neuron in chosen:
        p, (place,) = projection(values, neuron, seed)
        field = field_of(network.graph, blob, p[0], image.shape[1:])
        title = f"most active: {place}" if neuron == "max" else place
        found = drawn_by_name(network, blob, first, p, field)
        rows.append((title, [framed(image, field), *found]))
    return runtime.labelled_grid(rows, ["image", *NAMED])


def drawn_by_name(
    network: Network,
    blob: str,
    feeds: Mapping[str, np.ndarray],
    p: np.ndarray,
    field: Field | None = None,
) -> list[np.ndarray]:
    """The pictures of the named methods, for one image, or for the part that a neuron sees."""
    rules = combinations()
    found = [visualise(network, blob, rules[n], feeds, p)[0] for n in NAMED]
    return [in_field(display(values, field), field) for values in found]


def fourier(network: Network, blob: str, feeds: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
    """Reversed networks fed with noise, beside an image of the same phase (the paper's Fig. 7).

    The magnitudes of its Fourier transform are drawn, as the projection is: in both it is the
    bottleneck information (phase, masks) that makes the picture.
    """
    import runtime

    first = {name: array[:1] for name, array in feeds.items()}
    image = first[network.graph.inputs[0].name][0]
    p, _ = projection(network.run(first), "random", seed)
    pictures = [as_seen(image), display(random_magnitude(image, seed))]
    pictures += drawn_by_name(network, blob, first, p)
    columns = ["image", "its phase, drawn magnitude", *NAMED]
    return runtime.labelled_grid([(f"{blob}: a random mixture", pictures)], columns)


def random_magnitude(image: np.ndarray, seed: int) -> np.ndarray:
    """C×H×W of the image's Fourier phase and magnitudes uniform in [0, 1] (0 at frequency 0)."""
    spectrum = np.fft.rfft2(image.astype(np.float64))
    magnitude = np.random.default_rng(seed).uniform(size=spectrum.shape[1:])
    magnitude[0, 0] = 0
    phase = np.exp(1j * np.angle(spectrum))
    return np.fft.irfft2(phase * magnitude, s=image.shape[1:]).astype(np.float32)


def in_rows(groups: Sequence[list[Any]]) -> list[list[Any]]:
    """Groups of cells, one behind the other in rows of at most CELLS, none cut apart."""
    count = max(1, CELLS // max(map(len, groups)))
    return [
        list(itertools.chain(*groups[first : first + count]))
        for first in range(0, len(groups), count)
    ]


CELLS = 8
"""Pictures in a row of a sheet."""

SHEETS = {"selectivity": selectivity, "fourier": fourier}


@dataclass(frozen=True)
class Visualized:
    """The files that were written, of which neurons."""

    blob: str
    neurons: list[str]
    """In words, one for each image."""
    methods: list[tuple[str, Path, tuple[int, ...]]]
    """Method, picture, and the shape of the raw values (N, C, H, W) beside it as .npy."""
    sheets: list[Path]
    models: list[Path]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As `zoo visualize --json` prints it."""
        return {
            "blob": self.blob,
            "neurons": self.neurons,
            "methods": [
                {"method": name, "picture": str(path), "shape": "x".join(map(str, shape))}
                for name, path, shape in self.methods
            ],
            "sheets": [str(path) for path in self.sheets],
            "models": [str(path) for path in self.models],
            "notes": list(self.notes),
        }


def visualize(
    net: Path,
    image: Path,
    blob: str,
    folder: Path,
    weights: Path | None = None,
    *,
    method: str = "desalinet",
    neuron: str = "max",
    random_weights: bool = False,
    sheets: Sequence[str] = (),
    onnx: bool = False,
    stored: bool = False,
    target: str = "cpu",
    mean: str | None = None,
    shapes: Mapping[str, Shape] | None = None,
    seed: int = 0,
    provider: str = "auto",
    on_progress: OnProgress = unheard,
) -> Visualized:
    """Draw what a neuron of `blob` responds to in an image, or in the inputs of an .npz.

    Once all is computed, `folder`, made if need be, gets METHOD.png (the image beside what
    was found, and the part that the neuron sees, stretched) and METHOD.npy.

    `method` is a name of `combinations`, or ``all``, which adds a sheet of them; `neuron` as
    `projection` takes it; `sheets` are names of SHEETS. `onnx` writes the reversed network as well,
    `stored` the two that it is cut into, both for `target`. `random_weights` draws the weights.
    Raises ZooError.
    """
    import runtime
    from prototxt.files import Content, write_folder
    from runtime.pictures import png
    from zoo.reversed import networks

    network = networks.read(
        net, weights, blob, mean=mean, shapes=shapes, seed=seed, provider=provider
    )
    if random_weights:
        network.graph = networks.drawn(network.graph, seed)
    feeds = networks.feeds_of(network, image, mean)
    every = combinations()
    chosen = every if method == "all" else {method: every[method]}
    p, places = projection(network.run(feeds), neuron, seed)
    found = {}
    step = counted(on_progress, len(chosen))
    for name, rules in chosen.items():
        found[name] = visualise(network, blob, rules, feeds, p)
        step()
    seen = feeds[network.graph.inputs[0].name]
    fields = [field_of(network.graph, blob, one, seen.shape[2:]) for one in p]
    drawn = {}
    if method == "all":
        first = {name: array[0] for name, array in found.items()}
        drawn["all"] = sheet(first, seen[0], fields[0])
    drawn |= {name: SHEETS[name](network, blob, feeds, seed) for name in sheets}
    suffix = "-random" if random_weights else ""
    contents: list[tuple[Path, Content]] = []
    written = []
    for name, array in found.items():
        path = folder / f"{name}{suffix}.png"
        groups = [
            beside(image, values, field, f"{blob} {place}", name)
            for image, values, field, place in zip(seen, array, fields, places, strict=True)
        ]
        contents.append((path, png(runtime.captioned_grid(in_rows(groups)))))
        contents.append((path.with_suffix(".npy"), functools.partial(np.save, arr=array)))
        written.append((name, path, array.shape))
    pages = {folder / f"{name}{suffix}.png": page for name, page in drawn.items()}
    contents += [(path, png(page)) for path, page in pages.items()]
    files: dict[str, bytes] = {}
    for name, rules in chosen.items():
        for cut in [False] * onnx + [True] * stored:
            files |= models(network, blob, f"{name}{suffix}", rules, target, cut)
    nets = [folder / file for file in files]
    write_folder(folder, [*contents, *zip(nets, files.values(), strict=True)])
    return Visualized(blob, places, written, [*pages], nets, tuple(network.notes))
