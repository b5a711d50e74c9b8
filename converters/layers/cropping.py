"""Cutting and mosaics: Crop, waifu2x's CropCenter, the Python layers of demosaicnet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from prototxt.errors import Argument, Sentence
from prototxt.net import LayerDefinition
from prototxt.schema import UInt

from ..errors import ConversionError
from ..graph import Node, P, Shape
from ..layer_type import LayerType, NoParams
from ..registry import register
from ..shapes import convolved, deconvolved, is_fixed, known, text
from .alignment import Aligned, aligned, alignment
from .python import PythonLayer
from .shaping import canonical

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder

DEMOSAIC = "demosaicnet (mgharbi/demosaicnet_caffe)"


@dataclass
class CropParams:
    """CropParameter."""

    axis: int = 2
    offset: list[UInt] = field(default_factory=list)


class Cropping(LayerType[P]):
    """The first bottom cut to the second's size, from an axis on."""

    bottoms = (2, 2)
    passes_values = True

    def offsets(self, node: Node[P]) -> tuple[int, list[int]]:
        """The first axis that is cut, and where in the first bottom each axis begins."""
        raise NotImplementedError

    def shapes(self, node: Node[P]) -> list[Shape]:
        axis, offsets = self.offsets(node)
        a, like = (v.shape for v in node.inputs)
        if len(a) != len(like):
            raise node.error(f"its bottoms differ in their axes: {text(a)} and {text(like)}")
        for size, wanted, offset in zip(a[axis:], like[axis:], offsets, strict=True):
            if isinstance(size, int) and isinstance(wanted, int) and wanted + offset > size:
                raise node.error(f"cannot cut {text(like)} from {text(a)} at offset {offsets}")
        return [(*a[:axis], *like[axis:])]

    def onnx(self, node: Node[P], b: OnnxBuilder) -> None:
        axis, offsets = self.offsets(node)
        x, like = node.inputs
        starts = b.ints(*offsets)
        size = b.join(*(b.dim(like, i) for i in range(axis, len(x.shape))))
        ends = b.arithmetic("Add", starts, size)
        axes = b.ints(*range(axis, len(x.shape)))
        b.op("Slice", x, starts, ends, axes, out=node.outputs[0])

    def torch(self, node: Node[P]) -> nn.Module:
        from .torch import shaping

        return shaping.Crop(*self.offsets(node))


@register("Crop", message="crop_param")
class Crop(Cropping[CropParams]):
    """The first bottom cut to the second's size, from `axis` on."""

    Params = CropParams

    def offsets(self, node: Node[CropParams]) -> tuple[int, list[int]]:
        axis = canonical(node, node.params.axis)
        count = len(node.inputs[0].shape) - axis
        given = node.params.offset
        if len(given) > 1 and len(given) != count:
            raise node.error(f"{len(given)} offset for {count} axes")
        return axis, given * count if len(given) == 1 else given or [0] * count

    def notes(self, node: Node[CropParams]) -> list[str]:
        """That an old FCN definition, which states no offset, is meant otherwise."""
        own = self.offsets(node)
        meant = aligned(node) if len(node.inputs[0].shape) == 4 and not any(own[1]) else None
        if meant is None or own[0] != 2 or not any(meant):
            return []
        return [
            node.note(
                "cuts at offset 0, as none is stated; by the layers in between its bottoms align "
                f"at {meant[0]}, {meant[1]}, which the first FCN forks would take"
            )
        ]


@register("AlignedCrop")
class AlignedCrop(Aligned, Cropping[NoParams]):
    """The first bottom cut to the second's plane, where the second lies in it (crop_layer.cpp).

    It is what `CROP` means in V1 syntax. The strides and pads of the layers between the two tell
    the offset, which must come out whole.
    """

    fork = "FCN (longjon/caffe), DeconvNet (HyeonwooNoh/caffe)"

    def read(self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]) -> NoParams:
        if layer.param("crop_param") is not None:
            raise ConversionError(
                "V1 syntax has no crop_param",
                subject=f"layer {layer.name!r} (Crop)",
                position=layer.position,
                remedy='write `layer` and type: "Crop"',
            )
        return NoParams()

    def prepare(self, node: Node[NoParams]) -> None:
        for value in node.inputs:
            if len(value.shape) != 4:
                raise node.error(f"needs 4-D inputs, not {text(value.shape)}")
        self.offsets(node)

    def offsets(self, node: Node[NoParams]) -> tuple[int, list[int]]:
        return 2, alignment(node)


@dataclass
class CropCenterParams:
    """CropCenterParameter."""

    crop_size: list[UInt] = field(default_factory=list)


@register("CropCenter", message="crop_center_param")
class CropCenter(LayerType[CropCenterParams]):
    """Cuts `crop_size` of each axis off at both ends (crop_center_layer.cpp)."""

    fork = "waifu2x-caffe (lltcggie/caffe)"
    Params = CropCenterParams
    passes_values = True

    def shapes(self, node: Node[CropCenterParams]) -> list[Shape]:
        shape, cut = node.inputs[0].shape, node.params.crop_size
        if len(cut) != len(shape):
            raise node.error(f"{len(cut)} crop_size for a {text(shape)} input")
        for dim, size in zip(shape, cut, strict=True):
            if isinstance(dim, int) and 2 * size + 1 > dim:
                raise node.error(
                    f"crop_size {cut} leaves nothing of {text(shape)}",
                    Sentence("give a larger ", Argument("shapes")),
                )
        return [tuple(convolved(d, 2 * c + 1, 0, 1) for d, c in zip(shape, cut, strict=True))]

    def onnx(self, node: Node[CropCenterParams], b: OnnxBuilder) -> None:
        cut = [(axis, size) for axis, size in enumerate(node.params.crop_size) if size]
        if not cut:
            b.node("Identity", node)
            return
        starts = b.ints(*(size for _, size in cut))
        ends = b.ints(*(-size for _, size in cut))
        b.node("Slice", node, starts, ends, b.ints(*(axis for axis, _ in cut)))

    def torch(self, node: Node[CropCenterParams]) -> nn.Module:
        from .torch import cropping

        return cropping.CropCenter(node.params.crop_size)


class Mosaic(PythonLayer):
    """A layer of demosaicnet/layers.py, of commit 7206738."""

    fork = DEMOSAIC

    def need(self, node: Node[Any], channels: int, index: int = 0) -> None:
        shape = node.inputs[index].shape
        if len(shape) != 4:
            raise node.error(f"needs a 4-D input, not {text(shape)}")
        if known(shape[1]) != channels:
            raise node.error(f"needs {channels} channels, not {shape[1]}")


@register("Python:demosaicnet.layers.CropLikeLayer", message="python_param")
class CropLike(PythonLayer):
    """The centre of the first bottom, as large as the second.

    Of an odd rest the smaller half is above and left of it.
    """

    fork = DEMOSAIC
    bottoms = (2, 2)
    passes_values = True

    def shapes(self, node: Node[Any]) -> list[Shape]:
        x, like = (v.shape for v in node.inputs)
        if len(x) != 4 or len(like) != 4:
            raise node.error(f"needs 4-D inputs, not {text(x)} and {text(like)}")
        if x[:2] != like[:2]:
            raise node.error(f"its bottoms differ in images or channels: {text(x)}, {text(like)}")
        for size, wanted in zip(x[2:], like[2:], strict=True):
            if is_fixed(size, wanted) and known(wanted) > known(size):
                raise node.error(f"cannot cut {text(like)} from {text(x)}")
        return [like]

    def onnx(self, node: Node[Any], b: OnnxBuilder) -> None:
        x, like = node.inputs
        size, plane = (b.join(b.dim(v, 2), b.dim(v, 3)) for v in (x, like))
        start = b.arithmetic("Div", b.arithmetic("Sub", size, plane), b.ints(2))
        end = b.arithmetic("Add", start, plane)
        b.op("Slice", x, start, end, b.ints(2, 3), out=node.outputs[0])

    def torch(self, node: Node[Any]) -> nn.Module:
        from .torch import cropping

        return cropping.CropLike()


class Masked(Mosaic):
    """Each place keeps one colour, by a pattern that repeats; the others become 0."""

    pattern: tuple[str, ...] = ()
    """Rows of the colour that each place keeps: R, G or B, channels 0, 1, 2."""

    def shapes(self, node: Node[Any]) -> list[Shape]:
        self.need(node, 3)
        return [node.inputs[0].shape]

    def mask(self) -> np.ndarray:
        """3×P×P of 0 and 1."""
        rows = np.array([list(row) for row in self.pattern])
        return np.stack([rows == colour for colour in "RGB"]).astype(np.float32)

    def onnx(self, node: Node[Any], b: OnnxBuilder) -> None:
        x, mask = node.inputs[0], self.mask()
        side = mask.shape[1]
        repeats = []
        for axis in (2, 3):
            size = b.arithmetic("Add", b.dim(x, axis), b.ints(side - 1))
            repeats.append(b.arithmetic("Div", size, b.ints(side)))
        tiled = b.op("Tile", b.array(node, "mask", mask[None]), b.join(b.ints(1, 1), *repeats))
        ends = b.join(b.dim(x, 2), b.dim(x, 3))
        keep = b.op("Slice", tiled, b.ints(0, 0), ends, b.ints(2, 3))
        # Where, not Mul: what is dropped may be infinite.
        zero = b.const(np.float32(0))
        b.op("Where", b.op("Greater", keep, zero), x, zero, out=node.outputs[0])

    def torch(self, node: Node[Any]) -> nn.Module:
        from .torch import cropping

        return cropping.Masked(self.mask())


@register("Python:demosaicnet.layers.BayerMosaickLayer", message="python_param")
class BayerMosaick(Masked):
    """An RGB image as a Bayer sensor sees it: green and red in even rows, blue and green in odd."""

    pattern = ("GR", "BG")


@register("Python:demosaicnet.layers.XTransMosaickLayer", message="python_param")
class XTransMosaick(Masked):
    """An RGB image as Fuji's X-Trans sensor sees it, a pattern of 6x6."""

    pattern = ("GBGGRG", "RGRBGB", "GBGGRG", "GRGGBG", "BGBRGR", "GRGGBG")


PACKED = ((1, 0, 0), (0, 0, 1), (2, 1, 0), (1, 1, 1))
"""Colour, row and column of the four numbers that Bayer's square of 2x2 has."""


@register("Python:demosaicnet.layers.PackBayerMosaickLayer", message="python_param")
class PackBayerMosaick(Mosaic):
    """Each square of 2x2 of a Bayer mosaic as one place of 4 channels: green, red, blue, green."""

    def shapes(self, node: Node[Any]) -> list[Shape]:
        self.need(node, 3)
        n, _, *plane = node.inputs[0].shape
        height, width = (known(d) for d in plane)
        if height % 2 or width % 2:
            raise node.error(f"needs an even height and width, not {height}x{width}")
        return [(n, 4, height // 2, width // 2)]

    def onnx(self, node: Node[Any], b: OnnxBuilder) -> None:
        cells = b.op("SpaceToDepth", node.inputs[0], blocksize=2)
        # Its channels are (row, column, colour).
        places = [6 * row + 3 * column + colour for colour, row, column in PACKED]
        b.op("Gather", cells, b.ints(*places), axis=1, out=node.outputs[0])

    def torch(self, node: Node[Any]) -> nn.Module:
        from .torch import cropping

        return cropping.PackBayer()


@register("Python:demosaicnet.layers.UnpackBayerMosaickLayer", message="python_param")
class UnpackBayerMosaick(Mosaic):
    """The four channels of each of 3 colours as a square of 2x2 places."""

    def shapes(self, node: Node[Any]) -> list[Shape]:
        self.need(node, 12)
        n, _, height, width = node.inputs[0].shape
        return [(n, 3, *(deconvolved(dim, 2, 0, 2) for dim in (height, width)))]

    def onnx(self, node: Node[Any], b: OnnxBuilder) -> None:
        b.node("DepthToSpace", node, blocksize=2, mode="CRD")

    def torch(self, node: Node[Any]) -> nn.Module:
        from torch import nn

        return nn.PixelShuffle(2)


@register("Python:demosaicnet.layers.ReplicateLikeLayer", message="python_param")
class ReplicateLike(PythonLayer):
    """One number an image, all over a plane of the second bottom's size: the noise's level."""

    fork = DEMOSAIC
    bottoms = (2, 2)
    passes_values = True

    def shapes(self, node: Node[Any]) -> list[Shape]:
        x, like = (v.shape for v in node.inputs)
        if len(x) != 1 or len(like) != 4 or x[0] != like[0]:
            raise node.error(f"needs N numbers and N x C x H x W, not {text(x)} and {text(like)}")
        return [(like[0], 1, *like[2:])]

    def onnx(self, node: Node[Any], b: OnnxBuilder) -> None:
        x, like = node.inputs
        shape = b.join(b.dim(like, 0), b.ints(1), b.dim(like, 2), b.dim(like, 3))
        b.op("Expand", b.op("Unsqueeze", x, b.ints(1, 2, 3)), shape, out=node.outputs[0])

    def torch(self, node: Node[Any]) -> nn.Module:
        from .torch import cropping

        return cropping.ReplicateLike()
