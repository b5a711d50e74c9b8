"""The table and figures of filter decoding with substitution."""

from __future__ import annotations

from typing import Any

import numpy as np

from prototxt.errors import ZooError
from zoo.progress import OnProgress, counted
from zoo.reproduction import characters
from zoo.reproduction.digits import read_digits
from zoo.reproduction.inputs import Inputs
from zoo.reproduction.items import SOURCES, Item, Made, Number, Picture
from zoo.reproduction.salinet import classifier

__all__ = ["ITEMS"]

FILTERS = SOURCES["filters"]
LAYERS = {"conv2": 3, "ip1": 5, "ip2": 7}
"""LeNet's layers that Table 1 has, and how the paper counts them."""
UNPOOLS = ("nearest", "bilinear", "bicubic")
PUBLISHED = {3: 0.002, 5: 0.012, 7: 0.078}
"""Table 1, bicubic: mean squared error between a layer's response and its decoded filters'."""
SHOWN = 64
"""Filters drawn of a layer."""
CHUNK = 500
MOVES = range(8, 17)
"""Rows and columns, in pixels, at which a character is shown to the network made by hand."""
BLUR = 1.5
"""Pixels by which a drawing is blurred before its decoded filter is held to it: two poolings leave
a place open by as much."""
RECOGNISED = "share of characters that the network recognises, at all places"
LIKE = "share of decoded filters that are most like their own character, {}"
ALONE = "share of characters that the decoded filters alone recognise, {}"


def what(number: int, unpool: str) -> str:
    """What a number of Table 1 is called."""
    return f"mean squared error, layer {number}, {unpool}"


def spread(number: int, unpool: str) -> str:
    """The standard deviation over the digits, likewise."""
    return f"standard deviation of it, layer {number}, {unpool}"


def table1_numbers() -> list[Number]:
    """Nine errors, of which three are at hand, and how they vary."""
    means = [
        Number(what(layer, unpool), PUBLISHED[layer] if unpool == "bicubic" else None, margin=0.3)
        for layer in PUBLISHED
        for unpool in UNPOOLS
    ]
    return [*means, *(Number(spread(n, u)) for n in PUBLISHED for u in UNPOOLS)]


def digits_network(inputs: Inputs) -> Any:
    """LeNet; ZooError where the layers of Table 1 are not in it."""
    from zoo.reversed import networks

    net, weights = inputs.network("digit-classifier")
    network = networks.read(net, weights, None, seed=inputs.seed, provider="cpu")
    names = {node.name for node in network.graph.nodes}
    if not names.issuperset(LAYERS):
        raise ZooError(f"has no layers {', '.join(LAYERS)}", subject=net, remedy="LeNet is meant")
    return network


def table1(inputs: Inputs, on_progress: OnProgress) -> Made:
    """How far responses are from what the decoded filters give, over MNIST's digits."""
    from zoo.reversed import filter_decoding as decoding

    network = digits_network(inputs)
    digits = read_digits(inputs.paths["digits"])[: inputs.limit]
    blobs = (digits[:, None].astype(np.float32)) / 256
    name = network.graph.inputs[0].name
    step = counted(on_progress, len(LAYERS) * len(UNPOOLS) * -(-len(blobs) // CHUNK))
    values = {}
    for layer, number in LAYERS.items():
        for unpool in UNPOOLS:
            decoded = decoding.filters(network.graph, layer, unpool)
            errors = []
            for start in range(0, len(blobs), CHUNK):
                feeds = {name: blobs[start : start + CHUNK]}
                errors.append(decoding.errors(network, layer, decoded, feeds))
                step()
            every = np.concatenate(errors)
            values[what(number, unpool)] = float(every.mean())
            values[spread(number, unpool)] = float(every.std())
    return Made(f"{len(blobs):,} digits of MNIST's test set", values)


def drawn(decoded: np.ndarray) -> bytes:
    """The first filters as a picture."""
    import runtime
    from runtime.pictures import png
    from zoo.reversed.filter_decoding import pictures

    return png(runtime.mosaic(pictures(decoded[:SHOWN]), gap=2, least=64))


def lenet(inputs: Inputs, on_progress: OnProgress) -> Made:
    """LeNet's filters, decoded down to the image."""
    from zoo.reversed import filter_decoding as decoding

    network = digits_network(inputs)
    layers = ["conv1", *LAYERS]
    step = counted(on_progress, len(layers))
    pictures = []
    for layer in layers:
        decoded = decoding.filters(network.graph, layer, "bicubic")
        count, _, height, width = decoded.shape
        caption = f"{layer}: {min(count, SHOWN)} of {count} filters, {height}x{width} pixels"
        pictures.append(Picture(caption, drawn(decoded)))
        step()
    return Made("LeNet, no image", {}, pictures)


def photographs(inputs: Inputs, on_progress: OnProgress) -> Made:
    """The filters of a network of photographs, first layer to last."""
    from converters.layers.convolution import Convolution
    from converters.registry import find
    from zoo.reversed import filter_decoding as decoding

    network, _ = classifier(inputs)
    convolutions = [n.name for n in network.graph.nodes if isinstance(find(n.type), Convolution)]
    chosen = [convolutions[place * (len(convolutions) - 1) // 5] for place in range(6)]
    step = counted(on_progress, len(chosen))
    pictures, notes = [], list(network.notes)
    for layer in dict.fromkeys(chosen):
        try:
            decoded = decoding.filters(network.graph, layer, "bicubic")
        except ZooError as error:
            notes.append(str(error))
        else:
            count, _, height, width = decoded.shape
            caption = f"{layer}: {min(count, SHOWN)} of {count} filters, {height}x{width} pixels"
            pictures.append(Picture(caption, drawn(decoded)))
        step()
    return Made(f"{network.graph.name}, no image", {}, pictures, notes)


def by_hand(inputs: Inputs, on_progress: OnProgress) -> Made:
    """The network made by hand: does it recognise characters, and what do its filters decode to?"""
    import converters
    import prototxt
    import runtime
    from runtime.pictures import png
    from zoo.reversed import filter_decoding as decoding
    from zoo.reversed.networks import Network

    net = prototxt.parse_net(characters.PROTOTXT)
    graph = converters.convert(net, characters.weights()).graph
    step = counted(on_progress, 1 + len(UNPOOLS))
    names = list(characters.CHARACTERS)
    seen = np.stack(
        [characters.drawing(name, y, x) for y in MOVES for x in MOVES for name in names]
    )
    answers = Network(graph, {}, "cpu").run({"data": seen[:, None]}).reshape(len(seen), -1)
    wanted = np.tile(np.arange(len(names)), len(seen) // len(names))
    values = {RECOGNISED: float((answers.argmax(axis=1) == wanted).mean())}
    step()
    drawings = np.stack([characters.drawing(name) for name in names])
    rows: list[tuple[str, list[np.ndarray]]] = []
    for unpool in UNPOOLS:
        decoded = decoding.filters(graph, "characters", unpool)
        values[LIKE.format(unpool)] = own(likeness(decoded[:, 0], drawings).T)
        values[ALONE.format(unpool)] = own(responses(decoded[:, 0], drawings))
        rows.append((unpool, decoding.pictures(decoded)))
        step()
    edge = (characters.SIZE - rows[0][1][0].shape[0]) // 2  # as much as a filter sees
    inner = (drawings[:, edge:-edge, edge:-edge] * 255).astype(np.uint8)
    rows.insert(0, ("seen", [one[..., None].repeat(3, axis=2) for one in inner]))
    sheet = runtime.labelled_grid(rows, names, least=90)
    pictures = [Picture("each character, and its decoded filter", png(sheet))]
    for layer in ("strokes", "meetings"):
        decoded = decoding.filters(graph, layer, "bicubic")
        pictures.append(Picture(f"{layer}: {len(decoded)} filters", drawn(decoded)))
    return Made(f"{len(names)} characters at {len(MOVES) ** 2} places", values, pictures)


def windows(drawings: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """All parts of the drawings that a filter may cover: drawings × places × pixels."""
    parts = np.lib.stride_tricks.sliding_window_view(drawings, shape[1:], axis=(1, 2))
    return parts.reshape(len(drawings), -1, int(np.prod(shape[1:])))


def responses(decoded: np.ndarray, drawings: np.ndarray) -> np.ndarray:
    """The strongest response of each filter anywhere on each drawing: drawings × filters."""
    flat = decoded.reshape(len(decoded), -1)
    return np.asarray((windows(drawings, decoded.shape) @ flat.T).max(axis=1))


def likeness(decoded: np.ndarray, drawings: np.ndarray) -> np.ndarray:
    """The greatest correlation of each filter with each blurred drawing: drawings × filters."""
    from prototxt.opencv import cv2

    blurred = np.stack([cv2.GaussianBlur(one, (0, 0), BLUR) for one in drawings])
    parts = windows(blurred, decoded.shape)
    parts = parts - parts.mean(axis=-1, keepdims=True)
    flat = decoded.reshape(len(decoded), -1)
    flat = flat - flat.mean(axis=-1, keepdims=True)
    norms = np.linalg.norm(parts, axis=-1, keepdims=True) * np.linalg.norm(flat, axis=-1)
    return np.asarray((parts @ flat.T / np.maximum(norms, 1e-9)).max(axis=1))


def own(values: np.ndarray) -> float:
    """The share of rows whose greatest value is in their own column."""
    return float((values.argmax(axis=1) == np.arange(len(values))).mean())


ITEMS = [
    Item(
        "filters-table-1",
        FILTERS,
        "Table 1",
        "a layer's response against that of its decoded filters, LeNet on MNIST",
        "Another training of LeNet (99.14 % in Caffe); the mean squared error is of values that "
        "are stretched to 0..1 once for each image, over all filters and places.",
        table1,
        table1_numbers(),
        needs=("digit-classifier", "digits"),
    ),
    Item(
        "filters-figure-lenet",
        FILTERS,
        "Figs. 3, 4",
        "LeNet's filters, layer by layer",
        "Another training of LeNet.",
        lenet,
        needs=("digit-classifier",),
    ),
    Item(
        "filters-figure-photographs",
        FILTERS,
        "Fig. 1",
        "the filters of a network of photographs, from its first layer to its last",
        "Another network; where branches are joined, what comes down each is summed.",
        photographs,
        needs=("classifier",),
    ),
    Item(
        "filters-characters",
        FILTERS,
        "supplement",
        "a network made by hand that recognises characters, and its decoded filters",
        "Another network of the same kind: the supplement's own is not at hand. Its strokes, where "
        "they meet, and its characters are drawn by hand; nothing is trained.",
        by_hand,
        [
            Number(RECOGNISED, digits=3),
            *(
                Number(text.format(unpool), digits=3)
                for text in (LIKE, ALONE)
                for unpool in UNPOOLS
            ),
        ],
    ),
]
