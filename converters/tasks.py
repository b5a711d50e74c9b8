"""What a network is for, as its layers tell: `prototxt.tasks` has the words and the rules."""

from __future__ import annotations

from collections.abc import Container

from prototxt.net import NetDefinition
from prototxt.tasks import End, recognised

from .graph import Graph, Value
from .registry import find

__all__ = ["task_of"]


def task_of(graph: Graph, definition: NetDefinition, classes: int = 0) -> str:
    """The task of a network, by where it ends; of its definition, what training makes of that.

    `classes` is how many names of classes are known.
    """
    judged = {
        layer.bottoms[0]
        for layer in definition.layers
        if layer.bottoms
        and (kind := find(layer.type)) is not None
        and kind.scores_classes
        and (kind.is_loss or kind.is_metric)
    }
    ends = [
        End(v.name, v.shape, v.dtype, scores=scores(v, judged, classes), detections=listed(v))
        for v in graph.outputs
    ]
    return recognised([v.shape for v in graph.inputs], ends)


def scores(value: Value, judged: Container[str], classes: int) -> bool | None:
    """Whether a value is scores of classes; None where that is as likely as not.

    A network that ends in numbers which no softmax made is a classifier where a loss for classes
    trains them, or their names are known, or it is an image that was pooled to a point; else they
    may be anything: features, places, ages.
    """
    if value.name in judged or made_by_scores(value):
        return True
    shape = value.shape
    if classes and shape[1:2] == (classes,):
        return True
    return None if len(shape) > 3 else False


def made_by_scores(value: Value) -> bool:
    """Whether a layer that gives scores of classes made a value, be it reshaped since."""
    while value.producer is not None:
        kind = find(value.producer.type)
        if kind is None:
            return False
        if kind.scores_classes:
            return True
        if not kind.passes_values or len(value.producer.inputs) != 1:
            return False
        value = value.producer.inputs[0]
    return False


def listed(value: Value) -> bool:
    """Whether a value is rows of detections."""
    kind = find(value.producer.type) if value.producer is not None else None
    return kind is not None and kind.gives_detections
