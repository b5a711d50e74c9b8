"""Region proposals and the pooling of regions in PyTorch."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .detection import suppress


def rounded(x: torch.Tensor) -> torch.Tensor:
    """To the nearest whole number, halves away from 0, as C's round."""
    size = x.abs()
    return x.sign() * (size.floor() + (size - size.floor() >= 0.5))


def padded(corners: torch.Tensor, ratio: float) -> torch.Tensor:
    """Corners R×4 of pixels, moved outwards by `ratio` times the width, and the height."""
    if not ratio:
        return corners
    low, high = corners[:, :2], corners[:, 2:]
    pad = (high - low + 1) * ratio
    return torch.cat([low - pad, high + pad], 1)


class RegionMaximum(nn.Module):
    """ROIPooling: of each region's bins the maxima; N×C×H×W, regions R×5 to R×C×`size`."""

    def __init__(self, size: tuple[int, int], scale: float, pad_ratio: float = 0.0) -> None:
        super().__init__()
        self.size, self.scale, self.pad_ratio = size, scale, pad_ratio

    def extra_repr(self) -> str:
        return f"size={self.size}, scale={self.scale:g}"

    def bounds(self, start: int, end: int, count: int, limit: int) -> list[tuple[int, int]]:
        """The first place of each of `count` bins and the one behind its last."""
        # In float32, as Caffe has it: a bound within rounding of a whole number may be beyond it.
        step = torch.tensor(float(max(end - start + 1, 1))) / count
        index = torch.arange(count + 1)
        low = ((index[:-1] * step).floor().long() + start).clamp(0, limit)
        high = ((index[1:] * step).ceil().long() + start).clamp(0, limit)
        return list(zip(low.tolist(), high.tolist(), strict=True))

    def forward(self, x: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[2:]
        rows = rois.reshape(-1, 5)
        corners = rounded(padded(rows[:, 1:], self.pad_ratio) * self.scale).long().tolist()
        images = rows[:, 0].long().tolist()
        top = x.new_zeros(len(rows), x.shape[1], *self.size)
        for region, (image, (x1, y1, x2, y2)) in enumerate(zip(images, corners, strict=True)):
            columns = self.bounds(x1, x2, self.size[1], width)
            for row, (low, high) in enumerate(self.bounds(y1, y2, self.size[0], height)):
                if high <= low:
                    continue
                line = x[image, :, low:high].amax(1)
                for column, (left, right) in enumerate(columns):
                    if right > left:
                        top[region, :, row, column] = line[:, left:right].amax(1)
        return top


class RegionMean(nn.Module):
    """PSROIPooling: of each region's bins the means, by sums over all that is above and left.

    Features N×(C size²)×H×W, C the `channels`, regions R×5 to R×C×size×size.
    """

    def __init__(self, channels: int, size: int, scale: float) -> None:
        super().__init__()
        self.channels, self.size, self.scale = channels, size, scale

    def extra_repr(self) -> str:
        return f"output_dim={self.channels}, group_size={self.size}, scale={self.scale:g}"

    def bounds(self, low: torch.Tensor, high: torch.Tensor, limit: int) -> tuple[torch.Tensor, ...]:
        scale = torch.tensor(self.scale, dtype=low.dtype, device=low.device)
        start, end = rounded(low) * scale, (rounded(high) + 1) * scale
        step = (end - start).clamp(min=0.1) / self.size
        index = torch.arange(self.size + 1, device=low.device)
        # One rounding for multiplying and adding, as GPUs do it.
        places = (step.double()[:, None] * index + start.double()[:, None]).float()
        first, last = places[:, :-1].floor(), places[:, 1:].ceil()
        return first.long().clamp(0, limit), last.long().clamp(0, limit)

    def forward(self, x: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        size, (height, width) = self.size, x.shape[2:]
        rows = rois.reshape(-1, 5)
        left, right = self.bounds(rows[:, 1], rows[:, 3], width)
        above, below = self.bounds(rows[:, 2], rows[:, 4], height)
        sums = nn.functional.pad(x.double().cumsum(2).cumsum(3), (1, 0, 1, 0))
        sums = sums.reshape(len(x), self.channels, size, size, height + 1, width + 1)
        image = rows[:, 0].long()[:, None, None, None]
        channel = torch.arange(self.channels, device=x.device)[None, :, None, None]
        row = torch.arange(size, device=x.device)[None, None, :, None]
        column = torch.arange(size, device=x.device)[None, None, None, :]

        def at(y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
            where = (image, channel, row, column, y[:, None, :, None], z[:, None, None, :])
            return sums[where]

        total = at(below, right) - at(above, right) - at(below, left) + at(above, left)
        high, wide = (below - above).clamp(min=0), (right - left).clamp(min=0)
        area = high[:, None, :, None] * wide[:, None, None, :]
        return torch.where(area > 0, total / area.clamp(min=1), 0).to(x.dtype)


class Proposals(nn.Module):
    """Regions by anchors (A×4) and what a proposal network says of each, best first.

    Inputs: scores 1×2A×H×W, offsets 1×4A×H×W, and the image's height, width and scale (3 numbers).
    Of the `candidates` best regions, at least `min_size` wide and high before scaling, those stay
    that overlap no better one by more than `overlap`, and `most` at most: R×5 and, with `tops` 2,
    their scores R×1.
    """

    anchors: torch.Tensor

    def __init__(
        self,
        anchors: np.ndarray,
        stride: int,
        *,
        candidates: int,
        most: int,
        overlap: float,
        min_size: float,
        tops: int,
    ) -> None:
        super().__init__()
        self.stride, self.candidates, self.most = stride, candidates, most
        self.overlap, self.min_size, self.tops = overlap, min_size, tops
        self.register_buffer("anchors", torch.from_numpy(anchors), persistent=False)

    def extra_repr(self) -> str:
        return (
            f"{len(self.anchors)} anchors, stride={self.stride}, candidates={self.candidates}, "
            f"most={self.most}, overlap={self.overlap:g}, min_size={self.min_size:g}"
        )

    def boxes(self, offsets: torch.Tensor) -> torch.Tensor:
        """HWA×4 corners from 1×4A×H×W offsets."""
        height, width = offsets.shape[2:]
        steps = [torch.arange(n, device=offsets.device) * self.stride for n in (height, width)]
        y, x = torch.meshgrid(*steps, indexing="ij")
        anchors = torch.stack([x, y, x, y], -1)[:, :, None] + self.anchors
        anchors = anchors.reshape(-1, 4).to(offsets.dtype)
        rows = offsets.permute(0, 2, 3, 1).reshape(-1, 4)
        size = anchors[:, 2:] - anchors[:, :2] + 1
        centre = rows[:, :2] * size + (anchors[:, :2] + size / 2)
        half = rows[:, 2:].exp() * size / 2
        return torch.cat([centre - half, centre + half], 1)

    def forward(
        self, scores: torch.Tensor, offsets: torch.Tensor, info: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        return self.best(*self.large(scores, offsets, info))

    def large(
        self, scores: torch.Tensor, offsets: torch.Tensor, info: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Boxes on the image that are large enough, K×4, and their scores."""
        high, wide, scale = info.reshape(-1)
        front = scores[:, len(self.anchors) :].permute(0, 2, 3, 1).reshape(-1)
        last = torch.stack([wide, high, wide, high]) - 1
        boxes = torch.minimum(self.boxes(offsets), last).clamp(min=0)
        large = (boxes[:, 2:] - boxes[:, :2] + 1 >= self.min_size * scale).all(1)
        return boxes[large], front[large]

    def best(
        self, boxes: torch.Tensor, front: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """What is left of them by falling score, suppressed."""
        front, order = front.sort(descending=True, stable=True)
        boxes, front = boxes[order[: self.candidates]], front[: self.candidates]
        stay = suppress(boxes, self.overlap, 1.0, self.most)
        rois = torch.cat([torch.zeros_like(boxes[stay, :1]), boxes[stay]], 1)
        return rois if self.tops == 1 else (rois, front[stay][:, None])
