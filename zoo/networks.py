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
    from prototxt.net import NetDefinition
    from runtime import Model


@dataclass
class Network:
    """A graph up to some blob, and how images are fed to it."""

    graph: Graph
    properties: dict[str, str]
    """As `zoo.metadata.describe` gives them."""
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
    blob: str | None,
    *,
    mean: str | None = None,
    shape: Sequence[str] | None = None,
    seed: int = 0,
    provider: str = "auto",
) -> Network:
    """Build the network up to `blob` (None: all of it)."""
    import prototxt
    from zoo import metadata
    from zoo.commands import options
    from zoo.commands.convert import build

    notes: list[str] = []
    selected = definition(net, notes.append)
    arrays = prototxt.read_weights(weights) if weights is not None else None
    graph, recognised, more = build(
        selected,
        arrays,
        shapes=options.parse_shapes(shape),
        outputs=[blob] if blob else None,
        seed=seed,
        warn=notes.append,
    )
    graph.name = graph.name or net.stem
    shape_of = graph.inputs[0].nominal if graph.inputs else ()
    properties = metadata.describe(
        net,
        weights,
        selected,
        phase="test",
        seed=seed,
        mean=mean if shape_of[1:2] == (3,) else None,
        recognised=recognised,
        input_shape=shape_of,
    )
    notes += more
    if weights is None:
        notes.append(metadata.untrained(properties) or "")
    return Network(graph, properties, provider, [note for note in notes if note])


def image_shape(network: Network) -> tuple[int, int | None, int | None]:
    """Channels, height and width of the only image that a network reads; None where open."""
    inputs = network.graph.inputs
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or not isinstance(inputs[0].shape[1], int):
        listed = ", ".join(repr(v.name) for v in inputs)
        raise ZooError(
            f"{network.graph.name}: takes {listed}, not one image", hint="feed it by an .npz"
        )
    _, channels, height, width = inputs[0].shape
    fixed = isinstance(height, int) and isinstance(width, int)
    return int(channels), height if fixed else None, width if fixed else None  # type: ignore[return-value]


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
    from zoo import metadata

    channels, height, width = image_shape(network)
    name = network.graph.inputs[0].name
    fixed = (height, width) if height is not None and width is not None else None
    if fixed is None and own_size:
        fixed = (image.shape[0], image.shape[1])
    # The network here is a graph by itself: it takes blobs, of the size that it has.
    outside = ("zoo.crop", "zoo.resize_size")
    properties = {key: value for key, value in network.properties.items() if key not in outside}
    scale = np.float32(properties.pop("zoo.scale", 1))
    if channels == 3:
        how = metadata.preprocessing(properties, mean=mean, size=None, fixed=fixed)
        network.notes += [note for note in how.notes if note not in network.notes]
        blob = runtime.preprocess(image, runtime.read_mean(how.mean), how.size)
        return {name: blob[None] * scale}
    if channels != 1:
        raise ZooError(
            f"{network.graph.name}: {name!r} has {channels} channels, an image 3 or 1",
            hint="feed it by an .npz",
        )
    import cv2

    size = fixed or metadata.input_size(properties) or (image.shape[0], image.shape[1])
    grey = runtime.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), *size).astype(np.float32)
    average = mean or properties.get("zoo.mean", "0").partition(",")[0]
    grey = grey - runtime.read_mean(average, 1)[0]
    return {name: np.asarray(grey[None, None] * scale, np.float32)}


def read_feeds(network: Network, path: Path) -> dict[str, np.ndarray]:
    """The inputs from an .npz, each as in.NAME, float32."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {k[3:]: file[k] for k in file.files if k.startswith("in.")}
    except (OSError, ValueError, EOFError) as error:
        raise ZooError(f"{path}: cannot be read as .npz: {error}") from None
    for value in network.graph.inputs:
        if value.name not in arrays:
            held = ", ".join(f"in.{name}" for name in arrays) or "none"
            raise ZooError(
                f"{path}: has no array 'in.{value.name}'", hint=f"its arrays in.NAME: {held}"
            )
    return {v.name: np.asarray(arrays[v.name], np.float32) for v in network.graph.inputs}


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
