"""Modules that move numbers and compute none."""

from __future__ import annotations

import torch
from torch import nn


class Concat(nn.Module):
    """Tensors one behind another along an axis."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def extra_repr(self) -> str:
        return f"axis={self.axis}"

    def forward(self, *xs: torch.Tensor) -> torch.Tensor:
        return torch.cat(xs, self.axis)


class Slice(nn.Module):
    """A tensor cut along an axis into parts of these sizes; a single part is the tensor."""

    def __init__(self, sizes: list[int], axis: int) -> None:
        super().__init__()
        self.sizes, self.axis = sizes, axis

    def extra_repr(self) -> str:
        return f"{self.sizes}, axis={self.axis}"

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        return torch.split(x, self.sizes, self.axis) if len(self.sizes) > 1 else x


class Split(nn.Module):
    """The same tensor `count` times."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def extra_repr(self) -> str:
        return f"{self.count} times"

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        return (x,) * self.count if self.count > 1 else x


class Reshape(nn.Module):
    """The axes from `start` to before `end` as `dims`: 0 keeps an axis's size, -1 is the rest."""

    def __init__(self, dims: list[int], start: int, end: int) -> None:
        super().__init__()
        self.dims, self.start, self.end = dims, start, end

    def extra_repr(self) -> str:
        return f"dim={self.dims}, axis={self.start}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        middle = [x.shape[self.start + i] if d == 0 else d for i, d in enumerate(self.dims)]
        return x.reshape([*x.shape[: self.start], *middle, *x.shape[self.end :]])


class Crop(nn.Module):
    """The first tensor cut to the second's size, from `axis` on, at these offsets."""

    def __init__(self, axis: int, offsets: list[int]) -> None:
        super().__init__()
        self.axis, self.offsets = axis, offsets

    def extra_repr(self) -> str:
        return f"axis={self.axis}, offset={self.offsets}"

    def forward(self, x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        for index, offset in enumerate(self.offsets, self.axis):
            x = x.narrow(index, offset, like.shape[index])
        return x


class Tile(nn.Module):
    """A tensor repeated so often along each axis."""

    def __init__(self, repeats: list[int]) -> None:
        super().__init__()
        self.repeats = repeats

    def extra_repr(self) -> str:
        return f"{self.repeats}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.repeat(self.repeats)
