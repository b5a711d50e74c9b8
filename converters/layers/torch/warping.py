"""Images moved by a flow or by a constant."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

STEPS = 32
"""OpenCV's places between two pixels."""


def moved(flow: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Columns and rows, M×H×W each, that a flow M×2×H×W (x, then y) points to."""
    height, width = flow.shape[2], flow.shape[3]
    columns = torch.arange(width, device=flow.device, dtype=flow.dtype)
    rows = torch.arange(height, device=flow.device, dtype=flow.dtype)
    return flow[:, 0] + columns, flow[:, 1] + rows[:, None]


def bilinear(
    image: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    right: torch.Tensor,
    below: torch.Tensor,
) -> torch.Tensor:
    """M×C×H×W between the pixel at x, y (M×H×W, whole) and those right and below of it.

    Outside are the nearest inside.
    """
    count, channels, height, width = image.shape
    flat = image.reshape(count, channels, height * width)

    def at(row: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
        index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        index = index.reshape(count, 1, -1).expand(-1, channels, -1)
        return flat.gather(2, index).reshape(image.shape)

    x, y = x.long(), y.long()
    right, below = right[:, None], below[:, None]
    upper = at(y, x) * ((1 - right) * (1 - below)) + at(y, x + 1) * (right * (1 - below))
    return upper + at(y + 1, x) * ((1 - right) * below) + at(y + 1, x + 1) * (right * below)


class FlowWarp(nn.Module):
    """An image N×C×H×W at the places that a flow N×2×H×W points to; `fill` for those outside."""

    def __init__(self, fill: float) -> None:
        super().__init__()
        self.fill = fill

    def extra_repr(self) -> str:
        return f"fill={self.fill}"

    def forward(self, image: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
        x, y = moved(flow)
        inside = (x >= 0) & (y >= 0) & (x < image.shape[3]) & (y < image.shape[2])
        x, y = (torch.where(inside, place, torch.zeros_like(place)) for place in (x, y))
        left, top = x.floor(), y.floor()
        warped = bilinear(image, left, top, x - left, y - top)
        return torch.where(inside[:, None], warped, torch.full_like(warped, self.fill))


class Remap(nn.Module):
    """cv2.remap of `count` images of `colours` channels each, N×FC×H×W, by their flows N×2F×H×W.

    A flow is F planes of x, then F of y, or with `reverse` y before x.
    """

    def __init__(self, count: int, colours: int, reverse: bool) -> None:
        super().__init__()
        self.count, self.colours, self.reverse = count, colours, reverse

    def extra_repr(self) -> str:
        return f"count={self.count}, colours={self.colours}, reverse={self.reverse}"

    def forward(self, images: torch.Tensor, flows: torch.Tensor) -> torch.Tensor:
        n, _, height, width = images.shape
        each = images.reshape(-1, self.colours, height, width)
        pairs = flows.reshape(n, 2, self.count, height, width).transpose(1, 2)
        pairs = pairs.reshape(-1, 2, height, width)
        if self.reverse:
            pairs = pairs.flip(1)
        nearest = [torch.round(place * STEPS) / STEPS for place in moved(pairs)]
        floors = [place.floor() for place in nearest]
        shares = [place - floor for place, floor in zip(nearest, floors, strict=True)]
        return bilinear(each, *floors, *shares).reshape(images.shape)


class Shift(nn.Module):
    """N×C×H×W by a kernel of 4x4 whose first pixel is `start` (rows, columns) from the place.

    The border is repeated.
    """

    weight: torch.Tensor

    def __init__(self, start: tuple[int, int], weight: np.ndarray) -> None:
        super().__init__()
        self.start = start
        self.register_buffer("weight", torch.from_numpy(weight.astype(np.float32)), False)

    def extra_repr(self) -> str:
        return f"start={self.start}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for axis, start in ((2, self.start[0]), (3, self.start[1])):
            size = x.shape[axis]
            places = torch.arange(start, size + start + 3, device=x.device)
            x = x.index_select(axis, places.clamp(0, size - 1))
        channels = x.shape[1]
        return F.conv2d(x, self.weight.expand(channels, 1, 4, 4), groups=channels)
