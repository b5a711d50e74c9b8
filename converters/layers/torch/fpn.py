"""Feature pyramids' proposals and regions shared out to maps, in PyTorch."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from .rcnn import Proposals


class PyramidProposals(nn.Module):
    """Regions R×5 of five maps: im_info, five maps of offsets 1×4A×H×W, five of scores 1×2A×H×W.

    Read are the maps at `places`, of these strides and anchors; else as `Proposals`.
    """

    def __init__(
        self,
        anchors: list[np.ndarray],
        strides: list[int],
        places: list[int],
        *,
        candidates: int,
        most: int,
        overlap: float,
        min_size: float,
    ) -> None:
        super().__init__()
        self.places = places
        self.levels = nn.ModuleList(
            Proposals(
                own,
                stride,
                candidates=candidates,
                most=most,
                overlap=overlap,
                min_size=min_size,
                tops=1,
            )
            for own, stride in zip(anchors, strides, strict=True)
        )

    def forward(self, info: torch.Tensor, *maps: torch.Tensor) -> torch.Tensor:
        boxes, front = [], []
        for level, place in zip(self.levels, self.places, strict=True):
            assert isinstance(level, Proposals)
            offsets, scores = maps[place], maps[place + 5]
            high, wide = (info.reshape(-1)[:2] / level.stride).long().tolist()
            part = level.large(scores[:, :, :high, :wide], offsets[:, :, :high, :wide], info)
            boxes.append(part[0])
            front.append(part[1])
        first = self.levels[0]
        assert isinstance(first, Proposals)
        best = first.best(torch.cat(boxes), torch.cat(front))
        assert isinstance(best, torch.Tensor)
        return best


class SharedOut(nn.Module):
    """Regions R×5 by their size to four lists, after the list of all; `rows` in each, if given."""

    def __init__(self, rows: int | None) -> None:
        super().__init__()
        self.rows = rows

    def extra_repr(self) -> str:
        return f"rows={self.rows}"

    def forward(self, regions: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rois = regions.reshape(-1, 5)
        area = (rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])
        share = torch.where(area <= 0, torch.full_like(area, 1e-6), area).sqrt() / 224
        power = (share.double().log() / math.log(2)).to(area.dtype)
        level = (power + 4).floor().clamp(2, 5)
        lists = []
        for step in (2, 3, 4, 5):
            found = rois[level == step]
            if self.rows is None:
                missing = 0 if len(found) else 4
            else:
                missing = max(self.rows - len(found), 0)
            lists.append(torch.cat([found, rois.new_zeros(missing, 5)])[: self.rows])
        return (torch.cat(lists), *lists)
