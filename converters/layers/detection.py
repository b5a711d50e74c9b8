"""SSD's DetectionOutput: decoding, thresholds and non-maximum suppression within the graph."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from prototxt.schema import UInt
from prototxt.text import Message

from ..graph import Node, Shape
from ..layer_type import LayerType
from ..legal import Boxes, Interval, Legal
from ..registry import register
from ..shapes import is_fixed, known, text

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder

LOWEST = np.float32(np.finfo(np.float32).min)


class CodeType(enum.Enum):
    """PriorBoxParameter.CodeType: how a box is told by its prior."""

    CORNER = 1
    CENTER_SIZE = 2
    CORNER_SIZE = 3


@dataclass
class SuppressionParams:
    """NonMaximumSuppressionParameter."""

    nms_threshold: float = 0.3
    top_k: int = -1
    eta: float = 1.0


@dataclass
class DetectionOutputParams:
    """DetectionOutputParameter; what is saved or shown is left to the program."""

    num_classes: UInt = 0
    share_location: bool = True
    background_label_id: int = 0
    nms_param: SuppressionParams = field(default_factory=SuppressionParams)
    save_output_param: Message | None = None
    code_type: CodeType = CodeType.CORNER
    variance_encoded_in_target: bool = False
    keep_top_k: int = -1
    confidence_threshold: float | None = None
    visualize: bool = False
    visualize_threshold: float | None = None
    save_file: str = ""

    def labels(self) -> list[int]:
        """The classes that are detected."""
        return [c for c in range(self.num_classes) if c != self.background_label_id]


def count_up(b: OnnxBuilder, end: str, step: int) -> str:
    """0, step, 2 step ... below `end`."""
    zero, by = b.const(np.array(0, np.int64)), b.const(np.array(step, np.int64))
    return b.op("Range", zero, b.op("Squeeze", end, b.ints(0)), by)


def or_none(node: Node[Any], b: OnnxBuilder, found: str, chosen: str, images: str) -> None:
    """Write what was found (K×7, of `chosen`, 1-D of K) as 1×1×K×7, or a row of -1 an image."""
    nothing = b.op("Equal", b.op("Shape", chosen), b.ints(0))
    rows = b.op("Mul", b.op("Cast", nothing, to=7), images)
    numbers = b.op("Cast", count_up(b, rows, 1), to=1)
    numbers = b.op("Unsqueeze", numbers, b.ints(1))
    blank = b.op("Expand", b.const(np.full((1, 6), -1, np.float32)), b.join(rows, b.ints(6)))
    every = b.op("Concat", found, b.op("Concat", numbers, blank, axis=1), axis=0)
    b.op("Unsqueeze", every, b.ints(0, 1), out=node.outputs[0])


@register("DetectionOutput", message="detection_output_param")
class DetectionOutput(LayerType[DetectionOutputParams]):
    """Boxes from SSD's locations, scores and priors (detection_output_layer.cpp).

    1×1×K×7: image, label, score, xmin, ymin, xmax, ymax as shares of the image; by image, by
    label, by falling score. Where nothing at all is found there is one row for each image, -1
    but for its number.
    """

    fork = "SSD (weiliu89/caffe)"
    bottoms = (3, 4)  # the fourth is the picture that `visualize` would draw on
    Params = DetectionOutputParams
    is_postprocessing = True
    gives_detections = True

    def prepare(self, node: Node[DetectionOutputParams]) -> None:
        p = node.params
        if not p.labels():
            raise node.error("num_classes is missing, or leaves no class besides the background")
        if p.nms_param.nms_threshold < 0 or not 0 < p.nms_param.eta <= 1:
            raise node.error("nms_threshold must not be negative, and eta in (0, 1]")
        if p.nms_param.eta < 1 and p.nms_param.nms_threshold > 0.5:
            raise node.error("eta below 1 (adaptive suppression) is not supported")
        if p.keep_top_k == 0 or p.nms_param.top_k == 0:
            raise node.error("keep_top_k 0 or top_k 0 keeps nothing")
        ranks = [len(v.shape) for v in node.inputs]
        if min(ranks[:2]) < 2 or ranks[2] != 3:
            shapes = ", ".join(text(v.shape) for v in node.inputs)
            raise node.error(f"needs locations and scores of each image, and 1x2x4P, not {shapes}")

    def notes(self, node: Node[DetectionOutputParams]) -> list[str]:
        """What `visualize` would do besides."""
        drawn = f"layer {node.name!r}: visualize is passed over: it draws, and changes no row"
        return [drawn] if node.params.visualize else []

    def priors(self, node: Node[DetectionOutputParams]) -> int:
        return known(node.inputs[2].shape[2]) // 4

    def location_classes(self, node: Node[DetectionOutputParams]) -> int:
        return 1 if node.params.share_location else node.params.num_classes

    def shapes(self, node: Node[DetectionOutputParams]) -> list[Shape]:
        count, classes = self.priors(node), self.location_classes(node)
        wanted = (count * classes * 4, count * node.params.num_classes)
        for value, size, what in zip(node.inputs, wanted, ("locations", "scores"), strict=False):
            if known(value.shape[1]) != size or not all(d == 1 for d in value.shape[2:]):
                raise node.error(f"{count} priors need {size} {what}, not {text(value.shape[1:])}")
        first, second = (v.shape[0] for v in node.inputs[:2])
        if is_fixed(first, second) and first != second:
            raise node.error(f"has locations of {first} images and scores of {second}")
        return [(1, 1, f"{node.name}_rows", 7)]

    def candidates(self, node: Node[DetectionOutputParams]) -> int:
        """How many boxes of a class compete."""
        top_k, count = node.params.nms_param.top_k, self.priors(node)
        return min(top_k, count) if top_k > 0 else count

    def kept(self, node: Node[DetectionOutputParams]) -> int | None:
        """How many detections of an image stay at most; None where all may."""
        keep = node.params.keep_top_k
        most = self.candidates(node) * len(node.params.labels())
        return int(keep) if 0 < keep < most else None

    def legal(self, node: Node[DetectionOutputParams]) -> dict[int, Legal]:
        # A box's size is e to its location: what is far outside overflows, in Caffe too.
        return {0: Interval(-4, 4), 1: Interval(0, 1), 2: Boxes()}

    def onnx(self, node: Node[DetectionOutputParams], b: OnnxBuilder) -> None:
        """Candidates of a class lie by falling score in N×classes×k, where all stays in order."""
        p = node.params
        count, k, labels = self.priors(node), self.candidates(node), p.labels()
        images = b.dim(node.inputs[0], 0)
        boxes = self.decoded(node, b)
        scores = b.op("Reshape", node.inputs[1], b.ints(-1, count, p.num_classes))
        scores = b.op("Transpose", scores, perm=[0, 2, 1])
        if len(labels) < p.num_classes:
            scores = b.op("Gather", scores, b.const(np.array(labels, np.int64)), axis=1)
        best, place = (b.fresh(f"{node.name}/{name}") for name in ("best", "place"))
        b.op("TopK", scores, b.ints(k), axis=2, out=[best, place])
        # The boxes' rows: those of an image, or of each of its classes.
        sets = 1 if p.share_location else len(labels)
        rows = count_up(b, b.arithmetic("Mul", images, b.ints(sets * count)), count)
        rows = b.op("Reshape", rows, b.ints(-1, sets, 1))
        corners = b.op("Gather", boxes, b.op("Add", place, rows), axis=0)  # N×classes×k×4
        corners = b.op("Reshape", corners, b.ints(-1, 4))
        flags = self.suppressed(node, b, corners, best, k)
        chosen = self.best_of_all(node, b, flags, best, k)
        flat = b.op("Reshape", best, b.ints(-1))
        image = b.op("Div", chosen, b.ints(len(labels) * k))
        index = b.op("Mod", b.op("Div", chosen, b.ints(k)), b.ints(len(labels)))
        label = b.op("Gather", b.const(np.array(labels, np.float32)), index)
        columns = [b.op("Cast", image, to=1), label, b.op("Gather", flat, chosen)]
        columns = [b.op("Unsqueeze", column, b.ints(1)) for column in columns]
        found = b.op("Concat", *columns, b.op("Gather", corners, chosen), axis=1)
        or_none(node, b, found, chosen, images)

    def decoded(self, node: Node[DetectionOutputParams], b: OnnxBuilder) -> str:
        """Corners of every prior's box as rows; each class' own, where they do not share it."""
        p = node.params
        count, classes = self.priors(node), self.location_classes(node)
        offsets = b.op("Reshape", node.inputs[0], b.ints(-1, count, classes, 4))
        if classes > 1 and len(p.labels()) < classes:
            offsets = b.op("Gather", offsets, b.const(np.array(p.labels(), np.int64)), axis=2)
        priors = b.op("Reshape", node.inputs[2], b.ints(2, count, 1, 4))
        zero, one = (b.const(np.array(i, np.int64)) for i in (0, 1))
        prior = b.op("Gather", priors, zero, axis=0)  # P×1×4
        if not p.variance_encoded_in_target:
            offsets = b.op("Mul", b.op("Gather", priors, one, axis=0), offsets)
        low, high = self.halves(node, b, prior)
        size = b.op("Sub", high, low)
        if p.code_type is CodeType.CENTER_SIZE:
            two = b.const(np.float32(2))
            centre = b.op("Div", b.op("Add", low, high), two)
            shift, growth = self.halves(node, b, offsets)
            centre = b.op("Add", b.op("Mul", shift, size), centre)
            half = b.op("Div", b.op("Mul", b.op("Exp", growth), size), two)
            parts = [b.op("Sub", centre, half), b.op("Add", centre, half)]
            boxes = b.op("Concat", *parts, axis=-1)
        else:
            if p.code_type is CodeType.CORNER_SIZE:
                offsets = b.op("Mul", offsets, b.op("Concat", size, size, axis=-1))
            boxes = b.op("Add", prior, offsets)
        if classes > 1:
            boxes = b.op("Transpose", boxes, perm=[0, 2, 1, 3])
        return b.op("Reshape", boxes, b.ints(-1, 4))

    def halves(
        self, node: Node[DetectionOutputParams], b: OnnxBuilder, four: str
    ) -> tuple[str, str]:
        """The first and the last two of the last axis."""
        names = b.fresh(f"{node.name}/first"), b.fresh(f"{node.name}/second")
        b.op("Split", four, b.ints(2, 2), axis=-1, out=list(names))
        return names

    def suppressed(
        self, node: Node[DetectionOutputParams], b: OnnxBuilder, corners: str, best: str, k: int
    ) -> str:
        """1 where a candidate stays, else 0: as many rows as classes of images, k columns."""
        p = node.params
        # A box turned inside out overlaps nothing; NonMaxSuppression would turn it back.
        low, high = self.halves(node, b, corners)
        boxes = b.op("Concat", low, b.op("Max", low, high), axis=-1)
        boxes = b.op("Reshape", boxes, b.ints(-1, k, 4))
        rows = b.op("Reshape", best, b.ints(-1, 1, k))
        limits = [b.ints(k), b.const(np.array([p.nms_param.nms_threshold], np.float32))]
        if p.confidence_threshold is not None:
            limits.append(b.const(np.array([p.confidence_threshold], np.float32)))
        stay = b.op("NonMaxSuppression", boxes, rows, *limits)
        ones = b.full(b.op("Shape", stay, start=0, end=1), np.float32(1))
        flags = b.op("ScatterND", b.full(b.op("Shape", rows)), stay, ones)
        if p.confidence_threshold is not None:
            above = b.op("Greater", rows, b.const(np.float32(p.confidence_threshold)))
            flags = b.op("Mul", flags, b.op("Cast", above, to=1))
        return flags

    def best_of_all(
        self, node: Node[DetectionOutputParams], b: OnnxBuilder, flags: str, best: str, k: int
    ) -> str:
        """The places of what stays in the flat order of N×classes×k: keep_top_k of each image."""
        keep, width = self.kept(node), k * len(node.params.labels())
        flags = b.op("Reshape", flags, b.ints(-1, width))
        if keep is None:
            return b.op("Squeeze", b.op("NonZero", b.op("Reshape", flags, b.ints(-1))), b.ints(0))
        scores = b.op("Reshape", best, b.ints(-1, width))
        scores = b.op("Where", b.op("Cast", flags, to=9), scores, b.const(LOWEST))
        names = [
            b.fresh(f"{node.name}/{name}") for name in ("top", "top_place", "sorted", "unused")
        ]
        b.op("TopK", scores, b.ints(keep), axis=1, out=names[:2])
        b.op("TopK", names[1], b.ints(keep), axis=1, largest=0, out=names[2:])
        flags = b.op("GatherElements", flags, names[2], axis=1)
        first = count_up(b, b.arithmetic("Mul", b.dim(node.inputs[0], 0), b.ints(width)), width)
        places = b.op("Add", names[2], b.op("Unsqueeze", first, b.ints(1)))
        flags, places = (b.op("Reshape", part, b.ints(-1)) for part in (flags, places))
        return b.op("Compress", places, b.op("Cast", flags, to=9), axis=0)

    def torch(self, node: Node[DetectionOutputParams]) -> nn.Module:
        from .torch.detection import Detector

        p = node.params
        return Detector(
            p.num_classes,
            p.labels(),
            share_location=p.share_location,
            code_type=p.code_type.name,
            variance_encoded_in_target=p.variance_encoded_in_target,
            confidence_threshold=p.confidence_threshold,
            nms_threshold=p.nms_param.nms_threshold,
            candidates=self.candidates(node),
            keep_top_k=p.keep_top_k,
        )
