"""What a layer's filters look like in the image: filter decoding with substitution.

After *Understanding learned CNN features through Filter Decoding with Substitution* (Rafegas and
Vanrell, 2015): each value of a filter is replaced by the (decoded) filter of the layer below that
it multiplies; where they overlap they are summed; a pooling in between is upsampled.
"""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prototxt.errors import Argument, Sentence, ZooError
from zoo.reversed.receptive import Step, step_of

if TYPE_CHECKING:
    from converters import Graph, Node, Value
    from converters.graph import Shape
    from zoo.reversed.networks import Network

UNPOOLS = ("nearest", "bilinear", "bicubic")
CHUNK = 16
"""Filters decoded at a time, so that memory stays small."""


def filters(graph: Graph, layer: str, unpool: str = "bicubic") -> np.ndarray:
    """Every filter of a layer in the input's space: filters × channels × height × width, float32.

    Biases, padding and rectifiers play no part; BatchNorm and Scale multiply. Where layers join
    blobs (Concat, sums), a filter is the sum of what each of them decodes to. ZooError for a layer
    that is none or has no weights, and for a layer below that cannot be decoded.
    """
    node = find_layer(graph, layer)
    below = between(graph, node)
    own = kernels(node)
    parts = [
        decode(node, own[start : start + CHUNK], below, unpool).values
        for start in range(0, len(own), CHUNK)
    ]
    return np.concatenate(parts)


def find_layer(graph: Graph, layer: str) -> Node[Any]:
    """The node of that name, which must have filters."""
    from converters.layers.convolution import Convolution
    from converters.layers.inner_product import InnerProduct
    from converters.registry import find

    kinds = Convolution, InnerProduct
    names = [n.name for n in graph.nodes if isinstance(find(n.type), kinds)]
    for node in graph.nodes:
        if node.name == layer and layer in names:
            return node
    listed = ", ".join(names) or "none"
    raise ZooError(
        f"no layer {layer!r} has filters", subject=graph.name, remedy=f"these have: {listed}"
    )


def between(graph: Graph, node: Node[Any]) -> list[Node[Any]]:
    """What a layer's input is made of, from the layer down."""
    needed = {id(node.inputs[0])}
    found = []
    for below in reversed(graph.nodes):
        if any(id(value) in needed for value in below.outputs):
            found.append(below)
            needed.update(id(value) for value in below.inputs)
    return found


def kernels(node: Node[Any]) -> np.ndarray:
    """A layer's weights as filters × channels × height × width over its input, groups spread out.

    Of an inner product over an input that is no plane: filters × channels × 1 × 1.
    """
    from converters.layers.inner_product import InnerProduct, flat_weights
    from converters.registry import find
    from converters.shapes import fixed

    if isinstance(find(node.type), InnerProduct):
        tail = fixed(node.inputs[0].shape[1:])
        weight = flat_weights(node)
        if node.params.axis % len(node.inputs[0].shape) != 1 or len(tail) not in (1, 3):
            raise node.error("cannot be decoded: its input is neither N×C×H×W nor N×C")
        return weight.reshape(len(weight), *tail, *(1, 1)[: 3 - len(tail)])
    weight = node.blobs[0]
    if weight.ndim != 4:
        raise node.error("cannot be decoded: it has no two spatial axes")
    group = node.params.group
    if group == 1:
        return weight
    outer, inner = weight.shape[0] // group, weight.shape[1]
    dense = np.zeros((len(weight), inner * group, *weight.shape[2:]), np.float32)
    for g in range(group):
        rows = slice(g * outer, (g + 1) * outer)
        dense[rows, g * inner : (g + 1) * inner] = weight[rows]
    return dense


@dataclass(frozen=True)
class Placed:
    """Filters over some blob, and where they lie on it for each place of their layer."""

    values: np.ndarray
    """Filters × channels × height × width."""
    stride: tuple[int, int] = (1, 1)
    """By how much neighbouring places are apart, in rows and columns of the blob."""
    start: tuple[int, int] = (0, 0)
    """Where the filter of the first place begins; below 0 in the padding."""

    def moved(self, values: np.ndarray, step: Step | None) -> Placed:
        """Other values, on the grid of the input of the layer that this is the output of."""
        if step is None:
            return dataclasses.replace(self, values=values)
        strides = [a * b for a, b in zip(self.stride, step.stride, strict=True)]
        starts = [
            start * stride - pad
            for start, stride, pad in zip(self.start, step.stride, step.pad, strict=True)
        ]
        return Placed(values, (strides[0], strides[1]), (starts[0], starts[1]))

    def plus(self, other: Placed) -> Placed:
        """The sum over the same blob, where each lies; both of one stride."""
        first = [min(pair) for pair in zip(self.start, other.start, strict=True)]
        stops = [
            [start + size for start, size in zip(one.start, one.values.shape[2:], strict=True)]
            for one in (self, other)
        ]
        height, width = (max(pair) - f for *pair, f in zip(*stops, first, strict=True))
        total = np.zeros((*self.values.shape[:2], height, width), np.float32)
        for one in (self, other):
            rows, columns = (s - f for s, f in zip(one.start, first, strict=True))
            h, w = one.values.shape[2:]
            total[:, :, rows : rows + h, columns : columns + w] += one.values
        return Placed(total, self.stride, (first[0], first[1]))


def decode(node: Node[Any], own: np.ndarray, below: list[Node[Any]], unpool: str) -> Placed:
    """Filters over a layer's input, down through the layers below to the image.

    A blob that several layers read gets the sum of what comes down to it.
    """
    held = {id(node.inputs[0]): Placed(own.astype(np.float32)).moved(own, step_of(node))}
    for layer in below:
        for value in layer.outputs:
            placed = held.pop(id(value), None)
            for bottom, found in substituted(layer, value, placed, unpool) if placed else ():
                there = held.get(id(bottom))
                if there is not None and there.stride != found.stride:
                    raise layer.error("cannot be decoded: its branches have different strides")
                held[id(bottom)] = found if there is None else there.plus(found)
    if len(held) != 1:
        raise node.error("cannot be decoded: it is made of several inputs")
    return next(iter(held.values()))


def substituted(
    node: Node[Any], top: Value, placed: Placed, unpool: str
) -> Iterator[tuple[Value, Placed]]:
    """Filters over one of a layer's outputs as filters over each of its inputs."""
    from converters.layers.elementwise import Eltwise, Operation
    from converters.layers.shaping import Concat
    from converters.registry import find
    from converters.shapes import known

    kind, values = find(node.type), placed.values
    if isinstance(kind, Concat) and kind.axis(node) == 1:
        first = 0
        for bottom in node.inputs:
            count = known(bottom.shape[1])
            yield bottom, placed.moved(values[:, first : first + count], None)
            first += count
    elif isinstance(kind, Eltwise) and node.params.operation is Operation.SUM:
        coefficients = node.params.coeff or [1] * len(node.inputs)
        for bottom, factor in zip(node.inputs, coefficients, strict=True):
            yield bottom, placed.moved(values * np.float32(factor), None)
    elif len(node.inputs) != 1:
        raise node.error("cannot be decoded: it joins several blobs, not as a sum or a Concat")
    elif top is node.outputs[0]:  # a mask has no values
        yield node.inputs[0], placed.moved(lowered(node, values, unpool), step_of(node))


def lowered(node: Node[Any], values: np.ndarray, unpool: str) -> np.ndarray:
    """Filters over a node's output as filters over its input.

    What is linear and the same for all of a channel multiplies; a rectifier, a bias or LRN passes
    them as they are.
    """
    from converters.layers.activations import Power, PReLU, ReLU
    from converters.layers.bn import BN
    from converters.layers.convolution import Convolution
    from converters.layers.inner_product import InnerProduct
    from converters.layers.normalization import LRN, BatchNorm, Bias, Scale
    from converters.layers.pooling import Pooling
    from converters.layers.shaping import Flatten, Reshape
    from converters.layers.utility import Dropout
    from converters.registry import find
    from converters.shapes import fixed

    kind = find(node.type)
    assert kind is not None
    if isinstance(kind, Convolution):
        strides, dilations = geometry(node)
        return substitute(values, kernels(node), strides, dilations)
    if isinstance(kind, InnerProduct):
        return substitute(values, kernels(node), (1, 1), (1, 1))
    if isinstance(kind, Pooling):
        return upsample(node, values, unpool)
    if (affine := kind.affine(node)) is not None:
        return values * affine[0].astype(np.float32).reshape(1, -1, 1, 1)
    if isinstance(kind, (BatchNorm, BN, Scale)):
        raise node.error("cannot be decoded: it does not only scale channels")
    if isinstance(kind, Power) and node.params.power == 1:
        return values * np.float32(node.params.scale)
    if isinstance(kind, (Flatten, Reshape)):
        tail = fixed(node.inputs[0].shape[1:])
        if len(tail) == 3 and int(np.prod(tail)) == values[0].size:
            return values.reshape(len(values), *tail)
    elif isinstance(kind, (ReLU, PReLU, LRN, Dropout, Bias)) or kind.is_identity(node):
        return values
    raise node.error("cannot be decoded")


def geometry(node: Node[Any]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Stride and dilation of a convolution over two axes."""
    from converters.layers.convolution import Convolution

    g = Convolution().geometry(node)
    return (g.stride[0], g.stride[1]), (g.dilation[0], g.dilation[1])


def substitute(
    values: np.ndarray,
    lower: np.ndarray,
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> np.ndarray:
    """Each value replaced by the lower filter that it multiplies; overlaps are summed."""
    rows, columns = values.shape[2:]
    height, width = (
        (n - 1) * s + (k - 1) * d + 1
        for n, s, k, d in zip((rows, columns), stride, lower.shape[2:], dilation, strict=True)
    )
    result = np.zeros((len(values), height, width, lower.shape[1]), np.float32)
    moved = values.transpose(0, 2, 3, 1)
    for i, j in np.ndindex(*lower.shape[2:]):
        top, left = i * dilation[0], j * dilation[1]
        place = (
            slice(None),
            slice(top, top + (rows - 1) * stride[0] + 1, stride[0]),
            slice(left, left + (columns - 1) * stride[1] + 1, stride[1]),
        )
        result[place] += moved @ lower[:, :, i, j]
    return result.transpose(0, 3, 1, 2)


def upsample(node: Node[Any], values: np.ndarray, unpool: str) -> np.ndarray:
    """A filter over pooled values, over all that their windows cover."""
    from converters.layers.pooling import Pooling
    from converters.shapes import OpenDimension
    from prototxt.opencv import cv2

    try:
        windows = Pooling().windows(node)
    except OpenDimension:
        raise node.error(
            "cannot be decoded: its window's size is open", Sentence("give ", Argument("shapes"))
        ) from None
    how = dict(zip(UNPOOLS, (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC), strict=True))[
        unpool
    ]
    matrices = []
    for axis in (0, 1):
        small = values.shape[2 + axis]
        large = (small - 1) * windows.stride[axis] + windows.kernel[axis]
        # Interpolation is linear and separable: what it makes of the identity is its matrix.
        identity = np.eye(small, dtype=np.float32)
        matrices.append(cv2.resize(identity, (small, large), interpolation=how))
    return np.asarray(matrices[0] @ values @ matrices[1].T)


def agreement(
    network: Network, layer: str, decoded: np.ndarray, feeds: Mapping[str, np.ndarray]
) -> float:
    """The mean of `errors` over the images: the paper's check."""
    return float(errors(network, layer, decoded, feeds).mean())


def errors(
    network: Network, layer: str, decoded: np.ndarray, feeds: Mapping[str, np.ndarray]
) -> np.ndarray:
    """How far a layer's response is from each image's correlation with the decoded filters: N.

    Mean squared error, both stretched to 0..1 once for each image (over all filters and places).
    """
    from converters.passes.reverse import prune

    graph = network.graph.clone()
    node = find_layer(graph, layer)
    graph.outputs = [node.outputs[0]]
    response = network.run({v.name: feeds[v.name] for v in graph.inputs}, prune(graph))
    if response.ndim == 2:
        response = response[..., None, None]
    placed = decode(node, kernels(node)[:1], between(graph, node), UNPOOLS[0])
    image = next(iter(feeds.values()))
    windows = []
    for axis in (0, 1):
        size, kernel = image.shape[2 + axis], decoded.shape[2 + axis]
        place = (
            np.arange(response.shape[2 + axis])[:, None] * placed.stride[axis] + placed.start[axis]
        )
        place = place + np.arange(kernel)
        # What lies outside is the padding's 0: the place behind the last one.
        windows.append(np.where((place < 0) | (place >= size), size, place))
    padded = np.pad(image, ((0, 0), (0, 0), (0, 1), (0, 1)))
    found_errors = np.empty(len(image))
    for number, (one, wanted) in enumerate(zip(padded, response, strict=True)):
        rows = one[:, windows[0]][..., windows[1]]  # C × places × kernel × places × kernel
        found = np.tensordot(decoded, rows, ([1, 2, 3], [0, 2, 4]))
        found_errors[number] = np.square(stretched(found) - stretched(wanted)).mean()
    return found_errors


def stretched(values: np.ndarray) -> np.ndarray:
    """From 0 to 1, in float64; a constant is 0."""
    low, high = float(values.min()), float(values.max())
    return (values.astype(np.float64) - low) / ((high - low) or 1.0)


def pictures(decoded: np.ndarray) -> list[np.ndarray]:
    """Each filter as an H×W×3 uint8 picture: 0 is grey, its greatest magnitude black or white."""
    from zoo.reversed.visualization import picture

    shown = []
    for one in decoded:
        top = float(np.abs(one).max()) or 1.0
        if len(one) not in (1, 3):  # no colours: the channels' mean
            one = one.mean(axis=0, keepdims=True)
            top = float(np.abs(one).max()) or 1.0
        shown.append(picture((one / top + 1) * 127.5))
    return shown


@dataclass(frozen=True)
class DecodedFilters:
    """The filters of a layer that were written, and how well they explain its response."""

    layer: str
    unpool: str
    shape: tuple[int, ...]
    """Filters, channels, height, width."""
    picture: Path
    values: Path
    error: float | None
    """As `agreement`; None where it was not asked for."""
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As `zoo filters --json` prints it."""
        return {
            "layer": self.layer,
            "unpool": self.unpool,
            "shape": list(self.shape),
            "picture": str(self.picture),
            "values": str(self.values),
            "error": self.error,
            "notes": list(self.notes),
        }


def decode_filters(
    net: Path,
    layer: str,
    folder: Path,
    weights: Path | None = None,
    *,
    unpool: str = "bicubic",
    check: Path | None = None,
    mean: str | None = None,
    shapes: Mapping[str, Shape] | None = None,
    seed: int = 0,
) -> DecodedFilters:
    """Decode a layer's filters, and write them into a folder, made if need be.

    LAYER.png is a sheet of them, numbered from 0, LAYER.npz has them as `filters` (filters,
    channels, height, width).

    `unpool` is one of UNPOOLS. `check` is an image, or an .npz with the inputs, to which the
    layer's response is compared with that of the decoded filters. Raises ZooError.
    """
    import runtime
    from prototxt.files import write_folder
    from runtime.pictures import png
    from zoo.reversed import networks

    network = networks.read(net, weights, None, mean=mean, shapes=shapes, seed=seed, provider="cpu")
    decoded = filters(network.graph, layer, unpool)
    error = None
    if check is not None:
        error = agreement(network, layer, decoded, networks.feeds_of(network, check, mean))
    cells = [(one, str(number)) for number, one in enumerate(pictures(decoded))]
    wide = math.ceil(math.sqrt(len(cells)))
    rows = [cells[first : first + wide] for first in range(0, len(cells), wide)]
    sheet = runtime.captioned_grid(rows, least=80)
    name = layer.replace("/", "_")
    stored = io.BytesIO()
    np.savez_compressed(stored, filters=decoded)
    values, picture = folder / f"{name}.npz", folder / f"{name}.png"
    write_folder(folder, [(values, stored.getvalue()), (picture, png(sheet))])
    return DecodedFilters(
        layer, unpool, decoded.shape, picture, values, error, tuple(network.notes)
    )
