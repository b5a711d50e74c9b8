"""SSD's decoding and greedy non-maximum suppression in PyTorch."""

from __future__ import annotations

import torch
from torch import nn


def suppress(
    boxes: torch.Tensor, limit: float, extra: float = 0.0, most: int | None = None
) -> torch.Tensor:
    """Which rows of K×4 corners stay, best first: those that overlap no kept one by more.

    `extra` is 1 where corners are pixels that belong to the box; no more than `most` stay.
    """
    size = boxes[:, 2:] - boxes[:, :2] + extra
    area = size.prod(1) * (size > 0).all(1)
    stay: list[int] = []
    left = torch.arange(len(boxes), device=boxes.device)
    while len(left) and (most is None or len(stay) < most):
        best, left = left[0], left[1:]
        stay.append(int(best))
        low = torch.maximum(boxes[best, :2], boxes[left, :2])
        high = torch.minimum(boxes[best, 2:], boxes[left, 2:])
        common = (high - low + extra).clamp(min=0).prod(1)
        overlap = common / (area[best] + area[left] - common)
        left = left[~((common > 0) & (overlap > limit))]
    return torch.tensor(stay, dtype=torch.int64, device=boxes.device)


def decode(offsets: torch.Tensor, prior: torch.Tensor, code_type: str) -> torch.Tensor:
    """Corners from offsets (N×P×L×4) and priors (P×1×4), as DecodeBBox of bbox_util.cpp.

    `code_type` is CORNER, CENTER_SIZE or CORNER_SIZE.
    """
    size = prior[..., 2:] - prior[..., :2]
    if code_type == "CORNER":
        return prior + offsets
    if code_type == "CORNER_SIZE":
        return prior + offsets * torch.cat([size, size], -1)
    centre = offsets[..., :2] * size + (prior[..., :2] + prior[..., 2:]) / 2
    half = offsets[..., 2:].exp() * size / 2
    return torch.cat([centre - half, centre + half], -1)


class Detector(nn.Module):
    """DetectionOutput: 1×1×K×7 from locations N×4PL, scores N×PC and priors 1×2×4P.

    L is 1 with `share_location`, else C, the `num_classes`, of which the `labels` are detected;
    `candidates` boxes of a class compete, and of an image `keep_top_k` stay, all if that is not
    above 0. `code_type` is as `decode` has it.
    """

    def __init__(
        self,
        num_classes: int,
        labels: list[int],
        *,
        share_location: bool,
        code_type: str,
        variance_encoded_in_target: bool,
        confidence_threshold: float | None,
        nms_threshold: float,
        candidates: int,
        keep_top_k: int,
    ) -> None:
        super().__init__()
        self.num_classes, self.labels, self.share_location = num_classes, labels, share_location
        self.code_type, self.variance_encoded_in_target = code_type, variance_encoded_in_target
        self.confidence_threshold, self.nms_threshold = confidence_threshold, nms_threshold
        self.candidates, self.keep_top_k = candidates, keep_top_k

    def extra_repr(self) -> str:
        return (
            f"num_classes={self.num_classes}, nms_threshold={self.nms_threshold:g}, "
            f"candidates={self.candidates}, keep_top_k={self.keep_top_k}"
        )

    def one(self, boxes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The rows of an image but for its number: label, score, corners."""
        found = []
        for label in self.labels:
            score, place = scores[:, label].sort(descending=True, stable=True)
            if self.confidence_threshold is not None:
                place = place[score > self.confidence_threshold]
            place = place[: self.candidates]
            corners = boxes[place, 0 if self.share_location else label]
            stay = suppress(corners, self.nms_threshold)
            column = scores[place[stay], label][:, None]
            found.append(torch.cat([torch.full_like(column, label), column, corners[stay]], 1))
        rows = torch.cat(found)
        if 0 < self.keep_top_k < len(rows):
            best = rows[:, 1].sort(descending=True, stable=True).indices[: self.keep_top_k]
            rows = rows[best.sort().values]
        return rows

    def forward(
        self,
        locations: torch.Tensor,
        scores: torch.Tensor,
        priors: torch.Tensor,
        image: torch.Tensor | None = None,
    ) -> torch.Tensor:
        images = locations.shape[0]
        classes = 1 if self.share_location else self.num_classes
        prior, variance = priors.reshape(2, -1, 1, 4)
        offsets = locations.reshape(images, -1, classes, 4)
        if not self.variance_encoded_in_target:
            offsets = variance * offsets
        boxes = decode(offsets, prior, self.code_type)
        scores = scores.reshape(images, -1, self.num_classes)
        every = []
        for index in range(images):
            rows = self.one(boxes[index], scores[index])
            every.append(torch.cat([torch.full_like(rows[:, :1], index), rows], 1))
        rows = torch.cat(every)
        if not len(rows):
            rows = rows.new_full((images, 7), -1)
            rows[:, 0] = torch.arange(images)
        return rows[None, None]
