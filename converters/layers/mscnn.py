"""Proposals of MS-CNN and Cascade MS-CNN: BoxOutput, DecodeBBox, and that fork's ROIAlign."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

import numpy as np

from prototxt.errors import Argument, Sentence
from prototxt.net import LayerDefinition
from prototxt.schema import UInt, decode

from ..graph import Node, P, Shape
from ..layer_type import LayerType
from ..legal import Interval, Legal, regions
from ..registry import register
from ..shapes import is_fixed, known, text
from .detection import LOWEST, count_up
from .rcnn import RegionPooling, ROIPoolingParams

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder

FORK = "MS-CNN (zhaoweicai/mscnn)"
FLOAT, INT64, BOOL = 1, 7, 9


@dataclass
class BoxOutputParams:
    """BoxOutputParameter."""

    fg_thr: float = 0.0
    iou_thr: float = 0.5
    nms_type: str = "IOU"
    field_h: list[UInt] = field(default_factory=list)
    field_w: list[UInt] = field(default_factory=list)
    downsample_rate: list[UInt] = field(default_factory=list)
    field_whr: float = 2.0
    field_xyr: float = 2.0
    max_nms_num: UInt = 0
    max_post_nms_num: UInt = 0
    min_size: float = 15.0


@dataclass
class BBoxRegParams:
    """BBoxRegParameter."""

    bbox_mean: list[float] = field(default_factory=list)
    bbox_std: list[float] = field(default_factory=list)
    cls_aware: bool = True

    def given(self) -> bool:
        return bool(self.bbox_mean) and bool(self.bbox_std)

    def numbers(self) -> tuple[list[float], list[float]]:
        """The means and deviations of x, y, width and height."""
        return (self.bbox_mean, self.bbox_std) if self.given() else ([0.0] * 4, [1.0] * 4)


class Boxes(NamedTuple, Generic[P]):
    """A layer's own message together with its `bbox_reg_param`."""

    own: P
    reg: BBoxRegParams


class BoxLayer(LayerType[Boxes[P]]):
    """A layer that also reads `bbox_reg_param`."""

    fork = FORK

    def messages(self) -> tuple[str, ...]:
        return (*super().messages(), "bbox_reg_param")

    def read(self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]) -> Boxes[P]:
        def part(name: str, cls: type[Any]) -> Any:
            return decode(layer.param(name), cls, name=name, lenient=lenient, warn=warn)

        return Boxes(part(self.message or "", self.Params), part("bbox_reg_param", BBoxRegParams))

    def check_reg(self, node: Node[Boxes[P]]) -> None:
        reg = node.params.reg
        if reg.given() and (len(reg.bbox_mean) != 4 or len(reg.bbox_std) != 4):
            raise node.error("bbox_reg_param needs 4 bbox_mean and 4 bbox_std")


@register("BoxOutput", message="box_output_param")
class BoxOutput(BoxLayer[BoxOutputParams]):
    """Proposals of maps N×(C+4)×H×W, suppressed by image (box_output_layer.cpp, 534bcac).

    Of each place the best of the classes after the first, less the first, is the score; the last
    four channels move and stretch the map's own field. Tops: regions R×5×1×1 (image, x1, y1, x2,
    y2), by image and by falling score, and the same with the score, R×6×1×1. Where there is no
    region at all Caffe gives one: 0, 1, 1, 10, 10, and six zeros.
    """

    bottoms = (1, None)
    tops = (1, 2)
    Params = BoxOutputParams

    def prepare(self, node: Node[Boxes[BoxOutputParams]]) -> None:
        p = node.params.own
        count = len(node.inputs)
        self.check_reg(node)
        for name in ("field_h", "field_w", "downsample_rate"):
            given = getattr(p, name)
            if len(given) != count or not all(given):
                raise node.error(f"{count} bottoms need {count} {name} above 0")
        if p.field_whr <= 0 or p.field_xyr <= 0:
            raise node.error("field_whr and field_xyr must be above 0")
        if p.nms_type in ("IOMU", "IOFU"):
            raise node.error(f"nms_type {p.nms_type} is not supported", "IOU is")
        if not 0 <= p.iou_thr <= 1:
            raise node.error("iou_thr must be from 0 to 1")
        for value in node.inputs:
            if len(value.shape) != 4 or known(value.shape[1]) < 6:
                raise node.error(
                    f"needs maps of 4 coordinates and at least 2 classes, not {text(value.shape)}"
                )
            first = node.inputs[0].shape[0]
            if is_fixed(first, value.shape[0]) and first != value.shape[0]:
                raise node.error("has maps of different numbers of images")

    def shapes(self, node: Node[Boxes[BoxOutputParams]]) -> list[Shape]:
        count = f"{node.name}_rois"
        shapes: list[Shape] = [(count, 5, 1, 1), (count, 6, 1, 1)]
        return shapes[: len(node.outputs)]

    def legal(self, node: Node[Boxes[BoxOutputParams]]) -> dict[int, Legal]:
        return dict.fromkeys(range(len(node.inputs)), Interval(-4, 4))

    def onnx(self, node: Node[Boxes[BoxOutputParams]], b: OnnxBuilder) -> None:
        p = node.params.own
        maps = [self.fields(node, b, index) for index in range(len(node.inputs))]
        scores, boxes = (
            parts[0] if len(parts) == 1 else b.op("Concat", *parts, axis=1)
            for parts in zip(*maps, strict=True)
        )  # N×P, N×P×4
        # Of equal scores Caffe takes the last, ONNX the first.
        scores, boxes = (self.backwards(b, part) for part in (scores, boxes))
        count = b.op("Shape", scores, start=1, end=2)
        most = b.op("Min", count, b.ints(p.max_nms_num)) if p.max_nms_num else count
        names = [b.fresh(f"{node.name}/{name}") for name in ("best", "place")]
        b.op("TopK", scores, most, axis=1, out=names)
        place = b.op("Unsqueeze", names[1], b.ints(2))
        corners = b.op("GatherND", boxes, place, batch_dims=1)  # N×k×4
        stay = b.op(
            "NonMaxSuppression",
            corners,
            b.op("Unsqueeze", names[0], b.ints(1)),
            b.ints(p.max_post_nms_num) if p.max_post_nms_num else most,
            b.const(np.array([p.iou_thr], np.float32)),
            b.const(np.array([LOWEST], np.float32)),
        )
        image, _, index = (b.fresh(f"{node.name}/{name}") for name in ("image", "class", "index"))
        b.op("Split", stay, b.ints(1, 1, 1), axis=1, out=[image, _, index])
        keys = b.op("Reshape", b.op("Add", b.op("Mul", image, most), index), b.ints(-1))
        found = [b.fresh(f"{node.name}/{name}") for name in ("stay", "unused")]
        b.op("TopK", keys, b.op("Shape", keys), axis=0, largest=0, out=found)
        image = b.op("Cast", b.op("Div", found[0], most), to=FLOAT)
        rows = [
            b.op("Unsqueeze", image, b.ints(1)),
            b.op("Gather", b.op("Reshape", corners, b.ints(-1, 4)), found[0], axis=0),
        ]
        self.or_one(node, b, b.op("Concat", *rows, axis=1), [0, 1, 1, 10, 10], keys, 0)
        if len(node.outputs) == 2:
            flat = b.op("Gather", b.op("Reshape", names[0], b.ints(-1, 1)), found[0], axis=0)
            self.or_one(node, b, b.op("Concat", *rows, flat, axis=1), [0] * 6, keys, 1)

    def or_one(
        self,
        node: Node[Boxes[BoxOutputParams]],
        b: OnnxBuilder,
        found: str,
        blank: list[int],
        keys: str,
        top: int,
    ) -> None:
        """The rows found, or the blank one, as R×C×1×1."""
        nothing = b.op("Cast", b.op("Equal", b.op("Shape", keys), b.ints(0)), to=INT64)
        row = b.const(np.array([blank], np.float32))
        row = b.op("Expand", row, b.join(nothing, b.ints(len(blank))))
        every = b.op("Concat", found, row, axis=0)
        b.op("Unsqueeze", every, b.ints(2, 3), out=node.outputs[top])

    def backwards(self, b: OnnxBuilder, value: str) -> str:
        """Along the second axis."""
        low = np.iinfo(np.int64).min
        return b.op("Slice", value, b.ints(-1), b.ints(low), b.ints(1), b.ints(-1))

    def fields(
        self, node: Node[Boxes[BoxOutputParams]], b: OnnxBuilder, index: int
    ) -> tuple[str, str]:
        """Of a map: scores N×HW, the lowest where there is no box, and corners N×HW×4."""
        p = node.params.own
        value = node.inputs[index]
        rate = p.downsample_rate[index]
        names = [b.fresh(f"{node.name}/{name}") for name in ("other", "class", "place", "growth")]
        classes = known(value.shape[1]) - 5
        b.op("Split", value, b.ints(1, classes, 2, 2), axis=1, out=names)
        score = b.op("Sub", b.op("ReduceMax", names[1], b.ints(1)), names[0])
        side = np.array([p.field_w[index], p.field_h[index]], np.float32).reshape(1, 2, 1, 1)
        place, growth = (
            b.op("Clip", self.scaled(node, b, names[2 + i], 2 * i), *map(b.const, bounds))
            for i, bounds in enumerate(limits(p))
        )
        grid = []
        for axis, shape in ((3, (1, 1, 1, -1)), (2, (1, 1, -1, 1))):
            line = b.op("Cast", count_up(b, b.dim(value, axis), 1), to=FLOAT)
            line = b.op("Add", line, b.const(np.float32(0.5)))
            line = b.op("Reshape", b.op("Mul", line, b.const(np.float32(rate))), b.ints(*shape))
            plane = b.join(b.ints(1, 1), b.dim(value, 2), b.dim(value, 3))
            grid.append(b.op("Expand", line, plane))
        middle = b.op("Concat", *grid, axis=1)
        centre = b.op("Add", b.op("Mul", place, b.const(side)), middle)
        size = b.op("Mul", b.op("Exp", growth), b.const(side))
        low = b.op("Sub", centre, b.op("Div", size, b.const(np.float32(2))))
        low = b.op("Max", low, b.const(np.float32(0)))
        image = b.op("Mul", b.join(b.dim(value, 3), b.dim(value, 2)), b.ints(rate))
        image = b.op("Reshape", b.op("Cast", image, to=FLOAT), b.ints(1, 2, 1, 1))
        size = b.op("Min", size, b.op("Sub", image, low))
        boxes = b.op("Concat", low, b.op("Add", low, size), axis=1)
        boxes = b.op("Transpose", b.op("Reshape", boxes, b.ints(0, 4, -1)), perm=[0, 2, 1])
        large = b.op("ReduceMin", size, b.ints(1))
        large = b.op("GreaterOrEqual", large, b.const(np.float32(p.min_size)))
        there = b.op("And", b.op("GreaterOrEqual", score, b.const(np.float32(p.fg_thr))), large)
        score = b.op("Where", there, score, b.const(LOWEST))
        return b.op("Reshape", score, b.ints(0, -1)), boxes

    def scaled(
        self, node: Node[Boxes[BoxOutputParams]], b: OnnxBuilder, pair: str, first: int
    ) -> str:
        """Two of the four numbers of a box, times their deviation, plus their mean."""
        if not node.params.reg.given():
            return pair
        mean, deviation = (
            b.const(np.array(n[first : first + 2], np.float32).reshape(1, 2, 1, 1))
            for n in node.params.reg.numbers()
        )
        return b.op("Add", b.op("Mul", pair, deviation), mean)

    def torch(self, node: Node[Boxes[BoxOutputParams]]) -> nn.Module:
        from .torch.mscnn import BoxOutput as Module

        p = node.params.own
        sides = list(zip(p.field_w, p.field_h, strict=True))
        return Module(
            sides,
            p.downsample_rate,
            limits=[(float(low), float(high)) for low, high in limits(p)],
            scaling=node.params.reg.numbers() if node.params.reg.given() else None,
            least=p.fg_thr,
            min_size=p.min_size,
            overlap=p.iou_thr,
            candidates=p.max_nms_num or None,
            most=p.max_post_nms_num or None,
            tops=len(node.outputs),
        )


def limits(p: BoxOutputParams) -> list[tuple[np.float32, np.float32]]:
    """The least and greatest shift and the least and greatest growth."""
    shift, growth = np.float32(1) / np.float32(p.field_xyr), np.float32(math.log(p.field_whr))
    return [(-shift, shift), (-growth, growth)]


@dataclass
class DecodeBBoxParams:
    """DecodeBBoxParameter."""

    gt_iou_thr: float = 0.95


@register("DecodeBBox", message="decode_bbox_param")
class DecodeBBox(BoxLayer[DecodeBBoxParams]):
    """Regions moved and stretched by what was predicted of them (decode_bbox_layer.cpp, 534bcac).

    Bottoms: offsets R×8, of which the last four are those of an object, and regions R×5 (image,
    x1, y1, x2, y2); the top is R×5×1×1. A third bottom, and the screening of boxes, are for
    training alone.
    """

    bottoms = (2, 3)
    lists = (0, 1)
    Params = DecodeBBoxParams

    def prepare(self, node: Node[Boxes[DecodeBBoxParams]]) -> None:
        self.check_reg(node)
        if len(node.inputs) == 3 or node.phase == "TRAIN":
            raise node.error(
                "screens its boxes while training", Sentence("use ", Argument("phase", "test"))
            )
        first, second = (v.shape for v in node.inputs)
        if tuple(s[1:2] for s in (first, second)) != ((8,), (5,)) or any(
            d != 1 for d in (*first[2:], *second[2:])
        ):
            raise node.error(f"needs Rx8 offsets and Rx5 regions, not {text(first)} {text(second)}")

    def shapes(self, node: Node[Boxes[DecodeBBoxParams]]) -> list[Shape]:
        return [(node.inputs[1].shape[0], 5, 1, 1)]

    def legal(self, node: Node[Boxes[DecodeBBoxParams]]) -> dict[int, Legal]:
        return {0: Interval(-4, 4)}

    def onnx(self, node: Node[Boxes[DecodeBBoxParams]], b: OnnxBuilder) -> None:
        means, deviations = (np.array(n, np.float32) for n in node.params.reg.numbers())
        rows = b.op("Reshape", node.inputs[0], b.ints(-1, 8))
        rows = b.op("Slice", rows, b.ints(4), b.ints(8), b.ints(1))
        rows = b.op("Add", b.op("Mul", rows, b.const(deviations)), b.const(means))
        names = [b.fresh(f"{node.name}/{name}") for name in ("shift", "growth")]
        b.op("Split", rows, b.ints(2, 2), axis=1, out=names)
        parts = [b.fresh(f"{node.name}/{name}") for name in ("image", "low", "high")]
        regions = b.op("Reshape", node.inputs[1], b.ints(-1, 5))
        b.op("Split", regions, b.ints(1, 2, 2), axis=1, out=parts)
        one, two = b.const(np.float32(1)), b.const(np.float32(2))
        size = b.op("Add", b.op("Sub", parts[2], parts[1]), one)
        centre = b.op("Mul", b.op("Add", parts[1], parts[2]), b.const(np.float32(0.5)))
        centre = b.op("Add", b.op("Mul", names[0], size), centre)
        reach = b.op("Sub", b.op("Mul", b.op("Exp", names[1]), size), one)
        low = b.op("Sub", centre, b.op("Div", reach, two))
        every = b.op("Concat", parts[0], low, b.op("Add", low, reach), axis=1)
        b.op("Unsqueeze", every, b.ints(2, 3), out=node.outputs[0])

    def torch(self, node: Node[Boxes[DecodeBBoxParams]]) -> nn.Module:
        from .torch.mscnn import DecodeBBox as Module

        return Module(*node.params.reg.numbers())


@register("ROIAlign", message="roi_pooling_param")
class ROIAlign(RegionPooling[ROIPoolingParams]):
    """Values at the corners of each bin of each region, by bilinear interpolation.

    (roi_align_layer.cpp, 534bcac.) R×C×(pooled_h + 1)×(pooled_w + 1): not the means of other
    programs' layers of this name. A place outside the map gives 0, and so does an empty region.
    """

    fork = FORK
    Params = ROIPoolingParams

    def prepare(self, node: Node[ROIPoolingParams]) -> None:
        self.check(node)
        if not node.params.pooled_h or not node.params.pooled_w:
            raise node.error("pooled_h and pooled_w must be above 0")

    def shapes(self, node: Node[ROIPoolingParams]) -> list[Shape]:
        x, rois = (v.shape for v in node.inputs)
        return [(rois[0], x[1], node.params.pooled_h + 1, node.params.pooled_w + 1)]

    def legal(self, node: Node[ROIPoolingParams]) -> dict[int, Legal]:
        return {1: regions(node, node.params.spatial_scale)}

    def onnx(self, node: Node[ROIPoolingParams], b: OnnxBuilder) -> None:
        p = node.params
        x = node.inputs[0]
        rois = self.padded(b, self.regions(node, b), p.pad_ratio)
        columns = self.places(node, b, rois, 0, p.pooled_w)  # each R×1×G of one axis
        rows = [
            b.op("Transpose", part, perm=[0, 2, 1])
            for part in self.places(node, b, rois, 1, p.pooled_h)
        ]
        image = b.op("Cast", b.op("Slice", rois, b.ints(0), b.ints(1), b.ints(1)), to=INT64)
        image = b.op("Unsqueeze", image, b.ints(2))
        high, wide = b.dim(x, 2), b.dim(x, 3)
        table = b.op("Transpose", x, perm=[0, 2, 3, 1])
        table = b.op("Reshape", table, b.join(b.ints(-1), b.dim(x, 1)))
        base = b.op("Mul", image, high)
        total = ""
        for row, across in ((0, 2), (1, 3)):
            line = b.op("Mul", b.op("Add", base, rows[row]), wide)
            for column, along in ((0, 2), (1, 3)):
                corner = b.op("Gather", table, b.op("Add", line, columns[column]), axis=0)
                share = b.op("Mul", rows[across], columns[along])
                part = b.op("Mul", corner, b.op("Unsqueeze", share, b.ints(3)))
                total = b.op("Add", total, part) if total else part
        b.op("Transpose", total, perm=[0, 3, 1, 2], out=node.outputs[0])

    def places(
        self, node: Node[ROIPoolingParams], b: OnnxBuilder, rois: str, axis: int, bins: int
    ) -> list[str]:
        """Where the corners of each region's bins lie along an axis (0: columns), R×1×(bins + 1).

        The cell before each corner and the one behind, and what each has of the value.
        """
        scale, half = b.const(np.float32(node.params.spatial_scale)), b.const(np.float32(0.5))
        ends = []
        for index in (1 + axis, 3 + axis):
            part = b.op("Slice", rois, b.ints(index), b.ints(index + 1), b.ints(1))
            ends.append(b.op("Sub", b.op("Mul", part, scale), half))
        length = b.op("Sub", ends[1], ends[0])
        step = b.op("Div", length, b.const(np.float32(bins)))
        steps = b.const(np.arange(bins + 1, dtype=np.float32)[None])
        place = b.op("Add", ends[0], b.op("Mul", step, steps))  # R×(bins+1)
        count = b.dim(node.inputs[0], 3 - axis)
        size = b.op("Cast", count, to=FLOAT)
        zero, one = b.const(np.float32(0)), b.const(np.float32(1))
        inside = b.op("And", b.op("Greater", length, zero), self.within(b, place, size))
        last = b.op("Sub", size, one)
        floor = b.op("Floor", place)
        place = b.op("Min", b.op("Max", place, zero), last)
        before = b.op("Min", b.op("Max", floor, zero), last)
        behind = b.op("Min", b.op("Max", b.op("Add", floor, one), zero), last)
        share = b.op("Sub", place, before)
        there = b.op("Cast", inside, to=FLOAT)
        shares = [b.op("Mul", part, there) for part in (b.op("Sub", one, share), share)]
        cells = [b.op("Cast", part, to=INT64) for part in (before, behind)]
        return [b.op("Unsqueeze", part, b.ints(1)) for part in (*cells, *shares)]

    def within(self, b: OnnxBuilder, place: str, size: str) -> str:
        half = b.const(np.float32(0.5))
        low = b.op("GreaterOrEqual", place, b.op("Neg", half))
        return b.op("And", low, b.op("LessOrEqual", place, b.op("Sub", size, half)))

    def torch(self, node: Node[ROIPoolingParams]) -> nn.Module:
        from .torch.mscnn import RegionCorners

        p = node.params
        return RegionCorners((p.pooled_h, p.pooled_w), p.spatial_scale, p.pad_ratio)
