"""Caffe's Python layers: each is a layer type of its own, by module and class.

`Python:MODULE.CLASS` is its name here. What is not built in is added from outside:

    @register("Python:my_layers.Twice", message="python_param")
    class Twice(PythonLayer):
        ...
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from prototxt.errors import Argument, Sentence
from prototxt.net import LayerDefinition
from prototxt.text import Scalar

from ..graph import Node, Shape, Value
from ..layer_type import LayerType
from ..legal import ImageInfo, Interval, Legal
from ..registry import find, register
from ..shapes import is_fixed, known, product, text
from .inputs import DataLayer, Source
from .rcnn import DOUBLE, FLOAT

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


@dataclass
class PythonParams:
    """PythonParameter."""

    module: str = ""
    layer: str = ""
    param_str: str = ""
    share_in_parallel: bool = False


class PythonLayer(LayerType[PythonParams]):
    """A layer that Caffe has run by Python."""

    Params = PythonParams

    def settings(self, node: Node[PythonParams]) -> dict[str, Any]:
        """`param_str` as a mapping of words to numbers, texts and lists."""
        try:
            return mapping(node.params.param_str)
        except ValueError as error:
            raise node.error(f"param_str {error}", "one `'name': value` a line") from None


@register("Python", message="python_param")
class PythonData(DataLayer[Source[PythonParams]]):
    """A Python layer without bottoms, whatever it is: its tops are inputs of the network."""

    Params = PythonParams

    def full_type(self, layer: LayerDefinition) -> str:
        """``Python:module.Class``.

        With ``/3`` behind it where forks gave that name to layers of different numbers of bottoms,
        and that type is registered.
        """
        message = layer.param("python_param")
        fields = [message.last(name) if message else None for name in ("module", "layer")]
        names = [f.value.text if f and isinstance(f.value, Scalar) else "" for f in fields]
        name = f"Python:{'.'.join(names)}"
        exact = f"{name}/{len(layer.bottoms)}"
        return exact if find(exact) is not None else name

    def top_shape(self, params: Source[PythonParams], index: int) -> tuple[int, ...] | None:
        """Nothing is known of them."""
        return None


def mapping(source: str) -> dict[str, Any]:
    """The little YAML that param_str holds; it is read, never evaluated. ValueError says where.

    `name: value` a line or `{name: value, ...}`; a value is a number, a text, true, false or null,
    a list or a tuple of these, and a tag (`!!python/tuple`) before it is passed over.
    """
    if source.strip().startswith("{"):
        found = value_of(source.strip())
        if not isinstance(found, dict):
            raise ValueError(f"is not understood: {source.strip()!r}")
        return found
    result: dict[str, Any] = {}
    for line in source.splitlines():
        if not line.strip() or line.strip().startswith("#"):
            continue
        match = re.fullmatch(r"\s*(['\"]?)([\w.-]+)\1\s*:\s+(\S.*?)\s*", line)
        if match is None:
            raise ValueError(f"is not understood at {line.strip()!r}")
        result[match[2]] = value_of(re.sub(r"^!!\S+\s+", "", match[3]))
    return result


def value_of(source: str) -> Any:
    """One value of the little YAML; ValueError where it is none."""
    words = {"true": True, "false": False, "null": None, "~": None}
    if source.lower() in words:
        return words[source.lower()]
    try:
        return ast.literal_eval(source)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        if re.fullmatch(r"[\w./-]+", source):
            return source
        raise ValueError(f"is not understood at {source!r}") from None


class Limits(NamedTuple):
    """RPN_* of py-faster-rcnn's config.py, for a phase."""

    candidates: int
    most: int
    overlap: float
    min_size: float


LIMITS = {"TEST": Limits(6000, 300, 0.7, 16.0), "TRAIN": Limits(12000, 2000, 0.7, 16.0)}


def make_anchors(scales: list[float], base: int = 16) -> np.ndarray:
    """A×4 corners around a square of `base` pixels: ratios 1/2, 1, 2 by scales.

    (generate_anchors.py); sides of a ratio are rounded before they are scaled.
    """
    anchors = []
    centre = (base - 1) / 2
    for ratio in (0.5, 1.0, 2.0):
        width = np.round(np.sqrt(base * base / ratio))
        height = np.round(width * ratio)
        for scale in scales:
            x, y = (width * scale - 1) / 2, (height * scale - 1) / 2
            anchors.append([centre - x, centre - y, centre + x, centre + y])
    return np.array(anchors)


@register("Python:rpn.proposal_layer.ProposalLayer", message="python_param")
class ProposalLayer(PythonLayer):
    """Regions from a region proposal network (py-faster-rcnn's rpn/proposal_layer.py).

    Bottoms: scores 1×2A×H×W (background first), offsets 1×4A×H×W, im_info (height, width, scale);
    tops: regions R×5 (0, x1, y1, x2, y2), their scores R×1. The limits are those of its
    config.py, by phase; overlaps count pixels, as its nms does on a GPU.
    """

    fork = "Faster R-CNN (rbgirshick/py-faster-rcnn)"
    bottoms = (3, 3)
    tops = (1, 2)

    def prepare(self, node: Node[PythonParams]) -> None:
        given = self.settings(node)
        stride, scales = given.get("feat_stride"), self.scales(node)
        for name in given:
            if name not in ("feat_stride", "scales"):
                raise node.error(f"{name!r} of param_str is not supported", "nor by py-faster-rcnn")
        if not isinstance(stride, int) or stride < 1:
            raise node.error("feat_stride of param_str is missing or not a whole number above 0")
        if not scales or not all(isinstance(s, (int, float)) and s > 0 for s in scales):
            raise node.error("scales of param_str must be a list of numbers above 0")
        shapes = [v.shape for v in node.inputs]
        if [len(s) for s in shapes[:2]] != [4, 4]:
            raise node.error(
                f"needs 4-D scores and offsets, not {text(shapes[0])}, {text(shapes[1])}"
            )
        for shape in shapes[:2]:
            if known(shape[0]) != 1:
                raise node.error(
                    f"takes one image at a time, not {shape[0]}",
                    Sentence("give ", Argument("shapes")),
                )
        count = 3 * len(scales)
        if known(shapes[0][1]) != 2 * count or known(shapes[1][1]) != 4 * count:
            raise node.error(
                f"{count} anchors need {2 * count} scores and {4 * count} offsets, "
                f"not {shapes[0][1]} and {shapes[1][1]}"
            )
        if product(shapes[2]) != 3:
            raise node.error(f"im_info has 3 numbers, not {text(shapes[2])}")

    def scales(self, node: Node[PythonParams]) -> list[float]:
        found = self.settings(node).get("scales", (8, 16, 32))
        return list(found) if isinstance(found, (list, tuple)) else []

    def shapes(self, node: Node[PythonParams]) -> list[Shape]:
        count = f"{node.name}_rois"
        shapes: list[Shape] = [(count, 5), (count, 1)]
        return shapes[: len(node.outputs)]

    def legal(self, node: Node[PythonParams]) -> dict[int, Legal]:
        stride = self.settings(node)["feat_stride"]
        sizes = [d if isinstance(d, int) else 1 for d in node.inputs[0].shape[2:]]
        info = ImageInfo(stride * sizes[0], stride * sizes[1])
        # A region's size is e to its offset: what is far outside overflows, in Caffe too.
        return {0: Interval(0, 1), 1: Interval(-4, 4), 2: info}

    def limits(self, node: Node[PythonParams]) -> Limits:
        return LIMITS[node.phase]

    def anchors(self, node: Node[PythonParams], height: int, width: int) -> np.ndarray:
        """HWA×4 corners on a feature map of that size."""
        stride = self.settings(node)["feat_stride"]
        y, x = (np.arange(n) * stride for n in (height, width))
        shifts = np.stack(np.broadcast_arrays(x[None, :], y[:, None]) * 2, -1)[:, :, None, :]
        corners: np.ndarray = shifts + make_anchors(self.scales(node))
        return corners.reshape(-1, 4).astype(np.float32)

    def onnx(self, node: Node[PythonParams], b: OnnxBuilder) -> None:
        scores, offsets, _ = node.inputs
        count = 3 * len(self.scales(node))
        front = b.op("Slice", scores, b.ints(count), b.ints(2 * count), b.ints(1))
        front = b.op("Reshape", b.op("Transpose", front, perm=[0, 2, 3, 1]), b.ints(-1))
        rows = b.op("Reshape", b.op("Transpose", offsets, perm=[0, 2, 3, 1]), b.ints(-1, 4))
        low, high = self.clipped(node, b, *self.decoded(node, b, rows))
        front, low, high = self.large(node, b, front, low, high)
        self.best(node, b, front, low, high)

    def best(
        self, node: Node[PythonParams], b: OnnxBuilder, front: str, low: str, high: str
    ) -> None:
        """Write what is left of regions by falling score, suppressed."""
        limits = self.limits(node)
        names = [b.fresh(f"{node.name}/{name}") for name in ("best", "place")]
        most = b.op("Min", b.op("Shape", front), b.ints(limits.candidates))
        b.op("TopK", front, most, axis=0, out=names)
        low, high = (b.op("Gather", part, names[1], axis=0) for part in (low, high))
        # A box of pixels reaches to the far side of its last one.
        boxes = b.op("Concat", low, b.op("Add", high, b.const(np.float32(1))), axis=1)
        stay = b.op(
            "NonMaxSuppression",
            b.op("Unsqueeze", boxes, b.ints(0)),
            b.op("Unsqueeze", names[0], b.ints(0, 1)),
            b.ints(limits.most),
            b.const(np.array([limits.overlap], np.float32)),
        )
        index = b.op("Gather", stay, b.const(np.array(2, np.int64)), axis=1)
        found = [b.fresh(f"{node.name}/{name}") for name in ("stay", "unused")]
        b.op("TopK", index, b.op("Shape", index), axis=0, largest=0, out=found)
        low, high = (b.op("Gather", part, found[0], axis=0) for part in (low, high))
        kept = b.op("Unsqueeze", b.op("Gather", names[0], found[0], axis=0), b.ints(1))
        image = b.full(b.op("Shape", kept))
        b.op("Concat", image, low, high, axis=1, out=node.outputs[0])
        if len(node.outputs) == 2:
            b.op("Identity", kept, out=node.outputs[1])

    def anchor_rows(self, node: Node[PythonParams], b: OnnxBuilder) -> str:
        """The anchors as an array; made at run time where the map's size is open."""
        height, width = node.inputs[0].shape[2:]
        if is_fixed(height, width):
            return b.array(node, "anchors", self.anchors(node, known(height), known(width)))
        stride = b.const(np.array(self.settings(node)["feat_stride"], np.int64))
        zero, one = (b.const(np.array(i, np.int64)) for i in (0, 1))
        sizes = [b.dim(node.inputs[0], axis) for axis in (3, 2)]
        shifts = []
        # Of H×W×1×1, x varies along the second axis and y along the first.
        for size, axes in zip(sizes, ((0, 2, 3), (1, 2, 3)), strict=True):
            places = b.op("Range", zero, b.op("Squeeze", size, b.ints(0)), one)
            places = b.op("Cast", b.op("Mul", places, stride), to=DOUBLE)
            grid = b.join(sizes[1], sizes[0], b.ints(1, 1))
            shifts.append(b.op("Expand", b.op("Unsqueeze", places, b.ints(*axes)), grid))
        both = b.op("Concat", *shifts, *shifts, axis=3)
        rows = b.op("Add", both, b.array(node, "anchors", make_anchors(self.scales(node))))
        return b.op("Cast", b.op("Reshape", rows, b.ints(-1, 4)), to=FLOAT)

    def decoded(
        self, node: Node[PythonParams], b: OnnxBuilder, offsets: str, anchors: str | None = None
    ) -> tuple[str, str]:
        low, high = self.halves(node, b, anchors or self.anchor_rows(node, b))
        shift, growth = self.halves(node, b, offsets)
        half, one = b.const(np.float32(0.5)), b.const(np.float32(1))
        size = b.op("Add", b.op("Sub", high, low), one)
        centre = b.op("Add", low, b.op("Mul", half, size))
        centre = b.op("Add", b.op("Mul", shift, size), centre)
        reach = b.op("Mul", half, b.op("Mul", b.op("Exp", growth), size))
        return b.op("Sub", centre, reach), b.op("Add", centre, reach)

    def halves(self, node: Node[PythonParams], b: OnnxBuilder, four: str) -> tuple[str, str]:
        names = b.fresh(f"{node.name}/first"), b.fresh(f"{node.name}/second")
        b.op("Split", four, b.ints(2, 2), axis=-1, out=list(names))
        return names

    def info(self, node: Node[PythonParams]) -> Value:
        """Height, width and scale of the image."""
        return node.inputs[2]

    def clipped(self, node: Node[PythonParams], b: OnnxBuilder, *corners: str) -> list[str]:
        """Corners as columns x, y, kept between 0 and the image's last pixel."""
        info = b.op("Reshape", self.info(node), b.ints(-1))
        size = b.op("Gather", info, b.ints(1, 0))
        last = b.op("Sub", size, b.const(np.float32(1)))
        zero = b.const(np.float32(0))
        return [b.op("Max", b.op("Min", corner, last), zero) for corner in corners]

    def large(
        self, node: Node[PythonParams], b: OnnxBuilder, scores: str, low: str, high: str
    ) -> list[str]:
        """Without what is narrower or lower than the least size, on the scaled image."""
        info = b.op("Reshape", self.info(node), b.ints(-1))
        scale = b.op("Gather", info, b.ints(2))
        least = b.op("Mul", scale, b.const(np.float32(self.limits(node).min_size)))
        size = b.op("Add", b.op("Sub", high, low), b.const(np.float32(1)))
        smaller = b.op("ReduceMin", size, b.ints(1), keepdims=0)
        stays = b.op("GreaterOrEqual", smaller, least)
        return [b.op("Compress", part, stays, axis=0) for part in (scores, low, high)]

    def torch(self, node: Node[PythonParams]) -> nn.Module:
        from .torch.rcnn import Proposals

        limits = self.limits(node)
        return Proposals(
            make_anchors(self.scales(node)),
            self.settings(node)["feat_stride"],
            candidates=limits.candidates,
            most=limits.most,
            overlap=limits.overlap,
            min_size=limits.min_size,
            tops=len(node.outputs),
        )
