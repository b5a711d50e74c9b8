"""SPP and Im2col."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ...shapes import convolved


class SPP(nn.Module):
    """N×C×H×W pooled by each level; several are flattened and put one behind another."""

    def __init__(self, levels: Sequence[nn.Module]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(levels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled: list[torch.Tensor] = [level(x) for level in self.levels]
        if len(pooled) == 1:
            return pooled[0]
        return torch.cat([level.flatten(1) for level in pooled], 1)


class Im2col(nn.Module):
    """Each window of N×C×H×W as a column: N×(C kernel area)×h×w."""

    def __init__(
        self,
        kernel: tuple[int, ...],
        stride: tuple[int, ...],
        pad: tuple[int, ...],
        dilation: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.pad, self.dilation = kernel, stride, pad, dilation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns = F.unfold(x, self.kernel, self.dilation, self.pad, self.stride)
        plane = [
            convolved(n, self.kernel[i], self.pad[i], self.stride[i], self.dilation[i])
            for i, n in enumerate(x.shape[2:])
        ]
        return columns.reshape(*columns.shape[:2], *plane)
