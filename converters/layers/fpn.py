"""Feature pyramids of unsky/FPN: proposals of five maps, and regions shared out to four."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from prototxt.errors import Argument, Sentence

from ..graph import Node, Shape, Value
from ..legal import ImageInfo, Interval, Legal
from ..registry import register
from ..shapes import known, product, text
from .photographs import Sampler
from .python import Limits, ProposalLayer, PythonLayer, make_anchors
from .rcnn import DOUBLE, FLOAT

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder

FORK = "FPN (unsky/FPN)"
INT64 = 7
STRIDES = (4, 8, 16, 32, 64)
"""Of the bottoms, offsets and scores, in this order."""
SCALES = [16.0, 32.0]
"""FPNRSCALES of its config.py."""
LIMITS = {"TEST": Limits(6000, 1000, 0.7, 16.0), "TRAIN": Limits(12000, 2000, 0.7, 16.0)}
LEVELS = (2, 3, 4, 5)


@register("Python:rpn.proposal_layer.ProposalLayer/11", message="python_param")
class PyramidProposals(ProposalLayer):
    """Regions from five region proposal networks (lib/rpn/proposal_layer.py, commit a096edb).

    Bottoms: im_info, offsets of the maps of stride 4 to 64, their scores; the top is as Faster
    R-CNN's. Where fewer regions are left than there may be (1000, or 2000 in training), the fork
    repeats some of them at random; here each stands once.
    """

    fork = FORK
    bottoms = (11, 11)
    tops = (1, 1)

    def strides(self, node: Node[Any]) -> list[int]:
        given = self.settings(node).get("feat_stride")
        parts = given.split(",") if isinstance(given, str) else given
        if isinstance(parts, int):
            parts = [parts]
        try:
            found = [int(part) for part in parts or ()]
        except (TypeError, ValueError):
            found = []
        if not found or len(set(found)) < len(found) or not set(found) <= set(STRIDES):
            raise node.error("feat_stride of param_str must name some of 4,8,16,32,64")
        return found

    def prepare(self, node: Node[Any]) -> None:
        count = 3 * len(SCALES)
        for stride in self.strides(node):
            offsets, scores = self.maps(node, stride)
            for value, size, what in ((offsets, 4, "offsets"), (scores, 2, "scores")):
                shape = value.shape
                if len(shape) != 4 or known(shape[1]) != size * count:
                    raise node.error(
                        f"{count} anchors need maps of {size * count} {what}, not {text(shape)}"
                    )
                if known(shape[0]) != 1:
                    raise node.error(
                        f"takes one image at a time, not {shape[0]}",
                        Sentence("give ", Argument("shapes")),
                    )
        if product(node.inputs[0].shape) != 3:
            raise node.error(f"im_info has 3 numbers, not {text(node.inputs[0].shape)}")

    def maps(self, node: Node[Any], stride: int) -> tuple[Value, Value]:
        """Offsets and scores."""
        place = STRIDES.index(stride)
        return node.inputs[1 + place], node.inputs[6 + place]

    def scales(self, node: Node[Any]) -> list[float]:
        return SCALES

    def limits(self, node: Node[Any]) -> Limits:
        return LIMITS[node.phase]

    def info(self, node: Node[Any]) -> Value:
        return node.inputs[0]

    def legal(self, node: Node[Any]) -> dict[int, Legal]:
        sizes = [d if isinstance(d, int) else 1 for d in node.inputs[1].shape[2:]]
        found: dict[int, Legal] = {0: ImageInfo(4 * sizes[0], 4 * sizes[1])}
        found.update(dict.fromkeys(range(1, 6), Interval(-4, 4)))
        return found | dict.fromkeys(range(6, 11), Interval(0, 1))

    def onnx(self, node: Node[Any], b: OnnxBuilder) -> None:
        parts = [self.level(node, b, stride) for stride in self.strides(node)]
        front, low, high = (
            b.op("Concat", *columns, axis=0) for columns in zip(*parts, strict=True)
        )
        self.best(node, b, front, low, high)

    def level(self, node: Node[Any], b: OnnxBuilder, stride: int) -> list[str]:
        """Scores and corners from one map, of which only what lies on the image is read."""
        offsets, scores = self.maps(node, stride)
        count = 3 * len(SCALES)
        image = b.op("Slice", b.op("Reshape", self.info(node), b.ints(-1)), b.ints(0), b.ints(2))
        cells = b.op("Cast", b.op("Div", image, b.const(np.float32(stride))), to=INT64)
        cells = b.op("Min", cells, b.join(b.dim(scores, 2), b.dim(scores, 3)))
        front = b.op("Slice", scores, b.ints(count), b.ints(2 * count), b.ints(1))
        front = b.op("Slice", front, b.ints(0, 0), cells, b.ints(2, 3))
        front = b.op("Reshape", b.op("Transpose", front, perm=[0, 2, 3, 1]), b.ints(-1))
        rows = b.op("Slice", offsets, b.ints(0, 0), cells, b.ints(2, 3))
        rows = b.op("Reshape", b.op("Transpose", rows, perm=[0, 2, 3, 1]), b.ints(-1, 4))
        anchors = self.grid(node, b, stride, cells)
        low, high = self.clipped(node, b, *self.decoded(node, b, rows, anchors))
        return self.large(node, b, front, low, high)

    def grid(self, node: Node[Any], b: OnnxBuilder, stride: int, cells: str) -> str:
        """The anchors of `cells` (height, width) as rows."""
        zero, one = (b.const(np.array(i, np.int64)) for i in (0, 1))
        shifts = []
        # Of H×W×1×1, x varies along the second axis and y along the first.
        for axis, axes in ((1, (0, 2, 3)), (0, (1, 2, 3))):
            count = b.op("Gather", cells, b.const(np.array(axis, np.int64)))
            places = b.op("Mul", b.op("Range", zero, count, one), b.ints(stride))
            places = b.op("Unsqueeze", b.op("Cast", places, to=DOUBLE), b.ints(*axes))
            shifts.append(b.op("Expand", places, b.join(cells, b.ints(1, 1))))
        both = b.op("Concat", *shifts, *shifts, axis=3)
        rows = b.op("Add", both, b.const(make_anchors(SCALES, stride)))
        return b.op("Cast", b.op("Reshape", rows, b.ints(-1, 4)), to=FLOAT)

    def torch(self, node: Node[Any]) -> nn.Module:
        from .torch.fpn import PyramidProposals as Module

        limits, strides = self.limits(node), self.strides(node)
        return Module(
            [make_anchors(SCALES, stride) for stride in strides],
            strides,
            [STRIDES.index(stride) for stride in strides],
            candidates=limits.candidates,
            most=limits.most,
            overlap=limits.overlap,
            min_size=limits.min_size,
        )


class SharedOut(PythonLayer):
    """Regions R×5 shared out by their size to the maps of stride 4, 8, 16 and 32.

    Tops: the four lists below one another, and each list.
    """

    fork = FORK
    tops = (5, 5)
    lists = (0,)
    rows: ClassVar[int | None] = None
    """How many rows each list has, zeros behind its own; None as many as there are regions."""

    def prepare(self, node: Node[Any]) -> None:
        shape = node.inputs[0].shape
        if len(shape) < 2 or shape[1] != 5 or any(d != 1 for d in shape[2:]):
            raise node.error(f"needs Rx5 regions, not {text(shape)}")

    def shapes(self, node: Node[Any]) -> list[Shape]:
        if self.rows is not None:
            return [(4 * self.rows, 5), *[(self.rows, 5)] * 4]
        return [(f"{node.name}_{part}", 5) for part in ("rois", *map(str, LEVELS))]

    def onnx(self, node: Node[Any], b: OnnxBuilder) -> None:
        rois = b.op("Reshape", node.inputs[0], b.ints(-1, 5))
        sides = [b.op("Slice", rois, b.ints(i), b.ints(i + 2), b.ints(1)) for i in (1, 3)]
        area = b.op("ReduceProd", b.op("Sub", sides[1], sides[0]), b.ints(1), keepdims=0)
        least = b.const(np.float32(1e-6))
        area = b.op("Where", b.op("LessOrEqual", area, b.const(np.float32(0))), least, area)
        shares = b.op("Div", b.op("Sqrt", area), b.const(np.float32(224)))
        # numpy's log2 of float32, which ONNX has not: rounded once, from more digits.
        power = b.op("Log", b.op("Cast", shares, to=DOUBLE))
        power = b.op("Cast", b.op("Div", power, b.const(np.log(np.float64(2)))), to=FLOAT)
        level = b.op("Floor", b.op("Add", power, b.const(np.float32(4))))
        level = b.op("Clip", level, *(b.const(np.float32(LEVELS[i])) for i in (0, -1)))
        for top, step in enumerate(LEVELS, 1):
            mine = b.op("Equal", level, b.const(np.float32(step)))
            self.listed(node, b, b.op("Compress", rois, mine, axis=0), top)
        b.op("Concat", *node.outputs[1:], axis=0, out=node.outputs[0])

    def listed(self, node: Node[Any], b: OnnxBuilder, found: str, top: int) -> None:
        """Write a list, with rows of zeros behind it."""
        count = b.op("Shape", found, start=0, end=1)
        if self.rows is None:
            missing = b.op("Cast", b.op("Equal", count, b.ints(0)), to=INT64)
            missing = b.op("Mul", missing, b.ints(4))
        else:
            missing = b.op("Max", b.op("Sub", b.ints(self.rows), count), b.ints(0))
        blank = b.full(b.join(missing, b.ints(5)))
        every = b.op("Concat", found, blank, axis=0)
        if self.rows is None:
            b.op("Identity", every, out=node.outputs[top])
        else:
            b.op("Slice", every, b.ints(0), b.ints(self.rows), b.ints(0), out=node.outputs[top])

    def torch(self, node: Node[Any]) -> nn.Module:
        from .torch.fpn import SharedOut as Module

        return Module(self.rows)


@register("Python:rpn.as_rois.As_roisLayer", message="python_param")
class AsRois(SharedOut):
    """Each list 1000 rows, zeros behind its own (lib/rpn/as_rois.py, commit a096edb)."""

    rows = 1000


@register("Python:rpn.as_rois_mrcnn.As_rois_MergeRcnnLayer", message="python_param")
class AsRoisMerged(SharedOut):
    """Each list its own regions, or four rows of zeros (lib/rpn/as_rois_mrcnn.py, a096edb)."""


class PyramidSampler(Sampler):
    """A sample of regions, shared out to four maps, with labels and targets."""

    fork = FORK
    region_tops: ClassVar[int]
    """How many tops, from the first, are lists of regions."""

    def top_shape(self, params: object, index: int) -> tuple[int, ...] | None:
        return (1, 5) if index < self.region_tops else None


@register(
    "Python:rpn.proposal_target_layer_mrcnn.ProposalMergeRcnnTargetLayer", message="python_param"
)
class ProposalMergeRcnnTarget(PyramidSampler):
    """Four lists, then labels and targets (lib/rpn/proposal_target_layer_mrcnn.py, a096edb)."""

    region_tops = 4


@register("Python:rpn.proposal_target_layer.ProposalTargetLayer/3", message="python_param")
class PyramidProposalTarget(PyramidSampler):
    """Four lists, then labels and targets (lib/rpn/proposal_target_layer.py, a096edb)."""

    region_tops = 4
