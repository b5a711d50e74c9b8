"""CRF as RNN: mean-field inference of a dense conditional random field."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from prototxt.schema import UInt

from ..fillers import Diagonal
from ..graph import Node, Shape
from ..layer_type import BlobSpec, LayerType
from ..registry import register
from ..shapes import is_fixed, known, known_product, text
from .detection import count_up
from .permutohedral import Lattice, gaussian, lattice
from .rcnn import FLOAT

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


class Compatibility(enum.Enum):
    """MultiStageMeanfieldParameter.Mode: where the compatibility of labels starts."""

    POTTS = 0


@dataclass
class MeanfieldParams:
    """MultiStageMeanfieldParameter; `threshold` and the forced weights are read by nothing."""

    compatibility_mode: Compatibility = Compatibility.POTTS
    threshold: float = 0.0
    theta_alpha: float | None = None
    theta_beta: float | None = None
    theta_gamma: float | None = None
    num_iterations: UInt = 1
    spatial_filter_weight: float = 1.0
    bilateral_filter_weight: float = 1.0
    forced_spatial_filter_weight: float = 0.0
    forced_bilateral_filter_weight: float = 0.0


@register("MultiStageMeanfield", message="multi_stage_meanfield_param")
class MultiStageMeanfield(LayerType[MeanfieldParams]):
    """Mean-field inference of a dense CRF (multi_stage_meanfield.cpp, d779ee3).

    Bottoms: unary terms N×C×H×W (scores, not costs), what the first iteration takes the softmax of
    (the same, mostly), and the image, of whose channels three are read. The top N×C×H×W is not
    normalised.

    Each iteration filters the softmax by two Gaussians, over places (theta_gamma, pixels) and over
    places and colours (theta_alpha, pixels; theta_beta, as the image is fed), multiplies them by
    the kernel weights C×C of each and then by the labels' compatibility C×C, and takes that from
    the unary terms. A Gaussian is the fork's own approximation, over a permutohedral lattice: the
    same lattice is built here, of each image as it comes (`permutohedral`).

    The fork fixes height and width when it is set up; here they may be open. Without weights the
    kernels are diagonal, of spatial_filter_weight and bilateral_filter_weight, where the fork reads
    numbers from spatial.par and bilateral.par; its own hold what its prototxts say there.
    """

    renames: ClassVar[Mapping[str, str]] = {"Crop": "AlignedCrop"}
    fork = "CRF as RNN (torrvision/caffe)"
    bottoms = (3, 3)
    learns = True
    Params = MeanfieldParams

    def prepare(self, node: Node[MeanfieldParams]) -> None:
        self.thetas(node)
        if node.params.num_iterations < 2:
            raise node.error(f"num_iterations must be above 1, not {node.params.num_iterations}")

    def thetas(self, node: Node[MeanfieldParams]) -> tuple[float, float, float]:
        """Standard deviations theta_alpha, theta_beta, theta_gamma, as float32."""
        found = []
        for name in ("theta_alpha", "theta_beta", "theta_gamma"):
            theta = getattr(node.params, name)
            if theta is None or not theta > 0:
                raise node.error(f"{name} is missing or not above 0")
            found.append(float(np.float32(theta)))
        return found[0], found[1], found[2]

    def shapes(self, node: Node[MeanfieldParams]) -> list[Shape]:
        unary, start, image = (v.shape for v in node.inputs)
        if [len(s) for s in (unary, start, image)] != [4, 4, 4]:
            shapes = ", ".join(text(v.shape) for v in node.inputs)
            raise node.error(f"needs three 4-D bottoms, not {shapes}")
        known(unary[1])
        if known(image[1]) < 3:
            raise node.error(f"needs an image of 3 channels, not {image[1]}")
        same = (unary[0], *unary[2:]), (image[0], *image[2:])
        if unary != start or same[0] != same[1]:
            if not is_fixed(*unary, *start, *image):
                for dim in (*unary, *start, *image):
                    known(dim)
            shapes = ", ".join(text(v.shape) for v in node.inputs)
            raise node.error(f"its unary terms, start and image differ in size: {shapes}")
        return [unary]

    def blobs(self, node: Node[MeanfieldParams]) -> list[BlobSpec]:
        p, channels = node.params, known(node.inputs[0].shape[1])
        starts = {
            "spatial_weight": p.spatial_filter_weight,
            "bilateral_weight": p.bilateral_filter_weight,
            "compatibility": -1.0,
        }
        shape = (1, 1, channels, channels)
        return [BlobSpec(name, shape, Diagonal(value=value)) for name, value in starts.items()]

    def macs(self, node: Node[MeanfieldParams]) -> int:
        """Those of the three matrices; the filters' depend on the image."""
        channels = known(node.inputs[0].shape[1])
        pixels = known_product(node.inputs[0].shape[1:]) // channels
        return node.params.num_iterations * 3 * channels**2 * pixels

    def onnx(self, node: Node[MeanfieldParams], b: OnnxBuilder) -> None:
        unary, start, image = node.inputs
        channels = known(unary.shape[1])
        images, height, width = (b.dim(image, axis) for axis in (0, 2, 3))
        points = b.arithmetic("Mul", height, width)
        spatial, bilateral = self.lattices(node, b)
        one = b.op("Expand", np.float32(1), b.join(b.ints(1), images, points))
        single = b.op("Expand", np.float32(1), b.join(b.ints(1, 1), points))
        # Of the filters of places the images are rows like the channels: one lattice does for all.
        rows = b.arithmetic("Mul", images, b.ints(channels))
        norms = [
            b.op("Reciprocal", b.op("Add", gaussian(b, over, ones, b.ints(1)), np.float32(1e-20)))
            for over, ones in ((spatial, single), (bilateral, one))
        ]
        weights = [
            b.op("Reshape", b.weight(node, i), b.ints(1, channels, channels)) for i in range(3)
        ]
        flat = b.join(b.ints(0, 0), points)
        terms = b.op("Reshape", unary, flat)
        current = b.op("Reshape", start, flat)
        for _ in range(node.params.num_iterations):
            chances = b.op("Softmax", current, axis=1)
            near = b.op("Reshape", chances, b.join(rows, b.ints(1), points))
            near = b.op("Mul", gaussian(b, spatial, near, rows), norms[0])
            near = b.op("Reshape", near, b.join(images, b.ints(channels), points))
            alike = b.op("Transpose", chances, perm=[1, 0, 2])
            alike = b.op("Mul", gaussian(b, bilateral, alike, b.ints(channels)), norms[1])
            alike = b.op("Transpose", alike, perm=[1, 0, 2])
            messages = b.op(
                "Add", b.op("MatMul", weights[0], near), b.op("MatMul", weights[1], alike)
            )
            current = b.op("Sub", terms, b.op("MatMul", weights[2], messages))
        shape = b.join(b.ints(0, 0), height, width)
        b.op("Reshape", current, shape, out=node.outputs[0])

    def lattices(self, node: Node[MeanfieldParams], b: OnnxBuilder) -> tuple[Lattice, Lattice]:
        """Of places, one for all images; of places and colours."""
        image = node.inputs[2]
        alpha, beta, gamma = (np.float32(theta) for theta in self.thetas(node))
        images, height, width = (b.dim(image, axis) for axis in (0, 2, 3))
        points = b.arithmetic("Mul", height, width)
        pixels = count_up(b, points, 1)
        row = b.op("Div", pixels, width)
        column = b.op("Sub", pixels, b.op("Mul", row, width))
        x, y = (
            b.op("Reshape", b.op("Cast", place, to=FLOAT), b.ints(1, 1, -1))
            for place in (column, row)
        )
        colours = b.op("Div", b.op("Reshape", image, b.join(b.ints(0, 0), points)), beta)
        near = [b.op("Div", place, gamma) for place in (x, y)]
        alike = [b.op("Div", place, alpha) for place in (x, y)]
        alike += [b.op("Gather", colours, b.ints(i), axis=1) for i in range(3)]
        return lattice(b, near, b.ints(1), points), lattice(b, alike, images, points)

    def torch(self, node: Node[MeanfieldParams]) -> nn.Module:
        from .torch import meanfield

        return meanfield.MultiStageMeanfield(
            *node.blobs, thetas=self.thetas(node), iterations=node.params.num_iterations
        )
