"""Where a solver's batches come from, by number, in Caffe's order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from converters.fillers import Filler, fill
from converters.layers.inputs import (
    Data,
    DummyData,
    HDF5Data,
    ImageData,
    ImageDataParams,
    TransformParams,
)
from converters.registry import find
from prototxt import LayerDefinition, NetDefinition
from prototxt.arrays import as_type, read_arrays
from prototxt.errors import Argument, Sentence, ZooError
from prototxt.files import find_beside, is_there
from prototxt.preprocessing import read_mean_image
from prototxt.records import Decoding, HDF5Records, LMDBRecords, Records
from prototxt.shapes import shape_text
from prototxt.stderr import silenced
from zoo.data.lists import ImageRecords, from_list
from zoo.training.solver import Feed

__all__ = ["LayersFeed", "MissingSource", "beside", "layers_feed", "npz_feed", "read_blobs"]


def read_blobs(net: NetDefinition) -> list[str]:
    """The blobs that input layers write and some layer reads that does not discard them."""
    made = [top for layer in net.layers if not layer.bottoms for top in layer.tops]
    kinds = [(layer, find(layer.type)) for layer in net.layers]
    read = {b for layer, kind in kinds if not (kind and kind.discards) for b in layer.bottoms}
    return [blob for blob in dict.fromkeys(made) if blob in read]


def npz_feed(
    net: NetDefinition, path: Path, iter_size: int = 1
) -> tuple[Feed, dict[str, tuple[int, ...]]]:
    """Batches of an .npz with one array per input blob, whose first axis is the iteration.

    All `iter_size` passes of an iteration see the same batch; after the last the first follows.
    Returns the feed and the shape of each blob of a batch.
    """
    wanted = read_blobs(net)
    stored = read_arrays(path)
    missing = [blob for blob in wanted if blob not in stored]
    if missing:
        raise ZooError(
            f"no array {missing[0]!r}",
            subject=path,
            remedy=f"the network's inputs are {', '.join(wanted)}",
        )
    arrays = {blob: stored[blob] for blob in wanted}
    counts = {blob: len(array) for blob, array in arrays.items() if array.ndim}
    if len(counts) != len(arrays) or len(set(counts.values())) != 1 or 0 in counts.values():
        raise ZooError(
            "its arrays differ in their number of iterations, or have none",
            subject=path,
            remedy="the first axis of each is the iteration",
        )
    count = next(iter(counts.values()))

    def feed(number: int) -> dict[str, np.ndarray]:
        place = number // iter_size % count
        return {blob: as_type(array[place]).copy() for blob, array in arrays.items()}

    return feed, {blob: array.shape[1:] for blob, array in arrays.items()}


def layers_feed(
    net: NetDefinition, path: Path, data: Path | None = None, seed: int = 0
) -> tuple[LayersFeed, dict[str, tuple[int, ...]]]:
    """Batches as the network's own data layers read them (or all from `data`, an LMDB folder).

    Files are looked for from the current folder, then beside `path`, the solver's. What is random
    (crops, mirroring, order) depends on the seed and the row's number alone.
    """
    sources: list[LayerSource | ConstantSource] = []
    wanted = set(read_blobs(net))
    for layer in net.layers:
        if layer.bottoms or not wanted & set(layer.tops):
            continue
        if isinstance(find(layer.type), DummyData):
            sources.append(ConstantSource(layer, seed))
        else:
            sources.append(LayerSource(layer, path, data, net.phase == "TRAIN", seed))
    if not sources:
        raise ZooError(
            "no data layer", subject=net.path, remedy=Sentence("give ", Argument("data", "IO.npz"))
        )

    feed = LayersFeed(sources, wanted)
    return feed, {blob: array.shape for blob, array in feed(0).items()}


class LayersFeed:
    """What the data layers of a network read, of the blobs that are wanted."""

    def __init__(self, sources: Sequence[LayerSource | ConstantSource], wanted: set[str]) -> None:
        self.sources, self.wanted = sources, wanted
        self.period = math.lcm(*(source.period for source in sources))
        """After how many batches they come again; 0 for never, where anything is random."""

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        """The batch of that number."""
        return {
            blob: array
            for source in self.sources
            for blob, array in source.batch(number).items()
            if blob in self.wanted
        }


class ConstantSource:
    """A DummyData layer: blobs filled once, the same in every batch."""

    period = 1

    def __init__(self, layer: LayerDefinition, seed: int) -> None:
        kind = find(layer.type)
        assert kind is not None
        params = kind.read(layer, False, lambda _: None)
        self.arrays = {}
        for index, top in enumerate(layer.tops):
            shape = kind.top_shape(params, index)
            if shape is None:
                raise ZooError(
                    "states no shape", subject=f"layer {layer.name!r}", position=layer.position
                )
            fillers = params.data_filler or [Filler()]
            filler = fillers[index if len(fillers) > 1 else 0]
            try:
                self.arrays[top] = fill(filler, shape, seed, layer.name, index)
            except ValueError as error:
                raise ZooError(
                    str(error), subject=f"layer {layer.name!r}", position=layer.position
                ) from None

    def batch(self, number: int) -> dict[str, np.ndarray]:
        return self.arrays


class LayerSource:
    """One Data, ImageData or HDF5Data layer: rows, their transformation, the batch size."""

    def __init__(
        self, layer: LayerDefinition, path: Path, data: Path | None, train: bool, seed: int
    ) -> None:
        kind = find(layer.type)
        if not isinstance(kind, (Data, ImageData, HDF5Data)):
            raise ZooError(
                "training cannot read it",
                subject=f"layer {layer.name!r} ({layer.type})",
                position=layer.position,
                remedy=Sentence("give ", Argument("data", "IO.npz"), " with one array per input"),
            )
        params = kind.read(layer, False, lambda _: None)
        own = params.own
        self.tops, self.size = layer.tops, own.batch_size
        if not self.size:
            raise ZooError(
                "batch_size is missing", subject=f"layer {layer.name!r}", position=layer.position
            )
        if getattr(own, "rand_skip", 0):
            raise ZooError(
                "rand_skip is not supported",
                subject=f"layer {layer.name!r}",
                position=layer.position,
            )
        source = data or source_of(layer, own.source, path)
        self.transform = Transform(params.transform, layer, path, train)
        self.records: Records
        if isinstance(kind, HDF5Data):
            if layer.param("transform_param") is not None:
                raise ZooError(
                    "does not transform its rows",
                    subject=f"layer {layer.name!r} (HDF5Data)",
                    position=layer.position,
                    remedy="leave transform_param out; Caffe refuses it too",
                )
            self.records = HDF5Records(source, layer.tops)
        elif isinstance(own, ImageDataParams) and data is None:
            if bool(own.new_height) != bool(own.new_width):
                raise ZooError(
                    "new_height and new_width go together",
                    subject=f"layer {layer.name!r} (ImageData)",
                    position=layer.position,
                )
            size = (own.new_height, own.new_width) if own.new_height else None
            root = root_of(own.root_folder, source, path)
            self.records = ImageRecords(source, root, size, own.is_color)
        else:
            t = params.transform
            self.records = LMDBRecords(source, False, decoding(layer, t.force_color, t.force_gray))
        self.shuffled, self.seed = getattr(own, "shuffle", False), seed
        self.order: tuple[int, np.ndarray] = -1, np.empty(0)
        self.source, self.images = source, not isinstance(kind, HDF5Data)
        self.shape: tuple[int, ...] | None = None
        self.shape = self.row(0)[0].shape

    @property
    def period(self) -> int:
        """After how many batches they come again; 0 for never."""
        if self.shuffled or (self.images and self.transform.is_random):
            return 0
        return math.lcm(len(self.records), self.size) // self.size

    def batch(self, number: int) -> dict[str, np.ndarray]:
        with silenced():  # once, not for each image
            rows = [self.row(number * self.size + i) for i in range(self.size)]
        arrays = [np.stack(column) for column in zip(*rows, strict=True)]
        return dict(zip(self.tops, arrays, strict=False))

    def row(self, number: int) -> list[np.ndarray]:
        place = self.shuffle(number) if self.shuffled else number
        first, *rest = self.records.row(place)
        if not self.images:
            return [first, *rest]
        rng = np.random.default_rng((self.seed, number, 1))
        array = self.transform(first, rng, self.source)
        if self.shape not in (None, array.shape):
            ours, usual = (shape_text(s) for s in (array.shape, self.shape))
            raise ZooError(
                f"{self.records.name(place)} is {ours}, the first is {usual}",
                remedy="a batch takes images of one size",
            )
        return [array, *rest]

    def shuffle(self, number: int) -> int:
        """The row's place in the order of its round, which the seed and the round fix."""
        epoch, place = divmod(number, len(self.records))
        if self.order[0] != epoch:
            rng = np.random.default_rng((self.seed, epoch))
            self.order = epoch, rng.permutation(len(self.records))
        return int(self.order[1][place])


class MissingSource(ZooError):
    """The file or folder that a data layer reads is not there; `looked` says where it was not."""

    def __init__(self, layer: LayerDefinition, name: str, looked: str) -> None:
        self.looked = looked
        super().__init__(
            f"its source {name!r} is not there",
            subject=f"layer {layer.name!r} ({layer.type})",
            position=layer.position,
            remedy=Sentence(looked, "; give ", Argument("data"), " for another"),
        )


def source_of(layer: LayerDefinition, name: str, path: Path) -> Path:
    """The source of a data layer, from the current folder, else beside `path`."""
    if not name:
        raise ZooError(
            "source is missing",
            subject=f"layer {layer.name!r} ({layer.type})",
            position=layer.position,
        )
    try:
        return beside(name, path)
    except ZooError as error:
        raise MissingSource(layer, name, error.remedy or "") from None


class Transform:
    """`transform_param` (data_transformer.cpp): minus the mean, cropped, mirrored, scaled."""

    def __init__(
        self, params: TransformParams, layer: LayerDefinition, path: Path, train: bool
    ) -> None:
        self.crop, self.mirror, self.train = params.crop_size, params.mirror, train
        self.scale, self.layer = np.float32(params.scale), layer
        self.mean: np.ndarray | None = None
        if params.mean_file and params.mean_value:
            raise ZooError(
                "mean_file and mean_value exclude each other",
                subject=f"layer {layer.name!r}",
                position=layer.position,
            )
        if params.mean_file:
            self.mean = read_mean_image(beside(params.mean_file, path))
        elif params.mean_value:
            self.mean = np.array(params.mean_value, np.float32).reshape(-1, 1, 1)

    @property
    def is_random(self) -> bool:
        """Whether an image is not always the same."""
        return self.mirror or (self.train and bool(self.crop))

    def check(self, shape: tuple[int, ...], source: Path) -> None:
        """ZooError where the mean or the crop does not fit an image of that shape."""
        shown, where = shape_text(shape), self.layer.position
        fitting = ((1, 1, 1), (shape[0], 1, 1), shape)
        if self.mean is not None and self.mean.shape not in fitting:
            its = shape_text(self.mean.shape)
            raise ZooError(f"its images are {shown}, the mean is {its}", subject=source)
        if self.crop > min(shape[1:]):
            raise ZooError(
                f"crop_size {self.crop} is more than {source}'s {shown}",
                subject=f"layer {self.layer.name!r}",
                position=where,
            )

    def __call__(self, row: np.ndarray, rng: np.random.Generator, source: Path) -> np.ndarray:
        """One image; in training crops are random, in tests central, as in Caffe."""
        self.check(row.shape, source)
        array = row if self.mean is None else row - self.mean
        if self.crop:
            free = [side - self.crop for side in array.shape[1:]]
            top, left = (
                (int(rng.integers(n + 1)) for n in free) if self.train else (n // 2 for n in free)
            )
            array = array[:, top : top + self.crop, left : left + self.crop]
        if self.mirror and rng.integers(2):
            array = array[:, :, ::-1]
        return np.asarray(array * self.scale, np.float32)


def decoding(layer: LayerDefinition, color: bool, gray: bool) -> Decoding:
    """How a layer's encoded images are read (DataTransformer::Transform)."""
    if color and gray:
        raise ZooError(
            "force_color and force_gray exclude each other",
            subject=f"layer {layer.name!r}",
            position=layer.position,
        )
    return "color" if color else "gray" if gray else "native"


def root_of(folder: str, source: Path, path: Path) -> Path:
    """Where a list's images lie: `root_folder` as Caffe has it, else beside `path`."""
    first = from_list(Path(folder), source)[0].path
    return Path(folder) if is_there(first) else path.parent / folder


def beside(name: str, path: Path) -> Path:
    """A file as Caffe finds it (from the current folder), else beside the file that names it."""
    found = find_beside(name, path)
    if found is not None:
        return found
    raise ZooError(
        f"names {name!r}, which is not there",
        subject=path,
        remedy=f"looked in the current folder and in {path.parent}",
    )
