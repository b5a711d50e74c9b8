"""Rows that are chosen, and a blob on its own."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .parameters import parameter


class Embed(nn.Module):
    """Whole numbers ... to rows ...×D of the weights (K×D), plus a bias (D)."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray | None) -> None:
        super().__init__()
        self.weight = parameter(weight)
        self.bias = None if bias is None else parameter(bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.embedding(x.long(), self.weight)
        return y if self.bias is None else y + self.bias


class BatchReindex(nn.Module):
    """The rows of N×... that the index (K) names: K×..."""

    def forward(self, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return x[index.long()]


class Filter(nn.Module):
    """Of each tensor N×... but the last the rows for which the last (N, N×1...) is not 0."""

    def forward(self, *bottoms: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        *data, selector = bottoms
        chosen = selector.reshape(-1) != 0
        found = tuple(value[chosen] for value in data)
        return found if len(found) > 1 else found[0]


class Parameter(nn.Module):
    """Its blob; it takes no input."""

    def __init__(self, weight: np.ndarray) -> None:
        super().__init__()
        self.weight = parameter(weight)

    def forward(self) -> torch.Tensor:
        return self.weight.clone()  # what is computed, which may be no parameter


class ChannelFilter(nn.Module):
    """The chosen indices of one axis, of each input."""

    index: torch.Tensor

    def __init__(self, index: np.ndarray, axis: int) -> None:
        super().__init__()
        self.register_buffer("index", torch.from_numpy(index), persistent=False)
        self.axis = axis

    def extra_repr(self) -> str:
        return f"{len(self.index)} chosen, axis={self.axis}"

    def forward(self, *bottoms: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        found = tuple(x.index_select(self.axis, self.index) for x in bottoms)
        return found if len(found) > 1 else found[0]
