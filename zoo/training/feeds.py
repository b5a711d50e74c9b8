"""Where a solver's batches come from, by number, in Caffe's order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import prototxt
from converters.registry import find
from prototxt import LayerDefinition, NetDefinition
from prototxt.errors import ZooError
from zoo.data.npz import read_npz
from zoo.data.records import HDF5Records, LMDBRecords, Records

from .solver import Feed

__all__ = ["beside", "layers_feed", "npz_feed", "read_blobs"]


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
    stored = read_npz(path)
    missing = [blob for blob in wanted if blob not in stored]
    if missing:
        raise ZooError(
            f"{path}: no array {missing[0]!r}",
            hint=f"the network's inputs are {', '.join(wanted)}",
        )
    arrays = {blob: stored[blob] for blob in wanted}
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


def layers_feed(
    net: NetDefinition, path: Path, data: Path | None = None
) -> tuple[Feed, dict[str, tuple[int, ...]]]:
    """Batches as the network's own data layers read them (or all from `data`, an LMDB folder).

    Files are looked for from the current folder, then beside `path`, the solver's.
    """
    sources = []
    wanted = set(read_blobs(net))
    for layer in net.layers:
        if layer.bottoms or not wanted & set(layer.tops):
            continue
        sources.append(LayerSource(layer, path, data))
    if not sources:
        raise ZooError(f"{net.path}: no data layer", hint="give --data IO.npz")

    def feed(number: int) -> dict[str, np.ndarray]:
        return {
            blob: array
            for source in sources
            for blob, array in source.batch(number).items()
            if blob in wanted
        }

    return feed, {blob: array.shape for blob, array in feed(0).items()}


class LayerSource:
    """One Data or HDF5Data layer: rows, the transformation, the batch size."""

    def __init__(self, layer: LayerDefinition, path: Path, data: Path | None) -> None:
        kind = find(layer.type)
        if kind is None or layer.type not in ("Data", "HDF5Data"):
            raise ZooError(
                f"layer {layer.name!r} ({layer.type}): training cannot read it",
                layer.position,
                "give --data IO.npz with one array per input",
            )
        params = kind.read(layer, False, lambda _: None)
        self.tops, self.size = layer.tops, params.own.batch_size
        if not self.size:
            raise ZooError(f"layer {layer.name!r}: batch_size is missing", layer.position)
        if params.own.shuffle if layer.type == "HDF5Data" else params.own.rand_skip:
            raise ZooError(
                f"layer {layer.name!r}: shuffle and rand_skip are not supported", layer.position
            )
        source = data or beside(params.own.source, path)
        self.records: Records = (
            LMDBRecords(source) if layer.type == "Data" else HDF5Records(source, layer.tops)
        )
        self.transform = params.transform
        self.mean: np.ndarray | float = 0.0
        if self.transform.mean_file:
            self.mean = prototxt.read_binaryproto(beside(self.transform.mean_file, path))
        elif self.transform.mean_value:
            self.mean = np.array(self.transform.mean_value, np.float32).reshape(-1, 1, 1)
        if self.transform.crop_size or self.transform.mirror:
            raise ZooError(
                f"layer {layer.name!r}: crop_size and mirror are not supported in training yet",
                layer.position,
                "build a database of the cropped size",
            )
        shape = self.records.shapes()[0]
        if isinstance(self.mean, np.ndarray) and self.mean.shape[1:] not in ((1, 1), shape[1:]):
            ours, its = ("x".join(map(str, s)) for s in (shape, self.mean.shape))
            raise ZooError(f"{source}: its images are {ours}, the mean is {its}")

    def batch(self, number: int) -> dict[str, np.ndarray]:
        rows = [self.records.row(number * self.size + i) for i in range(self.size)]
        arrays = [np.stack(column) for column in zip(*rows, strict=True)]
        arrays[0] = ((arrays[0] - self.mean) * self.transform.scale).astype(np.float32)
        return dict(zip(self.tops, arrays, strict=False))


def beside(name: str, path: Path) -> Path:
    """A file as Caffe finds it (from the current folder), else beside the file that names it."""
    for candidate in (Path(name), path.parent / name, path.parent / Path(name).name):
        if name and candidate.exists():
            return candidate
    raise ZooError(
        f"{path}: names {name!r}, which is not there",
        hint=f"looked in the current folder and in {path.parent}",
    )
