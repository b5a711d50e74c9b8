"""Unpooling of the DeconvNet fork (unpooling_layer.cpp of HyeonwooNoh/caffe): MAX, AVE, TILE.

Caffe states the plane as `unpool_size`. Where that is the size of the plane that the switches were
taken from, ours follows that plane, so that one model serves every size of image.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from prototxt.errors import Argument, Sentence
from prototxt.schema import UInt

from ..graph import Dim, Node, Shape, Value
from ..layer_type import LayerType, NoParams
from ..legal import Legal, plane_indices
from ..registry import find, register
from ..shapes import OpenDimension, fixed, is_fixed, known, pooled, product, text
from .pooling import Pooling, WindowParams
from .switches import Windows

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


class Unpool(enum.Enum):
    """UnpoolingParameter.UnpoolMethod."""

    MAX = 0
    AVE = 1
    TILE = 2


@dataclass
class UnpoolingParams(WindowParams):
    """UnpoolingParameter."""

    unpool: Unpool = Unpool.MAX
    unpool_size: UInt = 0
    unpool_h: UInt = 0
    unpool_w: UInt = 0

    def size(self) -> tuple[int, int]:
        """The plane that the prototxt states; 0 where it does not."""
        return (self.unpool_size or self.unpool_h, self.unpool_size or self.unpool_w)


class StatesPlane(Protocol):
    """What the params of both unpoolings, this fork's and SegNet's, can tell."""

    @property
    def unpool(self) -> Unpool:
        """How the places that no value is put back to are filled."""

    def windows(self) -> Windows:
        """The windows that were pooled, as far as the layer itself states them."""

    def size(self) -> tuple[int, int]:
        """The plane that the prototxt states; 0 where it does not."""


U = TypeVar("U", bound=StatesPlane)


MASK_AS_NUMBERS = "MaskAsNumbers"


@register(MASK_AS_NUMBERS)
class MaskAsNumbers(LayerType[NoParams]):
    """A mask in float32, for a layer that computes with it; no prototxt names it."""

    fork = "caffe-zoo (a mask that is computed with)"
    keeps_grid = True

    def mask_bottoms(self, count: int) -> list[int]:
        return [0]

    def each_image(self, node: Node[NoParams]) -> bool:
        return True

    def shapes(self, node: Node[NoParams]) -> list[Shape]:
        return [node.inputs[0].shape]

    def onnx(self, node: Node[NoParams], b: OnnxBuilder) -> None:
        b.node("Cast", node, to=1)

    def torch(self, node: Node[NoParams]) -> nn.Module:
        from .torch import unpooling

        return unpooling.AsNumbers()


class MaxUnpooling(LayerType[U]):
    """Puts pooled values back: where a mask says, at each window's corner, or all over it."""

    bottoms = (1, 2)

    def mask_bottoms(self, count: int) -> list[int]:
        return [1] if count == 2 else []

    def likely_sizes(self, params: U) -> list[tuple[int, int, str]]:
        height, width = params.size()
        return [(height, width, "plane by unpool_size")] if height and width else []

    def check_mask(self, node: Node[U]) -> None:
        shape, mask = (v.shape for v in node.inputs)
        pairs = zip(shape, mask, strict=False)
        if len(mask) != 4 or any(is_fixed(a, b) and a != b for a, b in pairs):
            raise node.error(f"its mask is {text(mask)}, its input {text(shape)}")

    def pool(self, node: Node[U]) -> Node[Any] | None:
        """The Pooling that made the mask, where it is in the graph."""
        producer = node.inputs[1].producer if len(node.inputs) == 2 else None
        made = producer is not None and isinstance(find(producer.type), Pooling)
        return producer if made else None

    def each_image(self, node: Node[U]) -> bool:
        return True

    def stated(self, node: Node[U]) -> tuple[Dim, Dim]:
        """The plane that the prototxt states."""
        return node.params.size()

    def shapes(self, node: Node[U]) -> list[Shape]:
        n, c, height, width = node.inputs[0].shape
        size: tuple[Dim, Dim] = self.stated(node)
        pool = self.pool(node)
        if pool is not None:
            plane = pool.inputs[0]
            if plane.nominal[2:] in ((), size):
                if plane.nominal:
                    size = (plane.shape[2], plane.shape[3])
            elif not is_fixed(height, width):
                raise OpenDimension(height)
        elif not is_fixed(height, width):
            raise OpenDimension(height)
        if pool is not None and is_fixed(*plane.shape[2:], *size):
            self.check_reach(node, plane.shape[2:], size)
        return [(n, c, *size)]

    def check_reach(self, node: Node[U], plane: Shape, size: Shape) -> None:
        """A switch must not point behind the plane; Caffe would write outside its memory."""
        if product(plane) > product(size):
            raise node.error(
                f"its output {text(size)} is smaller than the {text(plane)} plane that its "
                "switches point into"
            )

    def disjoint(self, node: Node[U]) -> bool:
        """Whether no two switches can point to one place."""
        pool = self.pool(node)
        if pool is not None:
            kind = Pooling()
            return kind.windows(pool).disjoint
        return len(node.inputs) == 2 and node.params.windows().disjoint

    def legal(self, node: Node[U]) -> dict[int, Legal]:
        return {1: plane_indices(node)}

    def onnx(self, node: Node[U], b: OnnxBuilder) -> None:
        p = node.params
        if p.unpool is not Unpool.MAX:
            self.fill_windows(node, b)
        elif len(node.inputs) == 1:
            self.scatter(node, b, b.const(self.corners(node)))
        elif b.form.unpooling == "MaxUnpool" and self.disjoint(node) and self.grows(node):
            self.max_unpool(node, b)
        elif b.form.unpooling == "Where" and (windows := self.mask_windows(node)) is not None:
            self.compare(node, b, windows)
        else:
            self.scatter(node, b, self.mask(node, b))

    def mask(self, node: Node[U], b: OnnxBuilder) -> str:
        """The mask as int64; Caffe has it as float32, and so has a mask that is fed."""
        mask = node.inputs[1]
        return b.name(mask) if mask.dtype == "int64" else b.op("Cast", mask, to=7)

    def output_size(self, node: Node[U], b: OnnxBuilder) -> list[str]:
        """The output's height and width at run time, each a 1-element tensor."""
        dims = []
        for axis in (2, 3):
            out, low = node.outputs[0].shape[axis], node.inputs[0].shape[axis]
            stride = node.params.windows().stride[axis - 2]
            found = b.symbol(out)
            if found is None and low == pooled(out, stride, 0, stride):
                # A decoder on its own: the picture's size is no input, so a multiple is taken.
                found = b.arithmetic("Mul", b.dim(node.inputs[0], axis), b.ints(stride))
            if found is None:
                raise node.error(
                    f"cannot tell its output's size {out}", Sentence("give ", Argument("shapes"))
                )
            dims.append(found)
        return dims

    def max_unpool(self, node: Node[U], b: OnnxBuilder) -> None:
        """MaxUnpool with the plane stated: kernel 1 infers less than any plane, so all are taken.

        ONNX Runtime refuses an `output_shape` smaller than the one that it infers.
        """
        x, mask = node.inputs
        height, width = self.output_size(node, b)
        n, c = b.dim(x, 0), b.dim(x, 1)
        flat = b.flat.get(id(mask))
        if flat is None or self.moved(node):
            area = b.arithmetic("Mul", height, width)
            planes = b.arithmetic("Mul", n, c)
            scalar = b.op("Squeeze", planes, b.ints(0))
            zero, one = b.const(np.array(0, np.int64)), b.const(np.array(1, np.int64))
            first = b.op("Mul", b.op("Range", zero, scalar, one), area)
            first = b.op("Reshape", first, b.join(n, c, b.ints(1), b.ints(1)))
            flat = b.op("Add", self.mask(node, b), first)
        shape = b.join(n, c, height, width)
        b.op("MaxUnpool", x, flat, shape, out=node.outputs[0], kernel_shape=[1, 1], strides=[1, 1])

    def grows(self, node: Node[U]) -> bool:
        """Whether the plane is no smaller than the input, as ONNX Runtime's MaxUnpool wants it."""
        pairs = zip(node.inputs[0].shape[2:], node.outputs[0].shape[2:], strict=True)
        return all(not is_fixed(low, size) or known(low) <= known(size) for low, size in pairs)

    def moved(self, node: Node[U]) -> bool:
        """Whether the output's plane is another than the one that the switches were taken from."""
        pool = self.pool(node)
        return pool is None or pool.inputs[0].shape[2:] != node.outputs[0].shape[2:]

    def scatter(self, node: Node[U], b: OnnxBuilder, mask: str) -> None:
        """ScatterElements within each plane; where switches coincide, the last write wins."""
        x, out = node.inputs[0], node.outputs[0]
        n, c = b.dim(x, 0), b.dim(x, 1)
        height, width = self.output_size(node, b)
        area = b.arithmetic("Mul", height, width)
        rows = b.ints(0, 0, -1)
        values, index = b.op("Reshape", x, rows), b.op("Reshape", mask, rows)
        shape = b.join(n, c, area)
        if self.disjoint(node):
            zeros = b.full(shape)
            flat = b.op("ScatterElements", zeros, index, values, axis=2)
        else:
            if len(node.inputs) == 1:
                index = b.op("Expand", index, b.op("Shape", values))
            none = b.full(shape, np.int64(-1))
            zero, one = b.const(np.array(0, np.int64)), b.const(np.array(1, np.int64))
            count = b.arithmetic("Mul", b.dim(x, 2), b.dim(x, 3))
            count = b.op("Squeeze", count, b.ints(0))
            order = b.op("Expand", b.op("Range", zero, count, one), b.op("Shape", index))
            last = b.op("ScatterElements", none, index, order, axis=2, reduction="max")
            source = b.op("Max", last, zero)
            taken = b.op("GatherElements", values, source, axis=2)
            hit = b.op("GreaterOrEqual", last, zero)
            flat = b.op("Where", hit, taken, b.const(np.float32(0)))
        b.op("Reshape", flat, b.join(n, c, height, width), out=out)

    def mask_windows(self, node: Node[U]) -> Windows | None:
        """The disjoint, gapless windows that the mask points into, where that is known.

        A mask of whole numbers that no layer made is that of the pool in the encoder, from which
        the graph was split; any other that is fed may point anywhere.
        """
        pool, (x, mask) = self.pool(node), node.inputs
        if pool is not None:
            windows, known_plane = Pooling().windows(pool), not self.moved(node)
        else:
            windows = node.params.windows()
            pairs = zip(x.shape[2:], node.outputs[0].shape[2:], windows.stride, strict=True)
            known_plane = mask.dtype == "int64" and all(
                low == -(-size // stride)
                for low, size, stride in pairs
                if isinstance(low, int) and isinstance(size, int)
            )
        plain = windows.kernel == windows.stride and windows.pad == (0, 0)
        return windows if plain and known_plane else None

    def compare(self, node: Node[U], b: OnnxBuilder, w: Windows) -> None:
        """Without any scatter: each place of a window asks whether the switch means it.

        The places of a window lie side by side in the last axis: first those of each of its rows,
        then the rows, so that joining is all that it takes.
        """
        x = node.inputs[0]
        n, c = b.dim(x, 0), b.dim(x, 1)
        height, width = self.output_size(node, b)
        rows, columns = b.dim(x, 2), b.dim(x, 3)
        tall, wide = (
            b.arithmetic("Mul", dim, b.ints(stride))
            for dim, stride in ((rows, w.stride[0]), (columns, w.stride[1]))
        )
        hits = self.hits(node, b, w, width)
        lines = []
        for i in range(w.kernel[0]):
            places = []
            for j in range(w.kernel[1]):
                placed = b.op("Where", hits[i, j], x, b.const(np.float32(0)))
                places.append(b.op("Unsqueeze", placed, b.ints(4)))
            joined = b.op("Concat", *places, axis=4)
            lines.append(b.op("Reshape", joined, b.join(n, c, rows, wide)))
        low, plane = x.shape[2:], node.outputs[0].shape[2:]
        exact = is_fixed(*plane) and all(known(low[k]) * w.stride[k] == plane[k] for k in (0, 1))
        out = node.outputs[0] if exact else None
        full = b.op("Reshape", b.op("Concat", *lines, axis=3), b.join(n, c, tall, wide), out=out)
        if exact:
            return
        # A switch of the clipped last window could name a place that lies outside: none does.
        ends = b.join(height, width)
        b.op("Slice", full, b.ints(0, 0), ends, b.ints(2, 3), out=node.outputs[0])

    def hits(
        self, node: Node[U], b: OnnxBuilder, w: Windows, width: str
    ) -> dict[tuple[int, int], str]:
        """For each place of a window whether the switch means it, in a plane of `width`."""
        x, mask = node.inputs
        index = b.op("Cast", mask, to=6)
        corner = self.corner_grid(b, b.dim(x, 2), b.dim(x, 3), width, w)
        hits = {}
        for i in range(w.kernel[0]):
            for j in range(w.kernel[1]):
                ahead = b.arithmetic("Add", b.arithmetic("Mul", width, b.ints(i)), b.ints(j))
                place = b.op("Add", corner, b.op("Cast", ahead, to=6)) if i or j else corner
                hits[i, j] = b.op("Equal", index, place)
        return hits

    def corner_grid(self, b: OnnxBuilder, rows: str, columns: str, width: str, w: Windows) -> str:
        """The index of each window's first place in a plane of `width`, h×w, int32."""
        down = b.op("Cast", b.arithmetic("Mul", width, b.ints(w.stride[0])), to=6)
        across = b.op("Cast", b.ints(w.stride[1]), to=6)
        first = b.op("Mul", self.range32(b, rows, 1), down)
        return b.op("Add", first, b.op("Mul", self.range32(b, columns, 0), across))

    def range32(self, b: OnnxBuilder, count: str, axis: int) -> str:
        zero, one = b.const(np.array(0, np.int64)), b.const(np.array(1, np.int64))
        numbers = b.op("Range", zero, b.op("Squeeze", count, b.ints(0)), one)
        numbers = b.op("Cast", numbers, to=6)
        return b.op("Unsqueeze", numbers, b.ints(axis)) if axis else numbers

    def corners(self, node: Node[U]) -> np.ndarray:
        """The mask that MAX unpooling without one stands for: (ph*stride, pw*stride), clamped."""
        _, _, rows, columns = node.inputs[0].shape
        height, width = fixed(node.outputs[0].shape[2:])
        w = node.params.windows()
        row = np.minimum(np.arange(known(rows)) * w.stride[0], height - 1)
        column = np.minimum(np.arange(known(columns)) * w.stride[1], width - 1)
        return (row[:, None] * width + column[None]).astype(np.int64)[None, None]

    def share(self, node: Node[U]) -> np.ndarray:
        """1 / (places of each window inside the plane), which AVE gives to each of them."""
        w = node.params.windows()
        extents = []
        for axis in (0, 1):
            start = np.arange(known(node.inputs[0].shape[2 + axis])) * w.stride[axis]
            end = np.minimum(start + w.kernel[axis], known(node.outputs[0].shape[2 + axis]))
            extents.append(np.maximum(end - start, 1))
        return (1 / np.outer(*extents)).astype(np.float32)[None, None]

    def fit(self, node: Node[U]) -> list[int]:
        """How much to add (or cut, where negative) behind the filled windows, per axis."""
        w = node.params.windows()
        return [
            known(node.outputs[0].shape[2 + i])
            - (known(node.inputs[0].shape[2 + i]) - 1) * w.stride[i]
            - w.kernel[i]
            for i in (0, 1)
        ]

    def fill_windows(self, node: Node[U], b: OnnxBuilder) -> None:
        """AVE and TILE: a transposed convolution with ones, cut to the plane; overlaps add up."""
        w, channels = node.params.windows(), known(node.inputs[0].shape[1])
        x: Value | str = node.inputs[0]
        if node.params.unpool is Unpool.AVE:
            x = b.op("Mul", x, b.array(node, "share", self.share(node)))
        ones = b.array(node, "ones", np.ones((channels, 1, *w.kernel), np.float32))
        y = b.op("ConvTranspose", x, ones, kernel_shape=w.kernel, strides=w.stride, group=channels)
        more = self.fit(node)
        b.op("Pad", y, b.ints(0, 0, 0, 0, 0, 0, *more), out=node.outputs[0])

    def torch_inputs(self, node: Node[U], available: Sequence[Value]) -> list[Value]:
        """Also the blob whose plane the output follows, where its size is open."""
        plane = node.outputs[0].shape[2:]
        if is_fixed(*plane):
            return node.inputs
        for value in available:
            if len(value.shape) == 4 and value.shape[2:] == plane:
                return [*node.inputs, value]
        if not self.multiple(node):
            raise node.error(
                f"cannot tell its output's size {text(plane)}",
                Sentence("give ", Argument("shapes")),
            )
        return node.inputs

    def multiple(self, node: Node[U]) -> bool:
        """Whether its input is known to be its output's plane pooled by its own stride."""
        low, plane = node.inputs[0].shape[2:], node.outputs[0].shape[2:]
        stride = node.params.windows().stride
        return all(low[i] == pooled(plane[i], stride[i], 0, stride[i]) for i in (0, 1))

    def torch(self, node: Node[U]) -> nn.Module:
        from .torch import pooling, unpooling

        plane = node.outputs[0].shape[2:]
        size = (known(plane[0]), known(plane[1])) if is_fixed(*plane) else None
        w = node.params.windows()
        if node.params.unpool is Unpool.MAX and len(node.inputs) == 2:
            return pooling.MaxUnpool(size, self.disjoint(node), w.stride)
        if node.params.unpool is Unpool.MAX:
            return unpooling.CornerUnpool(self.corners(node), size)
        rows, columns = self.fit(node)
        average = node.params.unpool is Unpool.AVE
        share = self.share(node) if average else np.ones((1, 1, 1, 1), np.float32)
        return unpooling.WindowUnpool(share, w.kernel, w.stride, (rows, columns))


@register("Unpooling", message="unpooling_param")
class Unpooling(MaxUnpooling[UnpoolingParams]):
    """Put pooled values back: where a mask says, at each window's corner, or all over it."""

    fork = "DeconvNet (HyeonwooNoh/caffe)"
    Params = UnpoolingParams

    def prepare(self, node: Node[UnpoolingParams]) -> None:
        p = node.params
        shape = node.inputs[0].shape
        if len(shape) != 4:
            raise node.error(f"needs a 4-D input, not {text(shape)}")
        if p.pad or p.pad_h or p.pad_w:
            raise node.error("pad must be 0", "the fork refuses it too")
        if 0 in p.windows().kernel or 0 in p.windows().stride:
            raise node.error("give kernel_size, or kernel_h and kernel_w, and a stride above 0")
        if 0 in p.size():
            raise node.error("unpool_size (or unpool_h and unpool_w) is missing")
        if len(node.inputs) == 2 and p.unpool is not Unpool.MAX:
            raise node.error("only MAX unpooling takes a mask")
        if len(node.inputs) == 2:
            self.check_mask(node)
