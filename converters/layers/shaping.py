"""Layers that move numbers and compute none: Concat, Slice, Flatten, Reshape, Tile, Split."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prototxt.net import LayerDefinition
from prototxt.schema import UInt

from ..graph import Dim, Node, Shape
from ..layer_type import LayerType, NoParams
from ..registry import register
from ..reversal import Reverser, Tops, first_top
from ..shapes import OpenDimension, added, factored, fixed, is_fixed, known, product, text
from .inputs import BlobShape

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


def canonical(node: Node[Any], axis: int, rank: int | None = None) -> int:
    """The axis counted from the front; `node.error` where there is none such."""
    rank = len(node.inputs[0].shape) if rank is None else rank
    if not -rank <= axis < rank:
        raise node.error(f"axis {axis} is outside a {text(node.inputs[0].shape)} input")
    return axis % rank


@dataclass
class ConcatParams:
    """ConcatParameter."""

    axis: int = 1
    concat_dim: UInt | None = None


@register("Concat", message="concat_param")
class Concat(LayerType[ConcatParams]):
    """Blobs one behind the other along an axis."""

    bottoms = (1, None)
    Params = ConcatParams
    passes_values = True
    keeps_grid = True

    def full_type(self, layer: LayerDefinition) -> str:
        param = layer.param("concat_param")
        return "FusedConcat" if param and param.last("per_fla_fuse") else layer.type

    def each_image(self, node: Node[ConcatParams]) -> bool:
        return self.axis(node) > 0

    def axis(self, node: Node[ConcatParams]) -> int:
        p = node.params
        return canonical(node, p.axis if p.concat_dim is None else p.concat_dim)

    def shapes(self, node: Node[ConcatParams]) -> list[Shape]:
        axis, first = self.axis(node), node.inputs[0].shape
        dims: list[Dim] = list(first)
        for value in node.inputs[1:]:
            clash = len(value.shape) != len(first) or any(
                i != axis and is_fixed(a, b) and a != b
                for i, (a, b) in enumerate(zip(dims, value.shape, strict=False))
            )
            if clash:
                raise node.error(
                    f"its bottoms differ outside axis {axis}: {text(first)} and {text(value.shape)}"
                )
            for i, size in enumerate(value.shape):
                if i != axis and isinstance(size, int):
                    dims[i] = size
        if len(node.inputs) > 1:
            parts = [v.shape[axis] for v in node.inputs]
            # How many regions lists of them have is open for good; a plane is rather fixed.
            dims[axis] = added(parts) if axis == 0 else sum(map(known, parts))
        return [tuple(dims)]

    def onnx(self, node: Node[ConcatParams], b: OnnxBuilder) -> None:
        b.node("Concat", node, axis=self.axis(node))

    def torch(self, node: Node[ConcatParams]) -> nn.Module:
        from .torch import shaping

        return shaping.Concat(self.axis(node))

    def reverse(self, node: Node[ConcatParams], tops: Tops, r: Reverser) -> None:
        """Cut apart again."""
        parts, axis = [first_top(tops)], self.axis(node)
        if len(node.inputs) > 1:
            sizes = [known(v.shape[axis]) for v in node.inputs]
            params = SliceParams(axis=axis, slice_point=list(itertools.accumulate(sizes[:-1])))
            parts = r.add_split("Slice", node, parts, node.inputs, params)
        for value, part in zip(node.inputs, parts, strict=True):
            r.accumulate(value, part)


@dataclass
class SliceParams:
    """SliceParameter."""

    axis: int = 1
    slice_point: list[UInt] = field(default_factory=list)
    slice_dim: UInt | None = None


@dataclass
class PadAxisParams:
    """Of what reverses a single top of Slice (reversed.py): the zeros in front and behind."""

    axis: int
    before: int
    behind: int


@register("Slice", message="slice_param")
class Slice(LayerType[SliceParams]):
    """A blob cut along an axis, at given points or into equal parts."""

    tops = (1, None)
    Params = SliceParams
    passes_values = True
    keeps_grid = True

    def likely_batches(self, params: SliceParams) -> list[int]:
        ends = [0, *params.slice_point]
        if len(ends) == 1 or (params.axis if params.slice_dim is None else params.slice_dim):
            return []
        return [2 * ends[-1] - ends[-2]]

    def each_image(self, node: Node[SliceParams]) -> bool:
        return self.axis(node) > 0

    def axis(self, node: Node[SliceParams]) -> int:
        p = node.params
        return canonical(node, p.axis if p.slice_dim is None else p.slice_dim)

    def sizes(self, node: Node[SliceParams]) -> list[int]:
        total, count = known(node.inputs[0].shape[self.axis(node)]), len(node.outputs)
        points: list[int] = node.params.slice_point
        if points:
            if len(points) != count - 1:
                raise node.error(f"{len(points)} slice_point for {count} tops")
            ends = [*points, total]
            sizes = [b - a for a, b in zip([0, *points], ends, strict=True)]
            if min(sizes) <= 0:
                raise node.error(f"slice_point {points} does not cut {total} in order")
            return sizes
        if total % count:
            raise node.error(f"{total} cannot be cut into {count} equal parts")
        return [total // count] * count

    def shapes(self, node: Node[SliceParams]) -> list[Shape]:
        axis, shape = self.axis(node), node.inputs[0].shape
        return [(*shape[:axis], size, *shape[axis + 1 :]) for size in self.sizes(node)]

    def onnx(self, node: Node[SliceParams], b: OnnxBuilder) -> None:
        if len(node.outputs) == 1:
            b.node("Identity", node)
            return
        sizes = b.ints(*self.sizes(node))
        b.op("Split", node.inputs[0], sizes, axis=self.axis(node), out=node.outputs)

    def torch(self, node: Node[SliceParams]) -> nn.Module:
        from .torch import shaping

        return shaping.Slice(self.sizes(node), self.axis(node))

    def reverse(self, node: Node[SliceParams], tops: Tops, r: Reverser) -> None:
        """Put together again; zeros stand for a top that nothing reached."""
        bottom, axis, sizes = node.inputs[0], self.axis(node), self.sizes(node)
        parts = [top for top in tops if top is not None]
        if len(tops) == 1:
            r.accumulate(bottom, parts[0])
        elif len(parts) == len(tops):
            r.accumulate(bottom, r.add("Concat", node, parts, bottom, ConcatParams(axis=axis)))
        else:
            for index, top in enumerate(tops):
                if top is not None:
                    params = PadAxisParams(axis, sum(sizes[:index]), sum(sizes[index + 1 :]))
                    r.accumulate(bottom, r.add("PadAxis", node, [top], bottom, params))


@register("Split")
class Split(LayerType[NoParams]):
    """The same blob under several names."""

    tops = (1, None)
    passes_values = True
    keeps_types = True
    keeps_grid = True

    def each_image(self, node: Node[NoParams]) -> bool:
        return True

    def is_identity(self, node: Node[NoParams]) -> bool:
        return True

    def shapes(self, node: Node[NoParams]) -> list[Shape]:
        return [node.inputs[0].shape] * len(node.outputs)

    def dtypes(self, node: Node[NoParams]) -> list[str]:
        return [node.inputs[0].dtype] * len(node.outputs)

    def onnx(self, node: Node[NoParams], b: OnnxBuilder) -> None:
        for output in node.outputs:
            b.op("Identity", node.inputs[0], out=output)

    def torch(self, node: Node[NoParams]) -> nn.Module:
        from .torch import shaping

        return shaping.Split(len(node.outputs))

    def reverse(self, node: Node[NoParams], tops: Tops, r: Reverser) -> None:
        """The sum of what reached the tops."""
        for top in tops:
            if top is not None:
                r.accumulate(node.inputs[0], top)


def reverse_reshape(node: Node[Any], tops: Tops, r: Reverser) -> None:
    """The same numbers in the shape that the layer read."""
    bottom = node.inputs[0]
    several_open = sum(isinstance(d, str) for d in bottom.shape) > 1
    top = first_top(tops)
    value = r.add("Unflatten", node, [top], bottom, NoParams(), read_size=several_open)
    r.accumulate(bottom, value)


@dataclass
class FlattenParams:
    """FlattenParameter."""

    axis: int = 1
    end_axis: int = -1


@register("Flatten", message="flatten_param")
class Flatten(LayerType[FlattenParams]):
    """The axes from one to another as a single one."""

    Params = FlattenParams
    passes_values = True

    def each_image(self, node: Node[FlattenParams]) -> bool:
        return self.span(node)[0] > 0

    def span(self, node: Node[FlattenParams]) -> tuple[int, int]:
        start, end = canonical(node, node.params.axis), canonical(node, node.params.end_axis)
        if end < start:
            raise node.error(f"end_axis {node.params.end_axis} is before axis {node.params.axis}")
        return start, end

    def shapes(self, node: Node[FlattenParams]) -> list[Shape]:
        start, end = self.span(node)
        shape = node.inputs[0].shape
        return [(*shape[:start], self.joined(shape[start : end + 1]), *shape[end + 1 :])]

    def joined(self, dims: Shape) -> Dim:
        if is_fixed(*dims):
            return math.prod(fixed(dims))
        return dims[0] if len(dims) == 1 else "*".join(f"({d})" for d in dims)

    def onnx(self, node: Node[FlattenParams], b: OnnxBuilder) -> None:
        start, end = self.span(node)
        x = node.inputs[0]
        if start == 1 and end == len(x.shape) - 1:
            b.node("Flatten", node, axis=1)
            return
        dims = [b.dim(x, i) for i in range(len(x.shape))]
        shape = b.join(*dims[:start], b.ints(-1), *dims[end + 1 :])
        b.op("Reshape", x, shape, out=node.outputs[0])

    def torch(self, node: Node[FlattenParams]) -> nn.Module:
        from torch import nn

        return nn.Flatten(*self.span(node))

    def reverse(self, node: Node[FlattenParams], tops: Tops, r: Reverser) -> None:
        reverse_reshape(node, tops, r)


@dataclass
class ReshapeParams:
    """ReshapeParameter."""

    shape: BlobShape = field(default_factory=BlobShape)
    axis: int = 0
    num_axes: int = -1


@register("Reshape", message="reshape_param")
class Reshape(LayerType[ReshapeParams]):
    """The same numbers under other dimensions; 0 keeps one, -1 takes what is left."""

    Params = ReshapeParams
    passes_values = True

    def bottom_size(self, params: ReshapeParams) -> int | None:
        dims = params.shape.dim
        fixed = (params.axis, params.num_axes) == (0, -1) and all(d > 0 for d in dims)
        return math.prod(dims) if dims and fixed else None

    def likely_batches(self, params: ReshapeParams) -> list[int]:
        """Of steps x sequences x features: of both, or of either."""
        if self.bottom_size(params) is None:
            return []
        steps = params.shape.dim[:2]
        return list(dict.fromkeys([math.prod(steps), *steps]))

    def span(self, node: Node[ReshapeParams]) -> tuple[int, int]:
        """The axes that are replaced: from the first to before the last."""
        p = node.params
        rank = len(node.inputs[0].shape)
        start = p.axis if p.axis >= 0 else rank + p.axis + 1
        if not 0 <= start <= rank:
            raise node.error(f"axis {p.axis} is outside a {text(node.inputs[0].shape)} input")
        if p.num_axes < -1 or start + max(p.num_axes, 0) > rank:
            raise node.error(f"num_axes {p.num_axes} from axis {p.axis} is too many")
        return start, rank if p.num_axes == -1 else start + p.num_axes

    def dims(self, node: Node[ReshapeParams]) -> list[Dim]:
        """The new dimensions, 0 replaced by those they keep."""
        start, end = self.span(node)
        shape, result = node.inputs[0].shape, []
        for index, size in enumerate(node.params.shape.dim):
            if size == 0 and start + index >= end:
                raise node.error(f"dim 0 at {index} has no dimension to keep")
            result.append(shape[start + index] if size == 0 else size)
        if result.count(-1) > 1 or any(isinstance(d, int) and d < -1 for d in result):
            raise node.error(f"dim {node.params.shape.dim}: one -1 at most")
        return result

    def shapes(self, node: Node[ReshapeParams]) -> list[Shape]:
        start, end = self.span(node)
        shape, dims = node.inputs[0].shape, self.dims(node)
        old, new = list(shape[start:end]), list(dims)
        # What is kept symbol for symbol cancels; of the rest -1 may take one multiple of a symbol.
        for symbol in [d for d in new if isinstance(d, str)]:
            if symbol in old:
                old.remove(symbol)
                new.remove(symbol)
        factor, symbols = 1, [d for d in old if isinstance(d, str)]
        if len(symbols) == 1 and -1 in new:
            factor, base = factored(symbols[0])
            old.remove(symbols[0])
        count = factor * product(tuple(old))
        known_count = product(tuple(d for d in new if d != -1))
        if -1 in new and symbols and known_count and count % known_count:
            raise OpenDimension(symbols[0])
        if not known_count or (count % known_count if -1 in new else count != known_count):
            raise node.error(f"{text(shape)} cannot be reshaped to {text(tuple(dims))}")
        if -1 in new:
            rest = count // known_count
            if len(symbols) == 1:
                dims[dims.index(-1)] = base if rest == 1 else f"{rest}*({base})"
            else:
                dims[dims.index(-1)] = rest
        return [(*shape[:start], *dims, *shape[end:])]

    def onnx(self, node: Node[ReshapeParams], b: OnnxBuilder) -> None:
        start, end = self.span(node)
        x, wanted = node.inputs[0], node.params.shape.dim
        dims = []
        for index, size in enumerate(node.outputs[0].shape):
            place = index - start
            if isinstance(size, int):
                dims.append(b.ints(size))
            elif place < 0 or (place < len(wanted) and wanted[place] == 0):
                dims.append(b.dim(x, index))
            elif place < len(wanted):
                dims.append(b.ints(-1))
            else:
                dims.append(b.dim(x, end + place - len(wanted)))
        b.op("Reshape", x, b.join(*dims) if dims else b.ints(), out=node.outputs[0])

    def torch(self, node: Node[ReshapeParams]) -> nn.Module:
        from .torch import shaping

        return shaping.Reshape(list(node.params.shape.dim), *self.span(node))

    def reverse(self, node: Node[ReshapeParams], tops: Tops, r: Reverser) -> None:
        reverse_reshape(node, tops, r)


@dataclass
class TileParams:
    """TileParameter."""

    axis: int = 1
    tiles: int = 0


@register("Tile", message="tile_param")
class Tile(LayerType[TileParams]):
    """A blob repeated along an axis."""

    Params = TileParams
    passes_values = True

    def prepare(self, node: Node[TileParams]) -> None:
        canonical(node, node.params.axis)
        if node.params.tiles < 1:
            raise node.error("tiles must be at least 1")

    def repeats(self, node: Node[TileParams]) -> list[int]:
        rank = len(node.inputs[0].shape)
        return [node.params.tiles if i == node.params.axis % rank else 1 for i in range(rank)]

    def shapes(self, node: Node[TileParams]) -> list[Shape]:
        shape, repeats = node.inputs[0].shape, self.repeats(node)
        dims = []
        for size, times in zip(shape, repeats, strict=True):
            if times != 1 and not isinstance(size, int):
                raise OpenDimension(size)
            dims.append(known(size) * times if times != 1 else size)
        return [tuple(dims)]

    def onnx(self, node: Node[TileParams], b: OnnxBuilder) -> None:
        b.node("Tile", node, b.ints(*self.repeats(node)))

    def torch(self, node: Node[TileParams]) -> nn.Module:
        from .torch import shaping

        return shaping.Tile(self.repeats(node))
