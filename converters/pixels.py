"""Pixels as the input of an ONNX model: what Caffe's data layers do, as its first nodes.

The order is Caffe's (data_transformer.cpp): the centre is cut out, the mean subtracted, the rest
scaled. Images come as uint8 N×H×W×C, RGB or grey, as cameras, browsers and decoders give them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ConversionError
from .graph import Shape, Value

if TYPE_CHECKING:
    from .onnx_builder import OnnxBuilder

__all__ = ["Pixels"]

FLOAT = 1
"""TensorProto.FLOAT."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """The pixels of the input blob `blob`; a later `crop` needs that blob's height and width fixed.

    `mean` is C×1×1, or C×H×W of the whole image before it is cut, in the network's own order of
    channels; `reverse` says that this order is BGR.
    """

    blob: str
    mean: np.ndarray | None = None
    scale: float = 1.0
    reverse: bool = True
    crop: tuple[int, int] | None = None

    def error(self, message: str, hint: str | None = None) -> ConversionError:
        return ConversionError(f"input {self.blob!r}: {message}", None, hint)

    def image(self, value: Value) -> Shape:
        """N×H×W×C of the images that become `value`. ConversionError where nothing does."""
        shown = "x".join(map(str, value.shape))
        if len(value.shape) != 4 or value.shape[1] not in (1, 3):
            raise self.error(f"takes {shown}, not images of 1 or 3 channels")
        batch, channels, *plane = value.shape
        if self.crop is not None:
            if tuple(plane) != self.crop:
                raise self.error(
                    f"takes {shown}, which a crop to {self.crop[0]}x{self.crop[1]} does not give"
                )
            plane = ["height", "width"]
        if self.mean is None:
            return (batch, *plane, channels)
        if self.mean.ndim != 3 or self.mean.shape[0] != channels:
            stored = "x".join(map(str, self.mean.shape))
            raise self.error(f"takes {channels} channels, but the mean is {stored}")
        whole = self.mean.shape[1:]
        if whole == (1, 1):
            return (batch, *plane, channels)
        size = f"{whole[0]}x{whole[1]}"
        if self.crop is None and tuple(plane) != whole:
            raise self.error(
                f"takes {shown}, but the mean image is {size}",
                f"fix it by --shape {self.blob}=batchx{channels}x{size}, "
                "or give the mean as numbers",
            )
        if self.crop is not None and (whole[0] < self.crop[0] or whole[1] < self.crop[1]):
            raise self.error(
                f"is cut to {self.crop[0]}x{self.crop[1]}, but the mean image is {size}",
                "it must be of the image before",
            )
        return (batch, *whole, channels)

    def emit(self, value: Value, b: OnnxBuilder) -> None:
        """Make `value` of the model's input of the same name."""
        shape = self.image(value)
        found = b.source(value, shape, "uint8")
        # Cast first: TensorRT takes uint8 into nothing else, and later nodes run on any provider.
        steps: list[tuple[str, list[Any], dict[str, Any]]] = [("Cast", [], {"to": FLOAT})]
        steps.append(("Transpose", [], {"perm": [0, 3, 1, 2]}))
        if self.reverse and shape[3] == 3:
            steps.append(("Gather", [np.array([2, 1, 0], np.int64)], {"axis": 1}))
        cut = self.cut(found, shape, b)
        if self.mean is None or self.mean.shape[1:] == (1, 1):
            steps, cut = steps + cut, []
        if self.mean is not None and self.mean.any():
            steps.append(("Sub", [b.stored(f"{self.blob}.mean", self.mean[None])], {}))
        steps += cut
        if self.scale != 1:
            steps.append(("Mul", [np.array(self.scale, np.float32)], {}))
        for op_type, operands, attributes in steps[:-1]:
            found = b.op(op_type, found, *operands, **attributes)
        op_type, operands, attributes = steps[-1]
        b.op(op_type, found, *operands, out=value, **attributes)

    def cut(self, image: str, shape: Shape, b: OnnxBuilder) -> list[tuple[str, list[Any], Any]]:
        """The centre; of an odd rest the smaller half is above and left of it."""
        if self.crop is None:
            return []
        if all(isinstance(dim, int) for dim in shape[1:3]):
            plane = b.ints(*(int(dim) for dim in shape[1:3]))
        else:
            plane = b.op("Shape", image, start=1, end=3)
        size = b.ints(*self.crop)
        start = b.arithmetic("Div", b.arithmetic("Sub", plane, size), b.ints(2))
        end = b.arithmetic("Add", start, size)
        # Reshape fails where the image is smaller than the crop; Slice by itself would give less.
        exact = b.ints(0, int(shape[3]), *self.crop)
        return [("Slice", [start, end, b.ints(2, 3)], {}), ("Reshape", [exact], {})]
