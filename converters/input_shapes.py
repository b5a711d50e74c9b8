"""How large the inputs are, when the prototxt says so only between the lines.

In order: `--shape`; the input layer's own shape; for data layers what their files hold, where they
are at hand; `crop_size`; what the network itself fixes: the first convolution's weights or the
loss's partner give the channels, `unpool_size`, `upsample_h` and `upsample_w` or the first inner
product's weights the height and width. Where nothing says the channels, they are those of colour
images; where nothing says height and width, they are left open, and where the network does not do
with any, they are the usual ones. What is assumed so is told in a note.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from prototxt.errors import Argument, Note, Sentence
from prototxt.shapes import shape_text
from prototxt.text import Message

from .errors import ConversionError, NeedsShape
from .graph import Graph, Shape
from .registry import find
from .resolve import Record, Version
from .shapes import OpenDimension, fixed

__all__ = ["Sizes", "own_shapes"]

LEAST_PLANE = 64
"""Height and width from which on a plane is an image rather than a map."""
MULTIPLES = (32, 64, 128)
"""Planes that can be halved five, six and seven times."""
TRIAL_SIZE = (512, 512)
"""Where height and width stay open, the size by which all others are tried."""


class Build(Protocol):
    """Infers all shapes from those of the inputs; of open ones by what `like` gives."""

    def __call__(
        self, inputs: Mapping[str, Shape], like: Mapping[str, Shape] | None = None
    ) -> Graph: ...


@dataclass
class Sizes:
    """What is known before the first shape inference."""

    records: list[Record]
    params: Mapping[int, Any]
    weights: Mapping[str, Sequence[np.ndarray]] | None
    given: Mapping[str, Shape]
    stored: Mapping[str, Shape]
    """Of data layers' tops: one row's shape in their files, where those are at hand."""
    may_stay_open: bool = False
    """Whether height and width may be left open, where the network does with any."""
    assume: bool = False
    """Whether what nothing fixes is taken to be as usual, with a note."""
    open_inputs: dict[str, ConversionError] = field(default_factory=dict)
    """Inputs whose height and width nothing fixes, and what to say if one number is needed."""

    def needed_tops(self, record: Record) -> list[Version]:
        """The tops of an input layer that some kept layer reads (labels are mostly not)."""
        read = {id(v) for r in self.records for v in r.inputs}
        return [v for v in record.outputs if id(v) in read]

    def take_placeholders(self, own: dict[str, Shape], error: ConversionError) -> bool:
        """Whether planes of 1×1, where nothing fits them, stand for those of the run (OpenPose).

        They then become TRIAL_SIZE in `own`, and must stay open.
        """
        if not self.may_stay_open:
            return False
        found = [blob for blob, shape in own.items() if len(shape) == 4 and shape[2:] == (1, 1)]
        for blob in found:
            own[blob] = (*own[blob][:2], *TRIAL_SIZE)
            self.open_inputs[blob] = error
        return bool(found)

    def take_fitting(self, own: dict[str, Shape], build: Build, notes: list[str]) -> bool:
        """Whether images of stated planes fit at the next multiple of 32, 64 or 128.

        In `own` they become the first that does. Such definitions state a size that Caffe itself
        stops at, and are run at others: sums of what was halved and doubled again need even planes.
        """
        images = [
            blob
            for blob, shape in own.items()
            if len(shape) == 4 and min(fixed(shape)[2:]) >= LEAST_PLANE
        ]
        for step in MULTIPLES if self.assume and images else ():
            tried = {
                blob: (*own[blob][:2], *(-(-d // step) * step for d in fixed(own[blob])[2:]))
                for blob in images
            }
            try:
                build({**own, **tried})
            except ConversionError:
                continue
            for blob, shape in tried.items():
                plane = shape_text(own[blob][2:])
                why = f"{plane} does not fit the network; the next multiple of {step} does"
                remedy = Sentence("give ", Argument("shapes", {blob: shape}), " for another")
                notes.append(Note(f"input {blob} {shape_text(shape[1:])}: {why}", remedy))
            own.update(tried)
            return True
        return False

    def readers(self, version: Version) -> list[Record]:
        """The layers that read a version of a blob."""
        return [r for r in self.records if any(v is version for v in r.inputs)]


def own_shapes(sizes: Sizes, build: Build, notes: list[str]) -> dict[str, Shape]:
    """The shape of every input blob that is read, in numbers; NeedsShape where nothing fixes it."""
    found: dict[str, Shape] = {}
    guessed: list[tuple[Record, Version]] = []
    notes += [
        f"{' and '.join(v.blob for v in tops)}: layer {record.layer.name} samples in training, "
        "here inputs"
        for record in sizes.records
        if record.is_input and record.layer.bottoms and (tops := sizes.needed_tops(record))
    ]
    for record in sizes.records:
        if not record.is_input:
            continue
        assert record.kind is not None
        tops = sizes.needed_tops(record)
        for version in tops:
            shape = record.kind.top_shape(sizes.params[id(record)], version.index)
            if shape is not None:
                found[version.blob] = shape
                assumed = record.kind.assumption(sizes.params[id(record)], version.index)
                if assumed is not None and version.blob not in sizes.given:
                    notes.append(f"input {version.blob} {shape_text(shape[1:])}: {assumed}")
            else:
                guessed.append((record, version))
    open_yet = []
    for _, version in guessed:
        given = sizes.given.get(version.blob)
        if given is not None:
            found[version.blob] = tuple(d if isinstance(d, int) else 1 for d in given)
        elif (read := read_shape(sizes, version, notes)) is not None:
            found[version.blob] = read
        else:
            open_yet.append(version.blob)
    guessed = [one for one in guessed if one[1].blob in {*open_yet, *sizes.given}]
    for record, version in guessed:
        given = sizes.given.get(version.blob)
        others = [blob for blob in open_yet if blob != version.blob and blob not in found]
        try:
            found[version.blob] = guess(
                sizes,
                record,
                version,
                found,
                build if not others else None,
                notes if given is None else [],
            )
        except NeedsShape:
            if given is None:
                raise
    return found


def read_shape(sizes: Sizes, version: Version, notes: list[str]) -> Shape | None:
    """The shape of a data layer's top where it is one in every network, by what reads it."""
    for reader in sizes.readers(version):
        assert reader.kind is not None
        params = sizes.params[id(reader)]
        place = next(i for i, v in enumerate(reader.inputs) if v is version)
        if (own := reader.kind.bottom_shape(params, place)) is not None:
            return own
        if version.index and (size := reader.kind.bottom_size(params)) is not None:
            notes.append(f"input {version.blob} {size}: as layer {reader.layer.name} takes it")
            return (size,)
    return None


def guess(
    sizes: Sizes,
    record: Record,
    version: Version,
    found: Mapping[str, Shape],
    build: Build | None,
    notes: list[str],
) -> Shape:
    """The C×H×W of a data layer's top, by what reads it."""
    params, kind = sizes.params[id(record)], record.kind
    assert kind is not None
    blob, where = version.blob, record.layer.position
    if (row := sizes.stored.get(blob)) is not None:
        plane = kind.stated_size(params) if len(row) == 3 else None
        shape = (1, row[0], *plane) if plane else (1, *row)
        shown = shape_text(shape[1:])
        crop = ", crop_size" if plane else ""
        notes.append(f"input {blob} {shown}: as the files of layer {record.layer.name} hold{crop}")
        return shape
    channels, why_channels = guess_channels(sizes, record, version)
    if channels is None:
        channels = kind.usual_channels(params, version.index)
        why_channels = "channels taken to be those of colour images"
    usual = usual_images(record)
    if channels is None and not version.index and sizes.assume:
        channels, why_channels = usual.channels, f"channels assumed to be {usual.of}"
    if channels is None or record.layer.bottoms:
        raise NeedsShape(
            blob,
            f"nothing fixes the shape of {blob!r}",
            subject=f"layer {record.layer.name!r}",
            position=where,
        )
    size = kind.stated_size(params)
    if size is not None:
        notes.append(f"input {blob} {channels}x{size[0]}x{size[1]}: crop_size, {why_channels}")
        return (1, channels, *size)
    # Trying sizes takes all other inputs to be known.
    for height, width, why in candidate_sizes(sizes) if build is not None else []:
        assert build is not None
        shape = (1, channels, height, width)
        try:
            graph = build({**found, blob: shape})
        except ConversionError:
            continue
        if unpools_agree(graph) and weights_agree(graph, sizes.weights):
            notes.append(f"input {blob} {channels}x{height}x{width}: {why}, {why_channels}")
            return shape
    error = NeedsShape(
        blob,
        f"nothing fixes the height and width of {blob!r}",
        subject=f"layer {record.layer.name!r}",
        position=where,
    )
    if blob in sizes.given:
        raise error
    if (
        sizes.assume
        and build is not None
        and not (sizes.may_stay_open and stays_open(build, found, blob, channels))
    ):
        # Only some size fits: the first of the usual ones that does is taken, and told.
        batches = likely_batches(sizes)
        assumed = usual_shape(build, found, blob, channels, usual, batches, error)
        if assumed is not None:
            if assumed[0] > 1:
                notes.append(f"input {blob}: batches of {assumed[0]}, as {batches[assumed[0]]} has")
            note = f"size assumed to be {usual.of}, as nothing fixes it; {why_channels}"
            remedy = Sentence("give ", Argument("shapes", {blob: assumed}), " for another")
            notes.append(Note(f"input {blob} {shape_text(assumed[1:])}: {note}", remedy))
            return assumed
    if not sizes.may_stay_open:
        raise error
    sizes.open_inputs[blob] = error
    notes.append(f"input {blob} {channels}xHxW: nothing fixes height and width, {why_channels}")
    return (1, channels, *TRIAL_SIZE)


@dataclass(frozen=True)
class UsualImages:
    """Images that networks are commonly trained on."""

    of: str
    channels: int
    sides: tuple[int, ...]
    """Heights that are widths, the most usual first."""


PHOTOGRAPHS = UsualImages(
    "that of photographs", 3, (224, 227, 299, 256, 331, 321, 128, 112, 96, 64, 32, 28)
)
DATA_SETS = {
    "mnist": UsualImages("MNIST's", 1, (28,)),
    "cifar": UsualImages("CIFAR's", 3, (32,)),
}
"""By a word that names the data set in what a data layer reads."""


def usual_images(record: Record) -> UsualImages:
    """What the images of a data layer usually are, by the names of the files that it reads."""
    words = " ".join(texts(record.layer.message)).lower()
    return next((usual for word, usual in DATA_SETS.items() if word in words), PHOTOGRAPHS)


def texts(message: Message) -> Iterator[str]:
    """Every text of a message that stands in quotes."""
    for item in message.fields:
        if isinstance(item.value, Message):
            yield from texts(item.value)
        elif item.value.kind == "string":
            yield item.value.text


def usual_shape(
    build: Build,
    found: Mapping[str, Shape],
    blob: str,
    channels: int,
    usual: UsualImages,
    batches: Iterable[int],
    unknown: NeedsShape,
) -> tuple[int, ...] | None:
    """The first usual shape that a network takes; None where something else is wrong with it.

    Raises `unknown` where it takes none and says something else of each size.
    """
    said: list[str] = []
    # A siamese network's pairs are one image's channels after the other's.
    for batch, side, images in itertools.product((1, *batches), usual.sides, (1, 2)):
        shape = (batch, images * channels, side, side)
        try:
            build({**found, blob: shape})
        except ConversionError as error:
            if (batch, images) == (1, 1):
                said.append(str(error))
            continue
        return shape
    if len(set(said[:2])) > 1:
        raise unknown
    return None


def likely_batches(sizes: Sizes) -> dict[int, str]:
    """Numbers of images, above one, that layers suggest, and the layer."""
    found: dict[int, str] = {}
    for record in sizes.records:
        assert record.kind is not None
        for batch in record.kind.likely_batches(sizes.params[id(record)]):
            if batch > 1:
                found.setdefault(batch, f"layer {record.layer.name}")
    return found


def stays_open(build: Build, found: Mapping[str, Shape], blob: str, channels: int) -> bool:
    """Whether the network does with any height and width of an input."""
    try:
        like = {**found, blob: (1, channels, *TRIAL_SIZE)}
        build({**found, blob: (1, channels, "height", "width")}, like)
    except (OpenDimension, ConversionError):
        return False
    return True


def guess_channels(sizes: Sizes, record: Record, version: Version) -> tuple[int | None, str]:
    params = sizes.params[id(record)]
    for reader in sizes.readers(version):
        stored = (sizes.weights or {}).get(reader.layer.name)
        if reader.kind is None or not stored or stored[0].ndim < 2:
            continue
        channels = reader.kind.input_channels(sizes.params[id(reader)], stored)
        if channels is not None:
            return channels, f"channels by the weights of {reader.layer.name}"
    assert record.kind is not None
    if (channels := record.kind.stated_channels(params, version.index)) is not None:
        return channels, f"channels by layer {record.layer.name}"
    if (partner := record.partner) is not None:
        return partner[1], f"channels by {partner[0]}, its partner in the loss"
    return None, ""


def candidate_sizes(sizes: Sizes) -> list[tuple[int, int, str]]:
    """Heights and widths worth a try, the most telling first."""
    tries: list[tuple[int, int, str]] = []
    kinds = [(record, record.kind) for record in sizes.records if record.kind is not None]
    for record, kind in kinds:
        found = kind.likely_sizes(sizes.params[id(record)])
        tries += [(height, width, f"{why} of {record.layer.name}") for height, width, why in found]
    tries.sort(key=lambda t: -t[0] * t[1])
    if sizes.weights and any(kind.fixes_input_size for _, kind in kinds):
        usual = [224, 227, 299, 256, 128, 112, 96, 64, 48, 32, 28]
        rest = [n for n in range(1, 513) if n not in usual]
        tries += [(n, n, "plane by the inner product's weights") for n in usual + rest]
    return tries


def weights_agree(graph: Graph, weights: Mapping[str, Sequence[np.ndarray]] | None) -> bool:
    """Whether every inner product finds as many inputs as its stored weights have."""
    for node in graph.nodes:
        kind, stored = find(node.type), (weights or {}).get(node.name)
        if kind is None or not kind.fixes_input_size or not stored or stored[0].ndim < 2:
            continue
        if not kind.agrees(node, stored):
            return False
    return True


def unpools_agree(graph: Graph) -> bool:
    """Whether every unpooling gives back the plane that its switches were taken from."""
    for node in graph.nodes:
        kind = find(node.type)
        for index in kind.mask_bottoms(len(node.inputs)) if kind is not None else ():
            pool = node.inputs[index].producer
            if pool is not None and pool.inputs[0].shape[2:] != node.outputs[0].shape[2:]:
                return False
    return True
