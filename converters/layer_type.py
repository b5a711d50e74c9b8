"""What a layer type is: one class in one file, which says all that the project knows of the type.

It is registered under its Caffe name, in `converters/layers/` or in a user's plugin:

    @register("ReLU", message="relu_param")
    class ReLU(LayerType):
        @dataclass
        class Params:
            negative_slope: float = 0.0

        def shapes(self, node): return [node.inputs[0].shape]
        def onnx(self, node, b): b.node("LeakyRelu", node, alpha=node.params.negative_slope)
        def torch(self, node): import torch; return torch.nn.LeakyReLU(node.params.negative_slope)

Everything else has a default, which is right for a layer that is nothing special.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from prototxt.net import LayerDefinition
from prototxt.schema import decode

from .fillers import Filler
from .graph import Node, Shape, Value

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from .legal import Legal
    from .onnx_builder import OnnxBuilder
    from .reversal import Reverser, Tops

__all__ = ["BlobSpec", "LayerType", "NoParams"]


@dataclass
class NoParams:
    """The params of a layer type that has none."""


@dataclass(frozen=True)
class BlobSpec:
    """A learned array: its name in files that we write, its shape, how it is initialised."""

    name: str
    shape: tuple[int, ...]
    filler: Filler = field(default_factory=Filler)


class LayerType:
    """The behaviour of one Caffe layer type; stateless, one instance for each type."""

    type: ClassVar[str] = ""
    message: ClassVar[str | None] = None
    """The name of its parameter message, as ``convolution_param``."""
    fork: ClassVar[str] = "BVLC Caffe"
    bottoms: ClassVar[tuple[int, int | None]] = (1, 1)
    """Least and greatest number of bottoms; None is no limit."""
    tops: ClassVar[tuple[int, int | None]] = (1, 1)
    lists: ClassVar[tuple[int, ...]] = ()
    """Bottoms whose first dimension counts something else than images, such as regions."""
    Params: ClassVar[builtins.type] = NoParams
    is_input: ClassVar[bool] = False
    """Its tops are inputs of the network (Data, Input, ...)."""
    labelled: ClassVar[bool] = True
    """Of an input layer: its tops after the first are labels, or the like, of the first."""
    is_loss: ClassVar[bool] = False
    """Pruned from an inference graph unless it is asked for (losses, Accuracy)."""
    loss_weight: ClassVar[float] = 0.0
    """The weight of its first top in the objective, where the prototxt gives none: 1 of losses."""
    is_metric: ClassVar[bool] = False
    """Shown while training, never minimised (Accuracy)."""
    is_postprocessing: ClassVar[bool] = False
    """It makes detections of what the network predicts; `raw` stops before it (DetectionOutput)."""
    discards: ClassVar[bool] = False
    """Whatever it reads is not wanted (Silence)."""
    learns: ClassVar[bool] = False
    """Its weights make features of whatever it reads (Convolution, InnerProduct, Embed, LSTM)."""
    has_statistics: ClassVar[bool] = False
    """Its blobs are statistics of the training data rather than weights (BatchNorm)."""
    passes_values: ClassVar[bool] = False
    """Its tops hold numbers of its bottoms and no others, so that what one may be fed the other
    may be (Concat, Reshape, Slice)."""
    keeps_grid: ClassVar[bool] = False
    """A row and column of a top is that row and column of the bottoms (ReLU, LRN, Concat)."""
    fixes_plane: ClassVar[bool] = False
    """Its weights fix the height and width of what it reads (InnerProduct)."""

    def prepare(self, node: Node) -> None:
        """Settle what depends on the number of bottoms and the like, or raise `node.error`."""

    def blobs(self, node: Node) -> list[BlobSpec]:
        """The learned arrays, in Caffe's order."""
        return []

    def given_blobs(self, node: Node, arrays: int) -> None:
        """Told how many arrays the caffemodel has for it, before `blobs` is asked which it needs.

        For types that forks define differently; may replace `node.params` or raise `node.error`.
        """

    def shapes(self, node: Node) -> list[Shape]:
        """The tops' shapes by Caffe's own arithmetic.

        Raises `node.error` for what Caffe would refuse, OpenDimension where it needs a number.
        """
        raise node.error("gives no shapes")

    def dtypes(self, node: Node) -> list[str]:
        """The tops' types: float32, but int64 for masks."""
        return ["float32"] * len(node.outputs)

    def notes(self, node: Node) -> list[str]:
        """What a user should know of this layer, once its shapes are settled; mostly nothing."""
        return []

    def mask_tops(self, count: int) -> list[int]:
        """Which of `count` tops are masks of switches, and so outputs in their own right."""
        return []

    def mask_bottoms(self, count: int) -> list[int]:
        """Which of `count` bottoms are masks of switches, by which it puts values back."""
        return []

    def full_type(self, layer: LayerDefinition) -> str:
        """The name that the layer's own type is registered under; another one where a name of
        Caffe's stands for many types (Python).
        """
        return layer.type

    def messages(self) -> tuple[str, ...]:
        """The names of the parameter messages that this type reads."""
        return (self.message,) if self.message else ()

    def read(self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]) -> Any:
        """The layer's parameters as a `Params`; FormatError for a field that it does not know."""
        if self.message is None:
            return self.Params()
        return decode(
            layer.param(self.message), self.Params, name=self.message, lenient=lenient, warn=warn
        )

    def legal(self, node: Node) -> Mapping[int, Legal]:
        """Of bottoms that may not be fed just any number (labels, indices): what they may be."""
        return {}

    def top_shape(self, params: Any, index: int) -> tuple[int, ...] | None:
        """Of an input layer: a top's shape as the prototxt states it, None where it does not."""
        return None

    def usual_channels(self, params: Any, index: int) -> int | None:
        """Of an input layer: how many channels to take a top to have where nothing tells."""
        return None

    def input_channels(self, params: Any, stored: Sequence[np.ndarray]) -> int | None:
        """The channels of the first bottom, as far as the caffemodel's blobs tell them."""
        return None

    def likely_planes(self, params: Any) -> list[tuple[int, int, str]]:
        """Heights and widths of the network's input that its parameters suggest, and the reason
        ("plane by unpool_size").
        """
        return []

    def agrees(self, node: Node, stored: Sequence[np.ndarray]) -> bool:
        """Whether the caffemodel's blobs fit the bottoms, asked of types that `fixes_plane`."""
        return True

    def macs(self, node: Node) -> int:
        """Multiply-adds of one run; where only the run tells how many images, those of one."""
        return 0

    def is_identity(self, node: Node) -> bool:
        """Whether every top equals the bottom, in the node's phase (Split; Dropout at test)."""
        return False

    def affine(self, node: Node) -> tuple[np.ndarray, np.ndarray] | None:
        """Of a layer that gives factor * x + offset for each channel (axis 1) and nothing else:
        both, float64, one number a channel. `fold` multiplies them into the layer before.
        """
        return None

    def absorb(self, node: Node, factor: np.ndarray, offset: np.ndarray) -> bool:
        """Change the node's blobs so that each channel of its top is factor * top + offset; False,
        and nothing changed, where they cannot hold that.
        """
        return False

    def simplify(self, node: Node) -> None:
        """Change the node, in place, into another that gives the same and runs faster, if any."""

    def is_bias(self, node: Node) -> bool:
        """Whether its top is its second blob all over the plane, whatever its bottom holds: a bias
        layer, a convolution whose weights are zero.
        """
        return False

    def torch_inputs(self, node: Node, available: Sequence[Value]) -> list[Value]:
        """What the module is called with, of the values made so far: the node's inputs."""
        return node.inputs

    def onnx(self, node: Node, b: OnnxBuilder) -> None:
        """Emit ONNX nodes that write every output of `node`."""
        raise node.error("cannot be written as ONNX")

    def torch(self, node: Node) -> nn.Module:
        """A module called with the node's inputs in order; it returns one tensor or a tuple."""
        raise node.error("cannot be rebuilt in PyTorch")

    def reverse(self, node: Node, tops: Tops, r: Reverser) -> None:
        """Hand what reached the tops of `node` on to its bottoms (`r.accumulate`).

        For reversed networks (passes/reverse.py), by the rules `r.rules`. With those of "salinet"
        each bottom gets its gradient. A type without it has no reverse.
        """
        raise node.error("cannot be reversed")

    @property
    def reversible(self) -> bool:
        """Whether the type says how it is reversed."""
        return builtins.type(self).reverse is not LayerType.reverse
