"""JAANet's layers: planes cut into blocks and put together, masks around a face's landmarks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from prototxt.schema import UInt

from ..graph import Node, Shape
from ..layer_type import LayerType
from ..registry import register
from ..shapes import is_fixed, known, product, text

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder

FORK = "JAANet (ZhiwenShao/JAANet)"


@dataclass
class DivisionParams:
    """DivisionParameter."""

    width: UInt = 0
    height: UInt = 0
    xcoord: list[UInt] = field(default_factory=list)
    ycoord: list[UInt] = field(default_factory=list)


@register("Division", message="division_param")
class Division(LayerType[DivisionParams]):
    """A block of the plane for each top, from column `xcoord` and row `ycoord` on.

    division_layer.cpp mixes up its places for more than one image; this does not.
    """

    fork = FORK
    tops = (1, None)
    Params = DivisionParams
    passes_values = True

    def corners(self, node: Node[DivisionParams]) -> list[tuple[int, int]]:
        """Row and column of each top's first place."""
        p = node.params
        return list(zip(p.ycoord, p.xcoord, strict=False))[: len(node.outputs)]

    def shapes(self, node: Node[DivisionParams]) -> list[Shape]:
        p, shape = node.params, node.inputs[0].shape
        if len(shape) != 4:
            raise node.error(f"needs a 4-D input, not {text(shape)}")
        corners = self.corners(node)
        if len(corners) < len(node.outputs):
            raise node.error(f"{len(node.outputs)} tops need as many xcoord and ycoord")
        if not p.height or not p.width:
            raise node.error("height and width must be above 0")
        for row, column in corners:
            for dim, end in zip(shape[2:], (row + p.height, column + p.width), strict=True):
                if is_fixed(dim) and end > known(dim):
                    raise node.error(
                        f"the block of {p.height}x{p.width} at {row}, {column} is outside its "
                        f"{text(shape)} input"
                    )
        return [(*shape[:2], p.height, p.width)] * len(node.outputs)

    def onnx(self, node: Node[DivisionParams], b: OnnxBuilder) -> None:
        p = node.params
        for output, (row, column) in zip(node.outputs, self.corners(node), strict=True):
            ends = b.ints(row + p.height, column + p.width)
            b.op("Slice", node.inputs[0], b.ints(row, column), ends, b.ints(2, 3), out=output)

    def torch(self, node: Node[DivisionParams]) -> nn.Module:
        from .torch import jaanet

        return jaanet.Division((node.params.height, node.params.width), self.corners(node))


@dataclass
class CombinationParams:
    """CombinationParameter."""

    xcoord: list[UInt] = field(default_factory=list)
    ycoord: list[UInt] = field(default_factory=list)


@register("Combination", message="combination_param")
class Combination(LayerType[CombinationParams]):
    """The reverse of Division: each bottom at column `xcoord` and row `ycoord`.

    The last ends where the plane does; the blocks must tile it. combination_layer.cpp mixes up its
    places for more than one image; this does not.
    """

    fork = FORK
    bottoms = (1, None)
    Params = CombinationParams
    passes_values = True

    def rows(self, node: Node[CombinationParams]) -> list[list[int]]:
        """The bottoms as rows of blocks of one height, from above and from the left."""
        p = node.params
        found: dict[int, list[int]] = {}
        for index, row in enumerate(p.ycoord[: len(node.inputs)]):
            found.setdefault(row, []).append(index)
        return [sorted(found[row], key=lambda i: p.xcoord[i]) for row in sorted(found)]

    def shapes(self, node: Node[CombinationParams]) -> list[Shape]:
        p = node.params
        count = len(node.inputs)
        if min(len(p.xcoord), len(p.ycoord)) < count:
            raise node.error(f"{count} bottoms need as many xcoord and ycoord")
        first = node.inputs[0].shape
        for value in node.inputs:
            if len(value.shape) != 4 or value.shape[:2] != first[:2]:
                raise node.error(f"its bottoms differ: {text(first)} and {text(value.shape)}")
        sizes = [[known(d) for d in v.shape[2:]] for v in node.inputs]
        height, width = p.ycoord[count - 1] + sizes[-1][0], p.xcoord[count - 1] + sizes[-1][1]
        top = 0
        for blocks in self.rows(node):
            left = 0
            for index in blocks:
                placed = (p.ycoord[index], p.xcoord[index], sizes[index][0])
                if placed != (top, left, sizes[blocks[0]][0]):
                    raise node.error(f"bottom {index + 1} leaves a gap, or lies over another")
                left += sizes[index][1]
            if left != width:
                raise node.error(f"the row of blocks at {top} is {left} wide, not {width}")
            top += sizes[blocks[0]][0]
        if top != height:
            raise node.error(f"its blocks are {top} high together, not {height}")
        return [(*first[:2], height, width)]

    def onnx(self, node: Node[CombinationParams], b: OnnxBuilder) -> None:
        rows = [
            b.op("Concat", *(node.inputs[i] for i in blocks), axis=3) for blocks in self.rows(node)
        ]
        b.op("Concat", *rows, axis=2, out=node.outputs[0])

    def torch(self, node: Node[CombinationParams]) -> nn.Module:
        from .torch import jaanet

        return jaanet.Combination(self.rows(node))


@dataclass
class AUMaskParams:
    """AUMaskBasedLandParameter; the first three are required."""

    img_size: UInt = 0
    spatial_ratio: float = 0.0
    spatial_scale: float = 0.0
    fill_type: str = "manhattan"
    fill_coeff: float = 0.075
    fill_value: float = 0.0


UNITS = (
    ((4, -1 / 2), (5, -1 / 2)),
    ((1, -1 / 3), (8, -1 / 3)),
    ((2, 1 / 3), (7, 1 / 3)),
    ((24, 1.0), (29, 1.0)),
    ((21, 0.0), (26, 0.0)),
    ((43, 0.0), (45, 0.0)),
    ((31, 0.0), (37, 0.0)),
    ((31, 0.0), (37, 0.0)),
    ((31, 0.0), (37, 0.0)),
    ((39, 1 / 2), (41, 1 / 2)),
    ((34, 0.0), (40, 0.0)),
    ((34, 0.0), (40, 0.0)),
)
"""Of each action unit: two centres, as a landmark and how far below it in widths of an eye's."""

EYES = (22, 25)
"""The inner corners of the eyes, whose distance in x is the measure."""


@register("AUMaskBasedLand", message="au_mask_based_land_param")
class AUMaskBasedLand(LayerType[AUMaskParams]):
    """Masks of 12 action units around landmarks of a face, and the greatest of them all.

    From au_mask_based_land_layer.cpp. The bottom is N×98, x and y of 49 landmarks in pixels of an
    image of `img_size`; the tops are N×1×S×S, S `img_size` times `spatial_scale`. Around both
    centres of a unit a square of `spatial_ratio` of the image holds 1 less `fill_coeff` for each
    place (of a plane of 100) that it is away, rows and columns added; at least `fill_value`, which
    is also outside. Where both squares lie the second counts.
    """

    fork = FORK
    tops = (13, 13)
    Params = AUMaskParams

    def prepare(self, node: Node[AUMaskParams]) -> None:
        p = node.params
        if not p.img_size or p.spatial_ratio <= 0 or p.spatial_scale <= 0:
            raise node.error("img_size, spatial_ratio and spatial_scale must be above 0")
        if p.fill_type != "manhattan":
            raise node.error(f"fill_type {p.fill_type!r} is not known; Caffe fills nothing then")

    def side(self, node: Node[AUMaskParams]) -> int:
        p = node.params
        return int(np.floor(np.float32(p.img_size) * np.float32(p.spatial_scale) + 0.5))

    def shapes(self, node: Node[AUMaskParams]) -> list[Shape]:
        shape, side = node.inputs[0].shape, self.side(node)
        if len(shape) < 2 or product(shape[1:]) < 2 * 46:
            raise node.error(f"needs N x 98 landmarks, not {text(shape)}")
        return [(shape[0], 1, side, side)] * 13

    def onnx(self, node: Node[AUMaskParams], b: OnnxBuilder) -> None:
        p, side = node.params, self.side(node)
        inner = product(node.inputs[0].shape[1:])
        marks = b.op("Reshape", node.inputs[0], b.ints(-1, inner))

        def number(value: float) -> str:
            return b.const(np.array(value, np.float32))

        def column(index: int) -> str:
            """One number an image, N×1×1×1."""
            return b.op(
                "Reshape", b.op("Gather", marks, b.ints(index), axis=1), b.ints(-1, 1, 1, 1)
            )

        eye, other = (column(2 * i) for i in EYES)
        ruler = b.op("Abs", b.op("Sub", eye, other))
        half = (p.img_size - 1) / 2 * p.spatial_ratio
        places = np.arange(side, dtype=np.float32)
        grids = b.const(places[None, None, None, :]), b.const(places[None, None, :, None])
        slope = number(p.fill_coeff * (100 / (p.img_size * p.spatial_scale)))
        fill, one = number(p.fill_value), number(1)
        made: dict[tuple[int, float], tuple[str, str]] = {}

        def rounded(centre: str, change: float) -> str:
            """C's round of the scaled place, halves away from 0, kept within the plane."""
            at = b.op("Mul", b.op("Add", centre, number(change)), number(p.spatial_scale))
            size = b.op("Floor", b.op("Add", b.op("Abs", at), number(0.5)))
            at = b.op("Mul", b.op("Sign", at), size)
            return b.op("Min", b.op("Max", at, number(0)), number(side - 1))

        def square(mark: int, below: float) -> tuple[str, str]:
            """Whether a place is in the square, and what it holds there."""
            if (mark, below) not in made:
                x, y = column(2 * mark), column(2 * mark + 1)
                if below:
                    y = b.op("Add", y, b.op("Mul", ruler, number(below)))
                inside, away = "", ""
                for centre, grid in zip((x, y), grids, strict=True):
                    low, high = rounded(centre, -half), rounded(centre, half)
                    within = b.op(
                        "And", b.op("GreaterOrEqual", grid, low), b.op("LessOrEqual", grid, high)
                    )
                    scaled = b.op("Mul", centre, number(p.spatial_scale))
                    part = b.op("Abs", b.op("Sub", grid, scaled))
                    inside = b.op("And", inside, within) if inside else within
                    away = b.op("Add", away, part) if away else part
                held = b.op("Sub", one, b.op("Mul", away, slope))
                made[mark, below] = inside, b.op("Max", held, fill)
            return made[mark, below]

        parts = []
        for unit, output in zip(UNITS, node.outputs, strict=False):
            mask = fill
            for inside, held in (square(*centre) for centre in unit):
                mask = b.op("Where", inside, held, mask)
            b.op("Identity", mask, out=output)
        for mark, below in made:
            inside, held = made[mark, below]
            parts.append(b.op("Where", inside, held, fill))
        b.op("Max", *parts, out=node.outputs[12])

    def torch(self, node: Node[AUMaskParams]) -> nn.Module:
        from .torch import jaanet

        p = node.params
        return jaanet.ActionUnitMasks(
            UNITS,
            EYES,
            side=self.side(node),
            half=(p.img_size - 1) / 2 * p.spatial_ratio,
            scale=p.spatial_scale,
            slope=p.fill_coeff * (100 / (p.img_size * p.spatial_scale)),
            fill=p.fill_value,
        )
