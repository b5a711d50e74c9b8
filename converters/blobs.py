"""Put learned arrays on a graph's nodes: from a caffemodel, a sharing layer or a filler."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from prototxt.errors import Argument, Sentence
from prototxt.net import ParamSpec

from .fillers import fill
from .graph import Graph, Node
from .layer_type import BlobSpec
from .registry import find
from .shapes import MOST, TOO_LARGE, text

__all__ = ["attach_blobs", "fits"]


def attach_blobs(
    graph: Graph,
    weights: Mapping[str, Sequence[np.ndarray]] | None,
    seed: int,
    lenient: bool,
    warn: Callable[[str], None],
) -> None:
    """Give every node its blobs; raises ConversionError where the file has none or others.

    A blob that is shared (`param { name: "w" }`) is its first owner's very array.
    """
    owners: dict[str, tuple[Node[Any], int]] = {}
    drawn: list[str] = []
    for node in graph.nodes:
        kind = find(node.type)
        assert kind is not None
        stored = weights.get(node.name) if weights is not None else None
        if stored:
            kind.given_blobs(node, len(stored))
        wanted = kind.blobs(node)
        for spec in wanted:
            if math.prod(spec.shape) > MOST:
                raise node.error(f"its {spec.name}, {text(spec.shape)}, {TOO_LARGE}")
        node.specs = [*node.specs, *(ParamSpec() for _ in wanted)][: max(len(wanted), 0)]
        if not wanted:
            continue
        if (
            weights is not None
            and not stored
            and not all(node.specs[i].name in owners for i in range(len(wanted)))
        ):
            error = node.error(
                "the caffemodel has no weights for it", remedy(graph, wanted, weights)
            )
            if not lenient:
                raise error
            warn(error.sentence)
        for index, spec in enumerate(wanted):
            share = node.specs[index].name
            if share and share in owners:
                node.blobs.append(shared(node, index, spec, *owners[share]))
                owner, place = owners[share]
                node.shared[index] = (owner.name, place)
                continue
            if stored:
                node.blobs.append(take(node, stored, index, wanted))
            else:
                node.blobs.append(draw(node, index, spec, seed))
                drawn.append(node.name)
            if share:
                owners[share] = (node, index)
    if drawn:
        layers = list(dict.fromkeys(drawn))
        which = "weights" if weights is None else f"weights of {', '.join(layers)}"
        graph.notes.append(f"{which} drawn by the prototxt's fillers, seed {seed}")


def remedy(
    graph: Graph, wanted: Sequence[BlobSpec], weights: Mapping[str, Sequence[np.ndarray]]
) -> Sentence:
    """Those weights that no layer takes and that would fit; else, what there is."""
    names = [name for name, blobs in weights.items() if blobs]
    layers = {node.name for node in graph.nodes}
    fitting = [
        name
        for name in names
        if name not in layers
        and len(weights[name]) == len(wanted)
        and all(fits(np.shape(w), b.shape) for w, b in zip(weights[name], wanted, strict=True))
    ]
    shown = listed(fitting or names) or "no weights at all"
    return Sentence(
        f"by shape, {shown} of the file would fit: name the layer so, or "
        if fitting
        else f"the file has {shown}; ",
        Argument("lenient", True),
        " draws them by the fillers",
    )


def listed(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")


def draw(node: Node[Any], index: int, spec: BlobSpec, seed: int) -> np.ndarray:
    try:
        return fill(spec.filler, spec.shape, seed, node.name, index)
    except ValueError as error:
        raise node.error(f"{spec.name}: {error}") from None


def take(
    node: Node[Any], stored: Sequence[np.ndarray], index: int, wanted: Sequence[BlobSpec]
) -> np.ndarray:
    spec = wanted[index]
    # HDF5 leaves out what another layer owns.
    left_out = all(node.specs[i].name for i in range(len(stored), len(wanted)))
    if len(stored) > len(wanted) or not left_out:
        raise node.error(
            f"the caffemodel has {len(stored)} blobs for it, the prototxt asks for {len(wanted)} "
            f"({', '.join(b.name for b in wanted)})"
        )
    if index >= len(stored) or not np.size(stored[index]):
        raise node.error(f"the caffemodel has no {spec.name} for it")
    array = np.asarray(stored[index])
    if not fits(array.shape, spec.shape):
        raise node.error(
            f"{spec.name} is {text(array.shape)} in the caffemodel, "
            f"{text(spec.shape)} by the prototxt",
            Sentence(
                "the two files are not of the same network, or ", Argument("shapes"), " differs"
            ),
        )
    return array.reshape(spec.shape)


def shared(node: Node[Any], index: int, spec: BlobSpec, owner: Node[Any], place: int) -> np.ndarray:
    array = owner.blobs[place]
    if array.shape == spec.shape:
        return array
    if node.specs[index].share_mode == "PERMISSIVE" and array.size == np.prod(spec.shape):
        return array.reshape(spec.shape)
    raise node.error(
        f"shares {node.specs[index].name!r} with layer {owner.name!r}, "
        f"whose blob is {text(array.shape)}, not {text(spec.shape)}"
    )


def fits(stored: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Blob::ShapeEquals: equal, or equal but for leading ones of a legacy 4-number shape."""
    if stored == wanted:
        return True
    width = max(len(stored), len(wanted))
    return (1,) * (width - len(stored)) + stored == (1,) * (width - len(wanted)) + wanted
