"""Layers made of windows other than pooling and convolution: SPP, Im2col."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from prototxt.schema import UInt

from ..graph import Node, Shape, Value
from ..layer_type import LayerType
from ..registry import register
from ..shapes import convolved, known, text
from .convolution import Convolution, ConvolutionParams, Engine, Geometry
from .pooling import Method, Pooling, PoolingParams

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


@dataclass
class SPPParams:
    """SPPParameter."""

    pyramid_height: UInt = 0
    pool: Method = Method.MAX
    engine: Engine = Engine.DEFAULT


@register("SPP", message="spp_param")
class SPP(LayerType[SPPParams]):
    """Spatial pyramid pooling: 1, 4, 16, ... windows, flattened in turn (spp_layer.cpp).

    A pyramid of one level keeps its four axes.
    """

    Params = SPPParams

    def prepare(self, node: Node[SPPParams]) -> None:
        if not node.params.pyramid_height:
            raise node.error("pyramid_height is missing or 0")
        if len(node.inputs[0].shape) != 4:
            raise node.error(f"needs a 4-D input, not {text(node.inputs[0].shape)}")

    def levels(self, node: Node[SPPParams]) -> list[Node[Any]]:
        """The poolings of the pyramid (GetPoolingParam), each with a value of its own."""
        x = node.inputs[0]
        sizes = [known(dim) for dim in x.shape[2:]]
        found = []
        for level in range(node.params.pyramid_height):
            bins = 2**level
            kernel = [math.ceil(size / bins) for size in sizes]
            pad = [(k * bins - size + 1) // 2 for k, size in zip(kernel, sizes, strict=True)]
            params = PoolingParams(
                pool=node.params.pool,
                kernel_h=kernel[0],
                kernel_w=kernel[1],
                stride_h=kernel[0],
                stride_w=kernel[1],
                pad_h=pad[0],
                pad_w=pad[1],
            )
            pool = Node(node.name, "Pooling", params, [x], [], position=node.position)
            pool.outputs = [Value(f"{node.name}/level{level}", ())]
            Pooling().prepare(pool)
            pool.outputs[0].shape = Pooling().shapes(pool)[0]
            found.append(pool)
        return found

    def shapes(self, node: Node[SPPParams]) -> list[Shape]:
        levels = self.levels(node)
        if len(levels) == 1:
            return [levels[0].outputs[0].shape]
        batch, channels = node.inputs[0].shape[:2]
        windows = [known(p.outputs[0].shape[2]) * known(p.outputs[0].shape[3]) for p in levels]
        return [(batch, known(channels) * sum(windows))]

    def onnx(self, node: Node[SPPParams], b: OnnxBuilder) -> None:
        levels = self.levels(node)
        if len(levels) == 1:
            levels[0].outputs = node.outputs
            Pooling().onnx(levels[0], b)
            return
        flat = []
        for pool in levels:
            b.between(pool.outputs[0])
            Pooling().onnx(pool, b)
            flat.append(b.op("Flatten", pool.outputs[0]))
        b.op("Concat", *flat, axis=1, out=node.outputs[0])

    def torch(self, node: Node[SPPParams]) -> nn.Module:
        from .torch import windows

        return windows.SPP([Pooling().torch(pool) for pool in self.levels(node)])


@register("Im2col", message="convolution_param")
class Im2col(LayerType[ConvolutionParams]):
    """Each window's values as the channels of its place (im2col_layer.cpp)."""

    Params = ConvolutionParams

    def prepare(self, node: Node[ConvolutionParams]) -> None:
        if len(node.inputs[0].shape) != 4 or node.params.axis % 4 != 1:
            raise node.error(f"needs a 4-D input, not {text(node.inputs[0].shape)}")

    def geometry(self, node: Node[ConvolutionParams]) -> Geometry:
        return Convolution().geometry(node)

    def shapes(self, node: Node[ConvolutionParams]) -> list[Shape]:
        g = self.geometry(node)
        batch, channels, *plane = node.inputs[0].shape
        out = [
            convolved(size, g.kernel[i], g.pad[i], g.stride[i], g.dilation[i])
            for i, size in enumerate(plane)
        ]
        return [(batch, known(channels) * math.prod(g.kernel), *out)]

    def onnx(self, node: Node[ConvolutionParams], b: OnnxBuilder) -> None:
        """A convolution whose kernels have a single 1: each copies one place of the window."""
        g = self.geometry(node)
        channels, size = known(node.inputs[0].shape[1]), math.prod(g.kernel)
        picks = np.tile(np.eye(size, dtype=np.float32), (channels, 1))
        b.op(
            "Conv",
            node.inputs[0],
            b.array(node, "places", picks.reshape(-1, 1, *g.kernel)),
            out=node.outputs[0],
            group=channels,
            kernel_shape=g.kernel,
            strides=g.stride,
            pads=[*g.pad, *g.pad],
            dilations=g.dilation,
        )

    def torch(self, node: Node[ConvolutionParams]) -> nn.Module:
        from .torch import windows

        g = self.geometry(node)
        return windows.Im2col(g.kernel, g.stride, g.pad, g.dilation)
