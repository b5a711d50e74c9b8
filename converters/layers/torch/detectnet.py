"""DetectNet's clustering in PyTorch."""

from __future__ import annotations

import torch
from torch import nn

MAX_BOXES = 50


class ClusterDetections(nn.Module):
    """Of each class N×50×5 from coverage N×C×H×W and corners N×4×H×W.

    Boxes of cells whose coverage reaches the threshold are clustered where they differ by no more
    than `eps` of their size; clusters of more than `least` and at least `min_height` high stay.
    """

    def __init__(
        self,
        width: int,
        height: int,
        stride: int,
        coverage: float,
        least: int,
        eps: float,
        min_height: int,
        classes: int,
    ) -> None:
        super().__init__()
        self.rows, self.columns, self.stride = height // stride, width // stride, stride
        self.coverage, self.least, self.eps = coverage, least, eps
        self.min_height, self.classes = min_height, classes

    def extra_repr(self) -> str:
        return (
            f"stride={self.stride}, coverage={self.coverage:g}, least={self.least}, "
            f"eps={self.eps:g}, min_height={self.min_height}, classes={self.classes}"
        )

    def rectangles(self, coverage: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
        """x, y, width, height of one image's covered cells, K×4."""
        places = (coverage >= coverage.new_tensor(self.coverage)).nonzero()
        boxes = corners[:, places[:, 0], places[:, 1]].T.double()
        boxes = boxes + places[:, [1, 0, 1, 0]] * self.stride
        return torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1).trunc()

    def labels(self, rects: torch.Tensor) -> torch.Tensor:
        """Of each rectangle the first of those that are similar to it, directly or by others."""
        size = rects[:, 2:]
        ends = torch.cat([rects[:, :2], rects[:, :2] + size], 1)
        apart = (ends[:, None] - ends[None]).abs().amax(2)
        alike = apart <= torch.minimum(size[:, None], size[None]).sum(2) * self.eps * 0.5
        labels = torch.arange(len(rects), device=rects.device)
        while True:
            least = torch.where(alike, labels, len(rects)).amin(1)
            least = least[least]
            if torch.equal(least, labels):
                return labels
            labels = least

    def one(self, coverage: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
        """The rows of an image and a class."""
        rects = self.rectangles(coverage, corners)
        if not len(rects):
            return coverage.new_zeros(0, 5)
        first, group = self.labels(rects).unique(return_inverse=True)
        total = rects.new_zeros(len(first), 4).index_add(0, group, rects).float()
        count = torch.bincount(group).float()
        mean = (total * (1 / count)[:, None]).round()
        low, high, size = mean[:, :2], mean[:, :2] + mean[:, 2:], mean[:, 2:]
        enough = count > self.least
        margin = (size.double() * self.eps).round().float()
        within = (low[:, None] >= low - margin) & (high[:, None] <= high + margin)
        better = (count > count[:, None].clamp(min=3)) | (count[:, None] < 3)
        other = ~torch.eye(len(first), dtype=torch.bool, device=rects.device)
        gone = (within.all(2) & better & enough & other).any(1)
        rows = torch.cat([low, high, count.log()[:, None]], 1)
        return rows[enough & ~gone & (size[:, 1] >= self.min_height)].half().float()

    def forward(
        self, coverage: torch.Tensor, corners: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, ...]:
        cover = coverage[:, :, : self.rows, : self.columns]
        boxes = corners[:, :4, : self.rows, : self.columns]
        tops = []
        for index in range(self.classes):
            top = coverage.new_zeros(len(coverage), MAX_BOXES, 5)
            for image in range(len(coverage)):
                rows = self.one(cover[image, index], boxes[image])[:MAX_BOXES]
                top[image, : len(rows)] = rows
            tops.append(top)
        return tuple(tops) if len(tops) > 1 else tops[0]
