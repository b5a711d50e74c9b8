"""YOLO's detectors as MobileNet-YOLO has them: boxes of a grid, suppressed within the graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

import numpy as np

from prototxt.schema import UInt

from ..graph import Node, Shape
from ..layer_type import LayerType
from ..legal import Interval, Legal
from ..registry import register
from ..shapes import is_fixed, known, text
from .detection import or_none

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder

FLOAT = 1


@dataclass
class YoloDetectionOutputParams:
    """YoloDetectionOutputParameter; `side` and `coords` are read by nothing in the fork."""

    side: UInt = 13
    num_classes: UInt | None = None
    num_box: UInt = 5
    coords: UInt = 4
    confidence_threshold: float = 0.01
    nms_threshold: float = 0.45
    biases: list[float] = field(default_factory=list)
    label_map_file: str = ""


@dataclass
class Yolov3DetectionOutputParams:
    """Yolov3DetectionOutputParameter."""

    num_classes: UInt | None = None
    num_box: UInt = 3
    confidence_threshold: float = 0.01
    nms_threshold: float = 0.45
    biases: list[float] = field(default_factory=list)
    anchors_scale: list[UInt] = field(default_factory=list)
    mask_group_num: UInt = 2
    mask: list[UInt] = field(default_factory=list)
    gaussian_box: bool = False


class YoloParams(Protocol):
    """What both versions state."""

    num_classes: int | None
    num_box: int
    confidence_threshold: float
    nms_threshold: float


Y = TypeVar("Y", bound=YoloParams)


class YoloDetector(LayerType[Y]):
    """1×1×K×7 from maps N×A(5+classes)×H×W: 0, label (from 1), score, xmin, ymin, xmax, ymax.

    Corners are shares of the image and may lie outside; rows lie by falling score. A map holds for
    each of A anchors x, y, width, height, whether there is something, and its class. What overlaps
    a better box by the threshold or more goes, whatever its class. Caffe has all images of a batch
    in one list: with more than one, they suppress one another and all bear the number 0. Where
    nothing is found there is one row for each image, -1 but for its number.
    """

    fork = "MobileNet-YOLO (eric612/MobileNet-YOLO)"
    bottoms = (1, None)
    is_postprocessing = True
    gives_detections = True
    by_class: ClassVar[bool]
    """Each class of a box is a detection of its own, by sigmoid; else the best, by softmax."""

    def anchors(self, node: Node[Y]) -> list[list[tuple[float, float]]]:
        """Width and height of each bottom's anchors, in the units of `scales`."""
        raise NotImplementedError

    def scales(self, node: Node[Y]) -> list[int]:
        """By which a map's width and height are multiplied to get the anchors' unit."""
        raise NotImplementedError

    def read_maps(self, node: Node[Y]) -> int:
        """How many bottoms the layer reads."""
        return len(node.inputs)

    def prepare(self, node: Node[Y]) -> None:
        p = node.params
        if not p.num_classes:
            raise node.error("num_classes is missing or 0")
        if not p.num_box:
            raise node.error("num_box must be above 0")
        if not 0 < p.nms_threshold <= 1:
            raise node.error("nms_threshold must be above 0 and at most 1")
        for value in node.inputs:
            if len(value.shape) != 4:
                raise node.error(f"needs 4-D maps, not {text(value.shape)}")

    def shapes(self, node: Node[Y]) -> list[Shape]:
        p = node.params
        wanted = p.num_box * (5 + (p.num_classes or 0))
        for value in node.inputs[: self.read_maps(node)]:
            if known(value.shape[1]) != wanted:
                raise node.error(
                    f"{p.num_box} boxes of 5 numbers and {p.num_classes} classes need {wanted} "
                    f"channels, not {value.shape[1]}"
                )
        batches = {v.shape[0] for v in node.inputs if is_fixed(v.shape[0])}
        if len(batches) > 1:
            raise node.error("has maps of different numbers of images")
        return [(1, 1, f"{node.name}_rows", 7)]

    def legal(self, node: Node[Y]) -> dict[int, Legal]:
        # A box's size is e to what is fed: what is far outside overflows, in Caffe too.
        return dict.fromkeys(range(len(node.inputs)), Interval(-4, 4))

    def limit(self, node: Node[Y]) -> np.float32:
        """The greatest overlap that stays.

        ONNX' NonMaxSuppression asks for more than that, Caffe for as much as the threshold.
        """
        return np.float32(np.nextafter(np.float32(node.params.nms_threshold), np.float32(0)))

    def onnx(self, node: Node[Y], b: OnnxBuilder) -> None:
        count, anchors, scales = self.read_maps(node), self.anchors(node), self.scales(node)
        parts = [self.rows(node, b, i, anchors[i], scales[i]) for i in range(count)]
        boxes, scores, labels = (
            columns[0] if count == 1 else b.op("Concat", *columns, axis=0)
            for columns in zip(*parts, strict=True)
        )  # K×4 (centre and size), K, K
        names = [b.fresh(f"{node.name}/{name}") for name in ("best", "place")]
        b.op("TopK", scores, b.op("Shape", scores), axis=0, out=names)
        boxes = b.op("Gather", boxes, names[1], axis=0)
        stay = b.op(
            "NonMaxSuppression",
            b.op("Unsqueeze", boxes, b.ints(0)),
            b.op("Unsqueeze", names[0], b.ints(0, 1)),
            b.op("Shape", scores),
            b.const(np.array([self.limit(node)], np.float32)),
            center_point_box=1,
        )
        index = b.op("Gather", stay, b.const(np.array(2, np.int64)), axis=1)
        found = [b.fresh(f"{node.name}/{name}") for name in ("stay", "unused")]
        b.op("TopK", index, b.op("Shape", index), axis=0, largest=0, out=found)
        stays = found[0]
        labels = b.op("Gather", b.op("Gather", labels, names[1], axis=0), stays, axis=0)
        label = b.op("Add", b.op("Cast", labels, to=FLOAT), b.const(np.float32(1)))
        score = b.op("Gather", names[0], stays, axis=0)
        label, score = (b.op("Unsqueeze", column, b.ints(1)) for column in (label, score))
        boxes = b.op("Gather", boxes, stays, axis=0)
        pair = [b.fresh(f"{node.name}/{name}") for name in ("centre", "size")]
        b.op("Split", boxes, b.ints(2, 2), axis=1, out=pair)
        half = b.op("Div", pair[1], b.const(np.float32(2)))
        image = b.full(b.op("Shape", score))
        corners = [b.op(way, pair[0], half) for way in ("Sub", "Add")]
        rows = b.op("Concat", image, label, score, *corners, axis=1)
        or_none(node, b, rows, index, b.dim(node.inputs[0], 0))

    def rows(
        self,
        node: Node[Y],
        b: OnnxBuilder,
        index: int,
        anchors: list[tuple[float, float]],
        scale: int,
    ) -> tuple[str, str, str]:
        """Boxes (centre and size), scores and labels above the threshold, of one map."""
        p = node.params
        x, classes = node.inputs[index], p.num_classes or 0
        high, wide = b.dim(x, 2), b.dim(x, 3)
        maps = b.op("Reshape", x, b.join(b.ints(-1, len(anchors), 5 + classes), high, wide))
        maps = b.op("Transpose", maps, perm=[0, 3, 4, 1, 2])  # N×H×W×A×(5+classes)
        names = [b.fresh(f"{node.name}/{name}") for name in ("xy", "wh", "object", "class")]
        b.op("Split", maps, b.ints(2, 2, 1, classes), axis=4, out=names)
        place, growth, there, kinds = names
        size = b.op("Cast", b.join(wide, high), to=FLOAT)
        columns = b.op("Reshape", self.count(b, wide), b.ints(1, 1, -1, 1, 1))
        lines = b.op("Reshape", self.count(b, high), b.ints(1, -1, 1, 1, 1))
        halves = [b.fresh(f"{node.name}/{name}") for name in ("x", "y")]
        b.op("Split", b.op("Sigmoid", place), b.ints(1, 1), axis=4, out=halves)
        across = b.op("Add", columns, halves[0])
        down = b.op("Add", lines, halves[1])
        centre = b.op("Div", b.op("Concat", across, down, axis=4), size)
        sides = b.const(np.array(anchors, np.float32))
        unit = b.op("Mul", size, b.const(np.float32(scale)))
        extent = b.op("Div", b.op("Mul", b.op("Exp", growth), sides), unit)
        boxes = b.op("Reshape", b.op("Concat", centre, extent, axis=4), b.ints(-1, 4))
        there = b.op("Reshape", b.op("Sigmoid", there), b.ints(-1, 1))
        kinds = b.op("Reshape", kinds, b.ints(-1, classes))
        least = b.const(np.float32(p.confidence_threshold))
        if self.by_class:
            scores = b.op("Mul", b.op("Sigmoid", kinds), there)
            chosen = b.op("NonZero", b.op("Greater", scores, least))  # 2×K
            pair = [b.fresh(f"{node.name}/{name}") for name in ("row", "label")]
            b.op("Split", chosen, b.ints(1, 1), axis=0, out=pair)
            row, label = (b.op("Reshape", part, b.ints(-1)) for part in pair)
            score = b.op("GatherND", scores, b.op("Transpose", chosen, perm=[1, 0]))
            return b.op("Gather", boxes, row, axis=0), score, label
        shares = b.op("Softmax", kinds, axis=1)
        score = b.op(
            "Reshape", b.op("Mul", b.op("ReduceMax", shares, b.ints(1)), there), b.ints(-1)
        )
        above = b.op("GreaterOrEqual", score, least)
        label = b.op("ArgMax", shares, axis=1, keepdims=0)
        boxes, score, label = (
            b.op("Compress", part, above, axis=0) for part in (boxes, score, label)
        )
        return boxes, score, label

    def count(self, b: OnnxBuilder, end: str) -> str:
        """0, 1, 2 ... below `end`, as float32."""
        zero, one = (b.const(np.array(i, np.int64)) for i in (0, 1))
        return b.op("Cast", b.op("Range", zero, b.op("Squeeze", end, b.ints(0)), one), to=FLOAT)

    def torch(self, node: Node[Y]) -> nn.Module:
        from .torch.yolo import YoloDetector as Detector

        p = node.params
        return Detector(
            p.num_classes or 0,
            self.anchors(node),
            self.scales(node),
            by_class=self.by_class,
            confidence_threshold=p.confidence_threshold,
            limit=float(self.limit(node)),
        )


@register("YoloDetectionOutput", message="yolo_detection_output_param")
class YoloDetectionOutput(YoloDetector[YoloDetectionOutputParams]):
    """YOLO 2's detector (yolo_detection_output_layer.cpp, commit 69b4441).

    Of several bottoms it reads two, by the same anchors, whose unit is a cell.
    """

    Params = YoloDetectionOutputParams
    by_class = False

    def read_maps(self, node: Node[YoloDetectionOutputParams]) -> int:
        return min(len(node.inputs), 2)

    def prepare(self, node: Node[YoloDetectionOutputParams]) -> None:
        super().prepare(node)
        p = node.params
        if len(p.biases) < 2 * p.num_box:
            raise node.error(f"{p.num_box} boxes need {2 * p.num_box} biases, not {len(p.biases)}")

    def shapes(self, node: Node[YoloDetectionOutputParams]) -> list[Shape]:
        for value in node.inputs[: self.read_maps(node)]:
            height, width = value.shape[2:]
            if is_fixed(height, width) and height != width:
                raise node.error(f"needs square maps, not {text(value.shape)}")
        return super().shapes(node)

    def anchors(self, node: Node[YoloDetectionOutputParams]) -> list[list[tuple[float, float]]]:
        p = node.params
        return [pairs(p.biases)[: p.num_box]] * self.read_maps(node)

    def scales(self, node: Node[YoloDetectionOutputParams]) -> list[int]:
        return [1] * self.read_maps(node)


@register("Yolov3DetectionOutput", message="yolov3_detection_output_param")
class Yolov3DetectionOutput(YoloDetector[Yolov3DetectionOutputParams]):
    """YOLO 3's detector (yolov3_detection_output_layer.cpp, commit 69b4441).

    Each bottom has anchors of its own, chosen by `mask`, in pixels of an image that is
    `anchors_scale` times as large as the map.
    """

    Params = Yolov3DetectionOutputParams
    by_class = True

    def prepare(self, node: Node[Yolov3DetectionOutputParams]) -> None:
        super().prepare(node)
        p = node.params
        if p.gaussian_box:
            raise node.error(
                "gaussian_box is not supported", "the fork's CPU code reads what it never wrote"
            )
        count = len(node.inputs)
        if p.mask_group_num != count:
            raise node.error(f"has {count} bottoms and mask_group_num {p.mask_group_num}")
        if len(p.anchors_scale) < count or not all(p.anchors_scale):
            raise node.error(f"{count} bottoms need {count} anchors_scale above 0")
        last = len(p.mask) // count * (count - 1) + p.num_box
        if last > len(p.mask):
            raise node.error(f"{count} bottoms of {p.num_box} boxes need a mask of {last} numbers")
        if 2 * max(p.mask[:last]) + 1 >= len(p.biases):
            raise node.error(f"mask {max(p.mask)} names an anchor beyond the biases")

    def anchors(self, node: Node[Yolov3DetectionOutputParams]) -> list[list[tuple[float, float]]]:
        p = node.params
        every, step = pairs(p.biases), len(p.mask) // len(node.inputs)
        starts = range(0, step * len(node.inputs), step) if step else [0]
        return [[every[i] for i in p.mask[start : start + p.num_box]] for start in starts]

    def scales(self, node: Node[Yolov3DetectionOutputParams]) -> list[int]:
        return list(node.params.anchors_scale[: len(node.inputs)])


def pairs(numbers: list[float]) -> list[tuple[float, float]]:
    """Width and height of each anchor."""
    return list(zip(numbers[::2], numbers[1::2], strict=False))
