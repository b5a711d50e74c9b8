"""Layers that choose rows: Embed, BatchReindex, Filter; and Parameter, which is a blob alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from prototxt.net import LayerDefinition
from prototxt.schema import UInt

from ..fillers import Filler
from ..graph import Node, Shape
from ..layer_type import BlobSpec, LayerType, NoParams
from ..legal import Integers, Legal, rows
from ..registry import register
from ..shapes import OpenDimension, is_fixed, known, text
from .inputs import BlobShape

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


@dataclass
class EmbedParams:
    """EmbedParameter."""

    num_output: UInt = 0
    input_dim: UInt = 0
    bias_term: bool = True
    weight_filler: Filler = field(default_factory=Filler)
    bias_filler: Filler = field(default_factory=Filler)


@register("Embed", message="embed_param")
class Embed(LayerType[EmbedParams]):
    """A row of weights for each whole number below `input_dim` (embed_layer.cpp)."""

    Params = EmbedParams
    learns = True

    def prepare(self, node: Node[EmbedParams]) -> None:
        if not node.params.num_output or not node.params.input_dim:
            raise node.error("num_output and input_dim must be above 0")

    def shapes(self, node: Node[EmbedParams]) -> list[Shape]:
        return [(*node.inputs[0].shape, node.params.num_output)]

    def blobs(self, node: Node[EmbedParams]) -> list[BlobSpec]:
        p = node.params
        specs = [BlobSpec("weight", (p.input_dim, p.num_output), p.weight_filler)]
        if p.bias_term:
            specs.append(BlobSpec("bias", (p.num_output,), p.bias_filler))
        return specs

    def legal(self, node: Node[EmbedParams]) -> dict[int, Legal]:
        return {0: Integers(0, node.params.input_dim - 1)}

    def onnx(self, node: Node[EmbedParams], b: OnnxBuilder) -> None:
        index = b.op("Cast", node.inputs[0], to=7)
        biased = node.params.bias_term
        y = b.op("Gather", b.weight(node, 0), index, out=None if biased else node.outputs[0])
        if biased:
            b.op("Add", y, b.weight(node, 1), out=node.outputs[0])

    def torch(self, node: Node[EmbedParams]) -> nn.Module:
        from .torch import indexing

        return indexing.Embed(node.blobs[0], node.blobs[1] if len(node.blobs) > 1 else None)


@register("BatchReindex")
class BatchReindex(LayerType[NoParams]):
    """The rows of the first bottom that the second names (batch_reindex_layer.cpp)."""

    bottoms = (2, 2)
    unbatched_bottoms = (1,)

    def prepare(self, node: Node[NoParams]) -> None:
        if len(node.inputs[1].shape) != 1:
            raise node.error(f"its second bottom is {text(node.inputs[1].shape)}, not a list")

    def shapes(self, node: Node[NoParams]) -> list[Shape]:
        return [(node.inputs[1].shape[0], *node.inputs[0].shape[1:])]

    def legal(self, node: Node[NoParams]) -> dict[int, Legal]:
        return {1: rows(node.inputs[0])}

    def onnx(self, node: Node[NoParams], b: OnnxBuilder) -> None:
        index = b.op("Cast", node.inputs[1], to=7)
        b.op("Gather", node.inputs[0], index, out=node.outputs[0])

    def torch(self, node: Node[NoParams]) -> nn.Module:
        from .torch import indexing

        return indexing.BatchReindex()


@register("Filter")
class Filter(LayerType[NoParams]):
    """The rows for which the last bottom, the selector, is not 0 (filter_layer.cpp).

    How many that are is known only when it runs.
    """

    counts_images = True
    bottoms = (2, None)
    tops = (1, None)

    def full_type(self, layer: LayerDefinition) -> str:
        """Channel pruning's, which has a message of its own, is another layer."""
        return layer.type if layer.param("filter_param") is None else "ChannelFilter"

    def prepare(self, node: Node[NoParams]) -> None:
        *data, selector = node.inputs
        if len(data) != len(node.outputs):
            raise node.error(f"{len(data)} bottoms and a selector, but {len(node.outputs)} tops")
        for dim in selector.shape[1:]:
            if isinstance(dim, str):  # it is 1 where it is known
                raise OpenDimension(dim)
        if any(dim != 1 for dim in selector.shape[1:]):
            raise node.error(f"its selector is {text(selector.shape)}, not one number a row")
        for value in data:
            if is_fixed(value.shape[0], selector.shape[0]) and value.shape[0] != selector.shape[0]:
                raise node.error(
                    f"its selector is {text(selector.shape)}, {value.name!r} {text(value.shape)}"
                )

    def shapes(self, node: Node[NoParams]) -> list[Shape]:
        return [(f"{node.name}_selected", *value.shape[1:]) for value in node.inputs[:-1]]

    def legal(self, node: Node[NoParams]) -> dict[int, Legal]:
        return {len(node.inputs) - 1: Integers(0, 1, some=True)}

    def onnx(self, node: Node[NoParams], b: OnnxBuilder) -> None:
        flat = b.op("Reshape", node.inputs[-1], b.ints(-1))
        chosen = b.op("Cast", flat, to=9)
        for value, output in zip(node.inputs[:-1], node.outputs, strict=True):
            b.op("Compress", value, chosen, axis=0, out=output)

    def torch(self, node: Node[NoParams]) -> nn.Module:
        from .torch import indexing

        return indexing.Filter()


@dataclass
class ChannelFilterParams:
    """FilterParameter of channel pruning."""

    num_output: UInt = 0
    axis: int = 1


@register("ChannelFilter", message="filter_param")
class ChannelFilter(LayerType[ChannelFilterParams]):
    """The channels for which a learned number is not 0 (filter_layer.cpp of channel pruning).

    `Filter` with a `filter_param`; `num_output` says how many those are. Where the numbers are all
    1, as nobody has chosen yet, it takes the first.
    """

    fork = "Channel pruning (yihui-he/channel-pruning)"
    bottoms = (1, None)
    tops = (1, None)
    Params = ChannelFilterParams
    passes_values = True

    def axis(self, node: Node[ChannelFilterParams]) -> int:
        rank, axis = len(node.inputs[0].shape), node.params.axis
        if not -rank <= axis < rank:
            raise node.error(f"axis {axis} is outside a {text(node.inputs[0].shape)} input")
        return int(axis % rank)

    def shapes(self, node: Node[ChannelFilterParams]) -> list[Shape]:
        if len(node.inputs) != len(node.outputs):
            raise node.error(f"{len(node.inputs)} bottoms but {len(node.outputs)} tops")
        axis, count = self.axis(node), node.params.num_output
        size = known(node.inputs[0].shape[axis])
        if not 0 < count <= size:
            raise node.error(f"num_output must be 1 to {size}, not {count}")
        if any(len(v.shape) <= axis or v.shape[axis] != size for v in node.inputs):
            raise node.error(f"its bottoms differ in axis {axis}")
        return [(*v.shape[:axis], count, *v.shape[axis + 1 :]) for v in node.inputs]

    def blobs(self, node: Node[ChannelFilterParams]) -> list[BlobSpec]:
        size = known(node.inputs[0].shape[self.axis(node)])
        return [BlobSpec("weight", (size,), Filler(value=1.0))]

    def chosen(self, node: Node[ChannelFilterParams]) -> np.ndarray:
        count, found = node.params.num_output, np.flatnonzero(node.blobs[0])
        if len(found) != count and not (node.blobs[0] == 1).all():
            raise node.error(f"its weights select {len(found)} channels, num_output says {count}")
        return found[:count].astype(np.int64)

    def onnx(self, node: Node[ChannelFilterParams], b: OnnxBuilder) -> None:
        index = b.array(node, "index", self.chosen(node))
        for value, output in zip(node.inputs, node.outputs, strict=True):
            b.op("Gather", value, index, axis=self.axis(node), out=output)

    def torch(self, node: Node[ChannelFilterParams]) -> nn.Module:
        from .torch import indexing

        return indexing.ChannelFilter(self.chosen(node), self.axis(node))


@dataclass
class ParameterParams:
    """ParameterParameter."""

    shape: BlobShape = field(default_factory=BlobShape)


@register("Parameter", message="parameter_param")
class Parameter(LayerType[ParameterParams]):
    """A learned blob as a top (parameter_layer.hpp)."""

    bottoms = (0, 0)
    Params = ParameterParams

    def shapes(self, node: Node[ParameterParams]) -> list[Shape]:
        return [tuple(node.params.shape.dim)]

    def blobs(self, node: Node[ParameterParams]) -> list[BlobSpec]:
        return [BlobSpec("weight", tuple(node.params.shape.dim))]

    def onnx(self, node: Node[ParameterParams], b: OnnxBuilder) -> None:
        b.op("Identity", b.weight(node, 0), out=node.outputs[0])

    def torch(self, node: Node[ParameterParams]) -> nn.Module:
        from .torch import indexing

        return indexing.Parameter(node.blobs[0])
