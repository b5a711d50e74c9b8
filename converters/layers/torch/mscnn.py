"""Proposals of MS-CNN and its interpolation at the corners of bins, in PyTorch."""

from __future__ import annotations

import torch
from torch import nn

from .detection import suppress
from .rcnn import padded


class BoxOutput(nn.Module):
    """Regions R×5×1×1, and with scores R×6×1×1, from maps N×(C+4)×H×W.

    `fields` are width and height of each map's own box and `rates` the pixels of a cell; `limits`
    the bounds of shift and growth; `scaling` the means and deviations of a box's four numbers.
    """

    def __init__(
        self,
        fields: list[tuple[int, int]],
        rates: list[int],
        *,
        limits: list[tuple[float, float]],
        scaling: tuple[list[float], list[float]] | None,
        least: float,
        min_size: float,
        overlap: float,
        candidates: int | None,
        most: int | None,
        tops: int,
    ) -> None:
        super().__init__()
        self.fields, self.rates, self.limits, self.scaling = fields, rates, limits, scaling
        self.least, self.min_size, self.overlap = least, min_size, overlap
        self.candidates, self.most, self.tops = candidates, most, tops

    def extra_repr(self) -> str:
        return (
            f"fields={self.fields}, rates={self.rates}, fg_thr={self.least:g}, "
            f"iou_thr={self.overlap:g}, max_nms_num={self.candidates}"
        )

    def boxes(self, x: torch.Tensor, side: tuple[int, int], rate: int) -> torch.Tensor:
        """Rows x1, y1, x2, y2, score of one image's map, (C+4)×H×W."""
        high, wide = x.shape[1:]
        score = x[1:-4].amax(0) - x[0]
        numbers = x[-4:].permute(1, 2, 0)
        if self.scaling is not None:
            mean, deviation = (x.new_tensor(n) for n in self.scaling)
            numbers = numbers * deviation + mean
        columns, lines = (torch.arange(n, dtype=x.dtype, device=x.device) for n in (wide, high))
        middle = (torch.stack(torch.meshgrid(columns, lines, indexing="xy"), -1) + 0.5) * rate
        centre = numbers[..., :2].clamp(*self.limits[0]) * x.new_tensor(side) + middle
        size = numbers[..., 2:].clamp(*self.limits[1]).exp() * x.new_tensor(side)
        low = (centre - size / 2).clamp(min=0)
        size = torch.minimum(size, x.new_tensor([wide * rate, high * rate]) - low)
        there = (score >= self.least) & (size >= self.min_size).all(-1)
        return torch.cat([low, low + size, score[..., None]], -1)[there]

    def forward(self, *maps: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        found = []
        for image in range(maps[0].shape[0]):
            rows = torch.cat(
                [
                    self.boxes(x[image], side, rate)
                    for x, side, rate in zip(maps, self.fields, self.rates, strict=True)
                ]
            ).flip(0)
            order = rows[:, 4].sort(descending=True, stable=True).indices[: self.candidates]
            rows = rows[order]
            rows = rows[suppress(rows[:, :4], self.overlap, most=self.most)]
            found.append(torch.cat([torch.full_like(rows[:, :1], image), rows], 1))
        every = torch.cat(found)
        regions = every[:, :5]
        if not len(every):
            every, regions = every.new_zeros(1, 6), every.new_tensor([[0, 1, 1, 10, 10]])
        tops = tuple(top[:, :, None, None] for top in (regions, every)[: self.tops])
        return tops if len(tops) == 2 else tops[0]


class DecodeBBox(nn.Module):
    """Regions R×5×1×1 from offsets R×8, times their deviations plus their means, and regions."""

    def __init__(self, means: list[float], deviations: list[float]) -> None:
        super().__init__()
        self.means, self.deviations = means, deviations

    def extra_repr(self) -> str:
        return f"means={self.means}, deviations={self.deviations}"

    def forward(self, offsets: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
        rows, regions = offsets.reshape(-1, 8)[:, 4:], regions.reshape(-1, 5)
        rows = rows * rows.new_tensor(self.deviations) + rows.new_tensor(self.means)
        low, high = regions[:, 1:3], regions[:, 3:]
        size = high - low + 1
        centre = rows[:, :2] * size + (low + high) * 0.5
        reach = rows[:, 2:].exp() * size - 1
        low = centre - reach / 2
        return torch.cat([regions[:, :1], low, low + reach], 1)[:, :, None, None]


class RegionCorners(nn.Module):
    """MS-CNN's ROIAlign: N×C×H×W and regions R×5 to the values at the corners of R×`size` bins."""

    def __init__(self, size: tuple[int, int], scale: float, pad_ratio: float) -> None:
        super().__init__()
        self.size, self.scale, self.pad_ratio = size, scale, pad_ratio

    def extra_repr(self) -> str:
        return f"size={self.size}, scale={self.scale:g}, pad_ratio={self.pad_ratio:g}"

    def places(
        self, start: torch.Tensor, end: torch.Tensor, bins: int, count: int
    ) -> tuple[torch.Tensor, ...]:
        """The cells before and behind each corner and their shares of its value, R×(bins+1)."""
        length = (end - start)[:, None]
        steps = torch.arange(bins + 1, dtype=start.dtype, device=start.device)
        place = start[:, None] + length / bins * steps
        there = (length > 0) & (place >= -0.5) & (place <= count - 0.5)
        floor = place.floor()
        before, behind = floor.clamp(0, count - 1), (floor + 1).clamp(0, count - 1)
        share = place.clamp(0, count - 1) - before
        return before.long(), behind.long(), (1 - share) * there, share * there

    def forward(self, x: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        rows = rois.reshape(-1, 5)
        x1, y1, x2, y2 = (padded(rows[:, 1:], self.pad_ratio) * self.scale - 0.5).unbind(1)
        left, right, *across = self.places(x1, x2, self.size[1], x.shape[3])
        above, below, *along = self.places(y1, y2, self.size[0], x.shape[2])
        image = rows[:, 0].long()[:, None, None]
        table = x.permute(0, 2, 3, 1)
        total = x.new_zeros(())
        for line, high in zip((above, below), along, strict=True):
            for column, wide in zip((left, right), across, strict=True):
                share = high[:, :, None] * wide[:, None, :]
                total = (
                    total + table[image, line[:, :, None], column[:, None, :]] * share[..., None]
                )
        return total.permute(0, 3, 1, 2)
