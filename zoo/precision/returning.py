"""Which layers return from int8 to float32 so that a network's answer stays the same.

What is asked of it depends on what it is: of one that rebuilds its image that the RMSE hardly
moves, of a classifier nothing here (`Cost` tells in how many images another class comes first), of
any other (a detector, a network that enlarges) that no output departs far from float32's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from zoo.precision.cost import (
    DEPARTURE,
    RMSE_ALLOWED,
    Comparison,
    Sample,
    class_scores,
    rebuilt_output,
)

if TYPE_CHECKING:
    import onnx

    from runtime import Model

__all__ = ["returned"]

FEW = 16
"""Images on which layers are tried one by one."""

Lost = Callable[["Model", Sample], float]


def returned(
    model: onnx.ModelProto, first: onnx.ModelProto, wide: set[str], sample: Sample, loaded: Model
) -> list[str]:
    """The layers that return to float32, by the names of their nodes; those that cost most first.

    They are tried one by one, alone in int8; then as few return as it takes.

    Args:
        model: the network in float32.
        first: the same in int8, but for `wide`.
        wide: the nodes that stay float32 in any case.
        sample: what int8 takes its ranges of, and is judged on.
        loaded: `model`, to be run.
    """
    import runtime
    from zoo.precision.int8 import learned, quantized

    asked = criterion(loaded, sample)
    if asked is None:
        return []
    lost, allowed = asked

    def loss(proto: onnx.ModelProto, over: Sample) -> float:
        return lost(runtime.load(proto.SerializeToString(), "cpu"), over)

    def narrowed(names: Sequence[str], over: Sample) -> float:
        return loss(quantized(model, wide | {*names}, over.feeds), over)

    if loss(first, sample) <= allowed:
        return []
    step = -(-len(sample.feeds) // FEW)
    few = Sample(sample.feeds[::step], sample.images[::step], sample.mean, sample.size, "")
    layers = learned(model, wide)
    alone = {name: narrowed([n for n in layers if n != name], few) for name in layers}
    order = sorted(layers, key=lambda name: -alone[name])
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        if narrowed(order[:middle], few) <= allowed:
            high = middle
        else:
            low = middle + 1
    for count in range(max(1, low), len(order)):
        if narrowed(order[:count], sample) <= allowed:
            return order[:count]
    return order


def criterion(loaded: Model, sample: Sample) -> tuple[Lost, float] | None:
    """How it is measured what a model in fewer bits loses, and how much it may."""

    def moved(model: Model, over: Sample) -> float:
        rmse = Comparison(loaded, model, over).rmse
        assert rmse is not None
        return abs(rmse[1] - rmse[0])

    if rebuilt_output(loaded, sample) is not None:
        return moved, RMSE_ALLOWED
    if class_scores(loaded) is not None:
        return None
    return lambda model, over: Comparison(loaded, model, over).departure, DEPARTURE
