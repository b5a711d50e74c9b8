"""DetectNet of NVIDIA's Caffe: boxes of a grid clustered within the graph, and its training."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from prototxt.net import LayerDefinition
from prototxt.schema import decode

from ..graph import Node, Shape
from ..legal import Interval, Legal
from ..opsets import axes_are_input
from ..registry import register
from ..shapes import is_fixed, known, text
from .detector_training import TrainingOnly
from .inputs import Source, TransformParams
from .photographs import Drawing
from .python import PythonLayer
from .rcnn import DOUBLE, FLOAT, INT64

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder

FORK = "NVIDIA Caffe (NVIDIA/caffe)"
INT32, HALF, BOOL = 6, 10, 9
MAX_BOXES = 50


class Clustering(NamedTuple):
    """`param_str`: numbers between commas."""

    width: int
    height: int
    stride: int
    coverage: float
    least: int
    eps: float
    min_height: int
    classes: int = 1


@register("Python:caffe.layers.detectnet.clustering.ClusterDetections", message="python_param")
class ClusterDetections(PythonLayer):
    """Boxes that a grid's cells agree on (caffe/layers/detectnet/clustering.py, 87a2554).

    Bottoms: coverage N×C×H×W, corners N×4×H×W relative to the cell; a top for each class: N×50×5,
    x1, y1, x2, y2 and the logarithm of how many cells agreed, rows of zeros behind them. The boxes
    of covered cells, cut off to whole numbers, are clustered as OpenCV's groupRectangles does it;
    all is rounded to float16. Cells beyond the width and height of `param_str` are not read, and
    those that a smaller map has not are not missed. Where more than 50 are left Python gives an
    error; here the first 50 stay.
    """

    fork = FORK
    bottoms = (2, 2)
    tops = (1, None)
    is_postprocessing = True

    def numbers(self, node: Node[Any]) -> Clustering:
        parts = node.params.param_str.split(",")
        kinds: list[Callable[[str], Any]] = [int, int, int, float, int, float, int, int]
        try:
            if len(parts) < 7:
                raise ValueError
            return Clustering(*(kind(part) for kind, part in zip(kinds, parts, strict=False)))
        except ValueError:
            raise node.error(
                f"param_str is not understood: {node.params.param_str!r}",
                "width, height, stride, coverage threshold, rectangle threshold, rectangle eps, "
                "least height, and perhaps the number of classes",
            ) from None

    def prepare(self, node: Node[Any]) -> None:
        n = self.numbers(node)
        if min(n.width, n.height, n.stride) < 1 or n.width % n.stride or n.height % n.stride:
            raise node.error(f"{n.width}x{n.height} is no multiple of the stride {n.stride}")
        if n.least < 1 or n.eps < 0 or n.min_height < 1:
            raise node.error("needs thresholds of at least 1, and eps not below 0")
        if len(node.outputs) != n.classes:
            raise node.error(f"has {len(node.outputs)} tops for {n.classes} classes")

    def shapes(self, node: Node[Any]) -> list[Shape]:
        n = self.numbers(node)
        coverage, corners = (v.shape for v in node.inputs)
        if len(coverage) != 4 or known(coverage[1]) != n.classes:
            raise node.error(f"needs coverage of {n.classes} classes, not {text(coverage)}")
        if len(corners) != 4 or known(corners[1]) < 4:
            raise node.error(f"needs 4 corners of each cell, not {text(corners)}")
        if is_fixed(coverage[0], corners[0]) and coverage[0] != corners[0]:
            raise node.error("has coverage and corners of different numbers of images")
        return [(coverage[0], MAX_BOXES, 5)] * n.classes

    def legal(self, node: Node[Any]) -> dict[int, Legal]:
        return {0: Interval(0, 1), 1: Interval(-100, 100)}

    def onnx(self, node: Node[Any], b: OnnxBuilder) -> None:
        for index in range(len(node.outputs)):
            images, rects = self.covered(node, b, index)
            labels = self.labels(node, b, images, rects)
            self.write(node, b, index, *self.groups(node, b, images, rects, labels))

    def covered(self, node: Node[Any], b: OnnxBuilder, index: int) -> tuple[str, str]:
        """Image (K) and x, y, width, height (K×4, whole numbers as float64) of covered cells.

        After one of no image, so that there is one at least.
        """
        n = self.numbers(node)
        rows, columns = n.height // n.stride, n.width // n.stride
        coverage, corners = node.inputs
        cover = b.op(
            "Slice",
            coverage,
            b.ints(index, 0, 0),
            b.ints(index + 1, rows, columns),
            b.ints(1, 2, 3),
        )
        cover = b.op(
            "GreaterOrEqual", b.op("Squeeze", cover, b.ints(1)), b.const(np.float32(n.coverage))
        )
        places = b.op("Transpose", b.op("NonZero", cover), perm=[1, 0])  # K×3: image, row, column
        maps = b.op("Slice", corners, b.ints(0, 0, 0), b.ints(4, rows, columns), b.ints(1, 2, 3))
        boxes = b.op("GatherND", b.op("Transpose", maps, perm=[0, 2, 3, 1]), places)
        shift = b.op("Mul", b.op("Gather", places, b.ints(2, 1, 2, 1), axis=1), b.ints(n.stride))
        boxes = b.op("Add", b.op("Cast", boxes, to=DOUBLE), b.op("Cast", shift, to=DOUBLE))
        low, high = self.halves(node, b, boxes)
        whole = b.op("Concat", low, b.op("Sub", high, low), axis=1)
        whole = b.op("Cast", b.op("Cast", whole, to=INT64), to=DOUBLE)  # cut off towards 0
        whole = b.op("Concat", b.const(np.zeros((1, 4), np.float64)), whole, axis=0)
        images = b.op("Gather", places, b.const(np.array(0, np.int64)), axis=1)
        return b.op("Concat", b.ints(-1), images, axis=0), whole

    def halves(self, node: Node[Any], b: OnnxBuilder, four: str) -> tuple[str, str]:
        names = b.fresh(f"{node.name}/first"), b.fresh(f"{node.name}/second")
        b.op("Split", four, b.ints(2, 2), axis=1, out=list(names))
        return names

    def every_pair(self, b: OnnxBuilder, op: str, value: str) -> str:
        """`op` of each row with each row."""
        return b.op(op, b.op("Unsqueeze", value, b.ints(1)), b.op("Unsqueeze", value, b.ints(0)))

    def labels(self, node: Node[Any], b: OnnxBuilder, images: str, rects: str) -> str:
        """Of each rectangle the first of those that are similar to it, directly or by others."""
        place, size = self.halves(node, b, rects)
        ends = b.op("Concat", place, b.op("Add", place, size), axis=1)
        apart = b.op(
            "ReduceMax", b.op("Abs", self.every_pair(b, "Sub", ends)), b.ints(2), keepdims=0
        )
        least = b.op("ReduceSum", self.every_pair(b, "Min", size), b.ints(2), keepdims=0)
        reach = b.op("Mul", least, b.const(np.float64(self.numbers(node).eps)))
        reach = b.op("Mul", reach, b.const(np.float64(0.5)))
        alike = b.op("LessOrEqual", apart, reach)
        alike = b.op("And", alike, self.every_pair(b, "Equal", images))
        zero, one = (b.const(np.array(i, np.int64)) for i in (0, 1))
        count = b.op("Squeeze", b.op("Shape", images), b.ints(0))
        start = b.op("Range", zero, count, one)
        more = b.const(np.array(True))
        return b.op("Loop", "", more, start, body=spread(b, alike))

    def groups(
        self, node: Node[Any], b: OnnxBuilder, images: str, rects: str, labels: str
    ) -> tuple[str, str]:
        """Image (G) and row x1, y1, x2, y2, confidence (G×5) of the clusters that stay."""
        n = self.numbers(node)
        zero, one = (b.const(np.array(i, np.int64)) for i in (0, 1))
        own = b.op("Range", zero, b.op("Squeeze", b.op("Shape", labels), b.ints(0)), one)
        first = b.op("Compress", own, b.op("Equal", labels, own), axis=0)
        member = b.op(
            "Equal", b.op("Unsqueeze", first, b.ints(1)), b.op("Unsqueeze", labels, b.ints(0))
        )
        member = b.op("Cast", member, to=DOUBLE)  # G×K
        count = b.op("Cast", b.op("ReduceSum", member, b.ints(1)), to=FLOAT)  # G×1
        total = b.op("Cast", b.op("MatMul", member, rects), to=FLOAT)
        mean = b.op("Mul", total, b.op("Div", b.const(np.float32(1)), count))
        mean = b.op("Round", mean)
        images = b.op("Gather", images, first, axis=0)
        low, size = self.halves(node, b, mean)
        high = b.op("Add", low, size)
        enough = b.op("Greater", count, b.const(np.float32(n.least)))
        # One within another that more agree on goes.
        margin = b.op("Mul", b.op("Cast", size, to=DOUBLE), b.const(np.float64(n.eps)))
        margin = b.op("Cast", b.op("Round", margin), to=FLOAT)
        inside = []
        for way, part, bound in (
            ("GreaterOrEqual", low, b.op("Sub", low, margin)),
            ("LessOrEqual", high, b.op("Add", high, margin)),
        ):
            test = b.op(
                way, b.op("Unsqueeze", part, b.ints(1)), b.op("Unsqueeze", bound, b.ints(0))
            )
            inside.append(b.op("Cast", test, to=INT32))
        within = b.op("ReduceMin", b.op("Concat", *inside, axis=2), b.ints(2), keepdims=0)
        other = b.op("Transpose", count, perm=[1, 0])
        better = b.op("Greater", other, b.op("Max", count, b.const(np.float32(3))))
        better = b.op("Or", better, b.op("Less", count, b.const(np.float32(3))))
        better = b.op("And", better, b.op("Transpose", enough, perm=[1, 0]))
        better = b.op("And", better, self.every_pair(b, "Equal", images))
        differs = b.op("Not", self.every_pair(b, "Equal", first))
        gone = b.op("And", b.op("And", b.op("Cast", within, to=BOOL), better), differs)
        gone = b.op("ReduceMax", b.op("Cast", gone, to=INT32), b.ints(1), keepdims=0)
        stays = b.op(
            "And", b.op("Squeeze", enough, b.ints(1)), b.op("Equal", gone, b.const(np.int32(0)))
        )
        tall = b.op("Slice", size, b.ints(1), b.ints(2), b.ints(1))
        tall = b.op("GreaterOrEqual", tall, b.const(np.float32(n.min_height)))
        stays = b.op("And", stays, b.op("Squeeze", tall, b.ints(1)))
        rows = b.op("Concat", low, high, b.op("Log", count), axis=1)
        rows = b.op("Cast", b.op("Cast", rows, to=HALF), to=FLOAT)
        return b.op("Compress", images, stays, axis=0), b.op("Compress", rows, stays, axis=0)

    def write(self, node: Node[Any], b: OnnxBuilder, top: int, images: str, rows: str) -> None:
        """Each image's rows one behind the other."""
        same = b.op("Cast", self.every_pair(b, "Equal", images), to=INT64)
        same = b.op("Trilu", same, upper=0)
        place = b.op("Sub", b.op("ReduceSum", same, b.ints(1), keepdims=0), b.ints(1))
        fits = b.op("Less", place, b.ints(MAX_BOXES))
        where = b.op("Concat", *(b.op("Unsqueeze", p, b.ints(1)) for p in (images, place)), axis=1)
        where, rows = (b.op("Compress", part, fits, axis=0) for part in (where, rows))
        shape = b.join(b.dim(node.inputs[0], 0), b.ints(MAX_BOXES, 5))
        blank = b.full(shape)
        b.op("ScatterND", blank, where, rows, out=node.outputs[top])

    def torch(self, node: Node[Any]) -> nn.Module:
        from .torch.detectnet import ClusterDetections as Module

        return Module(**self.numbers(node)._asdict())


def spread(b: OnnxBuilder, alike: str) -> Any:
    """A Loop's body: each label becomes the least of those alike, until none changes."""
    from onnx import TensorProto, helper

    names = ("turn", "go", "old", "axis", "most", "row", "near", "least", "new", "kept", "moved")
    own = {name: b.fresh(f"{alike}/{name}") for name in (*names, "one", "zero", "changes", "next")}

    def constant(name: str, value: Any, kind: int, dims: list[int]) -> Any:
        tensor = helper.make_tensor(own[name], kind, dims, value)
        return helper.make_node("Constant", [], [own[name]], value=tensor)

    def op(kind: str, inputs: list[str], out: str, **attributes: Any) -> Any:
        inputs = [own.get(name, name) for name in inputs]
        return helper.make_node(kind, inputs, [own[out]], **attributes)

    integer = TensorProto.INT64
    nodes = [
        constant("axis", [0], integer, [1]),
        constant("one", [1], integer, [1]),
        constant("zero", [0], integer, []),
        constant("most", [np.iinfo(np.int64).max], integer, []),
        op("Unsqueeze", ["old", "axis"], "row"),
        op("Where", [alike, "row", "most"], "near"),
        op("ReduceMin", ["near", "one"], "least", keepdims=0)
        if axes_are_input("ReduceMin", b.opset)
        else op("ReduceMin", ["near"], "least", axes=[1], keepdims=0),
        op("Gather", ["least", "least"], "new"),
        op("Sub", ["old", "new"], "moved"),
        op("ReduceSum", ["moved"], "changes", keepdims=0),
        op("Greater", ["changes", "zero"], "next"),
    ]
    return helper.make_graph(
        nodes,
        "spread",
        [
            helper.make_tensor_value_info(own["turn"], integer, []),
            helper.make_tensor_value_info(own["go"], TensorProto.BOOL, []),
            helper.make_tensor_value_info(own["old"], integer, [None]),
        ],
        [
            helper.make_tensor_value_info(own["next"], TensorProto.BOOL, []),
            helper.make_tensor_value_info(own["new"], integer, [None]),
        ],
    )


class ImageSize(NamedTuple):
    """What DetectNetGroundTruthParameter tells of the image; the rest makes labels."""

    image_size_x: int = 1248
    image_size_y: int = 384


@register("DetectNetTransformation", message="detectnet_groundtruth_param")
class DetectNetTransformation(Drawing[Source[ImageSize]]):
    """Images, changed at random in training, and their grids of labels.

    (detectnet_transform_layer.cpp.) The image of the stated size is the network's input.
    """

    fork = FORK
    bottoms = (2, 2)
    tops = (2, 2)

    def messages(self) -> tuple[str, ...]:
        return (
            "detectnet_groundtruth_param",
            "detectnet_augmentation_param",
            "transform_param",
        )

    def read(
        self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]
    ) -> Source[ImageSize]:
        message = layer.param("detectnet_groundtruth_param")
        sizes = {}
        for name in ("image_size_x", "image_size_y"):
            stated = message.last(name) if message is not None else None
            if stated is not None:
                sizes[name] = int(getattr(stated.value, "text", "0"))
        transform = layer.param("transform_param")
        name = "transform_param"
        return Source(
            ImageSize(**sizes),
            decode(transform, TransformParams, name=name, lenient=lenient, warn=warn),
        )

    def top_shape(self, params: Source[ImageSize], index: int) -> tuple[int, ...] | None:
        own = params.own
        return None if index else (1, 3, own.image_size_y, own.image_size_x)


@register("Python:caffe.layers.detectnet.clustering.ClusterGroundtruth", message="python_param")
class ClusterGroundtruth(TrainingOnly):
    """The true boxes of a grid of labels, to compare with (clustering.py)."""

    fork = FORK


@register("Python:caffe.layers.detectnet.mean_ap.ScoreDetections", message="python_param")
class ScoreDetections(TrainingOnly):
    """Which detections are right (mean_ap.py)."""

    fork = FORK


@register("Python:caffe.layers.detectnet.mean_ap.mAP", message="python_param")
class MeanAveragePrecision(TrainingOnly):
    """Precision, recall and their product (mean_ap.py)."""

    fork = FORK
