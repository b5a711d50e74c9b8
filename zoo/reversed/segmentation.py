"""Foreground from a classifier: what `zoo segment` computes.

After section 4 of *Salient deconvolutional networks* (Mahendran and Vedaldi, ECCV 2016): the
visualisation of the maximally active neuron of the last layer before the softmax is a saliency map,
which seeds OpenCV's GrabCut.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prototxt.errors import Argument, Sentence, ZooError
from prototxt.shapes import shape_text
from zoo.progress import OnProgress, unheard

if TYPE_CHECKING:
    from converters import Graph, Node, Rules
    from converters.graph import Shape
    from prototxt.net import LayerDefinition, NetDefinition
    from zoo.reversed.networks import Network

FOREGROUND, BACKGROUND = 0.95, 0.30
"""Above that quantile of the saliency a pixel is surely foreground, below that one surely not
(Simonyan et al., 2013, whom the paper follows)."""
ITERATIONS = 5
GAPS, ISLANDS = 0.01, 0.2
"""What GrabCut leaves is closed by a disc of that share of the shorter side, and parts below that
share of the largest one are dropped. Chosen on the first 98 images of ECSSD."""
BLOB = 0.25
"""Standard deviation of the Gaussian baseline, as a share of the image's height and width."""


def before_softmax(graph: Graph) -> str:
    """The blob that the last softmax reads, or the last float blob where there is none."""
    from converters.layers.losses import SoftmaxWithLoss
    from converters.layers.softmax import Softmax
    from converters.registry import find
    from zoo.reversed.networks import blob_name

    for node in graph.nodes[::-1]:
        if isinstance(find(node.type), (Softmax, SoftmaxWithLoss)):
            return blob_name(graph, node.inputs[0])
    return next(v.name for n in graph.nodes[::-1] for v in n.outputs if v.dtype == "float32")


@dataclass
class Convolutional:
    """A classifier whose inner products are convolutions, so that it takes images of any size."""

    network: Network
    definition: NetDefinition
    blob: str
    weights: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from converters.layers.inner_product import InnerProduct
        from converters.layers.shaping import Flatten, Reshape
        from converters.registry import find

        layers = {node.name: node for node in self.network.graph.nodes}
        changed: list[LayerDefinition] = []
        for layer in self.definition.layers:
            node = layers.get(layer.name)
            if node is not None:
                kind = find(node.type)
                if isinstance(kind, (Flatten, Reshape)):
                    raise node.error(
                        "stands in the way of a fully convolutional pass",
                        Sentence("give ", Argument("plain", True)),
                    )
                self.weights[node.name] = list(node.blobs)
                if isinstance(kind, InnerProduct):
                    layer, self.weights[node.name] = as_convolution(layer, node)
            changed.append(layer)
        self.definition = dataclasses.replace(self.definition, layers=changed)

    def at(self, size: tuple[int, int]) -> Network:
        """The network for images of one size (height, width)."""
        import converters

        value = self.network.graph.inputs[0]
        conversion = converters.convert(
            self.definition,
            self.weights,
            shapes={value.name: (1, value.shape[1], *size)},
            outputs=[self.blob],
            open_dims=False,
        )
        conversion.graph.name = self.network.graph.name
        return dataclasses.replace(self.network, graph=conversion.graph)


def as_convolution(
    layer: LayerDefinition, node: Node[Any]
) -> tuple[LayerDefinition, list[np.ndarray]]:
    """An inner product over a C×H×W blob as a convolution of kernel H×W, and its blobs."""
    from converters.layers.inner_product import flat_weights
    from converters.shapes import fixed
    from prototxt.text import Message, Scalar

    shape = node.inputs[0].shape
    if node.params.axis % len(shape) != 1 or len(shape) not in (2, 4):
        raise node.error("cannot be made a convolution", Sentence("give ", Argument("plain", True)))
    channels, height, width = (*fixed(shape[1:]), 1, 1)[:3]
    param = Message(position=layer.position)
    param.add("num_output", node.params.num_output)
    param.add("bias_term", Scalar("true" if node.params.bias_term else "false", "identifier"))
    param.add("kernel_h", height)
    param.add("kernel_w", width)
    kept = [f for f in layer.message.fields if f.name != "inner_product_param"]
    message = Message(kept, layer.message.position)
    message.add("convolution_param", param, layer.position)
    weight = flat_weights(node).reshape(-1, channels, height, width)
    blobs = [np.ascontiguousarray(weight), *node.blobs[1:]]
    return dataclasses.replace(layer, type="Convolution", message=message), blobs


def covering(image: np.ndarray, least: tuple[int, ...]) -> tuple[int, int]:
    """The image's own height and width, enlarged in proportion where the network needs more."""
    height, width = image.shape[:2]
    factor = max(1.0, least[0] / height, least[1] / width)
    return round(height * factor), round(width * factor)


def saliency(
    network: Network, blob: str, rules: Rules, image: np.ndarray, mean: str | None
) -> np.ndarray:
    """How much each pixel matters to the most active neuron: H×W, the greatest |value| of BGR."""
    from prototxt.opencv import cv2
    from zoo.reversed import networks, visualization

    feeds = networks.image_feeds(network, image, mean)
    p, _ = visualization.projection(network.run(feeds), "max")
    values = visualization.visualise(network, blob, rules, feeds, p)[0]
    return np.asarray(
        cv2.resize(
            np.abs(values).max(axis=0),
            (image.shape[1], image.shape[0]),
            interpolation=cv2.INTER_LINEAR,
        )
    )


def gaussian(size: tuple[int, int]) -> np.ndarray:
    """The baseline's saliency: a blob in the middle of the image, H×W."""
    rows, columns = ((np.arange(n) - (n - 1) / 2) / (BLOB * n) for n in size)
    return np.exp(-0.5 * (rows[:, None] ** 2 + columns[None] ** 2)).astype(np.float32)


@dataclass(frozen=True)
class Seeding:
    """Which pixels GrabCut starts from, by quantiles of their saliency.

    Between them a pixel is probably background, to be won by its colour.
    """

    surely: float = FOREGROUND
    """Above it a pixel is surely foreground."""
    never: float = BACKGROUND
    """Below it surely not."""
    likely: float = 1.0
    """Above it probably foreground; 1 for none."""
    smoothing: float = 0.0
    """Standard deviation of a Gaussian over the saliency, as a share of the shorter side."""

    def mask(self, salient: np.ndarray) -> np.ndarray:
        """GrabCut's mask for a saliency, H×W uint8."""
        from prototxt.opencv import cv2

        if self.smoothing:
            salient = cv2.GaussianBlur(salient, (0, 0), self.smoothing * min(salient.shape))
        high, low, likely = (
            float(np.quantile(salient, q)) for q in (self.surely, self.never, self.likely)
        )
        mask = np.full(salient.shape, cv2.GC_PR_BGD, np.uint8)
        mask[salient > likely] = cv2.GC_PR_FGD
        mask[salient <= low] = cv2.GC_BGD
        mask[salient > high] = cv2.GC_FGD
        return mask


def foreground(
    image: np.ndarray,
    salient: np.ndarray,
    seeding: Seeding = Seeding(),
    iterations: int = ITERATIONS,
) -> np.ndarray:
    """GrabCut of an H×W×3 uint8 image, seeded by its saliency, without stray islands: H×W bool."""
    from prototxt.opencv import cv2

    mask = seeding.mask(salient)
    if not (mask == cv2.GC_FGD).any() or (mask == cv2.GC_FGD).all():
        return np.asarray(mask == cv2.GC_FGD)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # its colour models start from drawn centres
    cv2.grabCut(image, mask, (0, 0, 1, 1), *models, iterations, cv2.GC_INIT_WITH_MASK)
    return without_islands(np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)))


def without_islands(mask: np.ndarray) -> np.ndarray:
    """A mask (H×W bool) with its gaps closed, and its large parts alone."""
    from prototxt.opencv import cv2

    width = 2 * round(GAPS * min(mask.shape)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, disc)
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(closed)
    areas = statistics[:, cv2.CC_STAT_AREA]
    areas[0] = 0  # the background
    return np.asarray(
        np.isin(parts, np.flatnonzero((areas > 0) & (areas >= ISLANDS * areas.max())))
    )


@dataclass
class Score:
    """Mean intersection over union of the foreground, and the share of pixels that are right."""

    unions: list[float] = field(default_factory=list)
    right: int = 0
    pixels: int = 0

    def add(self, found: np.ndarray, wanted: np.ndarray) -> None:
        """Count one image, by H×W masks of bool; no foreground in either is an IoU of 1."""
        union = int((found | wanted).sum())
        self.unions.append(int((found & wanted).sum()) / union if union else 1.0)
        self.right += int((found == wanted).sum())
        self.pixels += wanted.size

    @property
    def iou(self) -> float:
        """The mean over images, 0..1; there must be one."""
        return sum(self.unions) / len(self.unions)

    @property
    def accuracy(self) -> float:
        """The share over the pixels of all images, 0..1."""
        return self.right / self.pixels


def read_masks(folder: Path, images: Sequence[Path]) -> dict[Path, Path]:
    """The reference mask of each image, STEM.png; ZooError where one is missing."""
    paths = {path: folder / f"{path.stem}.png" for path in images}
    for path in paths.values():
        if not path.is_file():
            raise ZooError(
                "no such file",
                subject=path,
                remedy=Sentence(Argument("masks"), " wants STEM.png for each image"),
            )
    return paths


def read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """A reference mask, H×W bool: whatever is not black is foreground."""
    import runtime

    mask = np.asarray(runtime.read_image(path)).any(axis=2)
    if mask.shape != size:
        shown = shape_text(mask.shape)
        raise ZooError(f"is {shown}, its image {size[0]}x{size[1]}", subject=path)
    return mask


def drawn(image: np.ndarray, salient: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
    """For a person: the image, its saliency, and the image with its background faded."""
    top = float(np.quantile(salient, 0.99)) or 1.0
    grey = np.clip(salient / top * 255, 0, 255).astype(np.uint8)
    faded = np.where(mask[..., None], image, 255 - (255 - image) // 5)
    return [image, np.repeat(grey[..., None], 3, axis=2), faded.astype(np.uint8)]


@dataclass(frozen=True)
class Segmented:
    """The foreground of each image, and how right it is where the right answers were given."""

    blob: str
    images: list[dict[str, Any]]
    """A row each: `image`, `mask` (its file), `share` of foreground, and `iou` where known."""
    scores: dict[str, Score]
    """By method, the baseline last; none where there were no right answers."""
    notes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    """Name and reason of each image that could not be read."""

    def as_dict(self) -> dict[str, Any]:
        """As `zoo segment --json` prints it."""
        scores = [
            {"method": method, "iou": score.iou, "accuracy": score.accuracy}
            for method, score in self.scores.items()
        ]
        return {
            "blob": self.blob,
            "images": self.images,
            "skipped": len(self.skipped),
            "scores": scores,
            "notes": list(self.notes),
        }


def segment(
    net: Path,
    images: Sequence[Path],
    folder: Path,
    weights: Path | None = None,
    *,
    method: str = "desalinet",
    blob: str | None = None,
    plain: bool = False,
    masks: Path | None = None,
    mean: str | None = None,
    shapes: Mapping[str, Shape] | None = None,
    seed: int = 0,
    provider: str = "auto",
    on_progress: OnProgress = unheard,
) -> Segmented:
    """Segment images, or all in folders of them, by a classifier.

    `folder` gets STEM.png, white where the foreground is, and STEM.seen.png, and is made if
    need be; images that cannot be read are skipped.

    `method` is a name of `converters.passes.reverse.METHODS`, `blob` by default what the last
    softmax reads; `plain` resizes images to the network's own size. `masks` is a folder of right
    answers (see `read_masks`). Raises ZooError.
    """
    import runtime
    from converters.passes.reverse import METHODS
    from prototxt.files import write_folder
    from runtime.pictures import png
    from zoo.data.sources import readable_images, refuse_overwriting
    from zoo.prediction.items import free_name
    from zoo.reversed import networks

    how: dict[str, Any] = {"mean": mean, "shapes": shapes, "seed": seed, "provider": provider}
    blob = blob or before_softmax(networks.read(net, weights, None, **how).graph)
    network = networks.read(net, weights, blob, **how)
    networks.image_shape(network)
    sized = None if plain else Convolutional(network, networks.definition(net), blob)
    paths = [path for item in images for path in runtime.list_images(item)]
    answers = read_masks(masks, paths) if masks else {}
    ours, baseline = Score(), Score()
    pictures, rows = [], []
    taken: set[str] = set()
    skipped: list[tuple[str, str]] = []
    for path, image in readable_images(paths, skipped, on_progress):
        fitted = network
        if sized is not None:
            fitted = sized.at(covering(image, network.graph.inputs[0].nominal[2:]))
        salient = saliency(fitted, blob, METHODS[method], image, mean)
        found = foreground(image, salient)
        row: dict[str, Any] = {"image": str(path), "share": float(found.mean())}
        if answers:
            wanted = read_mask(answers[path], found.shape)
            ours.add(found, wanted)
            baseline.add(foreground(image, gaussian(found.shape)), wanted)
            row["iou"] = ours.unions[-1]
        name = free_name(path.stem, taken)
        row["mask"] = str(folder / f"{name}.png")
        white = np.repeat(found[..., None].astype(np.uint8) * 255, 3, axis=2)
        seen = runtime.labelled_grid(
            [(path.name, drawn(image, salient, found))],
            ["image", f"saliency ({method})", "foreground"],
        )
        pictures += [(folder / f"{name}.png", png(white)), (folder / f"{name}.seen.png", png(seen))]
        rows.append(row)
    refuse_overwriting((path for path, _ in pictures), [*paths, *answers.values()])
    write_folder(folder, pictures)
    scores = {method: ours, "Gaussian blob": baseline} if answers else {}
    return Segmented(blob, rows, scores, tuple(network.notes), tuple(skipped))
