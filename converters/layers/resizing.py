"""Interp of DeepLab and PSPNet, Reorg of YOLOv2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prototxt.schema import UInt

from ..graph import Dim, Node, Shape
from ..layer_type import LayerType
from ..registry import register
from ..shapes import convolved, deconvolved, known, text

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


@dataclass
class InterpParams:
    """InterpParameter."""

    height: int | None = None
    width: int | None = None
    zoom_factor: int | None = None
    shrink_factor: int | None = None
    pad_beg: int = 0
    pad_end: int = 0
    use_blob_size: bool = False
    """Of forks: the size is that of the second bottom."""

    def factors(self) -> tuple[int, int] | None:
        """What the size is divided by and then multiplied by; None where it is stated instead."""
        if self.shrink_factor is not None and self.zoom_factor is not None:
            # Caffe asks for height and width before it lets both factors stand together.
            both = self.height is None or self.width is None
            return (self.shrink_factor, self.zoom_factor) if both else None
        if self.shrink_factor is None and self.zoom_factor is None:
            return None
        return self.shrink_factor or 1, self.zoom_factor or 1


@register("Interp", message="interp_param")
class Interp(LayerType[InterpParams]):
    """Bilinear, corner on corner (interp_layer.cpp); a negative pad cuts rows and columns before.

    A factor decides over height and width; a shrink of s and a zoom of z make
    z (floor((size - 1) / s)) + 1 of a size. With a second bottom, as forks have it, the size is
    that one's.
    """

    fork = "DeepLab (gpapan/caffe), PSPNet (hszhao/PSPNet)"
    bottoms = (1, 2)
    Params = InterpParams

    def prepare(self, node: Node[InterpParams]) -> None:
        p = node.params
        if len(node.inputs[0].shape) != 4:
            raise node.error(f"needs a 4-D input, not {text(node.inputs[0].shape)}")
        if p.pad_beg > 0 or p.pad_end > 0:
            raise node.error("pad_beg and pad_end must not be above 0: they cut")
        if (p.shrink_factor is not None and p.shrink_factor < 1) or (
            p.zoom_factor is not None and p.zoom_factor < 1
        ):
            raise node.error("shrink_factor and zoom_factor must be at least 1")
        if len(node.inputs) == 2:
            numbers = (p.height, p.width, p.zoom_factor, p.shrink_factor)
            if not p.use_blob_size and numbers != (None,) * 4:
                raise node.error("has a second bottom, and a size or factor", "give one of them")
            if len(node.inputs[1].shape) != 4:
                raise node.error(f"needs 4-D bottoms, not {text(node.inputs[1].shape)}")
            return
        if p.use_blob_size:
            raise node.error("use_blob_size needs a second bottom")
        stated = p.height is not None and p.width is not None
        if p.factors() is None and (not stated or min(p.height or 0, p.width or 0) < 1):
            raise node.error("give height and width, zoom_factor or shrink_factor")

    def resized(self, node: Node[InterpParams], dim: Dim, stated: int | None) -> Dim:
        p = node.params
        cut = convolved(dim, 1 - p.pad_beg - p.pad_end, 0, 1)
        if isinstance(cut, int) and cut < 1:
            raise node.error(f"nothing is left of {dim} by pad_beg and pad_end")
        factors = p.factors()
        if factors is None:
            assert stated is not None
            return stated
        return deconvolved(convolved(cut, 1, 0, factors[0]), 1, 0, factors[1])

    def shapes(self, node: Node[InterpParams]) -> list[Shape]:
        n, c, height, width = node.inputs[0].shape
        p = node.params
        if len(node.inputs) == 2:
            return [(n, c, *node.inputs[1].shape[2:])]
        return [(n, c, self.resized(node, height, p.height), self.resized(node, width, p.width))]

    def onnx(self, node: Node[InterpParams], b: OnnxBuilder) -> None:
        p = node.params
        x, out = node.inputs[0], node.outputs[0]
        factors, source = p.factors(), b.name(x)
        cut, one = b.ints(p.pad_beg + p.pad_end), b.ints(1)
        if p.pad_beg or p.pad_end:
            start = b.ints(-p.pad_beg, -p.pad_beg)
            dims = b.join(b.dim(x, 2), b.dim(x, 3))
            end = b.arithmetic("Add", dims, b.ints(p.pad_end, p.pad_end))
            source = b.op("Slice", x, start, end, b.ints(2, 3))
        sizes = [b.dim(x, 0), b.dim(x, 1)]
        for axis in (2, 3):
            size = out.shape[axis]
            if isinstance(size, int):
                sizes.append(b.ints(size))
                continue
            if len(node.inputs) == 2:
                sizes.append(b.dim(node.inputs[1], axis))
                continue
            assert factors is not None
            steps = b.arithmetic("Sub", b.arithmetic("Add", b.dim(x, axis), cut), one)
            steps = b.arithmetic("Div", steps, b.ints(factors[0]))
            steps = b.arithmetic("Mul", steps, b.ints(factors[1]))
            sizes.append(b.arithmetic("Add", steps, one))
        b.op(
            "Resize",
            source,
            "",
            "",
            b.join(*sizes),
            out=out,
            mode="linear",
            coordinate_transformation_mode="align_corners",
        )

    def torch(self, node: Node[InterpParams]) -> nn.Module:
        from .torch import resizing

        p = node.params
        factors = None if len(node.inputs) == 2 else p.factors()
        return resizing.Interp((p.height or 0, p.width or 0), factors, p.pad_beg, p.pad_end)


@dataclass
class BilinearInterpolationParams:
    """BilinearInterpolationParameter."""

    interpolation_factor: UInt = 1


@register("BilinearInterpolation", message="bilinear_interpolation_param")
class BilinearInterpolation(LayerType[BilinearInterpolationParams]):
    """Bilinear, corner on corner (bilinear_interpolation_layer.cpp, of two forks).

    `interpolation_factor` times as large, or with a second bottom as large as that one.
    """

    fork = "several forks"
    bottoms = (1, 2)
    Params = BilinearInterpolationParams

    def shapes(self, node: Node[BilinearInterpolationParams]) -> list[Shape]:
        for value in node.inputs:
            if len(value.shape) != 4:
                raise node.error(f"needs 4-D bottoms, not {text(value.shape)}")
        n, c, *plane = node.inputs[0].shape
        if len(node.inputs) == 2:
            return [(n, c, *node.inputs[1].shape[2:])]
        factor = node.params.interpolation_factor
        if not factor:
            raise node.error("interpolation_factor must be above 0")
        return [(n, c, *(deconvolved(dim, factor, 0, factor) for dim in plane))]

    def onnx(self, node: Node[BilinearInterpolationParams], b: OnnxBuilder) -> None:
        x, like = node.inputs[0], node.inputs[-1]
        factor = 1 if len(node.inputs) == 2 else node.params.interpolation_factor
        plane = [b.arithmetic("Mul", b.dim(like, axis), b.ints(factor)) for axis in (2, 3)]
        b.op(
            "Resize",
            x,
            "",
            "",
            b.join(b.dim(x, 0), b.dim(x, 1), *plane),
            out=node.outputs[0],
            mode="linear",
            coordinate_transformation_mode="align_corners",
        )

    def torch(self, node: Node[BilinearInterpolationParams]) -> nn.Module:
        from .torch import resizing

        return resizing.BilinearInterpolation(node.params.interpolation_factor)


@dataclass
class ReorgParams:
    """ReorgParameter; it needs a stride."""

    stride: UInt = 0
    reverse: bool = False


@register("Reorg", message="reorg_param")
class Reorg(LayerType[ReorgParams]):
    """Squares of places become channels, as darknet does it (reorg_layer.cpp of gklz1982's fork).

    Not space to depth: N×C×H×W is first read as if it were N×C/s²×sH×sW, for a stride of s.
    With `reverse` channels become squares of places (depth to space).
    """

    fork = "YOLOv2 (gklz1982/caffe-yolov2)"
    Params = ReorgParams

    def prepare(self, node: Node[ReorgParams]) -> None:
        if len(node.inputs[0].shape) != 4:
            raise node.error(f"needs a 4-D input, not {text(node.inputs[0].shape)}")
        if not node.params.stride:
            raise node.error("give a stride above 0")

    def shapes(self, node: Node[ReorgParams]) -> list[Shape]:
        n, *rest = node.inputs[0].shape
        c, height, width = (known(d) for d in rest)
        s, reverse = node.params.stride, node.params.reverse
        if c % (s * s):
            raise node.error(f"{c} channels are not divisible by the square of stride {s}")
        if not reverse and (height % s or width % s):
            raise node.error(f"{height}x{width} is not divisible by stride {s}")
        if reverse:
            return [(n, c // (s * s), height * s, width * s)]
        return [(n, c * s * s, height // s, width // s)]

    def onnx(self, node: Node[ReorgParams], b: OnnxBuilder) -> None:
        s = node.params.stride
        x, out = node.inputs[0], node.outputs[0]
        if node.params.reverse:
            b.op("DepthToSpace", x, blocksize=s, mode="DCR", out=out)
            return
        c, height, width = (known(d) for d in x.shape[1:])
        read = b.op("Reshape", x, b.ints(0, c // (s * s), height * s, width * s))
        y = b.op("SpaceToDepth", read, blocksize=s)
        b.op("Reshape", y, b.ints(0, *(known(d) for d in out.shape[1:])), out=out)

    def torch(self, node: Node[ReorgParams]) -> nn.Module:
        from .torch import resizing

        return resizing.Reorg(node.params.stride, node.params.reverse)
