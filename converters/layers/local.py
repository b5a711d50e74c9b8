"""Local: a convolution whose kernels differ from place to place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from prototxt.schema import UInt

from ..fillers import Filler
from ..graph import Node, Shape
from ..layer_type import BlobSpec, LayerType
from ..registry import register
from ..shapes import convolved, known, known_product, text

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


@dataclass
class LocalParams:
    """LocalParameter."""

    num_output: UInt = 0
    bias_term: bool = True
    pad: UInt = 0
    kernel_size: UInt = 0
    stride: UInt = 1
    weight_filler: Filler = field(default_factory=Filler)
    bias_filler: Filler = field(default_factory=Filler)


@register("Local", message="local_param")
class Local(LayerType[LocalParams]):
    """Cross-correlation with kernels of each place's own (local_layer.cpp).

    Weights are M×1×K×N for M outputs, K = channels × kernel², N places of the output; the bias
    is 1×1×M×N.
    """

    fork = "happynear/caffe-windows"
    Params = LocalParams
    learns = True

    def prepare(self, node: Node[LocalParams]) -> None:
        p = node.params
        shape = node.inputs[0].shape
        if len(shape) != 4:
            raise node.error(f"needs a 4-D input, not {text(shape)}")
        if not p.num_output or not p.kernel_size or not p.stride:
            raise node.error("num_output, kernel_size and stride must be above 0")
        if any(isinstance(d, int) and d < p.kernel_size for d in shape[2:]):
            raise node.error(f"kernel {p.kernel_size} is larger than its {text(shape[2:])} input")

    def output_size(self, node: Node[LocalParams]) -> tuple[int, int]:
        p = node.params
        height, width = (
            known(convolved(known(d), p.kernel_size, p.pad, p.stride))
            for d in node.inputs[0].shape[2:]
        )
        return height, width

    def shapes(self, node: Node[LocalParams]) -> list[Shape]:
        return [(node.inputs[0].shape[0], node.params.num_output, *self.output_size(node))]

    def blobs(self, node: Node[LocalParams]) -> list[BlobSpec]:
        p = node.params
        height, width = self.output_size(node)
        size = known(node.inputs[0].shape[1]) * p.kernel_size**2
        specs = [BlobSpec("weight", (p.num_output, 1, size, height * width), p.weight_filler)]
        if p.bias_term:
            specs.append(BlobSpec("bias", (1, 1, p.num_output, height * width), p.bias_filler))
        return specs

    def macs(self, node: Node[LocalParams]) -> int:
        return int(node.blobs[0].size) * known_product(node.outputs[0].shape[:1])

    def places(self, node: Node[LocalParams]) -> np.ndarray:
        """Of each place of a kernel and of the output, the index in the padded plane: k²×N."""
        p = node.params
        width = known(node.inputs[0].shape[3]) + 2 * p.pad
        rows, columns = (np.arange(n) * p.stride for n in self.output_size(node))
        kernel = np.arange(p.kernel_size)
        row = kernel[:, None, None, None] + rows[:, None]
        return (row * width + kernel[:, None, None] + columns).reshape(kernel.size**2, -1)

    def onnx(self, node: Node[LocalParams], b: OnnxBuilder) -> None:
        p = node.params
        x: str = b.name(node.inputs[0])
        if p.pad:
            x = b.op("Pad", x, b.ints(0, 0, p.pad, p.pad, 0, 0, p.pad, p.pad))
        rows = b.op("Reshape", x, b.ints(0, known(node.inputs[0].shape[1]), -1))
        rows = b.op("Gather", rows, b.const(self.places(node)), axis=2)  # B×C×k²×N
        size, count = node.blobs[0].shape[2:]
        rows = b.op("Transpose", b.op("Reshape", rows, b.ints(0, size, count)), perm=[2, 0, 1])
        weight = np.ascontiguousarray(node.blobs[0][:, 0].transpose(2, 1, 0), np.float32)
        y = b.op("MatMul", rows, b.array(node, "weight", weight))  # N×B×M
        y = b.op("Transpose", y, perm=[1, 2, 0])
        if p.bias_term:
            bias = np.ascontiguousarray(node.blobs[1][:, 0], np.float32)
            y = b.op("Add", y, b.array(node, "bias", bias))
        b.op("Reshape", y, b.ints(0, p.num_output, *self.output_size(node)), out=node.outputs[0])

    def torch(self, node: Node[LocalParams]) -> nn.Module:
        from .torch import local

        p = node.params
        return local.Local(
            node.blobs[0],
            node.blobs[1] if p.bias_term else None,
            kernel_size=p.kernel_size,
            stride=p.stride,
            pad=p.pad,
            output_size=self.output_size(node),
        )
