"""C3D's pooling over frames, rows and columns."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .pooling import LOWEST

Three = tuple[int, int, int]


class Pool3d(nn.Module):
    """MAX or AVE of N×C×L×H×W over windows, rounded up, for any size of input.

    An average's divisor counts the padding of its window, not what hangs over it.
    """

    def __init__(self, kernel: Three, stride: Three, pad: Three, average: bool) -> None:
        super().__init__()
        self.kernel, self.stride, self.pad, self.average = kernel, stride, pad, average

    def extra_repr(self) -> str:
        way = "AVE" if self.average else "MAX"
        return f"{way}, kernel_size={self.kernel}, stride={self.stride}, pad={self.pad}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pads, extents = [], []
        for size, k, s, p in zip(x.shape[2:], self.kernel, self.stride, self.pad, strict=True):
            windows = -(-(size + 2 * p - k) // s) + 1
            pads.append((p, p + max(0, (windows - 1) * s + k - size - 2 * p)))
            start = torch.arange(windows, device=x.device) * s - p
            extents.append((start + k).clamp(max=size + p) - start)
        (front, back), (top, bottom), (left, right) = pads
        fill = 0.0 if self.average else LOWEST
        x = F.pad(x, (left, right, top, bottom, front, back), value=fill)
        if not self.average:
            return F.max_pool3d(x, self.kernel, self.stride)
        sums = F.avg_pool3d(x, self.kernel, self.stride, divisor_override=1)
        return sums / torch.einsum("l,h,w->lhw", *extents)
