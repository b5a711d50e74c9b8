"""LSTM and RNN, unrolled over time as Caffe unrolls them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .parameters import parameter


class Recurrent(nn.Module):
    """What both kinds share.

    Inputs: the sequence T×N×..., `cont` T×N (0 where a sequence begins, else 1), with `static` an
    input N×... that every step sees, and the first states 1×N×D at the places `first_states` (all
    0 if there are none). It returns T×N×D and the last states 1×N×D, as many as `tops` says.
    """

    states: ClassVar[int]
    weight_x: nn.Parameter
    weight_h: nn.Parameter
    weight_static: nn.Parameter
    bias: nn.Parameter

    def __init__(
        self,
        blobs: Mapping[str, np.ndarray],
        size: int,
        *,
        static: bool,
        first_states: Sequence[int],
        tops: int,
    ) -> None:
        super().__init__()
        for name, blob in blobs.items():
            self.register_parameter(name, parameter(blob))
        self.size, self.static, self.first_states = size, static, tuple(first_states)
        self.tops = tops

    def step(
        self, terms: torch.Tensor, going: torch.Tensor, states: list[torch.Tensor]
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The next states and the output N×D, from the sum of products, cont and the states."""
        raise NotImplementedError

    def forward(self, *bottoms: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        x, cont = bottoms[:2]
        terms = F.linear(x.reshape(*x.shape[:2], -1), self.weight_x, self.bias)
        if self.static:
            terms = terms + F.linear(bottoms[2].flatten(1), self.weight_static)
        states = [bottoms[place][0] for place in self.first_states]
        states = states or [x.new_zeros(x.shape[1], self.size)] * self.states
        outputs = []
        for term, going in zip(terms, cont.unsqueeze(2), strict=True):
            recurrent = F.linear(going * states[0], self.weight_h)
            states, output = self.step(term + recurrent, going, states)
            outputs.append(output)
        found = (torch.stack(outputs), *(state[None] for state in states))
        return found[: self.tops] if self.tops > 1 else found[0]


class LSTM(Recurrent):
    """States: hidden, cell. Blobs: weight_x, bias, perhaps weight_static, weight_h."""

    states = 2

    def step(
        self, terms: torch.Tensor, going: torch.Tensor, states: list[torch.Tensor]
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        i, f, o, g = terms.chunk(4, 1)
        cell = going * f.sigmoid() * states[1] + i.sigmoid() * g.tanh()
        hidden = o.sigmoid() * cell.tanh()
        return [hidden, cell], hidden


class RNN(Recurrent):
    """State: hidden. Blobs: those of LSTM, weight_o, bias_o."""

    states = 1
    weight_o: nn.Parameter
    bias_o: nn.Parameter

    def step(
        self, terms: torch.Tensor, going: torch.Tensor, states: list[torch.Tensor]
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        hidden = terms.tanh()
        return [hidden], F.linear(hidden, self.weight_o, self.bias_o).tanh()
