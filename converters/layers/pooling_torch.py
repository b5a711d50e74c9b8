"""Caffe's pooling and unpooling as PyTorch modules, for any size of input."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ..shapes import pooled
from .pooling import LOWEST, Windows


def sizes(x: torch.Tensor, w: Windows) -> tuple[tuple[int, int], tuple[int, int]]:
    """The output's height and width, and how far the last windows hang over."""
    size = (x.shape[2], x.shape[3])
    rows, columns = (
        int(pooled(size[i], w.kernel[i], w.pad[i], w.stride[i], w.ceil)) for i in (0, 1)
    )
    return (rows, columns), w.overhang(size, (rows, columns))


class _Pool(nn.Module):
    def __init__(self, windows: Windows) -> None:
        super().__init__()
        self.windows = windows

    def extra_repr(self) -> str:
        w = self.windows
        return f"kernel_size={w.kernel}, stride={w.stride}, pad={w.pad}, ceil={w.ceil}"


class MaxPool(_Pool):
    """MAX pooling; with `mask`, also each maximum's int64 index h*W + w in its own plane."""

    def __init__(self, windows: Windows, mask: bool) -> None:
        super().__init__(windows)
        self.mask = mask

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        w = self.windows
        (rows, columns), over = sizes(x, w)
        height, width = x.shape[2], x.shape[3]
        if any(w.pad) or any(over):
            x = F.pad(x, (w.pad[1], over[1], w.pad[0], over[0]), value=float(LOWEST))
        pooled_x, index = F.max_pool2d(x, w.kernel, w.stride, return_indices=True)
        pooled_x = pooled_x[:, :, :rows, :columns]
        if not self.mask:
            return pooled_x
        index = index[:, :, :rows, :columns]
        if x.shape[2:] != (height, width):
            row, column = index // x.shape[3] - w.pad[0], index % x.shape[3] - w.pad[1]
            index = row * width + column
        return pooled_x, index


class AveragePool(_Pool):
    """AVE pooling: the divisor counts a window's padding, not what hangs over H + pad."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        w = self.windows
        out, over = sizes(x, w)
        full = F.pad(x, (w.pad[1], max(over[1], w.pad[1]), w.pad[0], max(over[0], w.pad[0])))
        sums = F.avg_pool2d(full, w.kernel, w.stride, divisor_override=1)
        sums = sums[:, :, : out[0], : out[1]]
        extents = []
        for i in (0, 1):
            start = torch.arange(out[i], device=x.device) * w.stride[i] - w.pad[i]
            extents.append((start + w.kernel[i]).clamp(max=x.shape[2 + i] + w.pad[i]) - start)
        return sums / (extents[0][:, None] * extents[1][None, :])


class GlobalPool(nn.Module):
    """One window over the whole plane."""

    def __init__(self, maximum: bool, mask: bool) -> None:
        super().__init__()
        self.maximum, self.mask = maximum, mask

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        if not self.maximum:
            return x.mean((2, 3), keepdim=True)
        value, index = F.max_pool2d(x, tuple(x.shape[2:]), return_indices=True)
        return (value, index) if self.mask else value


class MaxUnpool(nn.Module):
    """Write each value where its switch points, the rest 0.

    The plane is `size`; where that is open, that of `like`, else the input's times `stride`. The
    last write wins where switches coincide (`disjoint` says that they cannot); the gradient of
    every source is its target's, as in unpooling_layer.cpp.
    """

    def __init__(
        self, size: tuple[int, int] | None, disjoint: bool, stride: tuple[int, int]
    ) -> None:
        super().__init__()
        self.size, self.disjoint, self.stride = size, disjoint, stride

    def extra_repr(self) -> str:
        return f"size={self.size}" if self.size else f"stride={self.stride}"

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor, like: torch.Tensor | None = None
    ) -> torch.Tensor:
        n, c, rows, columns = x.shape
        size: tuple[int, ...] = (rows * self.stride[0], columns * self.stride[1])
        if self.size is not None:
            size = self.size
        elif like is not None:
            size = tuple(like.shape[-2:])
        area = size[0] * size[1]
        index, values = mask.reshape(n, c, -1).long(), x.reshape(n, c, -1)
        if self.disjoint:
            plane = values.new_zeros(n, c, area).scatter(2, index, values)
        else:
            order = torch.arange(index.shape[2], device=x.device).expand_as(index)
            last = torch.full((n, c, area), -1, dtype=torch.int64, device=x.device)
            last = last.scatter_reduce(2, index, order, "amax")
            plane = LastWrite.apply(values, index, last)
        return plane.reshape(n, c, *size)


class LastWrite(torch.autograd.Function):
    """Scatter by the last source of each target; every source receives its target's gradient."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: torch.autograd.function.FunctionCtx,
        values: torch.Tensor,
        index: torch.Tensor,
        last: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(index)
        written = values.gather(2, last.clamp(min=0))
        return torch.where(last >= 0, written, torch.zeros_like(written))

    @staticmethod
    def backward(  # type: ignore[override]
        ctx: torch.autograd.function.FunctionCtx, gradient: torch.Tensor
    ) -> tuple[torch.Tensor, None, None]:
        (index,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient.gather(2, index), None, None
