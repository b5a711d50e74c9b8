"""SSD's decoding and greedy non-maximum suppression in PyTorch."""

from __future__ import annotations

import torch
from torch import nn

from .detection import CodeType, DetectionOutputParams


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


def decode(
    offsets: torch.Tensor, prior: torch.Tensor, variance: torch.Tensor, p: DetectionOutputParams
) -> torch.Tensor:
    """Corners from offsets (N×P×L×4) and priors (P×1×4), as DecodeBBox of bbox_util.cpp."""
    if not p.variance_encoded_in_target:
        offsets = variance * offsets
    size = prior[..., 2:] - prior[..., :2]
    if p.code_type is CodeType.CORNER:
        return prior + offsets
    if p.code_type is CodeType.CORNER_SIZE:
        return prior + offsets * torch.cat([size, size], -1)
    centre = offsets[..., :2] * size + (prior[..., :2] + prior[..., 2:]) / 2
    half = offsets[..., 2:].exp() * size / 2
    return torch.cat([centre - half, centre + half], -1)


class Detector(nn.Module):
    """DetectionOutput; `candidates` boxes of a class compete."""

    def __init__(self, params: DetectionOutputParams, candidates: int) -> None:
        super().__init__()
        self.params, self.candidates = params, candidates

    def extra_repr(self) -> str:
        p = self.params
        return f"num_classes={p.num_classes}, nms={p.nms_param}, keep_top_k={p.keep_top_k}"

    def one(self, boxes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The rows of an image but for its number: label, score, corners."""
        p, found = self.params, []
        for label in p.labels():
            score, place = scores[:, label].sort(descending=True, stable=True)
            if p.confidence_threshold is not None:
                place = place[score > p.confidence_threshold]
            place = place[: self.candidates]
            corners = boxes[place, 0 if p.share_location else label]
            stay = suppress(corners, p.nms_param.nms_threshold)
            column = scores[place[stay], label][:, None]
            found.append(torch.cat([torch.full_like(column, label), column, corners[stay]], 1))
        rows = torch.cat(found)
        if 0 < p.keep_top_k < len(rows):
            best = rows[:, 1].sort(descending=True, stable=True).indices[: p.keep_top_k]
            rows = rows[best.sort().values]
        return rows

    def forward(
        self,
        locations: torch.Tensor,
        scores: torch.Tensor,
        priors: torch.Tensor,
        image: torch.Tensor | None = None,
    ) -> torch.Tensor:
        p, images = self.params, locations.shape[0]
        classes = 1 if p.share_location else p.num_classes
        prior, variance = priors.reshape(2, -1, 1, 4)
        boxes = decode(locations.reshape(images, -1, classes, 4), prior, variance, p)
        scores = scores.reshape(images, -1, p.num_classes)
        every = []
        for index in range(images):
            rows = self.one(boxes[index], scores[index])
            every.append(torch.cat([torch.full_like(rows[:, :1], index), rows], 1))
        rows = torch.cat(every)
        if not len(rows):
            rows = rows.new_full((images, 7), -1)
            rows[:, 0] = torch.arange(images)
        return rows[None, None]
