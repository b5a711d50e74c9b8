"""From layer definitions to a graph's skeleton: who reads which version of which blob.

Here blob names end. Caffe's layers read and write named blobs, several times the same one when
they work in place; each writing makes a new version. Then what an inference does not need is
pruned: losses, accuracies, silenced blobs, labels.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from prototxt.errors import Argument, Sentence
from prototxt.net import LayerDefinition, NetDefinition
from prototxt.text import Scalar

from .errors import ConversionError, MissingBlob, UnsupportedLayers, layer_error
from .layer_type import LayerType
from .layers.inputs import UNKNOWN_DATA
from .registry import find

__all__ = ["Record", "Version", "resolve"]


@dataclass(eq=False)
class Version:
    """One writing of a blob."""

    blob: str
    writer: Record | None
    """None where no layer writes it, which is an error once somebody needs it."""
    index: int = 0


@dataclass(eq=False)
class Record:
    """A layer with its blobs resolved."""

    layer: LayerDefinition
    kind: LayerType[Any] | None
    inputs: list[Version] = field(default_factory=list)
    outputs: list[Version] = field(default_factory=list)
    partner: tuple[str, int] | None = None
    """Of an input layer: the layer that a loss compares it with, and that one's `num_output`."""

    @property
    def prunable(self) -> bool:
        """A loss or a metric.

        Of a type that nobody registered the name has to tell, or its weight in the objective.
        """
        if self.kind:
            return self.kind.is_loss
        name = type_of(self.layer).rpartition(".")[2].removesuffix("Layer")
        return (
            name.endswith(("Loss", "Accuracy", "Evaluate", "Evaluation"))
            or name.startswith("Eval")
            or any(self.layer.loss_weights)
        )

    @property
    def loss_weights(self) -> list[float]:
        """Of each top (Layer::SetLossWeights): loss_weight where it is given.

        Else the type's own for the first top. Of a type that nobody registered the name has to
        tell.
        """
        count = len(self.layer.tops)
        if self.layer.loss_weights:
            return [*self.layer.loss_weights, *[0.0] * count][:count]
        named = 1.0 if self.layer.type.endswith("Loss") else 0.0
        return [self.kind.loss_weight if self.kind else named, *[0.0] * count][:count]

    @property
    def is_input(self) -> bool:
        """Whether its tops are inputs of the network."""
        return self.kind is not None and self.kind.is_input


def type_of(layer: LayerDefinition) -> str:
    """The name of a layer's type; of a Python layer ``Python:module.Class``."""
    kind = find(layer.type)
    return kind.full_type(layer) if kind is not None else layer.type


def kind_of(layer: LayerDefinition) -> LayerType[Any] | None:
    """Its layer type; of an unknown layer without bottoms that it brings data in."""
    kind = find(type_of(layer))
    if kind is not None or layer.bottoms or not layer.tops:
        return kind
    return find(layer.type) or UNKNOWN_DATA


def line_of(layer: LayerDefinition) -> str:
    return f" at line {layer.position.line}" if layer.position else ""


def resolve(
    net: NetDefinition, outputs: Sequence[str] | None = None, raw: bool = False
) -> tuple[list[Record], list[Version]]:
    """The records that the outputs need, in Caffe's order, and the outputs.

    Without `outputs`: every blob that no layer reads, losses and inputs aside, then every mask;
    the losses themselves where nothing else would remain, or else what is silenced; with `raw` what
    detections are made of in place of them. Raises ConversionError for blobs that are missing,
    written twice or only later, UnsupportedLayers for unknown types.
    """
    records, latest = connect(net)
    find_partners(records)
    wanted = named(outputs, latest, records, net) if outputs else defaults(records)
    if raw:
        wanted = before_detection(wanted, records, net)
    needed = reach(records, wanted)
    unknown = [r.layer for r in needed if r.kind is None]
    if unknown:
        raise UnsupportedLayers([(u.name, type_of(u), u.position) for u in unknown])
    for record in needed:
        check_counts(record)
    if not any(not r.is_input for r in needed) and not outputs:
        raise ConversionError("the network has no layers besides its inputs", subject=net.path)
    return needed, wanted


def as_their_fork(layers: Sequence[LayerDefinition]) -> list[LayerDefinition]:
    """The layers by the types that they are in the fork which has one of them (`renames`)."""
    renames: dict[str, str] = {}
    for layer in layers:
        if (kind := find(layer.type)) is not None:
            renames |= kind.renames

    def states(layer: LayerDefinition) -> bool:
        kind = find(layer.type)
        return kind is not None and any(layer.param(name) for name in kind.messages())

    return [
        replace(layer, type=renames[layer.type])
        if layer.type in renames and not states(layer)
        else layer
        for layer in layers
    ]


def connect(net: NetDefinition) -> tuple[list[Record], dict[str, Version]]:
    latest: dict[str, Version] = {}
    records: list[Record] = []
    for layer in as_their_fork(net.layers):
        record = Record(layer, kind_of(layer))
        for name in layer.bottoms:
            record.inputs.append(latest.get(name) or Version(name, None))
        seen: set[str] = set()
        for index, name in enumerate(layer.tops):
            before = latest.get(name)
            in_place = index < len(layer.bottoms) and layer.bottoms[index] == name
            if name in seen or (before is not None and not in_place):
                other = record if name in seen else before.writer if before else None
                where = (
                    f" by {other.layer.subject}{line_of(other.layer)}"
                    if other is not None and other is not record
                    else ""
                )
                raise layer_error(
                    layer,
                    f"top {name!r} is written already{where}",
                    "give it another name, or make it the bottom as well to work in place",
                )
            seen.add(name)
            record.outputs.append(Version(name, record, index))
        for version in record.outputs:
            latest[version.blob] = version
        records.append(record)
    return records, latest


def find_partners(records: list[Record]) -> None:
    """Note, for each input that a loss compares with a prediction, the prediction's channels."""
    for loss in records:
        if not loss.prunable or len(loss.inputs) < 2:
            continue
        for target in loss.inputs:
            source = target.writer
            if source is None or not source.is_input or target.index:
                continue  # a label is the second top of a data layer: it says nothing of the first
            for other in loss.inputs:
                writer = other.writer
                while writer is not None and not writer.is_input and writer.partner is None:
                    count = num_output(writer)
                    if count is not None:
                        source.partner = (writer.layer.name, count)
                        break
                    writer = writer.inputs[0].writer if writer.inputs else None


def num_output(record: Record) -> int | None:
    """As its own parameter message states it, whatever the type."""
    message = record.kind.message if record.kind is not None else None
    param = record.layer.param(message) if message else None
    stated = param.last("num_output") if param is not None else None
    if stated is not None and isinstance(stated.value, Scalar) and stated.value.text.isdigit():
        return int(stated.value.text)
    return None


def named(
    outputs: Sequence[str],
    latest: dict[str, Version],
    records: list[Record],
    net: NetDefinition,
) -> list[Version]:
    """The last writing of each blob; an earlier one is called ``blob/layer``."""
    earlier = {f"{v.blob}/{r.layer.name}": v for r in records for v in r.outputs}
    known = {**earlier, **latest}
    wanted = []
    for name in outputs:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            raise ConversionError(
                f"no blob {name!r} to output",
                subject=net.path,
                remedy=f"did you mean {close[0]!r}?" if close else "`zoo inspect` lists the blobs",
            )
        wanted.append(known[name])
    return wanted


def defaults(records: list[Record]) -> list[Version]:
    training = behind_losses(records)
    labels = made_of_labels(records)
    compared = {id(v) for r in records if r.prunable for v in r.inputs}
    read: set[int] = set()
    for record in records:
        # What writes to a file (HDF5Output, MatWrite) reads what the network is for.
        writes = not record.outputs and not (record.kind and record.kind.discards)
        if id(record) not in training and not record.is_input and not writes:
            read.update(id(v) for v in record.inputs)
    free: list[Version] = []
    losses: list[Version] = []
    masks: list[Version] = []
    for record in records:
        if record.is_input:
            continue
        mask_tops = record.kind.mask_tops(len(record.outputs)) if record.kind else []
        for index, version in enumerate(record.outputs):
            if index in mask_tops:
                masks.append(version)
            elif id(version) not in read and id(version) not in labels & compared:
                (losses if id(record) in training else free).append(version)
    unmasked = {
        id(o): o for v in free for o in (without_mask(v, labels) if id(v) in compared else [v])
    }
    silenced = [
        v
        for r in records
        if r.kind is not None and r.kind.discards
        for v in r.inputs
        if v.writer is not None and not v.writer.is_input and not any(v is m for m in masks)
    ]
    return (list(unmasked.values()) or losses or silenced) + masks


def before_detection(
    wanted: list[Version], records: list[Record], net: NetDefinition
) -> list[Version]:
    """What the layers that make detections read of the network, in place of what they write."""
    result: dict[int, Version] = {}
    found = False
    for version in wanted:
        writer = version.writer
        if writer is None or writer.kind is None or not writer.kind.is_postprocessing:
            result[id(version)] = version
            continue
        found = True
        for read in writer.inputs:
            if read.writer is None:
                raise missing(writer, read.blob, records)
            if not read.writer.is_input:
                result[id(read)] = read
    if not found:
        raise ConversionError(
            "no layer makes detections",
            subject=net.path,
            remedy=Sentence("leave out ", Argument("raw")),
        )
    return list(result.values())


def without_mask(version: Version, labels: set[int]) -> list[Version]:
    """What a loss compares, before labels masked or weighed it: a network has none when it runs."""
    writer = version.writer
    if writer is None or writer.is_input or (writer.kind and writer.kind.learns):
        return [version]
    masked = [v for v in writer.inputs if id(v) not in labels]
    if not masked:
        return [version]
    below = [o for v in masked for o in without_mask(v, labels)]
    return below if below != masked or len(masked) < len(writer.inputs) else [version]


def behind_losses(records: list[Record]) -> set[int]:
    """The ids of losses and accuracies, and of what is made of theirs (as OHEM sums them)."""
    found: set[int] = set()
    for record in records:
        if record.prunable or any(id(v.writer) in found for v in record.inputs):
            found.add(id(record))
    return found


def made_of_labels(records: list[Record]) -> set[int]:
    """The ids of what a data layer gives beside its images, and of what is made of that alone.

    As DeepLab shrinks its labels to the size of the scores. What learns makes no labels: of a pair
    of images from one layer, both columns of a siamese network are predictions.
    """
    found: set[int] = set()
    for record in records:
        if record.kind is not None and record.kind.is_input:
            found.update(map(id, record.outputs[1:] if record.kind.labelled else []))
        elif (
            record.inputs
            and all(id(v) in found for v in record.inputs)
            and not (record.kind and record.kind.learns)
        ):
            found.update(map(id, record.outputs))
    return found


def reach(records: list[Record], wanted: list[Version]) -> list[Record]:
    """The records that `wanted` depends on; here, and only here, a missing blob is an error."""
    needed: set[int] = set()
    stack = [v.writer for v in wanted if v.writer is not None]
    while stack:
        record = stack.pop()
        if id(record) in needed:
            continue
        needed.add(id(record))
        if record.is_input:
            continue  # one with bottoms samples in training: the network is cut there
        for version in record.inputs:
            if version.writer is None:
                raise missing(record, version.blob, records)
            stack.append(version.writer)
    return [r for r in records if id(r) in needed]


def missing(record: Record, blob: str, records: list[Record]) -> ConversionError:
    layer = record.layer
    writers = [r.layer for r in records if blob in r.layer.tops]
    if writers:
        later = writers[0]
        return layer_error(
            layer,
            f"bottom {blob!r} is written only later, by {later.subject}{line_of(later)}",
            "a cycle, or layers out of order",
        )
    above = {v.blob for r in records[: records.index(record)] for v in r.outputs}
    close = difflib.get_close_matches(blob, above, 1)
    error = MissingBlob(
        f"bottom {blob!r} is not there",
        subject=layer.subject,
        position=layer.position,
        remedy=f"did you mean {close[0]!r}?" if close else "no layer of this phase writes it",
    )
    error.blob = blob
    return error


def check_counts(record: Record) -> None:
    kind, layer = record.kind, record.layer
    assert kind is not None
    for what, names, (least, most) in (
        ("bottom", layer.bottoms, kind.bottoms),
        ("top", layer.tops, kind.tops),
    ):
        count = len(names)
        if count < least or (most is not None and count > most):
            span = (
                f"{least}"
                if least == most
                else f"{least} or more"
                if most is None
                else (f"{least} to {most}")
            )
            raise layer_error(layer, f"has {count} {what}s, needs {span}")
