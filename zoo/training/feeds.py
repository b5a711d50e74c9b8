"""Where a solver's batches come from, by number, in Caffe's order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from prototxt import LayerDefinition, NetDefinition
from prototxt.errors import ZooError

from .solver import Feed

__all__ = ["npz_feed", "read_blobs"]


def read_blobs(net: NetDefinition) -> list[str]:
    """The blobs that input layers write and some layer other than Silence reads."""
    made = [top for layer in net.layers if not layer.bottoms for top in layer.tops]
    read = {b for layer in net.layers if layer.type != "Silence" for b in layer.bottoms}
    return [blob for blob in dict.fromkeys(made) if blob in read]


def npz_feed(
    net: NetDefinition, path: Path, iter_size: int = 1
) -> tuple[Feed, dict[str, tuple[int, ...]]]:
    """Batches of an .npz with one array per input blob, whose first axis is the iteration.

    All `iter_size` passes of an iteration see the same batch; after the last the first follows.
    Returns the feed and the shape of each blob of a batch.
    """
    wanted = read_blobs(net)
    try:
        with np.load(path, allow_pickle=False) as stored:
            missing = [blob for blob in wanted if blob not in stored.files]
            if missing:
                raise ZooError(
                    f"{path}: no array {missing[0]!r}",
                    hint=f"the network's inputs are {', '.join(wanted)}",
                )
            arrays = {blob: stored[blob] for blob in wanted}
    except FileNotFoundError:
        raise ZooError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError) as error:
        if isinstance(error, ZooError):
            raise
        raise ZooError(f"{path}: not an .npz of plain arrays") from None
    counts = {blob: len(array) for blob, array in arrays.items() if array.ndim}
    if len(counts) != len(arrays) or len(set(counts.values())) != 1 or 0 in counts.values():
        raise ZooError(
            f"{path}: its arrays differ in their number of iterations, or have none",
            hint="the first axis of each is the iteration",
        )
    count = next(iter(counts.values()))

    def feed(number: int) -> dict[str, np.ndarray]:
        place = number // iter_size % count
        return {blob: array[place].astype(np.float32) for blob, array in arrays.items()}

    return feed, {blob: array.shape[1:] for blob, array in arrays.items()}


def data_layers(net: NetDefinition) -> list[LayerDefinition]:
    """The layers that read files."""
    return [
        layer
        for layer in net.layers
        if not layer.bottoms and layer.type not in ("Input", "DummyData", "MemoryData")
    ]
