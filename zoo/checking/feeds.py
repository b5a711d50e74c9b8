"""What a network and its model are fed to be compared: blobs of a file, or drawn ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prototxt.arrays import as_type, read_arrays
from prototxt.errors import ZooError
from zoo.checking import probes
from zoo.checking.comparison import Blobs
from zoo.checking.pixel_probes import draw
from zoo.checking.verification import call

if TYPE_CHECKING:
    from converters import Graph
    from runtime import Model
    from zoo.checking.pixel_probes import PixelFeed


def given(path: Path, model: Model, pixels: PixelFeed | None) -> tuple[Blobs, Blobs, Blobs]:
    """The inputs of the network, those of the model, and the blobs to expect."""
    fed, expected = feeds_and_expected(path, model, pixels)
    if pixels is None:
        return fed, fed, expected
    return {**fed, pixels.name: pixels.blob(fed[pixels.name])}, fed, expected


def fixed_shapes(
    model: Model, fed: Blobs, pixels: PixelFeed | None
) -> dict[str, tuple[int | str, ...]]:
    """The network's inputs as the model fixes them, or what is given has them."""
    found: dict[str, tuple[int | str, ...]] = {}
    for spec in model.inputs:
        shape = spec.shape
        if pixels is not None and spec.name == pixels.name:
            batch, *dims = pixels.blob_shape
            shape = (batch if isinstance(batch, int) else 1, *dims)
        if spec.name in fed:
            found[spec.name] = tuple(fed[spec.name].shape)
        elif all(isinstance(dim, int) for dim in shape):
            found[spec.name] = shape
    return found


def feeds_and_expected(
    path: Path, model: Model, pixels: PixelFeed | None = None
) -> tuple[Blobs, Blobs]:
    """The blobs to feed and those to expect. Every input of the model must be among them."""
    arrays = read_arrays(path)
    names = {spec.name: spec.dtype for spec in model.inputs}
    feeds: Blobs = {}
    expected: Blobs = {}
    for key, array in arrays.items():
        name = key.removeprefix("in.").removeprefix("out.")
        if pixels is not None and name == pixels.name and not key.startswith("out."):
            feeds[name] = pixels.given(array, path)
        elif name in names and not key.startswith("out."):
            feeds[name] = as_type(array, names[name])
        elif not key.startswith("in."):
            expected[name] = array
    missing = [name for name in names if name not in feeds]
    if missing:
        raise ZooError(
            f"has no blob for the model's input {', '.join(missing)}",
            subject=path,
            remedy=f"its blobs are {', '.join(arrays)}",
        )
    return feeds, expected


def part_of(graph: Graph, part: str | None) -> Graph:
    """The `encoder` or `decoder` of a graph; None is all of it."""
    import converters

    if part is None:
        return graph
    encoder, decoder = converters.split(graph)
    return encoder if part == "encoder" else decoder


def drawn(
    kind: str, whole: Graph, graph: Graph, model: Model, seed: int, pixels: PixelFeed | None
) -> tuple[Blobs, Blobs]:
    """Blobs of one kind of `probes`, for the network and for the model.

    The model may take the pixels of which they are made; a decoder is fed switches that its encoder
    took of them.
    """
    import converters
    from converters.legal_inputs import legal_inputs
    from converters.shapes import fixed

    # Networks of the paper expect pixels, whose spread is about 64; others what they were given.
    std = 64 if "zoo.arch" in model.metadata else 1
    shapes = {value.name: fixed(value.shape) for value in whole.inputs}
    feeds = probes.probe(kind, shapes, legal_inputs(whole), seed, std)
    if model.metadata.get("zoo.part") == "decoder":
        encoder = part_of(whole, "encoder")
        feeds = {**feeds, **call(converters.to_torch(encoder).eval(), encoder, feeds)}
    feeds = {value.name: feeds[value.name] for value in graph.inputs}
    if pixels is None:
        return feeds, feeds
    images = draw(kind, pixels.image_shape(feeds[pixels.name].shape), seed)
    return {**feeds, pixels.name: pixels.blob(images)}, {**feeds, pixels.name: images}
