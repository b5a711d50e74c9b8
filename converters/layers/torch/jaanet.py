"""JAANet's blocks of a plane, and masks around landmarks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class Division(nn.Module):
    """Blocks of `size` of N×C×H×W, one from each corner (row, column)."""

    def __init__(self, size: tuple[int, int], corners: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.size, self.corners = size, list(corners)

    def extra_repr(self) -> str:
        return f"size={self.size}, blocks={len(self.corners)}"

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        height, width = self.size
        blocks = tuple(x[:, :, r : r + height, c : c + width] for r, c in self.corners)
        return blocks if len(blocks) > 1 else blocks[0]


class Combination(nn.Module):
    """Blocks put together: `rows` names them from above and from the left."""

    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.rows = [list(row) for row in rows]

    def forward(self, *blocks: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.cat([blocks[i] for i in row], 3) for row in self.rows], 2)


class ActionUnitMasks(nn.Module):
    """13 masks N×1×S×S of landmarks N×98: squares around two centres a unit, and all together."""

    def __init__(
        self,
        units: Sequence[tuple[tuple[int, float], tuple[int, float]]],
        eyes: tuple[int, int],
        *,
        side: int,
        half: float,
        scale: float,
        slope: float,
        fill: float,
    ) -> None:
        super().__init__()
        self.units, self.eyes, self.side, self.reach = units, eyes, side, half
        self.scale, self.slope, self.fill = scale, slope, fill

    def extra_repr(self) -> str:
        return f"side={self.side}, scale={self.scale}"

    def rounded(self, at: torch.Tensor) -> torch.Tensor:
        at = at * self.scale
        return (at.sign() * (at.abs() + 0.5).floor()).clamp(0, self.side - 1)

    def forward(self, marks: torch.Tensor) -> tuple[torch.Tensor, ...]:
        points = marks.reshape(marks.shape[0], -1, 2)[:, :, :, None, None, None]
        ruler = (points[:, self.eyes[0], 0] - points[:, self.eyes[1], 0]).abs()
        places = torch.arange(self.side, dtype=marks.dtype, device=marks.device)
        columns, rows = places[None, None, None, :], places[None, None, :, None]
        empty = torch.full_like(ruler * columns * rows, self.fill)
        masks, whole = [], empty
        for unit in self.units:
            mask = empty
            for index, below in unit:
                x, y = points[:, index, 0], points[:, index, 1] + ruler * below
                inside = (columns >= self.rounded(x - self.reach)) & (
                    columns <= self.rounded(x + self.reach)
                )
                inside = inside & (rows >= self.rounded(y - self.reach))
                inside = inside & (rows <= self.rounded(y + self.reach))
                away = (columns - x * self.scale).abs() + (rows - y * self.scale).abs()
                held = (1 - away * self.slope).clamp(min=self.fill)
                mask = torch.where(inside, held, mask)
                whole = torch.where(inside, torch.maximum(whole, held), whole)
            masks.append(mask)
        return (*masks, whole)
