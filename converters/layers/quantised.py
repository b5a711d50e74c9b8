"""Layers that compute with rounded or masked numbers, which are told apart and refused.

What they give depends on how each number is rounded; in float32 it would be other numbers.
"""

from __future__ import annotations

from typing import ClassVar

from prototxt.errors import Argument, Sentence

from ..graph import Node, Shape
from ..layer_type import LayerType, NoParams
from ..registry import register


class Quantised(LayerType[NoParams]):
    """A layer whose numbers have few bits, or are switched off one by one."""

    bottoms = (1, None)
    tops: ClassVar[tuple[int, int | None]] = (1, None)
    Params = NoParams
    how = "rounds weights and activations to few bits"

    def shapes(self, node: Node[NoParams]) -> list[Shape]:
        raise node.error(
            f"{self.how} ({self.fork}), which is not reproduced",
            Sentence(
                "convert the float network that it was made of, or register the type with ",
                Argument("plugins", "FILE.py"),
            ),
        )


@register("ConvolutionRistretto", "DeconvolutionRistretto", "FcRistretto", "LRNRistretto")
class Ristretto(Quantised):
    """Fixed point, minifloat or powers of two: not converted."""

    fork = "Ristretto (pmgysel/caffe)"


@register("CConvolution", "CInnerProduct", "DNSConvolution", "DNSInnerProduct")
class NetworkSurgery(Quantised):
    """Weights that a mask switches off: not converted."""

    fork = "Dynamic Network Surgery (yiwenguo/Dynamic-Network-Surgery)"
    how = "prunes its weights while it runs"


@register("Quant", "FQConvolution")
class FewLevels(Quantised):
    """Activations or weights of a few trained levels: not converted."""

    fork = "HWGQ (zhaoweicai/hwgq), caffe-FQ (EunhyeokPark/caffe-FQ)"


@register("BinaryConvolution", "BinaryInnerProduct", "TernaryConvolution", "TernaryInnerProduct")
class FewValues(Quantised):
    """Weights of two or three values: not converted."""

    fork = "several forks"
    how = "has weights of two or three values"
