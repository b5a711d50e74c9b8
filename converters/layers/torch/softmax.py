"""ArgMax."""

from __future__ import annotations

import torch
from torch import nn


class ArgMax(nn.Module):
    """The indices or values of the `top_k` greatest numbers, of equal ones the larger index first.

    Along `axis` indices, or with `out_max_val` values. Where `axis` is None, of N×... flattened:
    N×1×k indices, or with `out_max_val` N×2×k of indices and values, with as many axes of 1
    behind them as the input has more than three.
    """

    def __init__(self, axis: int | None, top_k: int, out_max_val: bool) -> None:
        super().__init__()
        self.axis, self.top_k, self.out_max_val = axis, top_k, out_max_val

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        axis = 1 if self.axis is None else self.axis
        flat = x if self.axis is not None else x.flatten(1)
        back = flat.flip(axis)
        values, places = back.sort(dim=axis, descending=True, stable=True)
        values, places = (t.narrow(axis, 0, self.top_k) for t in (values, places))
        index = (flat.shape[axis] - 1 - places).to(x.dtype)
        if self.axis is not None:
            return values if self.out_max_val else index
        stacked = torch.stack([index, values] if self.out_max_val else [index], 1)
        return stacked.reshape(*stacked.shape, *[1] * (x.ndim - 3))
