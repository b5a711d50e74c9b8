"""Deformable convolution, as Caffe forks have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prototxt.schema import UInt

from ..graph import Node, Shape, Value
from ..legal import Interval, Legal
from ..registry import register
from ..shapes import convolved, is_fixed, known, text
from .convolution import Convolutional, ConvolutionParams
from .detection import count_up
from .rcnn import FLOAT, INT64

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


@dataclass
class DeformableConvolutionParams(ConvolutionParams):
    """DeformableConvolutionParameter."""

    deformable_group: UInt = 4


@register("DeformableConvolution", message="deformable_convolution_param")
class DeformableConvolution(Convolutional[DeformableConvolutionParams]):
    """A convolution each of whose taps reads at a place of its own (deformable_im2col.cu, a096edb).

    Bottoms: N×C×H×W, and N×2DK×H'×W': for each of D groups of channels and each of K taps how far
    down and to the right of its usual place it reads, by bilinear interpolation; 0 outside.
    """

    fork = "FPN (unsky/FPN)"
    bottoms = (2, 2)
    tops = (1, 1)
    Params = DeformableConvolutionParams
    out = staticmethod(convolved)

    def prepare(self, node: Node[DeformableConvolutionParams]) -> None:
        p = node.params
        if p.num_output == 0:
            raise node.error("num_output is missing or 0")
        if p.group == 0 or p.num_output % p.group:
            raise node.error(f"num_output {p.num_output} is not divisible by group {p.group}")
        shapes = [v.shape for v in node.inputs]
        if self.axis(node) != 1 or [len(s) for s in shapes] != [4, 4]:
            raise node.error(f"needs two 4-D bottoms, not {text(shapes[0])} and {text(shapes[1])}")

    def shapes(self, node: Node[DeformableConvolutionParams]) -> list[Shape]:
        p = node.params
        g, (x, offsets) = self.geometry(node), (v.shape for v in node.inputs)
        channels, taps = self.channels(node), g.kernel[0] * g.kernel[1]
        if p.deformable_group == 0 or channels % p.deformable_group:
            raise node.error(
                f"{channels} channels are not divisible by deformable_group {p.deformable_group}"
            )
        wanted = 2 * p.deformable_group * taps
        if known(offsets[1]) != wanted:
            raise node.error(f"needs {wanted} channels of offsets, not {offsets[1]}")
        parts = zip(x[2:], g.kernel, g.pad, g.stride, g.dilation, strict=True)
        plane = tuple(convolved(d, k, pad, s, dil) for d, k, pad, s, dil in parts)
        if is_fixed(*plane, *offsets[2:]) and plane != offsets[2:]:
            raise node.error(f"needs offsets for {text(plane)} places, not {text(offsets[2:])}")
        return [(x[0], p.num_output, *plane)]

    def legal(self, node: Node[DeformableConvolutionParams]) -> dict[int, Legal]:
        return {1: Interval(-2, 2)}

    def onnx(self, node: Node[DeformableConvolutionParams], b: OnnxBuilder) -> None:
        p = node.params
        x, offsets = node.inputs
        g, groups, channels = self.geometry(node), p.deformable_group, self.channels(node)
        taps = g.kernel[0] * g.kernel[1]
        images = b.dim(x, 0)
        moves = b.op("Reshape", offsets, b.join(images, b.ints(groups, taps, 2, -1)))
        pair = [b.fresh(f"{node.name}/{name}") for name in ("down", "right")]
        b.op("Split", moves, b.ints(1, 1), axis=3, out=pair)
        axes = [self.places(node, b, move, axis) for axis, move in enumerate(pair)]
        (above, below, *down), (left, right, *across) = axes
        inside = b.op("And", down.pop(), across.pop())
        planes = b.op("Reshape", x, b.join(images, b.ints(groups, channels // groups, -1)))
        wide = b.dim(x, 3)
        inside = b.op("Cast", inside, to=FLOAT)
        total = ""
        for row, high in zip((above, below), down, strict=True):
            line = b.op("Mul", row, wide)
            for column, low in zip((left, right), across, strict=True):
                index = b.op("Add", line, column)  # N×D×1×KP
                size = b.join(images, b.ints(groups, channels // groups, 1))
                index = b.op("Expand", index, size)
                value = b.op("GatherElements", planes, index, axis=3)
                share = b.op("Mul", b.op("Mul", high, low), inside)
                part = b.op("Mul", value, share)
                total = b.op("Add", total, part) if total else part
        plane = (b.dim(offsets, 2), b.dim(offsets, 3))
        rows = b.op("Reshape", total, b.join(images, b.ints(channels * taps), *plane))
        weight = b.op(
            "Reshape", b.weight(node, 0), b.ints(p.num_output, channels // p.group * taps, 1, 1)
        )
        bias = [b.weight(node, 1)] if p.bias_term else []
        b.op("Conv", rows, weight, *bias, out=node.outputs[0], group=p.group, kernel_shape=[1, 1])

    def places(
        self, node: Node[DeformableConvolutionParams], b: OnnxBuilder, move: str, axis: int
    ) -> list[str]:
        """Where the taps read along an axis, N×D×1×KP each.

        The cells before and behind, what each has of the value, and whether the place is inside.
        """
        g = self.geometry(node)
        offsets: Value = node.inputs[1]
        taps = np.indices(g.kernel)[axis].reshape(-1, 1, 1) * g.dilation[axis] - g.pad[axis]
        steps = count_up(b, b.dim(offsets, 2 + axis), 1)
        steps = b.op("Mul", steps, b.ints(g.stride[axis]))
        steps = b.op("Reshape", steps, b.ints(*((1, -1, 1), (1, 1, -1))[axis]))
        usual = b.op("Add", b.const(taps.astype(np.int64)), steps)
        grid = b.join(b.ints(len(taps)), b.dim(offsets, 2), b.dim(offsets, 3))
        usual = b.op("Reshape", b.op("Expand", usual, grid), b.ints(1, 1, 1, -1))
        place = b.op("Reshape", move, b.ints(0, 0, 1, -1))
        place = b.op("Add", b.op("Cast", usual, to=FLOAT), place)
        zero, one = b.const(np.float32(0)), b.const(np.float32(1))
        size = b.op("Cast", b.dim(node.inputs[0], 2 + axis), to=FLOAT)
        inside = b.op("And", b.op("GreaterOrEqual", place, zero), b.op("Less", place, size))
        last = b.op("Sub", size, one)
        place = b.op("Min", b.op("Max", place, zero), last)
        before = b.op("Floor", place)
        behind = b.op("Min", b.op("Add", before, one), last)
        share = b.op("Sub", place, before)
        cells = [b.op("Cast", part, to=INT64) for part in (before, behind)]
        return [*cells, b.op("Sub", one, share), share, inside]

    def torch(self, node: Node[DeformableConvolutionParams]) -> nn.Module:
        from .torch.deformable import DeformableConvolution as Module

        g, p = self.geometry(node), node.params
        return Module(
            node.blobs[0],
            node.blobs[1] if p.bias_term else None,
            stride=g.stride,
            pad=g.pad,
            dilation=g.dilation,
            groups=p.group,
            offset_groups=p.deformable_group,
        )
