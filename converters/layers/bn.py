"""BN, which is three things by one name: DeconvNet's and SegNet's, and that of PSPNet."""

from __future__ import annotations

import copy
import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..fillers import Filler
from ..graph import Node, Shape
from ..layer_type import BlobSpec, LayerType
from ..registry import register
from ..reversal import Reverser, Tops
from ..shapes import known, text
from .activations import scalar
from .convolution import Engine
from .normalization import reverse_channel_scale

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


class Mode(enum.Enum):
    """BNParameter.BNMode: batch statistics, or those that were stored."""

    LEARN = 0
    INFERENCE = 1


@dataclass
class BNParams:
    """BNParameter of both: bn_mode, scale_filler, shift_filler; the rest is of PSPNet."""

    bn_mode: Mode | None = None
    scale_filler: Filler | None = None
    shift_filler: Filler | None = None
    slope_filler: Filler | None = None
    bias_filler: Filler | None = None
    momentum: float | None = None
    eps: float | None = None
    frozen: bool | None = None
    engine: Engine = Engine.DEFAULT
    arrays: int | None = field(default=None, init=False)
    """How many arrays the caffemodel holds for the layer."""

    def says_mode(self) -> bool:
        own = (self.bn_mode, self.scale_filler, self.shift_filler)
        return any(value is not None for value in own)

    def says_running(self) -> bool:
        own = (self.slope_filler, self.bias_filler, self.momentum, self.eps, self.frozen)
        return any(value is not None for value in own)

    def running(self) -> bool:
        """Whether it is PSPNet's, which keeps running statistics."""
        return self.says_running() or (not self.says_mode() and self.arrays == 4)


@register("BN", message="bn_param")
class BN(LayerType[BNParams]):
    """Batch normalisation with scale and shift; the fields (else the blobs) tell whose it is.

    DeconvNet and SegNet (bn_layer.cpp, two blobs): in LEARN mode by the batch's own statistics,
    at test too, with further tops for its mean and variance; in INFERENCE mode scale x + shift,
    the statistics being in the blobs. PSPNet (bn_layer.cpp, four blobs): by running statistics.
    """

    fork = "DeconvNet, SegNet; PSPNet (hszhao/PSPNet)"
    tops = (1, 3)
    Params = BNParams
    has_statistics = True
    keeps_grid = True
    eps = 1e-9

    def prepare(self, node: Node[BNParams]) -> None:
        p = node.params
        if p.says_mode() and p.says_running():
            raise node.error("bn_param mixes the fields of two forks", "SegNet's or PSPNet's")
        if len(node.inputs[0].shape) != 4:
            raise node.error(f"needs a 4-D input, not {text(node.inputs[0].shape)}")
        if len(node.outputs) > 1 and (p.says_running() or p.bn_mode is Mode.INFERENCE):
            raise node.error("has the batch's statistics as tops only in LEARN mode")

    def shapes(self, node: Node[BNParams]) -> list[Shape]:
        channels = known(node.inputs[0].shape[1])
        return [node.inputs[0].shape, *[(1, channels, 1, 1)] * (len(node.outputs) - 1)]

    def given_blobs(self, node: Node[BNParams], arrays: int) -> None:
        node.params = copy.copy(node.params)
        node.params.arrays = arrays
        if len(node.outputs) > 1 and node.params.running():
            raise node.error(f"{arrays} blobs are PSPNet's, which has one top")

    def blobs(self, node: Node[BNParams]) -> list[BlobSpec]:
        p = node.params
        shape = (1, known(node.inputs[0].shape[1]), 1, 1)
        first, second = p.scale_filler, p.shift_filler
        if p.running():
            first, second = p.slope_filler, p.bias_filler
        specs = [
            BlobSpec("weight", shape, first or Filler()),
            BlobSpec("bias", shape, second or Filler()),
        ]
        if p.running():
            start = Filler(value=1.0 if p.frozen else 0.0)
            specs += [BlobSpec("mean", shape), BlobSpec("variance", shape, start)]
        return specs

    def affine(self, node: Node[BNParams]) -> tuple[np.ndarray, np.ndarray] | None:
        """Factor and offset of each channel (float64); None where the batch decides on them."""
        p = node.params
        if len(node.outputs) > 1:
            return None
        blobs = [blob.astype(np.float64).ravel() for blob in node.blobs]
        if not p.running():
            return (blobs[0], blobs[1]) if p.bn_mode is Mode.INFERENCE else None
        if not p.frozen and node.phase != "TEST":
            return None
        factor = blobs[0] / np.sqrt(blobs[3] + self.epsilon(node))
        return factor, blobs[1] - blobs[2] * factor

    def reverse(self, node: Node[BNParams], tops: Tops, r: Reverser) -> None:
        """The product with each channel's factor."""
        affine = self.affine(node) if len(node.outputs) == 1 else None
        reverse_channel_scale(node, None if affine is None else affine[0], tops, r)

    def epsilon(self, node: Node[BNParams]) -> float:
        p = node.params
        return (1e-5 if p.eps is None else p.eps) if p.running() else self.eps

    def onnx(self, node: Node[BNParams], b: OnnxBuilder) -> None:
        x, out = node.inputs[0], node.outputs
        weight, bias = b.weight(node, 0), b.weight(node, 1)
        p = node.params
        if not p.running() and p.bn_mode is Mode.INFERENCE:
            b.op("Add", b.op("Mul", x, weight), bias, out=out[0])
            return
        if self.affine(node) is not None:
            centred = b.op("Sub", x, b.weight(node, 2))
            deviation = np.sqrt(node.blobs[3].astype(np.float64) + self.epsilon(node))
            factor = (node.blobs[0].astype(np.float64) / deviation).astype(np.float32)
            b.op("Add", b.op("Mul", centred, b.array(node, "factor", factor)), bias, out=out[0])
            return
        axes = b.ints(0, 2, 3)
        tops = [*out[1:], None, None]
        mean = b.op("ReduceMean", x, axes, keepdims=1, out=tops[0])
        centred = b.op("Sub", x, mean)
        square = b.op("Mul", centred, centred)
        variance = b.op("ReduceMean", square, axes, keepdims=1, out=tops[1])
        root = b.op("Sqrt", b.op("Add", variance, scalar(self.epsilon(node))))
        y = b.op("Mul", b.op("Div", centred, root), weight)
        b.op("Add", y, bias, out=out[0])

    def torch(self, node: Node[BNParams]) -> nn.Module:
        from .torch import bn

        p = node.params
        running = p.running()
        always = running and (bool(p.frozen) or None)
        if running and not p.frozen and node.phase != "TEST":
            always = False
        return bn.BN(
            *node.blobs[: 4 if running else 2],
            eps=self.epsilon(node),
            momentum=0.9 if p.momentum is None else p.momentum,
            affine_only=p.bn_mode is Mode.INFERENCE and not running,
            use_running=always,
            tops=len(node.outputs),
        )
