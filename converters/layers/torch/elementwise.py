"""Several tensors of one shape into one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class Eltwise(nn.Module):
    """The sum, the product or the maximum of tensors of one shape.

    `operation` is SUM, PROD or MAX; `coeff` are the factors of a SUM's terms, all 1 if there are
    none.
    """

    def __init__(self, operation: str, coeff: Sequence[float] = ()) -> None:
        super().__init__()
        self.operation, self.coeff = operation, tuple(coeff)

    def extra_repr(self) -> str:
        return self.operation + (f", coeff={list(self.coeff)}" if self.coeff else "")

    def forward(self, *xs: torch.Tensor) -> torch.Tensor:
        coeff = self.coeff or (1.0,) * len(xs)
        result = xs[0] * coeff[0]
        for factor, x in zip(coeff[1:], xs[1:], strict=True):
            if self.operation == "SUM":
                result = result + factor * x
            elif self.operation == "PROD":
                result = result * x
            else:
                result = torch.maximum(result, x)
        return result
