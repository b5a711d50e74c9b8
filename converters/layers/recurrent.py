"""LSTM and RNN, unrolled over time as Caffe unrolls them (recurrent_layer.cpp).

Bottoms: the sequence T×N×..., `cont` T×N (0 where a sequence begins, else 1), perhaps a static
input N×..., and with `expose_hidden` the first states 1×N×D. Tops: T×N×D, and the last states.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from prototxt.schema import UInt

from ..fillers import Filler
from ..graph import Node, Shape
from ..layer_type import BlobSpec, LayerType
from ..legal import Integers, Legal
from ..registry import register
from ..shapes import is_fixed, known, known_product, product, text

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder, Operand


@dataclass
class RecurrentParams:
    """RecurrentParameter."""

    num_output: UInt = 0
    weight_filler: Filler = field(default_factory=Filler)
    bias_filler: Filler = field(default_factory=Filler)
    debug_info: bool = False
    expose_hidden: bool = False


class Recurrent(LayerType[RecurrentParams]):
    """What both kinds share: bottoms, shapes, the products that need no state."""

    Params = RecurrentParams
    learns = True
    bottoms = (2, 5)
    tops = (1, 3)
    states: ClassVar[int]
    """How many tensors are handed from step to step."""
    gates: ClassVar[int]

    def prepare(self, node: Node[RecurrentParams]) -> None:
        p = node.params
        if not p.num_output:
            raise node.error("num_output is missing or 0")
        hidden = self.states if p.expose_hidden else 0
        if len(node.inputs) not in (2 + hidden, 3 + hidden):
            raise node.error(f"{len(node.inputs)} bottoms, not {2 + hidden} or {3 + hidden}")
        if len(node.outputs) != 1 + hidden:
            raise node.error(f"{len(node.outputs)} tops, not {1 + hidden}")
        x, cont = (value.shape for value in node.inputs[:2])
        if len(x) < 2 or len(cont) != 2:
            raise node.error(f"its bottoms are {text(x)} and {text(cont)}, not TxNx... and TxN")
        if is_fixed(*x[:2], *cont) and x[:2] != cont:
            raise node.error(f"its bottoms are {text(x)} and {text(cont)}, not of the same steps")
        still = node.inputs[2].shape if self.static(node) else (x[1], 0)
        if len(still) < 2 or (is_fixed(x[1], still[0]) and x[1] != still[0]):
            raise node.error(f"its third bottom is {text(still)}, not {text((x[1],))}x...")

    def static(self, node: Node[RecurrentParams]) -> bool:
        """Whether the third bottom is an input that every step sees."""
        hidden = self.states if node.params.expose_hidden else 0
        return len(node.inputs) == 3 + hidden

    def first_states(self, node: Node[RecurrentParams]) -> list[int]:
        """Places of the bottoms with the first states; none without `expose_hidden`."""
        if not node.params.expose_hidden:
            return []
        return list(range(2 + self.static(node), len(node.inputs)))

    def module_arguments(self, node: Node[RecurrentParams]) -> dict[str, Any]:
        """What the PyTorch modules of both kinds are made from."""
        names = [spec.name for spec in self.blobs(node)]
        return dict(
            blobs=dict(zip(names, node.blobs, strict=True)),
            size=node.params.num_output,
            static=self.static(node),
            first_states=self.first_states(node),
            tops=len(node.outputs),
        )

    def shapes(self, node: Node[RecurrentParams]) -> list[Shape]:
        steps, batch = node.inputs[0].shape[:2]
        known(steps)  # the graph is as long as the sequence
        # The weights fix these dimensions.
        product(node.inputs[0].shape[2:])
        if self.static(node):
            product(node.inputs[2].shape[1:])
        size = node.params.num_output
        return [(steps, batch, size), *[(1, batch, size)] * (len(node.outputs) - 1)]

    def blobs(self, node: Node[RecurrentParams]) -> list[BlobSpec]:
        p = node.params
        rows = self.gates * p.num_output
        specs = [
            BlobSpec("weight_x", (rows, product(node.inputs[0].shape[2:])), p.weight_filler),
            BlobSpec("bias", (rows,), p.bias_filler),
        ]
        if self.static(node):
            size = product(node.inputs[2].shape[1:])
            specs.append(BlobSpec("weight_static", (rows, size), p.weight_filler))
        specs.append(BlobSpec("weight_h", (rows, p.num_output), p.weight_filler))
        return specs

    def macs(self, node: Node[RecurrentParams]) -> int:
        steps, batch = (known_product((dim,)) for dim in node.inputs[0].shape[:2])
        sizes = [blob.size for blob in node.blobs if blob.ndim == 2]
        # A bottom that is the same at all times is multiplied once.
        still = sizes.pop(1) if self.static(node) else 0
        return int(batch * (steps * sum(sizes) + still))

    def inputs(self, node: Node[RecurrentParams], b: OnnxBuilder) -> Operand:
        """What x and the static input add to every step: T×N×rows."""
        x = node.inputs[0]
        size, rows = product(x.shape[2:]), self.gates * node.params.num_output
        flat = b.op("Reshape", x, b.ints(-1, size))
        terms = b.op("Gemm", flat, b.weight(node, 0), b.weight(node, 1), transB=1)
        terms = b.op("Reshape", terms, b.ints(known(x.shape[0]), -1, rows))
        if self.static(node):
            flat = b.op("Flatten", node.inputs[2])
            terms = b.op("Add", terms, b.op("Gemm", flat, b.weight(node, 2), transB=1))
        return terms

    def zero(self, node: Node[RecurrentParams], b: OnnxBuilder) -> Operand:
        """A state of nothing: N×D."""
        shape = b.join(b.dim(node.inputs[0], 1), b.ints(node.params.num_output))
        return b.op("Expand", b.const(np.float32(0)), shape)

    def legal(self, node: Node[RecurrentParams]) -> dict[int, Legal]:
        return {1: Integers(0, 1)}

    def onnx(self, node: Node[RecurrentParams], b: OnnxBuilder) -> None:
        steps = known(node.inputs[0].shape[0])
        terms, cont = self.inputs(node, b), node.inputs[1]
        places = self.first_states(node)
        first, axis = b.ints(0), b.ints(0)
        states: list[Operand] = [b.op("Squeeze", node.inputs[i], axis) for i in places]
        states = states or [self.zero(node, b)] * self.states
        outputs = []
        before = b.count
        for step in range(steps):
            if step == 1:
                b.allow((b.count - before) * (steps - 1))
            index = b.const(np.array(step))
            term = b.op("Gather", terms, index, axis=0)
            going = b.op("Unsqueeze", b.op("Gather", cont, index, axis=0), b.ints(1))
            states, output = self.step(node, b, term, going, states)
            outputs.append(b.op("Unsqueeze", output, first))
        b.op("Concat", *outputs, axis=0, out=node.outputs[0])
        for state, top in zip(states, node.outputs[1:], strict=False):
            b.op("Unsqueeze", state, first, out=top)

    def recurrent(
        self, node: Node[RecurrentParams], b: OnnxBuilder, going: Operand, state: Operand
    ) -> Operand:
        """The state's part of a step, nothing where a sequence begins."""
        weight = b.weight(node, 2 + self.static(node))
        return b.op("Gemm", b.op("Mul", state, going), weight, transB=1)

    def step(
        self,
        node: Node[RecurrentParams],
        b: OnnxBuilder,
        term: Operand,
        going: Operand,
        states: list[Operand],
    ) -> tuple[list[Operand], Operand]:
        """The next states and the output of one step."""
        raise NotImplementedError


@register("LSTM", message="recurrent_param")
class LSTM(Recurrent):
    """Long short-term memory; gates i, f, o, g (lstm_layer.cpp, lstm_unit_layer.cpp)."""

    states = 2
    gates = 4

    def step(
        self,
        node: Node[RecurrentParams],
        b: OnnxBuilder,
        term: Operand,
        going: Operand,
        states: list[Operand],
    ) -> tuple[list[Operand], Operand]:
        size = node.params.num_output
        gates = b.op("Add", term, self.recurrent(node, b, going, states[0]))
        parts = [b.fresh(f"{node.name}/{gate}") for gate in "ifog"]
        b.op("Split", gates, b.ints(*[size] * 4), out=parts, axis=1)
        i, f, o = (b.op("Sigmoid", part) for part in parts[:3])
        kept = b.op("Mul", b.op("Mul", f, going), states[1])
        cell = b.op("Add", kept, b.op("Mul", i, b.tanh(parts[3])))
        hidden = b.op("Mul", o, b.tanh(cell))
        return [hidden, cell], hidden

    def torch(self, node: Node[RecurrentParams]) -> nn.Module:
        from .torch import recurrent

        return recurrent.LSTM(**self.module_arguments(node))


@register("RNN", message="recurrent_param")
class RNN(Recurrent):
    """h = tanh(W_hh h + W_xh x + b), o = tanh(W_ho h + b_o) (rnn_layer.cpp)."""

    states = 1
    gates = 1

    def blobs(self, node: Node[RecurrentParams]) -> list[BlobSpec]:
        p = node.params
        square = (p.num_output, p.num_output)
        return [
            *super().blobs(node),
            BlobSpec("weight_o", square, p.weight_filler),
            BlobSpec("bias_o", (p.num_output,), p.bias_filler),
        ]

    def step(
        self,
        node: Node[RecurrentParams],
        b: OnnxBuilder,
        term: Operand,
        going: Operand,
        states: list[Operand],
    ) -> tuple[list[Operand], Operand]:
        hidden = b.tanh(b.op("Add", term, self.recurrent(node, b, going, states[0])))
        last = len(node.blobs)
        weights = b.weight(node, last - 2), b.weight(node, last - 1)
        return [hidden], b.tanh(b.op("Gemm", hidden, *weights, transB=1))

    def torch(self, node: Node[RecurrentParams]) -> nn.Module:
        from .torch import recurrent

        return recurrent.RNN(**self.module_arguments(node))
