"""Pooling reversed: by its switches, to the centre of its windows, or evenly over them."""

from __future__ import annotations

import torch
from torch import nn


class UnpoolSum(nn.Module):
    """Values N×C×h×w added where the switches (int64) point, in N×C×H×W.

    H and W are `size`; where that is None, those of a third input.
    """

    def __init__(self, size: tuple[int, ...] | None) -> None:
        super().__init__()
        self.size = size

    def forward(self, p: torch.Tensor, mask: torch.Tensor, *like: torch.Tensor) -> torch.Tensor:
        wanted = self.size if self.size is not None else like[0].shape[2:]
        n, c = p.shape[:2]
        flat = p.new_zeros(n, c, wanted[0] * wanted[1])
        flat = flat.scatter_add(2, mask.reshape(n, c, -1), p.reshape(n, c, -1))
        return flat.reshape(n, c, *wanted)


Axis = tuple[int, int, int]
"""Kernel, stride and pad along one axis."""


class UnpoolWindows(nn.Module):
    """Values N×C×h×w at their windows' centres, or shared out evenly over them, in N×C×H×W.

    H and W are `size`; where that is None, those of a second input. `windows` is for each axis;
    None is one window over the whole plane. With `average` average pooling's share, else the
    centre.
    """

    def __init__(
        self, size: tuple[int, ...] | None, windows: tuple[Axis, Axis] | None, average: bool
    ) -> None:
        super().__init__()
        self.size, self.windows, self.average = size, windows, average

    def matrix(self, axis: int, count: int, size: int, like: torch.Tensor) -> torch.Tensor:
        """count × size: what each place of one axis gets of each window's value.

        Average pooling divides by the window with its padding, less what hangs over size + pad
        (pooling_layer.cpp).
        """
        kernel, stride, pad = (size, 1, 0) if self.windows is None else self.windows[axis]
        start = (torch.arange(count, device=like.device) * stride - pad)[:, None]
        place = torch.arange(size, device=like.device)[None]
        if not self.average:
            return (place == (start + (kernel - 1) // 2).clamp(0, size - 1)).to(like.dtype)
        extent = (start + kernel).clamp(max=size + pad) - start
        hit = (place >= start) & (place < start + kernel)
        return hit.to(like.dtype) / extent

    def forward(self, p: torch.Tensor, *like: torch.Tensor) -> torch.Tensor:
        wanted = self.size if self.size is not None else like[0].shape[2:]
        tall, wide = (self.matrix(i, p.shape[2 + i], wanted[i], p) for i in (0, 1))
        return tall.t() @ p @ wide
