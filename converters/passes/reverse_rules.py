"""How each layer type is reversed: a function from what reached its tops to its bottoms."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..graph import Node, Value
from ..layers.activations import PowerParams, ReLUParams
from ..layers.convolution import Convolution, ConvolutionParams
from ..layers.elementwise import EltwiseParams, Operation
from ..layers.normalization import ScaleParams
from ..layers.pooling import Method, Pooling
from ..layers.reversed import (
    ConvolutionTransposeParams,
    InnerProductTransposeParams,
    LRNGradientParams,
    PadAxisParams,
    ReLUMaskParams,
    Spread,
    UnpoolSumParams,
    WindowSpreadParams,
)
from ..layers.shaping import Concat, ConcatParams, Slice, SliceParams
from ..registry import NoParams, find
from ..shapes import known

if TYPE_CHECKING:
    from .reverse import Reverser

Tops = list[Value | None]
Rule = Callable[["Reverser", Node, Tops], None]

RULES: dict[str, Rule] = {}
"""By layer type."""


def rule(*types: str) -> Callable[[Rule], Rule]:
    def decorate(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(types, function))
        return function

    return decorate


def rule_of(node: Node) -> Rule | None:
    """The rule of a node's type; kinds of Convolution (depthwise) are reversed as such."""
    if node.type not in RULES and isinstance(find(node.type), Convolution):
        return RULES["Convolution"]
    return RULES.get(node.type)


def only(tops: Tops) -> Value:
    """What reached the first top."""
    assert tops[0] is not None
    return tops[0]


@rule("Convolution")
def convolution(r: Reverser, node: Node, tops: Tops) -> None:
    kind = find(node.type)
    assert isinstance(kind, Convolution)
    geometry = kind.geometry(node)
    if kind.axis(node) != 1 or len(geometry.kernel) not in (1, 2, 3):
        raise node.error("cannot be reversed: only axis 1 with 1 to 3 spatial axes is")
    group = node.params.group
    params = ConvolutionTransposeParams(geometry, kind.channels(node), group)
    steps = any(s != 1 for s in geometry.stride)
    for top, bottom in zip(tops, node.inputs, strict=True):
        if top is not None:
            added = r.add(
                "ConvolutionTranspose", node, [top], bottom, params, blobs=[0], plane=steps
            )
            r.give(bottom, added)


@rule("Deconvolution")
def deconvolution(r: Reverser, node: Node, tops: Tops) -> None:
    kind = find(node.type)
    geometry = kind.geometry(node)  # type: ignore[union-attr]
    if kind.axis(node) != 1:  # type: ignore[union-attr]
        raise node.error("cannot be reversed: only axis 1 is")
    params = ConvolutionParams(
        num_output=known(node.inputs[0].shape[1]),
        bias_term=False,
        kernel_size=list(geometry.kernel),
        stride=list(geometry.stride),
        pad=list(geometry.pad),
        dilation=list(geometry.dilation),
        group=node.params.group,
    )
    for top, bottom in zip(tops, node.inputs, strict=True):
        if top is not None:
            r.give(bottom, r.add("Convolution", node, [top], bottom, params, blobs=[0]))


@rule("InnerProduct")
def inner_product(r: Reverser, node: Node, tops: Tops) -> None:
    bottom = node.inputs[0]
    params = InnerProductTransposeParams(
        node.params.axis % len(bottom.shape), node.params.transpose
    )
    r.give(bottom, r.add("InnerProductTranspose", node, [only(tops)], bottom, params, blobs=[0]))


@rule("ReLU", "PReLU")
def relu(r: Reverser, node: Node, tops: Tops) -> None:
    """Of a leaky one the mask is its derivative, and rectifying is the layer itself."""
    top, bottom = only(tops), node.inputs[0]
    blobs = range(len(node.blobs))
    slope = getattr(node.params, "negative_slope", 0.0)
    if r.rules.relu.rectifies:
        params = node.params if node.blobs else ReLUParams(slope)
        top = r.add(node.type, node, [top], bottom, params, blobs=blobs, suffix="rectified")
    if r.rules.relu.masks:
        mask = r.make(
            "ReLUMask",
            node,
            [bottom],
            bottom.shape,
            bottom.nominal,
            ReLUMaskParams(slope),
            "mask",
            node.name,
        )
        mask.blobs = list(node.blobs)
        r.ahead(mask, node)
        product = EltwiseParams(operation=Operation.PROD)
        top = r.add("Eltwise", node, [top, mask.outputs[0]], bottom, product, suffix="masked")
    r.give(bottom, top)


@rule("Pooling")
def pooling(r: Reverser, node: Node, tops: Tops) -> None:
    top, bottom = only(tops), node.inputs[0]
    whole, average = node.params.global_pooling, node.params.pool is Method.AVE
    if average or not r.rules.switches:
        windows = None if whole else Pooling().windows(node)
        spread = WindowSpreadParams(windows, Spread.AVERAGE if average else Spread.CENTRE)
        r.give(bottom, r.add("WindowSpread", node, [top], bottom, spread, plane=True))
        return
    mask = r.switches(node)
    params = UnpoolSumParams(Pooling().windows(node))
    r.give(bottom, r.add("UnpoolSum", node, [top, mask], bottom, params, plane=True))


@rule("LRN")
def lrn(r: Reverser, node: Node, tops: Tops) -> None:
    top, bottom = only(tops), node.inputs[0]
    if r.rules.lrn:
        params = LRNGradientParams(node.params)
        top = r.add("LRNGradient", node, [top, bottom], bottom, params)
    r.give(bottom, top)


@rule("Dropout", "Bias")
def unchanged(r: Reverser, node: Node, tops: Tops) -> None:
    if node.type == "Dropout" and node.phase != "TEST":
        raise node.error("cannot be reversed in training: it drops at random")
    if len(node.inputs) > 1:
        raise node.error("cannot be reversed: its second bottom is no constant")
    r.give(node.inputs[0], only(tops))


@rule("BatchNorm", "BN", "Scale")
def affine(r: Reverser, node: Node, tops: Tops) -> None:
    """The product with what a layer multiplies each channel by."""
    from .fold import channel_affine

    bottom = node.inputs[0]
    if node.type == "Scale":
        if len(node.inputs) > 1:
            raise node.error("cannot be reversed: its second bottom is no constant")
        params = ScaleParams(axis=node.params.axis, num_axes=node.params.num_axes)
        r.give(bottom, r.add("Scale", node, [only(tops)], bottom, params, blobs=[0]))
        return
    found = channel_affine(node)
    if found is None:
        raise node.error("cannot be reversed: it takes the statistics of the batch")
    value = r.add("Scale", node, [only(tops)], bottom, ScaleParams())
    r.nodes[-1].blobs = [found[0].astype(np.float32).reshape(-1)]
    r.give(bottom, value)


@rule("Power")
def power(r: Reverser, node: Node, tops: Tops) -> None:
    if node.params.power != 1:
        raise node.error(f"cannot be reversed: power {node.params.power:g} is not linear")
    r.give(node.inputs[0], scaled(r, node, only(tops), node.inputs[0], node.params.scale))


def scaled(r: Reverser, node: Node, top: Value, bottom: Value, factor: float) -> Value:
    if factor == 1:
        return top
    return r.add("Power", node, [top], bottom, PowerParams(scale=factor), suffix="scaled")


@rule("Eltwise")
def eltwise(r: Reverser, node: Node, tops: Tops) -> None:
    p: EltwiseParams = node.params
    if p.operation is not Operation.SUM:
        raise node.error(f"cannot be reversed: {p.operation.name} is not linear; only SUM is")
    for index, bottom in enumerate(node.inputs):
        factor = p.coeff[index] if p.coeff else 1.0
        r.give(bottom, scaled(r, node, only(tops), bottom, factor))


@rule("Concat")
def concat(r: Reverser, node: Node, tops: Tops) -> None:
    top = only(tops)
    if len(node.inputs) == 1:
        r.give(node.inputs[0], top)
        return
    kind = Concat()
    axis = kind.axis(node)
    sizes = [known(v.shape[axis]) for v in node.inputs]
    points = [int(n) for n in np.cumsum(sizes)[:-1]]
    params = SliceParams(axis=axis, slice_point=points)
    first = node.inputs[0]
    cut = r.make("Slice", node, [top], first.shape, first.nominal, params, "reversed", first.name)
    for value in node.inputs[1:]:
        name = r.fresh(f"{value.name}/reversed")
        cut.outputs.append(Value(name, value.shape, cut, nominal=value.nominal))
    r.nodes.append(cut)
    for value, part in zip(node.inputs, cut.outputs, strict=True):
        r.give(value, part)


@rule("Slice")
def slice_(r: Reverser, node: Node, tops: Tops) -> None:
    kind, bottom = Slice(), node.inputs[0]
    axis, sizes = kind.axis(node), kind.sizes(node)
    parts = [top for top in tops if top is not None]
    if len(tops) == 1:
        r.give(bottom, parts[0])
    elif len(parts) == len(tops):
        r.give(bottom, r.add("Concat", node, parts, bottom, ConcatParams(axis=axis)))
    else:
        for index, top in enumerate(tops):
            if top is not None:
                params = PadAxisParams(axis, sum(sizes[:index]), sum(sizes[index + 1 :]))
                r.give(bottom, r.add("PadAxis", node, [top], bottom, params))


@rule("Split")
def split(r: Reverser, node: Node, tops: Tops) -> None:
    for top in tops:
        if top is not None:
            r.give(node.inputs[0], top)


@rule("Flatten", "Reshape")
def reshape(r: Reverser, node: Node, tops: Tops) -> None:
    bottom = node.inputs[0]
    several = sum(isinstance(d, str) for d in bottom.shape) > 1
    value = r.add("Unflatten", node, [only(tops)], bottom, NoParams(), plane=several)
    if several and len(r.nodes[-1].inputs) == 1:
        r.needs[id(r.nodes[-1])] = 1
        r.nodes[-1].inputs.append(bottom)
    r.give(bottom, value)
