"""The layers before SSD's detector: Permute, Normalize, PriorBox."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from prototxt.schema import UInt

from ..fillers import Filler
from ..graph import Node, Shape
from ..layer_type import BlobSpec, LayerType
from ..registry import register
from ..shapes import known, product, text
from .activations import Elementwise, scalar
from .shaping import ConcatParams

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder

FORK = "SSD (weiliu89/caffe)"


@dataclass
class PermuteParams:
    """PermuteParameter."""

    order: list[UInt] = field(default_factory=list)


@register("Permute", message="permute_param")
class Permute(LayerType[PermuteParams]):
    """The axes in another order; those not named follow as they stood (permute_layer.cpp)."""

    fork = FORK
    Params = PermuteParams
    passes_values = True

    def order(self, node: Node[PermuteParams]) -> list[int]:
        given, rank = node.params.order, len(node.inputs[0].shape)
        if any(axis >= rank for axis in given):
            raise node.error(f"order {given} names an axis that its {rank}-D input has not")
        if len(set(given)) != len(given):
            raise node.error(f"order {given} names an axis twice")
        return [*given, *(i for i in range(rank) if i not in given)]

    def shapes(self, node: Node[PermuteParams]) -> list[Shape]:
        return [tuple(node.inputs[0].shape[i] for i in self.order(node))]

    def onnx(self, node: Node[PermuteParams], b: OnnxBuilder) -> None:
        b.node("Transpose", node, perm=self.order(node) or None)

    def torch(self, node: Node[PermuteParams]) -> nn.Module:
        from .torch import ssd

        return ssd.Permute(self.order(node))


@dataclass
class FusedConcatParams(ConcatParams):
    """ConcatParameter of Intel's Caffe."""

    per_fla_fuse: bool = False


@register("FusedConcat", message="concat_param")
class FusedConcat(LayerType[FusedConcatParams]):
    """`Concat` with `per_fla_fuse` (mkldnn_concat_layer.cpp): maps as SSD's heads need them.

    Channels last, flattened, one behind the other, as N×K×1×1.
    """

    fork = "Intel's Caffe (intel/caffe)"
    bottoms = (1, None)
    Params = FusedConcatParams
    passes_values = True

    def prepare(self, node: Node[FusedConcatParams]) -> None:
        p = node.params
        if (p.axis if p.concat_dim is None else p.concat_dim) != 1:
            raise node.error("per_fla_fuse needs axis 1")
        for value in node.inputs:
            if len(value.shape) != 4:
                raise node.error(f"per_fla_fuse needs 4-D bottoms, not {text(value.shape)}")

    def shapes(self, node: Node[FusedConcatParams]) -> list[Shape]:
        total = sum(product(value.shape[1:]) for value in node.inputs)
        return [(node.inputs[0].shape[0], total, 1, 1)]

    def onnx(self, node: Node[FusedConcatParams], b: OnnxBuilder) -> None:
        parts = [
            b.op("Reshape", b.op("Transpose", value, perm=[0, 2, 3, 1]), b.ints(0, -1, 1, 1))
            for value in node.inputs
        ]
        b.op("Concat", *parts, axis=1, out=node.outputs[0])

    def torch(self, node: Node[FusedConcatParams]) -> nn.Module:
        from .torch import ssd

        return ssd.FusedConcat()


@dataclass
class NormalizeParams:
    """NormalizeParameter."""

    across_spatial: bool = True
    scale_filler: Filler = field(default_factory=lambda: Filler(value=1.0))
    channel_shared: bool = True
    eps: float = 1e-10


@register("Normalize", message="norm_param")
class Normalize(Elementwise[NormalizeParams]):
    """scale x / sqrt(sum of squares + eps): a vector of length `scale` (normalize_layer.cpp).

    The sum goes over the channels at each place or, with across_spatial, over the whole image;
    there is one scale for all channels, or one for each.
    """

    fork = FORK
    Params = NormalizeParams

    def prepare(self, node: Node[NormalizeParams]) -> None:
        if len(node.inputs[0].shape) < 2:
            raise node.error("needs at least 2 dimensions")

    def shapes(self, node: Node[NormalizeParams]) -> list[Shape]:
        known(node.inputs[0].shape[1])
        return [node.inputs[0].shape]

    def blobs(self, node: Node[NormalizeParams]) -> list[BlobSpec]:
        p = node.params
        shape = () if p.channel_shared else (known(node.inputs[0].shape[1]),)
        return [BlobSpec("weight", shape, p.scale_filler)]

    def axes(self, node: Node[NormalizeParams]) -> list[int]:
        return list(range(1, len(node.inputs[0].shape))) if node.params.across_spatial else [1]

    def onnx(self, node: Node[NormalizeParams], b: OnnxBuilder) -> None:
        x = node.inputs[0]
        squares = b.op("ReduceSumSquare", x, b.ints(*self.axes(node)), keepdims=1)
        norm = b.op("Sqrt", b.op("Add", squares, scalar(node.params.eps)))
        columns = node.blobs[0].reshape(-1, *[1] * (len(x.shape) - 2))
        scale = b.array(node, "weight", np.ascontiguousarray(columns, np.float32))
        b.op("Mul", b.op("Div", x, norm), scale, out=node.outputs[0])

    def torch(self, node: Node[NormalizeParams]) -> nn.Module:
        from .torch import ssd

        return ssd.Normalize(node.blobs[0], tuple(self.axes(node)), node.params.eps)


@dataclass
class PriorBoxParams:
    """PriorBoxParameter, with what TextBoxes++ added."""

    min_size: list[float] = field(default_factory=list)
    max_size: list[float] = field(default_factory=list)
    aspect_ratio: list[float] = field(default_factory=list)
    flip: bool = True
    clip: bool = False
    variance: list[float] = field(default_factory=list)
    img_size: UInt | None = None
    img_h: UInt | None = None
    img_w: UInt | None = None
    step: float | None = None
    step_h: float | None = None
    step_w: float | None = None
    offset: float = 0.5
    denser_prior_boxes: bool = False
    """Each prior again, in the same column, between this row and the next."""

    def ratios(self) -> list[float]:
        """1 and the ratios that are new, each followed by its inverse where they are flipped."""
        found = [1.0]
        for ratio in map(float, np.array(self.aspect_ratio, np.float32)):
            if all(abs(ratio - other) >= 1e-6 for other in found):
                found += [ratio, float(np.float32(1 / ratio))] if self.flip else [ratio]
        return found

    def sizes(self) -> list[tuple[float, float]]:
        """Width and height in pixels of each prior of a place, in Caffe's order.

        Caffe holds min_size and max_size in an int, so that they lose their fractions.
        """
        found: list[tuple[float, float]] = []
        for index, size in enumerate(map(int, self.min_size)):
            found.append((size, size))
            if self.max_size:
                found.append((math.sqrt(size * int(self.max_size[index])),) * 2)
            found += [(size * r**0.5, size / r**0.5) for r in self.ratios() if abs(r - 1) >= 1e-6]
        return found


@register("PriorBox", message="prior_box_param")
class PriorBox(LayerType[PriorBoxParams]):
    """Boxes to start from, by the sizes of a feature map and of the image (prior_box_layer.cpp).

    1×2×4P: for each place and prior xmin, ymin, xmax, ymax as shares of the image, then four
    variances each.
    """

    fork = FORK
    bottoms = (2, 2)
    Params = PriorBoxParams

    def prepare(self, node: Node[PriorBoxParams]) -> None:
        p = node.params
        if not p.min_size or min(map(int, p.min_size)) < 1:
            raise node.error("min_size is missing or below 1")
        if p.max_size and len(p.max_size) != len(p.min_size):
            raise node.error(f"{len(p.max_size)} max_size for {len(p.min_size)} min_size")
        if any(high <= low for low, high in zip(p.min_size, p.max_size, strict=False)):
            raise node.error("max_size must be above min_size")
        if len(p.variance) not in (0, 1, 4) or any(v <= 0 for v in p.variance):
            raise node.error("variance must be one or four numbers above 0")
        if any(ratio <= 0 for ratio in p.aspect_ratio):
            raise node.error("aspect_ratio must be above 0")
        for whole, parts in (("img_size", ("img_h", "img_w")), ("step", ("step_h", "step_w"))):
            one, two = getattr(p, whole), [getattr(p, part) for part in parts]
            if (one is not None and any(part is not None for part in two)) or (
                (two[0] is None) != (two[1] is None)
            ):
                raise node.error(f"give {whole}, or {parts[0]} and {parts[1]}")
            if any(number is not None and number <= 0 for number in (one, *two)):
                raise node.error(f"{whole} must be above 0")
        if any(len(v.shape) != 4 for v in node.inputs):
            raise node.error("needs a 4-D feature map and a 4-D image")

    def shapes(self, node: Node[PriorBoxParams]) -> list[Shape]:
        height, width = (known(d) for d in node.inputs[0].shape[2:])
        known(node.inputs[1].shape[2]), known(node.inputs[1].shape[3])
        p = node.params
        count = len(p.sizes()) * (2 if p.denser_prior_boxes else 1)
        return [(1, 2, height * width * count * 4)]

    def boxes(self, node: Node[PriorBoxParams]) -> np.ndarray:
        """The top, which depends on nothing but shapes."""
        p = node.params
        rows, columns = (known(d) for d in node.inputs[0].shape[2:])
        image = [p.img_size or p.img_h, p.img_size or p.img_w]
        high, wide = (n or known(d) for n, d in zip(image, node.inputs[1].shape[2:], strict=True))
        single = np.float32
        step_y = single(p.step or p.step_h or single(high) / single(rows))
        step_x = single(p.step or p.step_w or single(wide) / single(columns))
        y = (np.arange(rows, dtype=single) + single(p.offset)) * step_y
        x = (np.arange(columns, dtype=single) + single(p.offset)) * step_x
        half = np.array(p.sizes(), single).astype(np.float64)[:, None] / 2
        between = (np.arange(rows, dtype=single) + single(1)) * step_y
        lines = np.stack([y, between] if p.denser_prior_boxes else [y], 1)  # H×1 or H×2
        centre = np.stack(np.broadcast_arrays(x[None, :, None], lines[:, None]), -1)
        centre = centre[:, :, None]  # H×W×1×1×2, to go with each size
        corners = np.concatenate([centre - half, centre + half], -1) / [wide, high, wide, high]
        if p.clip:
            corners = corners.clip(0, 1)
        variance = np.broadcast_to(np.array(p.variance or [0.1], single), corners.shape)
        return np.stack([corners.astype(single).ravel(), variance.ravel()])[None]

    def onnx(self, node: Node[PriorBoxParams], b: OnnxBuilder) -> None:
        b.op("Identity", b.array(node, "boxes", self.boxes(node)), out=node.outputs[0])

    def torch(self, node: Node[PriorBoxParams]) -> nn.Module:
        from .torch import ssd

        return ssd.Priors(self.boxes(node))
