"""YOLO's boxes of a grid and their suppression in PyTorch."""

from __future__ import annotations

import torch
from torch import nn

from .detection import suppress


class YoloDetector(nn.Module):
    """1×1×K×7 (0, label, score, corners) from maps N×A(5+`classes`)×H×W.

    `anchors` are width and height of each map's A, in units of which a cell has `scales`. With
    `by_class` every class above the threshold is a detection, else the likeliest one alone; boxes
    that overlap a better one by more than `limit` go.
    """

    def __init__(
        self,
        classes: int,
        anchors: list[list[tuple[float, float]]],
        scales: list[int],
        *,
        by_class: bool,
        confidence_threshold: float,
        limit: float,
    ) -> None:
        super().__init__()
        self.classes, self.anchors, self.scales = classes, anchors, scales
        self.by_class, self.limit = by_class, limit
        self.confidence_threshold = confidence_threshold

    def extra_repr(self) -> str:
        return (
            f"classes={self.classes}, anchors={self.anchors}, scales={self.scales}, "
            f"by_class={self.by_class}, confidence_threshold={self.confidence_threshold:g}"
        )

    def rows(
        self, x: torch.Tensor, anchors: list[tuple[float, float]], scale: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Boxes (centre and size), scores and labels above the threshold, of one map."""
        high, wide = x.shape[2:]
        maps = x.reshape(-1, len(anchors), 5 + self.classes, high, wide).permute(0, 3, 4, 1, 2)
        size = x.new_tensor([wide, high])
        columns, lines = (torch.arange(n, dtype=x.dtype, device=x.device) for n in (wide, high))
        cells = torch.stack(torch.meshgrid(columns, lines, indexing="xy"), -1)[:, :, None]
        centre = (cells + maps[..., :2].sigmoid()) / size
        extent = maps[..., 2:4].exp() * x.new_tensor(anchors) / (size * scale)
        boxes = torch.cat([centre, extent], -1).reshape(-1, 4)
        there = maps[..., 4:5].sigmoid().reshape(-1, 1)
        kinds = maps[..., 5:].reshape(-1, self.classes)
        if self.by_class:
            scores = kinds.sigmoid() * there
            row, label = (scores > self.confidence_threshold).nonzero().unbind(1)
            return boxes[row], scores[row, label], label
        share, label = kinds.softmax(1).max(1)
        score = share * there[:, 0]
        above = score >= self.confidence_threshold
        return boxes[above], score[above], label[above]

    def forward(self, *maps: torch.Tensor) -> torch.Tensor:
        parts = [
            self.rows(x, anchors, scale)
            for x, anchors, scale in zip(maps, self.anchors, self.scales, strict=False)
        ]
        boxes, scores, labels = (torch.cat(columns) for columns in zip(*parts, strict=True))
        scores, place = scores.sort(descending=True, stable=True)
        centre, half = boxes[place, :2], boxes[place, 2:] / 2
        corners = torch.cat([centre - half, centre + half], 1)
        stay = suppress(corners, self.limit)
        pair = torch.stack([(labels[place[stay]] + 1).to(scores), scores[stay]], 1)
        rows = torch.cat([torch.zeros_like(pair[:, :1]), pair, corners[stay]], 1)
        if not len(rows):
            images = maps[0].shape[0]
            rows = rows.new_full((images, 7), -1)
            rows[:, 0] = torch.arange(images)
        return rows[None, None]
