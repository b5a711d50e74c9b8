"""Pooling of regions: ROIPooling of Fast R-CNN, PSROIPooling of R-FCN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from prototxt.schema import UInt

from ..graph import Node, P, Shape
from ..layer_type import LayerType
from ..legal import Legal, regions
from ..registry import register
from ..shapes import known, text

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder

FLOAT, INT64, DOUBLE = 1, 7, 11


class RegionPooling(LayerType[P]):
    """Bottoms: features, and regions as R×5 (image, x1, y1, x2, y2 in pixels of the image)."""

    bottoms = (2, 2)
    unbatched_bottoms = (1,)

    def bottom_shape(self, params: Any, index: int) -> tuple[int, ...] | None:
        return (1, 5) if index == 1 else None

    def check(self, node: Node[P]) -> None:
        x, rois = (v.shape for v in node.inputs)
        if len(x) != 4 or len(rois) < 2 or rois[1] != 5 or any(d != 1 for d in rois[2:]):
            raise node.error(f"needs 4-D features and Rx5 regions, not {text(x)} and {text(rois)}")

    def regions(self, node: Node[P], b: OnnxBuilder) -> str:
        rois = node.inputs[1]
        return b.name(rois) if len(rois.shape) == 2 else b.op("Reshape", rois, b.ints(-1, 5))

    def padded(self, b: OnnxBuilder, rois: str, ratio: float) -> str:
        """Regions R×5, wider on each side by a share of their width, and higher so (MS-CNN)."""
        if not ratio:
            return rois
        names = [b.fresh(f"{rois}/{name}") for name in ("image", "low", "high")]
        b.op("Split", rois, b.ints(1, 2, 2), axis=1, out=names)
        size = b.op("Add", b.op("Sub", names[2], names[1]), b.const(np.float32(1)))
        pad = b.op("Mul", size, b.const(np.float32(ratio)))
        low, high = b.op("Sub", names[1], pad), b.op("Add", names[2], pad)
        return b.op("Concat", names[0], low, high, axis=1)


@dataclass
class ROIPoolingParams:
    """ROIPoolingParameter, with the margin that MS-CNN added."""

    pooled_h: UInt = 0
    pooled_w: UInt = 0
    spatial_scale: float = 1.0
    pad_ratio: float = 0.0


@register("ROIPooling", message="roi_pooling_param")
class ROIPooling(RegionPooling[ROIPoolingParams]):
    """The maximum of each bin of each region, corners rounded away from 0 (roi_pooling_layer.cpp).

    Bins reach from the floor to the ceiling of their bounds, and so may overlap; an empty one
    gives 0. ONNX' MaxRoiPool is the same in ONNX Runtime.
    """

    fork = "Fast R-CNN (rbgirshick/caffe-fast-rcnn)"
    Params = ROIPoolingParams

    def prepare(self, node: Node[ROIPoolingParams]) -> None:
        self.check(node)
        if not node.params.pooled_h or not node.params.pooled_w:
            raise node.error("pooled_h and pooled_w must be above 0")

    def shapes(self, node: Node[ROIPoolingParams]) -> list[Shape]:
        x, rois = (v.shape for v in node.inputs)
        return [(rois[0], x[1], node.params.pooled_h, node.params.pooled_w)]

    def legal(self, node: Node[ROIPoolingParams]) -> dict[int, Legal]:
        return {1: regions(node, node.params.spatial_scale or 0)}

    def onnx(self, node: Node[ROIPoolingParams], b: OnnxBuilder) -> None:
        p = node.params
        b.op(
            "MaxRoiPool",
            node.inputs[0],
            self.padded(b, self.regions(node, b), p.pad_ratio),
            out=node.outputs[0],
            pooled_shape=[p.pooled_h, p.pooled_w],
            spatial_scale=p.spatial_scale,
        )

    def torch(self, node: Node[ROIPoolingParams]) -> nn.Module:
        from .torch.rcnn import RegionMaximum

        p = node.params
        return RegionMaximum((p.pooled_h, p.pooled_w), p.spatial_scale, p.pad_ratio)


@dataclass
class PSROIPoolingParams:
    """PSROIPoolingParameter; all three are required."""

    spatial_scale: float | None = None
    output_dim: int = 0
    group_size: int = 0


@register("PSROIPooling", message="psroi_pooling_param")
class PSROIPooling(RegionPooling[PSROIPoolingParams]):
    """The mean of each bin of each region, bins in channels of their own (psroi_pooling_layer.cu).

    The bounds are rounded as the fork's GPU code has it, whose multiply-add rounds but once.
    """

    fork = "R-FCN (daijifeng001/caffe-rfcn)"
    Params = PSROIPoolingParams

    def prepare(self, node: Node[PSROIPoolingParams]) -> None:
        p = node.params
        self.check(node)
        if p.spatial_scale is None or p.output_dim < 1 or p.group_size < 1:
            raise node.error("give spatial_scale, output_dim and group_size")

    def shapes(self, node: Node[PSROIPoolingParams]) -> list[Shape]:
        p = node.params
        x, rois = (v.shape for v in node.inputs)
        wanted = p.output_dim * p.group_size**2
        if known(x[1]) != wanted:
            raise node.error(f"needs {wanted} channels (output_dim x group_size^2), not {x[1]}")
        return [(rois[0], p.output_dim, p.group_size, p.group_size)]

    def legal(self, node: Node[PSROIPoolingParams]) -> dict[int, Legal]:
        return {1: regions(node, node.params.spatial_scale or 0)}

    def onnx(self, node: Node[PSROIPoolingParams], b: OnnxBuilder) -> None:
        """Sums over bins are products with masks: first over columns, then over rows."""
        p = node.params
        x, size, dim = node.inputs[0], p.group_size, p.output_dim
        rois = self.regions(node, b)
        columns, wide = self.bins(node, b, rois, 0)  # R×G×W, R×G
        rows, high = self.bins(node, b, rois, 1)  # R×G×H, R×G
        image = b.op("Cast", self.column(b, rois, 0), to=INT64)  # R×1
        mine = b.op("Cast", b.op("Equal", image, self.count(b, b.dim(x, 0))), to=FLOAT)  # R×N
        rows = b.op(
            "Mul", b.op("Unsqueeze", rows, b.ints(2)), b.op("Unsqueeze", mine, b.ints(1, 3))
        )
        rows = b.op("Transpose", b.op("Reshape", rows, b.ints(0, size, -1)), perm=[1, 2, 0])
        features = b.op("Transpose", x, perm=[1, 0, 2, 3])
        shape = b.join(b.ints(dim, size, size, -1), b.dim(x, 3))
        features = b.op("Transpose", b.op("Reshape", features, shape), perm=[2, 0, 1, 3, 4])
        features = b.op("Reshape", features, b.join(b.ints(size, -1), b.dim(x, 3)))
        sums = b.op("MatMul", features, b.op("Transpose", columns, perm=[1, 2, 0]))
        count = b.op("Shape", rois, start=0, end=1)
        sums = b.op("Reshape", sums, b.join(b.ints(size, dim, size, -1), count))
        sums = b.op("ReduceSum", b.op("Mul", sums, rows), b.ints(3), keepdims=0)  # G×D×G×R
        area = b.op("Mul", b.op("Unsqueeze", high, b.ints(2)), b.op("Unsqueeze", wide, b.ints(1)))
        area = b.op("Unsqueeze", b.op("Max", area, b.const(np.float32(1))), b.ints(1))
        b.op("Div", b.op("Transpose", sums, perm=[3, 1, 2, 0]), area, out=node.outputs[0])

    def bins(
        self, node: Node[PSROIPoolingParams], b: OnnxBuilder, rois: str, axis: int
    ) -> tuple[str, str]:
        """Of each region and bin: 1 for the columns (axis 0) or rows inside, and their number."""
        p = node.params
        scale, size = b.const(np.float32(p.spatial_scale or 0)), p.group_size
        low, high = (self.rounded(b, self.column(b, rois, i + axis)) for i in (1, 3))
        start = b.op("Mul", low, scale)
        end = b.op("Mul", b.op("Add", high, b.const(np.float32(1))), scale)
        length = b.op("Max", b.op("Sub", end, start), b.const(np.float32(0.1)))
        step = b.op("Cast", b.op("Div", length, b.const(np.float32(size))), to=DOUBLE)
        start = b.op("Cast", start, to=DOUBLE)
        places = b.op("Mul", step, b.const(np.arange(size + 1, dtype=np.float64)))
        places = b.op("Cast", b.op("Add", places, start), to=FLOAT)  # R×(G+1)
        count = b.dim(node.inputs[0], 3 - axis)
        limit = b.op("Cast", count, to=FLOAT)
        bounds = []
        for first, way in ((0, "Floor"), (1, "Ceil")):
            part = b.op("Slice", places, b.ints(first), b.ints(first + size), b.ints(1))
            part = b.op("Max", b.op(way, part), b.const(np.float32(0)))
            bounds.append(b.op("Min", part, limit))
        index = b.op("Cast", self.count(b, count), to=FLOAT)
        from_low = b.op("GreaterOrEqual", index, b.op("Unsqueeze", bounds[0], b.ints(2)))
        to_high = b.op("Less", index, b.op("Unsqueeze", bounds[1], b.ints(2)))
        inside = b.op("Cast", b.op("And", from_low, to_high), to=FLOAT)
        return inside, b.op("Max", b.op("Sub", bounds[1], bounds[0]), b.const(np.float32(0)))

    def column(self, b: OnnxBuilder, rois: str, index: int) -> str:
        return b.op("Slice", rois, b.ints(index), b.ints(index + 1), b.ints(1))

    def count(self, b: OnnxBuilder, end: str) -> str:
        """0, 1, 2 ... below `end`."""
        zero, one = (b.const(np.array(i, np.int64)) for i in (0, 1))
        return b.op("Range", zero, b.op("Squeeze", end, b.ints(0)), one)

    def rounded(self, b: OnnxBuilder, value: str) -> str:
        """To the nearest, halves away from 0; ONNX' Round takes them to the even one."""
        size = b.op("Abs", value)
        whole = b.op("Floor", size)
        up = b.op("GreaterOrEqual", b.op("Sub", size, whole), b.const(np.float32(0.5)))
        return b.op("Mul", b.op("Sign", value), b.op("Add", whole, b.op("Cast", up, to=FLOAT)))

    def torch(self, node: Node[PSROIPoolingParams]) -> nn.Module:
        from .torch.rcnn import RegionMean

        p = node.params
        return RegionMean(p.output_dim, p.group_size, p.spatial_scale or 0.0)
