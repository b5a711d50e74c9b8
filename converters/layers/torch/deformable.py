"""Deformable convolution in PyTorch."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .parameters import parameter


class DeformableConvolution(nn.Module):
    """N×C×H×W and offsets N×2DK×H'×W' (down, right, by group and tap) to N×C'×H'×W'."""

    def __init__(
        self,
        weight: np.ndarray,
        bias: np.ndarray | None,
        *,
        stride: tuple[int, ...],
        pad: tuple[int, ...],
        dilation: tuple[int, ...],
        groups: int,
        offset_groups: int,
    ) -> None:
        super().__init__()
        self.weight = parameter(weight)
        self.bias = None if bias is None else parameter(bias)
        self.stride, self.pad, self.dilation = stride, pad, dilation
        self.groups, self.offset_groups = groups, offset_groups

    def extra_repr(self) -> str:
        return (
            f"stride={self.stride}, pad={self.pad}, dilation={self.dilation}, "
            f"groups={self.groups}, offset_groups={self.offset_groups}"
        )

    def places(self, move: torch.Tensor, axis: int, size: int) -> tuple[torch.Tensor, ...]:
        """Of N×D×K×H'×W' moves: cells before and behind, the latter's share, whether inside."""
        taps = torch.from_numpy(np.indices(self.weight.shape[2:])[axis].reshape(-1, 1, 1))
        taps = taps.to(move.device) * self.dilation[axis] - self.pad[axis]
        steps = torch.arange(move.shape[3 + axis], device=move.device) * self.stride[axis]
        place = taps + steps.reshape((-1, 1) if axis == 0 else (1, -1)) + move
        inside = (place >= 0) & (place < size)
        place = place.clamp(0, size - 1)
        before = place.floor()
        return before.long(), (before + 1).clamp(max=size - 1).long(), place - before, inside

    def forward(self, x: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        count, channels, height, width = x.shape
        taps, plane = self.weight.shape[2:].numel(), offsets.shape[2:]
        moves = offsets.reshape(count, self.offset_groups, taps, 2, *plane)
        above, below, down, inside = self.places(moves[:, :, :, 0], 0, height)
        left, right, across, within = self.places(moves[:, :, :, 1], 1, width)
        planes = x.reshape(count, self.offset_groups, -1, height * width)
        own = channels // self.offset_groups
        total = x.new_zeros(())
        for row, high in ((above, 1 - down), (below, down)):
            for column, wide in ((left, 1 - across), (right, across)):
                index = (row * width + column).reshape(count, self.offset_groups, 1, -1)
                value = planes.gather(3, index.expand(-1, -1, own, -1))
                total = total + value * (high * wide * (inside & within)).reshape(index.shape)
        rows = total.reshape(count, channels * taps, *plane)
        weight = self.weight.reshape(self.weight.shape[0], -1, 1, 1)
        return F.conv2d(rows, weight, self.bias, groups=self.groups)
