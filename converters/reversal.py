"""What a layer type needs to know to say how it is reversed (`LayerType.reverse`).

The rules that a user chooses between, and the interface of what walks the graph
(passes/reverse.py). This module imports no layer, so that every layer can import it.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .graph import Node, Value

__all__ = ["METHODS", "ReLURule", "Reverser", "Rules", "Tops", "first_top"]


class ReLURule(enum.Enum):
    """What becomes of a ReLU; r is 1 where the forward pass gave more than 0."""

    IDENTITY = "identity"
    RELU = "relu"
    MASK = "mask"
    MASK_AND_RELU = "mask+relu"

    @property
    def masks(self) -> bool:
        """Whether only what the ReLU let through comes back."""
        return self in (ReLURule.MASK, ReLURule.MASK_AND_RELU)

    @property
    def rectifies(self) -> bool:
        """Whether only what is above 0 comes back."""
        return self in (ReLURule.RELU, ReLURule.MASK_AND_RELU)


@dataclass(frozen=True)
class Rules:
    """How the layers that lose something are reversed."""

    relu: ReLURule
    switches: bool = True
    """Max pooling by its switches; else to the centre of each window."""
    lrn: bool = False
    """LRN by back-propagation; else by the identity."""

    @property
    def name(self) -> str:
        """What the eight combinations are called in file names: ``relu-switches``."""
        where = "switches" if self.switches else "centre"
        return f"{self.relu.value.replace('+', '-')}-{where}"


METHODS = {
    "deconvnet": Rules(ReLURule.RELU),
    "salinet": Rules(ReLURule.MASK, lrn=True),
    "desalinet": Rules(ReLURule.MASK_AND_RELU),
}
"""Zeiler and Fergus's, back-propagation, and both at once."""

Tops = Sequence[Value | None]
"""What reached each top of a layer in the reverse pass, of that top's shape; None: nothing did."""


def first_top(tops: Tops) -> Value:
    """What reached the first top, of a layer that is reversed by that one alone."""
    assert tops[0] is not None
    return tops[0]


class Reverser(Protocol):
    """The reverse pass as a layer type sees it: nodes are added to it, values handed down by it."""

    rules: Rules

    def accumulate(self, bottom: Value, value: Value) -> None:
        """Hand `value`, of the same shape, on to a bottom; what reaches it several times adds up.

        A bottom that is handed nothing counts as one that the top does not depend on.
        """

    def add(
        self,
        kind: str,
        node: Node[Any],
        inputs: Sequence[Value],
        like: Value,
        params: object,
        *,
        shared: Sequence[int] = (),
        blobs: Sequence[np.ndarray] = (),
        read_size: bool = False,
        suffix: str = "reversed",
    ) -> Value:
        """The output, of the shape of `like`, of a new node of type `kind` in the reverse pass.

        It reverses (part of) `node`. Its arrays are the blobs of `node` that `shared` counts, or
        else `blobs`. With `read_size` it reads `like` too, as its last input, for its size only.
        """
        ...

    def add_split(
        self,
        kind: str,
        node: Node[Any],
        inputs: Sequence[Value],
        likes: Sequence[Value],
        params: object,
    ) -> list[Value]:
        """The outputs of a new node that has several: one for each of `likes`, of its shape."""
        ...

    def add_forward(
        self,
        kind: str,
        node: Node[Any],
        inputs: Sequence[Value],
        like: Value,
        params: object,
        *,
        blobs: Sequence[np.ndarray] = (),
        suffix: str,
    ) -> Value:
        """As `add`, but in the forward pass, behind `node`: it finds bottleneck information."""
        ...

    def scale(self, node: Node[Any], value: Value, like: Value, factor: float) -> Value:
        """`factor` times `value`, of the shape of `like`; `value` itself where the factor is 1."""
        ...

    def unique_name(self, wish: str) -> str:
        """`wish`, or `wish_2` and so on where a value has that name; it is taken from now on."""
        ...
