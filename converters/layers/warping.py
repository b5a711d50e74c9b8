"""Images moved by a flow or by a constant: FlowNet 2's FlowWarp, a light field's Python layers.

OpenCV, which the Python layers call, knows places to 1/32 of a pixel only; so do these.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import Node, Shape, Value
from ..layer_type import LayerType
from ..registry import register
from ..shapes import fixed, known, text
from .python import PythonLayer
from .rcnn import FLOAT, INT64

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder, Operand

LIGHT_FIELD = "Caffe_Light_Field (JunhyeongBak/Caffe_Light_Field)"

STEPS = 32
"""OpenCV's places between two pixels (INTER_TAB_SIZE)."""


class Fill(enum.Enum):
    """What stands where the flow points outside the image."""

    ZERO = 1
    NOT_A_NUMBER = 2


@dataclass
class FlowWarpParams:
    """FlowWarpParameter."""

    fill_value: Fill = Fill.ZERO


def moved(b: OnnxBuilder, flow: Operand, like: Value) -> tuple[str, str]:
    """Columns and rows, M×H×W each, that a flow M×2×H×W (x, then y) of `like`'s plane points to."""
    zero, one = (b.const(np.array(i, np.int64)) for i in (0, 1))
    places = []
    for index, axis in ((0, 3), (1, 2)):
        count = b.op("Squeeze", b.dim(like, axis), b.ints(0))
        steps = b.op("Cast", b.op("Range", zero, count, one), to=FLOAT)
        if axis == 2:
            steps = b.op("Unsqueeze", steps, b.ints(1))
        part = b.op("Gather", flow, b.const(np.array(index, np.int64)), axis=1)
        places.append(b.op("Add", part, steps))
    return places[0], places[1]


def gathered(b: OnnxBuilder, rows: str, width: str, y: str, x: str) -> str:
    """Of images as M×HW×C, what is at row y, column x (M×H×W, int64), as M×H×W×C."""
    flat = b.op("Add", b.op("Mul", y, width), x)
    return b.op("GatherND", rows, b.op("Unsqueeze", flat, b.ints(3)), batch_dims=1)


def bilinear(
    b: OnnxBuilder, image: Operand, like: Value, x: str, y: str, shares: tuple[str, str]
) -> str:
    """M×C×H×W between four pixels.

    x and y (floored, M×H×W) name the upper left one, `shares` are how far right and below of it.
    Pixels outside are the nearest inside. `like` has the plane.
    """
    one, single = b.const(np.array(1, np.int64)), b.const(np.float32(1))
    width, height = b.dim(like, 3), b.dim(like, 2)
    flat = b.op("Reshape", b.op("Transpose", image, perm=[0, 2, 3, 1]), flat_shape(b, like))
    zero = b.const(np.array(0, np.int64))

    def ends(place: str, size: str) -> list[str]:
        first = b.op("Cast", place, to=INT64)
        last = b.arithmetic("Sub", size, b.ints(1))
        both = (first, b.op("Add", first, one))
        return [b.op("Max", b.op("Min", at, last), zero) for at in both]

    columns, rows = ends(x, width), ends(y, height)
    right, below = (b.op("Unsqueeze", share, b.ints(3)) for share in shares)
    across = [b.op("Sub", single, right), right]
    down = [b.op("Sub", single, below), below]
    total = ""
    for i in (0, 1):
        for j in (0, 1):
            weight = b.op("Mul", across[j], down[i])
            part = b.op("Mul", gathered(b, flat, width, rows[i], columns[j]), weight)
            total = b.op("Add", total, part) if total else part
    return b.op("Transpose", total, perm=[0, 3, 1, 2])


def flat_shape(b: OnnxBuilder, like: Value) -> str:
    """The shape N×HW×C, of the plane of `like`, for Reshape."""
    area = b.arithmetic("Mul", b.dim(like, 2), b.dim(like, 3))
    return b.join(b.ints(0), area, b.ints(-1))


@register("FlowWarp", message="flow_warp_param")
class FlowWarp(LayerType[FlowWarpParams]):
    """The image at the places that a flow (x, then y, in pixels) points to, bilinear.

    What lies outside becomes 0 or NaN (flow_warp_layer.cpp).
    """

    fork = "FlowNet 2 (lmb-freiburg/flownet2)"
    bottoms = (2, 2)
    Params = FlowWarpParams

    def shapes(self, node: Node[FlowWarpParams]) -> list[Shape]:
        image, flow = (v.shape for v in node.inputs)
        if len(image) != 4 or len(flow) != 4 or known(flow[1]) != 2:
            raise node.error(
                f"needs N x C x H x W and a flow N x 2 x H x W, not {text(image)}, {text(flow)}"
            )
        if (image[0], *image[2:]) != (flow[0], *flow[2:]) and fixed((*image, *flow)):
            raise node.error(f"its image {text(image)} and flow {text(flow)} differ in size")
        return [image]

    def onnx(self, node: Node[FlowWarpParams], b: OnnxBuilder) -> None:
        image, flow = node.inputs
        x, y = moved(b, flow, image)
        zero = b.const(np.float32(0))
        inside = ""
        for place, axis in ((x, 3), (y, 2)):
            size = b.op("Cast", b.dim(image, axis), to=FLOAT)
            within = b.op("And", b.op("GreaterOrEqual", place, zero), b.op("Less", place, size))
            inside = b.op("And", inside, within) if inside else within
        # Outside, any place will do: its number is dropped.
        x, y = (b.op("Where", inside, place, zero) for place in (x, y))
        left, top = b.op("Floor", x), b.op("Floor", y)
        shares = b.op("Sub", x, left), b.op("Sub", y, top)
        warped = bilinear(b, image, image, left, top, shares)
        fill = zero if node.params.fill_value is Fill.ZERO else b.const(np.float32(np.nan))
        b.op("Where", b.op("Unsqueeze", inside, b.ints(1)), warped, fill, out=node.outputs[0])

    def torch(self, node: Node[FlowWarpParams]) -> nn.Module:
        from .torch import warping

        return warping.FlowWarp(0.0 if node.params.fill_value is Fill.ZERO else math.nan)


def remapped(b: OnnxBuilder, image: Operand, like: Value, flow: Operand) -> str:
    """cv2.remap, bilinear with BORDER_REPLICATE: places are rounded to 1/32, halves to even."""
    steps = b.const(np.float32(STEPS))
    floors, shares = [], []
    for place in moved(b, flow, like):
        nearest = b.op("Round", b.op("Mul", place, steps))
        floor = b.op("Floor", b.op("Div", nearest, steps))
        floors.append(floor)
        shares.append(b.op("Sub", b.op("Div", nearest, steps), floor))
    return bilinear(b, image, like, floors[0], floors[1], (shares[0], shares[1]))


@register("Python:warping_layer.WarpingLayer", message="python_param")
class Warping(PythonLayer):
    """cv2.remap of one colour image of 256x256 by a flow (x, then y); warping_layer.py."""

    fork = LIGHT_FIELD
    bottoms = (2, 2)

    def shapes(self, node: Node[Any]) -> list[Shape]:
        image, flow = (v.shape for v in node.inputs)
        if image != (1, 3, 256, 256) or flow != (1, 2, 256, 256):
            for dim in (*image, *flow):
                known(dim)
            raise node.error(
                "takes an image of 1x3x256x256 and a flow of 1x2x256x256, "
                f"not {text(image)}, {text(flow)}"
            )
        return [image]

    def onnx(self, node: Node[Any], b: OnnxBuilder) -> None:
        image, flow = node.inputs
        b.op("Identity", remapped(b, image, image, flow), out=node.outputs[0])

    def torch(self, node: Node[Any]) -> nn.Module:
        from .torch import warping

        return warping.Remap(1, 3, reverse=False)


@register("Python:bilinear_sampler_layer_3ch.BilinearSamplerLayer3ch", message="python_param")
class BilinearSampler3ch(PythonLayer):
    """cv2.remap of each of `flow_size` images of `color_size` channels, by a flow of its own.

    Images N×FC×H×W; flows are F planes of y, then F of x (bilinear_sampler_layer_3ch.py).
    """

    fork = LIGHT_FIELD
    bottoms = (2, 2)

    def counts(self, node: Node[Any]) -> tuple[int, int]:
        given = self.settings(node)
        found = given.get("flow_size"), given.get("color_size")
        if not all(isinstance(n, int) and n > 0 for n in found):
            raise node.error("flow_size and color_size of param_str must be whole and above 0")
        return found  # type: ignore[return-value]

    def shapes(self, node: Node[Any]) -> list[Shape]:
        images, flows = (v.shape for v in node.inputs)
        count, colours = self.counts(node)
        wanted = count * colours, 2 * count
        if len(images) != 4 or len(flows) != 4:
            raise node.error(f"needs 4-D images and flows, not {text(images)}, {text(flows)}")
        if (known(images[1]), known(flows[1])) != wanted:
            raise node.error(
                f"{count} images of {colours} channels and their flows need {wanted[0]} and "
                f"{wanted[1]} channels, not {images[1]} and {flows[1]}"
            )
        if (images[0], *images[2:]) != (flows[0], *flows[2:]) and fixed((*images, *flows)):
            raise node.error(f"its images {text(images)} and flows {text(flows)} differ in size")
        return [images]

    def onnx(self, node: Node[Any], b: OnnxBuilder) -> None:
        images, flows = node.inputs
        count, colours = self.counts(node)
        plane = b.join(b.dim(images, 2), b.dim(images, 3))
        each = b.op("Reshape", images, b.join(b.ints(-1, colours), plane))
        pairs = b.op("Reshape", flows, b.join(b.ints(-1, 2, count), plane))
        pairs = b.op("Gather", pairs, b.ints(1, 0), axis=1)
        pairs = b.op("Transpose", pairs, perm=[0, 2, 1, 3, 4])
        pairs = b.op("Reshape", pairs, b.join(b.ints(-1, 2), plane))
        found = remapped(b, each, images, pairs)
        whole = b.join(b.ints(-1, count * colours), plane)
        b.op("Reshape", found, whole, out=node.outputs[0])

    def torch(self, node: Node[Any]) -> nn.Module:
        from .torch import warping

        return warping.Remap(*self.counts(node), reverse=True)


def cubic(share: float) -> np.ndarray:
    """OpenCV's four weights of bicubic interpolation (A = -0.75) at a share of a pixel, float32."""
    a, x = np.float32(-0.75), np.float32(share)
    one = np.float32(1)
    weights = [
        ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a,
        ((a + 2) * x - (a + 3)) * x * x + 1,
        ((a + 2) * (one - x) - (a + 3)) * (one - x) * (one - x) + 1,
    ]
    return np.array([*weights, one - weights[0] - weights[1] - weights[2]], np.float32)


@register("Python:input_shifting_layer.InputShiftingLayer", message="python_param")
class InputShifting(PythonLayer):
    """Moved right by tx and down by ty, bicubic, the border repeated (input_shifting_layer.py).

    As cv2.warpAffine does it.
    Of other images than those of 3 channels it moves the first channel and leaves the rest as they
    were; so only one channel is taken then.
    """

    fork = LIGHT_FIELD

    def shift(self, node: Node[Any]) -> dict[str, float]:
        given: dict[str, Any] = self.settings(node)
        for name in ("tx", "ty"):
            if not isinstance(given.get(name), (int, float)):
                raise node.error(f"{name} of param_str is missing or not a number")
        return {name: float(np.float32(given[name])) for name in ("tx", "ty")}

    def shapes(self, node: Node[Any]) -> list[Shape]:
        shape = node.inputs[0].shape
        if len(shape) != 4 or known(shape[1]) not in (1, 3):
            raise node.error(f"needs N x 3 x H x W or N x 1 x H x W, not {text(shape)}")
        self.shift(node)
        return [shape]

    def steps(self, node: Node[Any]) -> list[tuple[int, np.ndarray]]:
        """Of rows and columns: the first of the four pixels, from the place, and their weights."""
        result = []
        for name in ("ty", "tx"):
            # warpAffine: 10 bits of the inverse's offset, half a step added, then 5 bits.
            bits = int(np.rint(-self.shift(node)[name] * 1024)) + 1024 // STEPS // 2
            place = bits >> 5
            result.append(((place >> 5) - 1, cubic((place & 31) / STEPS)))
        return result

    def onnx(self, node: Node[Any], b: OnnxBuilder) -> None:
        x: Operand = node.inputs[0]
        steps = self.steps(node)
        zero, one = (b.const(np.array(i, np.int64)) for i in (0, 1))
        for axis, (start, _) in zip((2, 3), steps, strict=True):
            size = b.op("Squeeze", b.dim(node.inputs[0], axis), b.ints(0))
            begin = b.const(np.array(start, np.int64))
            end = b.op("Add", size, b.const(np.array(start + 3, np.int64)))
            places = b.op("Max", b.op("Range", begin, end, one), zero)
            places = b.op("Min", places, b.op("Sub", size, one))
            x = b.op("Gather", x, places, axis=axis)
        channels = known(node.inputs[0].shape[1])
        kernel = np.outer(steps[0][1], steps[1][1])
        weight = b.array(node, "weight", np.broadcast_to(kernel, (channels, 1, 4, 4)))
        b.op("Conv", x, weight, out=node.outputs[0], group=channels)

    def torch(self, node: Node[Any]) -> nn.Module:
        from .torch import warping

        (top, rows), (left, columns) = self.steps(node)
        return warping.Shift((top, left), np.outer(rows, columns))
