"""SegNet's Upsample and DenseImageData, and the Upsample without a mask of the YOLO forks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prototxt.schema import UInt

from ..graph import Dim, Node, Shape, Value
from ..registry import register
from ..shapes import deconvolved, fixed, is_fixed, text
from .inputs import DataLayer, Source
from .switches import Windows
from .unpooling import MaxUnpooling, Unpool

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


@dataclass
class UpsampleParams:
    """UpsampleParameter."""

    scale: UInt | None = None
    scale_h: UInt | None = None
    scale_w: UInt | None = None
    pad_out_h: bool = False
    pad_out_w: bool = False
    upsample_h: UInt | None = None
    upsample_w: UInt | None = None

    @property
    def unpool(self) -> Unpool:
        return Unpool.MAX

    def scales(self) -> tuple[int, int]:
        """How many times higher and wider the output is."""
        if self.scale_h is not None and self.scale_w is not None:
            return self.scale_h, self.scale_w
        scale = 2 if self.scale is None else self.scale
        return scale, scale

    def windows(self) -> Windows:
        return Windows(self.scales(), self.scales(), (0, 0), True)

    def size(self) -> tuple[int, int]:
        """The plane that the prototxt states; 0 where it does not."""
        if self.upsample_h is None or self.upsample_w is None:
            return 0, 0
        return self.upsample_h, self.upsample_w


@register("Upsample", message="upsample_param")
class Upsample(MaxUnpooling[UpsampleParams]):
    """With a mask: each value where its switch points, else 0 (SegNet's upsample_layer.cpp).

    The plane is upsample_h × upsample_w, or scale times the input less pad_out; where it is left
    open it is the plane that the switches were taken from. Without a mask each value is repeated
    `scale` times both ways (upsample_layer.cpp of the YOLO forks).
    """

    fork = "SegNet (alexgkendall/caffe-segnet), YOLO (eric612/MobileNet-YOLO)"
    Params = UpsampleParams

    def prepare(self, node: Node[UpsampleParams]) -> None:
        p = node.params
        if len(node.inputs[0].shape) != 4:
            raise node.error(f"needs a 4-D input, not {text(node.inputs[0].shape)}")
        if len(node.inputs) == 1:
            if not p.scale or p != UpsampleParams(scale=p.scale):
                raise node.error(
                    "without a mask it takes a scale above 0 and nothing else",
                    "SegNet's has the pooling's mask as second bottom",
                )
            return
        self.check_mask(node)
        if p.upsample_h is not None and p.upsample_w is not None:
            if min(p.size()) < 2:
                raise node.error("upsample_h and upsample_w must be above 1")
            return
        if (p.scale_h is None) != (p.scale_w is None) or (p.scale is not None and p.scale_h):
            raise node.error("give upsample_h and upsample_w, scale, or scale_h and scale_w")
        if min(p.scales()) < 2:
            raise node.error("scale must be above 1")
        for pad, scale in zip((p.pad_out_h, p.pad_out_w), p.scales(), strict=True):
            if pad and scale != 2:
                raise node.error("pad_out_h and pad_out_w need a scale of 2")

    def likely_sizes(self, params: UpsampleParams) -> list[tuple[int, int, str]]:
        height, width = params.upsample_h, params.upsample_w
        found = []
        if height and width:
            # What was pooled to less, and pooled by halves before that.
            why = "plane by upsample_h and _w"
            found = [(height << n, width << n, why) for n in range(6)]
        if params.pad_out_h or params.pad_out_w:
            # Only some sizes fit; SegNet's definitions that say so are for CamVid.
            found.append((360, 480, "plane of CamVid by pad_out_h"))
        return found

    def scaled(self, node: Node[UpsampleParams], height: Dim, width: Dim) -> tuple[Dim, Dim]:
        """The plane of an input of that size by `scale` and `pad_out`."""
        p = node.params
        (a, b), pads = p.scales(), (p.pad_out_h, p.pad_out_w)
        if is_fixed(height, width):
            high, wide = fixed((height, width))
            return high * a - pads[0], wide * b - pads[1]
        return deconvolved(height, a, 0, a), deconvolved(width, b, 0, b)

    def stated(self, node: Node[UpsampleParams]) -> tuple[Dim, Dim]:
        p = node.params
        nominal = node.inputs[0].nominal
        return p.size() if all(p.size()) else self.scaled(node, nominal[2], nominal[3])

    def shapes(self, node: Node[UpsampleParams]) -> list[Shape]:
        n, c, height, width = node.inputs[0].shape
        if len(node.inputs) == 1:
            return [(n, c, *self.scaled(node, height, width))]
        if all(node.params.size()) or not is_fixed(height, width):
            return super().shapes(node)
        size, pool = self.scaled(node, height, width), self.pool(node)
        if pool is not None and is_fixed(*pool.inputs[0].shape[2:]):
            self.check_reach(node, pool.inputs[0].shape[2:], size)
        return [(n, c, *size)]

    def disjoint(self, node: Node[UpsampleParams]) -> bool:
        return self.pool(node) is not None and super().disjoint(node)

    def mask_windows(self, node: Node[UpsampleParams]) -> Windows | None:
        return super().mask_windows(node) if self.pool(node) is not None else None

    def onnx(self, node: Node[UpsampleParams], b: OnnxBuilder) -> None:
        if len(node.inputs) == 2:
            super().onnx(node, b)
            return
        high, wide = node.params.scales()
        b.op(
            "Resize",
            node.inputs[0],
            "",
            b.const(np.array([1, 1, high, wide], np.float32)),
            out=node.outputs[0],
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )

    def torch_inputs(self, node: Node[UpsampleParams], available: Sequence[Value]) -> list[Value]:
        return super().torch_inputs(node, available) if len(node.inputs) == 2 else node.inputs

    def torch(self, node: Node[UpsampleParams]) -> nn.Module:
        from .torch import segnet

        if len(node.inputs) == 2:
            return super().torch(node)
        return segnet.Repeat(node.params.scales()[0])


@dataclass
class DenseImageDataParams:
    """DenseImageDataParameter, with ENet's labels of a smaller size."""

    source: str = ""
    batch_size: UInt = 1
    rand_skip: UInt = 0
    shuffle: bool = False
    new_height: UInt = 0
    new_width: UInt = 0
    is_color: bool = True
    mean_file: str = ""
    root_folder: str = ""
    mirror: bool = False
    crop_width: UInt = 0
    crop_height: UInt = 0
    label_divide_factor: UInt = 1


class DenseSource(Source[DenseImageDataParams]):
    """Also cut by height and width apart (dense_image_data_layer.cpp)."""

    def stated_size(self) -> tuple[int, int] | None:
        crop = self.own.crop_height, self.own.crop_width
        return crop if not self.transform.crop_size and all(crop) else super().stated_size()


@register("DenseImageData", message="dense_image_data_param")
class DenseImageData(DataLayer[DenseSource]):
    """Images and, as second top, images of labels, both named in a list."""

    fork = "SegNet (alexgkendall/caffe-segnet)"
    Params = DenseImageDataParams
    source = DenseSource

    def top_shape(self, params: DenseSource, index: int) -> tuple[int, ...] | None:
        plane, less = params.stated_size(), max(1, params.own.label_divide_factor)
        return (1, 1, plane[0] // less, plane[1] // less) if index and plane else None
