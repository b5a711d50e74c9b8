"""DenseReg's classes and residuals put together."""

from __future__ import annotations

import torch
from torch import nn


class Combined(nn.Module):
    """Classes 1×1×H×W of columns and rows, their residuals 1×C×H×W, to 1×1×H×W each."""

    def __init__(self, body: bool) -> None:
        super().__init__()
        self.body = body

    def extra_repr(self) -> str:
        return f"body={self.body}"

    def forward(self, *bottoms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        columns, rows = (self.one(bottoms[i].float(), bottoms[i + 2]) for i in (0, 1))
        return columns, rows

    def one(self, chosen: torch.Tensor, residuals: torch.Tensor) -> torch.Tensor:
        count = residuals.shape[1]
        numbers = torch.arange(1, count, dtype=chosen.dtype, device=chosen.device)
        own = (chosen == numbers[None, :, None, None]).to(residuals.dtype)
        found = (residuals[:, 1:] * own).sum(1, keepdim=True)
        if self.body:
            return found.clamp(0, 1)
        found = (chosen + found - 1) / (count - 1)
        return torch.where(found < 0, torch.full_like(found, -1), found)
