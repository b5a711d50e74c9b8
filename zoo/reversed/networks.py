"""A definition, its weights and an image, ready to run: what the reversed networks share.

A network here is a graph, not a file: it is written as ONNX in memory, whole or reversed, and run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prototxt.errors import ZooError

if TYPE_CHECKING:
    from converters import Graph
    from converters.graph import Shape, Value
    from prototxt.net import NetDefinition
    from runtime import Model


@dataclass
class Network:
    """A graph up to some blob, and how images are fed to it."""

    graph: Graph
    properties: dict[str, str]
    """As `converters.metadata.describe` gives them."""
    provider: str = "auto"
    notes: list[str] = field(default_factory=list)

    def model(self, graph: Graph | None = None) -> Model:
        """A graph (by itself this one) in ONNX Runtime."""
        import converters
        import runtime

        target = "cpu" if self.provider == "cpu" else "cuda"
        content = converters.to_onnx(graph or self.graph, target).SerializeToString()
        return runtime.load(content, self.provider)

    def run(self, feeds: Mapping[str, np.ndarray], graph: Graph | None = None) -> np.ndarray:
        """The first output."""
        model = self.model(graph)
        return next(iter(model.run(feeds).values()))


def definition(net: Path, warn: Callable[[str], None] | None = None) -> NetDefinition:
    """The layers of the TEST phase."""
    import prototxt

    return prototxt.read_net(net, warn=warn).select("TEST")


def read(
    net: Path,
    weights: Path | None,
    blob: str | Sequence[str] | None,
    *,
    mean: str | None = None,
    shapes: Mapping[str, Shape] | None = None,
    seed: int = 0,
    provider: str = "auto",
) -> Network:
    """Build the network up to `blob`, or several of them (None: all of it)."""
    import converters
    from converters.metadata import untrained
    from prototxt import Preprocessing

    notes: list[str] = []
    conversion = converters.convert(
        net,
        weights,
        shapes=shapes,
        outputs=[blob] if isinstance(blob, str) else blob,
        seed=seed,
        preprocessing=Preprocessing(mean),
        warn=notes.append,
    )
    notes += conversion.notes
    if weights is None:
        notes.append(untrained(conversion.metadata) or "")
    found = [note for note in notes if note]
    return Network(conversion.graph, conversion.metadata, provider, found)


def blob_name(graph: Graph, value: Value) -> str:
    """The blob that a value was written to: its own name, but where layers in place went on."""
    if value.producer is None:
        return value.name
    blob = value.name.removesuffix(f"/{value.producer.name}")
    return blob if any(other.name == blob for other in graph.values()) else value.name


def image_shape(network: Network) -> tuple[int, int | None, int | None]:
    """Channels, height and width of the only image that a network reads; None where open."""
    inputs = network.graph.inputs
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or not isinstance(inputs[0].shape[1], int):
        listed = ", ".join(repr(v.name) for v in inputs)
        raise ZooError(
            f"takes {listed}, not one image",
            subject=network.graph.name,
            remedy="feed it by an .npz",
        )
    _, channels, height, width = inputs[0].shape
    if isinstance(height, int) and isinstance(width, int):
        return int(channels), height, width
    return int(channels), None, None


def feeds_of(network: Network, path: Path, mean: str | None) -> dict[str, np.ndarray]:
    """What an image file, or an .npz with the inputs as in.NAME, feeds to a network."""
    if path.suffix == ".npz":
        return read_feeds(network, path)
    import runtime

    return image_feeds(network, runtime.read_image(path), mean)


def image_feeds(
    network: Network, image: np.ndarray, mean: str | None, *, own_size: bool = False
) -> dict[str, np.ndarray]:
    """An H×W×3 uint8 BGR image, resized as the network wants it, less the mean.

    Where the network takes any size, `own_size` keeps the image's; else it is that which the
    definition states.
    """
    import runtime

    channels, height, width = image_shape(network)
    name = network.graph.inputs[0].name
    fixed = (height, width) if height is not None and width is not None else None
    if fixed is None and own_size:
        fixed = (image.shape[0], image.shape[1])
    # The network here is a graph by itself: it takes blobs, of the size that it has.
    outside = ("zoo.crop", "zoo.resize_size")
    properties = {key: value for key, value in network.properties.items() if key not in outside}
    how, plane, notes = runtime.resolve(properties, mean=mean, fixed=fixed, channels=channels)
    scale = np.float32(how.factor)
    network.notes += [note for note in notes if note not in network.notes]
    if channels == 3:
        pixels = image if how.reverses else image[..., ::-1]
        return {name: runtime.preprocess(pixels, how.mean_values(3), plane)[None] * scale}
    if channels != 1:
        raise ZooError(
            f"{name!r} has {channels} channels, an image 3 or 1",
            subject=network.graph.name,
            remedy="feed it by an .npz",
        )
    from prototxt.opencv import cv2

    size = fixed or how.input_size or (image.shape[0], image.shape[1])
    grey = runtime.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), *size).astype(np.float32)
    grey = grey - how.mean_values(1)[0]
    return {name: np.asarray(grey[None, None] * scale, np.float32)}


def read_feeds(network: Network, path: Path) -> dict[str, np.ndarray]:
    """The inputs from an .npz, each as in.NAME, float32."""
    from prototxt.arrays import as_type, read_arrays

    arrays = {
        name.removeprefix("in."): array
        for name, array in read_arrays(path).items()
        if name.startswith("in.")
    }
    for value in network.graph.inputs:
        if value.name not in arrays:
            held = ", ".join(f"in.{name}" for name in arrays) or "none"
            raise ZooError(
                f"has no array 'in.{value.name}'",
                subject=path,
                remedy=f"its arrays in.NAME: {held}",
            )
    return {v.name: as_type(arrays[v.name]) for v in network.graph.inputs}


def drawn(graph: Graph, seed: int) -> Graph:
    """The same network with Gaussian weights of the deviation that each array has, biases 0.

    The paper's control: what of a picture is the network's structure, and what it has learnt.
    """
    from converters.registry import find

    graph = graph.clone()
    rng = np.random.default_rng(seed)
    twins: dict[int, np.ndarray] = {}
    for node in graph.nodes:
        kind = find(node.type)
        if kind is not None and kind.has_statistics:
            continue
        for index, blob in enumerate(node.blobs):
            if id(blob) not in twins:
                deviation = float(blob.std()) if blob.ndim > 1 else 0.0
                twins[id(blob)] = rng.normal(0, deviation, blob.shape).astype(np.float32)
            node.blobs[index] = twins[id(blob)]
    return graph
