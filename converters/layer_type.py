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

Everything else has a default, which is right for a layer that is nothing special. For a type
checker the type is told its params, `class ReLU(LayerType["ReLU.Params"])`, and its methods take a
`Node[Params]`, whose `params` then need no annotation; Python itself does not ask for it.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic

from prototxt.net import LayerDefinition
from prototxt.schema import decode

from .fillers import Filler
from .graph import Node, P, Shape, Value

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
    is_statistic: bool = False
    """Summed while the network runs: since Caffe 1.0 no solver changes it, whatever its lr_mult."""


class LayerType(Generic[P]):
    """The behaviour of one Caffe layer type; stateless, one instance for each type."""

    type: ClassVar[str] = ""
    message: ClassVar[str | None] = None
    """The name of its parameter message, as ``convolution_param``."""
    fork: ClassVar[str] = "BVLC Caffe"
    bottoms: ClassVar[tuple[int, int | None]] = (1, 1)
    """Least and greatest number of bottoms; None is no limit."""
    tops: ClassVar[tuple[int, int | None]] = (1, 1)
    unbatched_bottoms: ClassVar[tuple[int, ...]] = ()
    """Bottoms whose first dimension counts something else than images, such as regions."""
    Params: ClassVar[builtins.type[Any]] = NoParams
    is_input: ClassVar[bool] = False
    """Its tops are inputs of the network (Data, Input, ...)."""
    labelled: ClassVar[bool] = True
    """Of an input layer: its tops after the first are labels, or the like, of the first."""
    counts_images: ClassVar[bool] = False
    """It looks at how many images its bottoms are of, so that none is a scalar (losses, ArgMax)."""
    is_loss: ClassVar[bool] = False
    """Pruned from an inference graph unless it is asked for (losses, Accuracy)."""
    loss_weight: ClassVar[float] = 0.0
    """The weight of its first top in the objective, where the prototxt gives none: 1 of losses."""
    is_metric: ClassVar[bool] = False
    """Shown while training, never minimised (Accuracy)."""
    is_postprocessing: ClassVar[bool] = False
    """It makes detections of what the network predicts; `raw` stops before it (DetectionOutput)."""
    gives_detections: ClassVar[bool] = False
    """Its top is 1×1×K×7, a row for each thing found: image, label, score, corners; where nothing
    is, a row of -1 for each image, but for its number."""
    scores_classes: ClassVar[bool] = False
    """What it gives are scores of classes, or what it reads first, where it is a loss or a metric
    (Softmax, SoftmaxWithLoss, Accuracy)."""
    discards: ClassVar[bool] = False
    """Whatever it reads is not wanted (Silence)."""
    learns: ClassVar[bool] = False
    """Its weights make features of whatever it reads (Convolution, InnerProduct, Embed, LSTM)."""
    has_statistics: ClassVar[bool] = False
    """Its blobs are statistics of the training data rather than weights (BatchNorm)."""
    passes_values: ClassVar[bool] = False
    """Its tops hold numbers of its bottoms and no others, so that what one may be fed the other
    may be (Concat, Reshape, Slice)."""
    keeps_types: ClassVar[bool] = False
    """Its tops have the types of its bottoms (Split); others read a mask as float32 numbers."""
    keeps_grid: ClassVar[bool] = False
    """A row and column of a top is that row and column of the bottoms (ReLU, LRN, Concat)."""
    renames: ClassVar[Mapping[str, str]] = {}
    """What other types of a definition, where they state no parameters, are in this type's fork."""
    fixes_input_size: ClassVar[bool] = False
    """Its weights fix the height and width of what it reads (InnerProduct)."""

    def prepare(self, node: Node[P]) -> None:
        """Settle what depends on the number of bottoms and the like, or raise `node.error`."""

    def blobs(self, node: Node[P]) -> list[BlobSpec]:
        """The learned arrays, in Caffe's order."""
        return []

    def given_blobs(self, node: Node[P], arrays: int) -> None:
        """Told how many arrays the caffemodel has for it, before `blobs` is asked which it needs.

        For types that forks define differently; may replace `node.params` or raise `node.error`.
        """

    def shapes(self, node: Node[P]) -> list[Shape]:
        """The tops' shapes by Caffe's own arithmetic.

        Raises `node.error` for what Caffe would refuse, OpenDimension where it needs a number.
        """
        raise node.error("gives no shapes")

    def dtypes(self, node: Node[P]) -> list[str]:
        """The tops' types: float32, but int64 for masks."""
        return ["float32"] * len(node.outputs)

    def notes(self, node: Node[P]) -> list[str]:
        """What a user should know of this layer, once its shapes are settled; mostly nothing."""
        return []

    def mask_tops(self, count: int) -> list[int]:
        """Which of `count` tops are masks of switches, and so outputs in their own right."""
        return []

    def mask_bottoms(self, count: int) -> list[int]:
        """Which of `count` bottoms are masks of switches, by which it puts values back."""
        return []

    def full_type(self, layer: LayerDefinition) -> str:
        """The name that the layer's own type is registered under.

        It is another one where a name of Caffe's stands for many types (Python).
        """
        return layer.type

    def messages(self) -> tuple[str, ...]:
        """The names of the parameter messages that this type reads."""
        return (self.message,) if self.message else ()

    def read(self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]) -> P:
        """The layer's parameters as a `Params`; FormatError for a field that it does not know."""
        if self.message is None:
            params: P = self.Params()
        else:
            message, name = layer.param(self.message), self.message
            params = decode(message, self.Params, name=name, lenient=lenient, warn=warn)
        return params

    def legal(self, node: Node[P]) -> Mapping[int, Legal]:
        """Of bottoms that may not be fed just any number (labels, indices): what they may be."""
        return {}

    def top_shape(self, params: P, index: int) -> tuple[int, ...] | None:
        """Of an input layer: a top's shape as the prototxt states it, None where it does not."""
        return None

    def bottom_shape(self, params: P, index: int) -> tuple[int, ...] | None:
        """The shape that a bottom has in every network: regions are R×5.

        Used where it comes from a data layer that says none.
        """
        return None

    def assumption(self, params: P, index: int) -> str | None:
        """Of an input layer: what of `top_shape` is neither stated nor certain, for a note."""
        return None

    def stated_channels(self, params: P, index: int) -> int | None:
        """Of an input layer: the channels that it states of a top whose shape it does not."""
        return None

    def stated_size(self, params: P) -> tuple[int, int] | None:
        """Of an input layer: height and width that it states where it states no shape."""
        return None

    def usual_channels(self, params: P, index: int) -> int | None:
        """Of an input layer: how many channels to take a top to have where nothing tells."""
        return None

    def input_channels(self, params: P, stored: Sequence[np.ndarray]) -> int | None:
        """The channels of the first bottom, as far as the caffemodel's blobs tell them."""
        return None

    def likely_sizes(self, params: P) -> list[tuple[int, int, str]]:
        """Heights and widths of the network's input that its parameters suggest.

        Each with the reason ("plane by unpool_size").
        """
        return []

    def each_image(self, node: Node[P]) -> bool:
        """Whether what it makes of an image depends on nothing else in the batch."""
        return False

    def likely_batches(self, params: P) -> list[int]:
        """Numbers of images that the network's input may need, as its parameters suggest."""
        return []

    def bottom_size(self, params: P) -> int | None:
        """How many numbers its bottom has, where its parameters fix that."""
        return None

    def agrees(self, node: Node[P], stored: Sequence[np.ndarray]) -> bool:
        """Whether the caffemodel's blobs fit the bottoms, where it `fixes_input_size`."""
        return True

    def macs(self, node: Node[P]) -> int:
        """Multiply-adds of one run; where only the run tells how many images, those of one."""
        return 0

    def is_identity(self, node: Node[P]) -> bool:
        """Whether every top equals the bottom, in the node's phase (Split; Dropout at test)."""
        return False

    def affine(self, node: Node[P]) -> tuple[np.ndarray, np.ndarray] | None:
        """Of a layer that gives factor * x + offset for each channel and nothing else: both.

        Float64, one number a channel (axis 1). `fold` multiplies them into the layer before.
        """
        return None

    def absorb(self, node: Node[P], factor: np.ndarray, offset: np.ndarray) -> bool:
        """Change the node's blobs so that each channel of its top is factor * top + offset.

        False, and nothing changed, where they cannot hold that.
        """
        return False

    def simplify(self, node: Node[P]) -> None:
        """Change the node, in place, into another that gives the same and runs faster, if any."""

    def is_bias(self, node: Node[P]) -> bool:
        """Whether its top is its second blob all over the plane, whatever its bottom holds.

        So it is with a bias layer, and a convolution whose weights are zero.
        """
        return False

    def torch_inputs(self, node: Node[P], available: Sequence[Value]) -> list[Value]:
        """What the module is called with, of the values made so far: the node's inputs."""
        return node.inputs

    def onnx(self, node: Node[P], b: OnnxBuilder) -> None:
        """Emit ONNX nodes that write every output of `node`."""
        raise node.error("cannot be written as ONNX")

    def torch(self, node: Node[P]) -> nn.Module:
        """A module called with the node's inputs in order; it returns one tensor or a tuple."""
        raise node.error("cannot be rebuilt in PyTorch")

    def reverse(self, node: Node[P], tops: Tops, r: Reverser) -> None:
        """Hand what reached the tops of `node` on to its bottoms (`r.accumulate`).

        For reversed networks (passes/reverse.py), by the rules `r.rules`. With those of "salinet"
        each bottom gets its gradient. A type without it has no reverse.
        """
        raise node.error("cannot be reversed")

    @property
    def reversible(self) -> bool:
        """Whether the type says how it is reversed."""
        return builtins.type(self).reverse is not LayerType.reverse
