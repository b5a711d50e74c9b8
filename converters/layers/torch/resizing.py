"""Interp and Reorg."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Interp(nn.Module):
    """N×C×H×W resized bilinearly, corner on corner: to `size`, or by `factors` (shrink, zoom).

    Pads, at most 0, cut rows and columns off first. A second tensor's plane is the size instead.
    """

    def __init__(
        self,
        size: tuple[int, int],
        factors: tuple[int, int] | None,
        pad_beg: int = 0,
        pad_end: int = 0,
    ) -> None:
        super().__init__()
        self.size, self.factors, self.pad_beg, self.pad_end = size, factors, pad_beg, pad_end

    def extra_repr(self) -> str:
        how = f"size={self.size}"
        if self.factors is not None:
            how = "shrink={}, zoom={}".format(*self.factors)
        cut = f", pad=({self.pad_beg}, {self.pad_end})" if self.pad_beg or self.pad_end else ""
        return how + cut

    def forward(self, x: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        height, width = x.shape[2] + self.pad_end, x.shape[3] + self.pad_end
        x = x[:, :, -self.pad_beg : height, -self.pad_beg : width]
        size = self.size if like is None else (like.shape[2], like.shape[3])
        if self.factors is not None:
            shrink, zoom = self.factors
            size = (
                (x.shape[2] - 1) // shrink * zoom + 1,
                (x.shape[3] - 1) // shrink * zoom + 1,
            )
        return F.interpolate(x, size, mode="bilinear", align_corners=True)


class BilinearInterpolation(nn.Module):
    """N×C×H×W resized bilinearly, corner on corner: `factor` times, or to a second one's plane."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def extra_repr(self) -> str:
        return f"factor={self.factor}"

    def forward(self, x: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        size = [d * self.factor for d in x.shape[2:]] if like is None else list(like.shape[2:])
        return F.interpolate(x, size, mode="bilinear", align_corners=True)


class Reorg(nn.Module):
    """N×C×H×W to N×s²C×H/s×W/s as darknet has it, s the stride; `reverse` is depth to space."""

    def __init__(self, stride: int, reverse: bool) -> None:
        super().__init__()
        self.stride, self.reverse = stride, reverse

    def extra_repr(self) -> str:
        return f"stride={self.stride}, reverse={self.reverse}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        s, (n, c, height, width) = self.stride, x.shape
        if self.reverse:
            cells = x.reshape(n, s, s, c // (s * s), height, width)
            y = cells.permute(0, 3, 4, 1, 5, 2)
            return y.reshape(n, c // (s * s), height * s, width * s)
        cells = x.reshape(n, c // (s * s), height, s, width, s)
        y = cells.permute(0, 3, 5, 1, 2, 4)
        return y.reshape(n, c * s * s, height // s, width // s)
