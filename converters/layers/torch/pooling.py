"""Caffe's pooling and unpooling as PyTorch modules, for any size of input."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ...shapes import overhang, pooled

LOWEST = torch.finfo(torch.float32).min
"""Where Caffe's maximum starts, and what a window outside the image gives."""


class WindowPool(nn.Module):
    """What both kinds of pooling share: windows over the plane of N×C×H×W, per axis."""

    def __init__(
        self, kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int], ceil: bool
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.pad, self.ceil = kernel, stride, pad, ceil

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel}, stride={self.stride}, pad={self.pad}, ceil={self.ceil}"

    def sizes(self, x: torch.Tensor) -> tuple[list[int], list[int]]:
        """The output's height and width, and how far the last windows hang over."""
        out, over = [], []
        for size, kernel, pad, stride in zip(
            x.shape[2:], self.kernel, self.pad, self.stride, strict=True
        ):
            windows = pooled(size, kernel, pad, stride, self.ceil, any(self.pad))
            assert not isinstance(windows, str)
            out.append(windows)
            over.append(overhang(size, windows, kernel, pad, stride))
        return out, over


class MaxPool(WindowPool):
    """MAX pooling, N×C×h×w; with `mask`, also each maximum's int64 index h*W + w in its plane."""

    def __init__(
        self,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        pad: tuple[int, int],
        ceil: bool,
        mask: bool,
    ) -> None:
        super().__init__(kernel, stride, pad, ceil)
        self.mask = mask

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        (rows, columns), over = self.sizes(x)
        height, width = x.shape[2], x.shape[3]
        pad = self.pad
        if any(pad) or any(over):
            x = F.pad(x, (pad[1], over[1], pad[0], over[0]), value=LOWEST)
        pooled_x, index = F.max_pool2d(x, self.kernel, self.stride, return_indices=True)
        pooled_x = pooled_x[:, :, :rows, :columns]
        if not self.mask:
            return pooled_x
        index = index[:, :, :rows, :columns]
        if x.shape[2:] != (height, width):
            row, column = index // x.shape[3] - pad[0], index % x.shape[3] - pad[1]
            index = row * width + column
        return pooled_x, index


class StochasticPool(nn.Module):
    """STOCHASTIC pooling as Caffe tests with it: a window's sum of squares by its sum.

    0 where the sum is not above 0. No kernel is the whole plane.
    """

    def __init__(
        self, kernel: tuple[int, int] | None, stride: tuple[int, int] | None, ceil: bool
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.ceil = kernel, stride, ceil

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel}, stride={self.stride}, ceil={self.ceil}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.kernel or (x.shape[2], x.shape[3]), self.stride or (1, 1)
        over = []
        for size, k, s in zip(x.shape[2:], kernel, stride, strict=True):
            windows = pooled(size, k, 0, s, self.ceil)
            assert not isinstance(windows, str)
            over.append(max(0, (windows - 1) * s + k - size))
        x = F.pad(x, (0, over[1], 0, over[0]))
        sums, squares = (
            F.avg_pool2d(values, kernel, stride, divisor_override=1) for values in (x, x * x)
        )
        return torch.where(sums > 0, squares / sums, torch.zeros_like(sums))


class AveragePool(WindowPool):
    """AVE pooling, N×C×h×w: the divisor counts a window's padding, not what hangs over H + pad."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, over = self.sizes(x)
        kernel, stride, pad = self.kernel, self.stride, self.pad
        full = F.pad(x, (pad[1], max(over[1], pad[1]), pad[0], max(over[0], pad[0])))
        sums = F.avg_pool2d(full, kernel, stride, divisor_override=1)
        sums = sums[:, :, : out[0], : out[1]]
        extents = []
        for i in (0, 1):
            start = torch.arange(out[i], device=x.device) * stride[i] - pad[i]
            extents.append((start + kernel[i]).clamp(max=x.shape[2 + i] + pad[i]) - start)
        return sums / (extents[0][:, None] * extents[1][None, :])


class GlobalPool(nn.Module):
    """One window over the whole plane of N×C×H×W: N×C×1×1; with `mask`, as `MaxPool` has it."""

    def __init__(self, maximum: bool, mask: bool) -> None:
        super().__init__()
        self.maximum, self.mask = maximum, mask

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        if not self.maximum:
            return x.mean((2, 3), keepdim=True)
        value, index = F.max_pool2d(x, tuple(x.shape[2:]), return_indices=True)
        return (value, index) if self.mask else value


class MaxUnpool(nn.Module):
    """Write each value of N×C×h×w where its switch (int64) points in N×C×H×W, the rest 0.

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
        if self.disjoint and x.is_contiguous(memory_format=torch.channels_last):
            # Two to three times as fast as to bring each channel together and apart again.
            index, values = (t.permute(0, 2, 3, 1).reshape(n, -1, c) for t in (mask, x))
            plane = values.new_zeros(n, area, c).scatter(1, index.long(), values)
            return plane.reshape(n, *size, c).permute(0, 3, 1, 2)
        index, values = mask.reshape(n, c, -1).long(), x.reshape(n, c, -1)
        if self.disjoint:
            plane = values.new_zeros(n, c, area).scatter(2, index, values)
        else:
            order = torch.arange(index.shape[2], device=x.device).expand_as(index)
            last = torch.full((n, c, area), -1, dtype=torch.int64, device=x.device)
            last = last.scatter_reduce(2, index, order, "amax")
            plane = LastWrite.apply(values, index, last)  # type: ignore[no-untyped-call]
        return plane.reshape(n, c, *size)


class LastWrite(torch.autograd.Function):
    """Scatter by the last source of each target; every source receives its target's gradient."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        values: torch.Tensor,
        index: torch.Tensor,
        last: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(index)
        written = values.gather(2, last.clamp(min=0))
        return torch.where(last >= 0, written, torch.zeros_like(written))

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, gradient: torch.Tensor
    ) -> tuple[torch.Tensor, None, None]:
        (index,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient.gather(2, index), None, None
