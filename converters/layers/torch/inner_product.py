"""InnerProduct over any axis."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .parameters import parameter


class InnerProduct(nn.Module):
    """What stands from `axis` on, flattened to K numbers, to D numbers.

    The weight is D×K, or K×D with `transpose`; the bias D.
    """

    def __init__(
        self, weight: np.ndarray, bias: np.ndarray | None, axis: int, transpose: bool
    ) -> None:
        super().__init__()
        self.weight = parameter(weight)
        self.bias = None if bias is None else parameter(bias)
        self.axis, self.transpose = axis, transpose

    def extra_repr(self) -> str:
        return f"{'x'.join(map(str, self.weight.shape))}, axis={self.axis}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        lead = x.shape[: self.axis]
        rows = x.reshape(math.prod(lead), -1)
        weight = self.weight.t() if self.transpose else self.weight
        return F.linear(rows, weight, self.bias).reshape(*lead, weight.shape[0])
