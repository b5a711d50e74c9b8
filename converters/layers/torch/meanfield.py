"""Mean-field inference of CRF as RNN over its permutohedral lattice."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from .parameters import parameter

LANES = 4
"""Points that the fork reads at once: the last are filled up, and count as points of zeros."""


def scales(features: int) -> list[float]:
    """By what each feature is multiplied, as float32, so that the blur's deviation is 1."""
    deviation = float(np.float32(math.sqrt(2 / 3) * (features + 1)))
    found = (1 / math.sqrt((i + 2) * (i + 1)) * deviation for i in range(features))
    return [float(np.float32(scale)) for scale in found]


class Lattice:
    """The lattice of features N×d×P, float32; see `converters.layers.permutohedral`.

    `index` and `shares`, N×(d+1)×P: the lattice points around each point and what each has of it;
    `size`: how many there are; `neighbours`, 2×(d+1)×(M+1): the next and the last of each, by
    direction. M stands for a point that is not there.
    """

    def __init__(self, features: torch.Tensor) -> None:
        points = features.shape[2]
        features = nn.functional.pad(features, (0, -points % LANES))
        corner, rank, inside = self.simplex(features)
        rising = inside.new_zeros(inside.shape).scatter(1, rank, inside).flip(1)
        lower = torch.cat([rising[:, -1:] - 1, rising[:, :-1]], 1)
        self.shares = (rising - lower)[:, :, :points]
        packed, shifts = self.packed(corner, rank)
        keys, index = torch.unique(packed, return_inverse=True)
        self.index, self.size = index[:, :, :points], keys.shape[0]
        self.neighbours = torch.stack([self.found(keys, keys + s * shifts) for s in (1, -1)])

    @staticmethod
    def simplex(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The point of remainder 0 in steps of d+1, ranks, and distances in such steps."""
        size = features.shape[1] + 1
        lifted: list[torch.Tensor] = []
        total = torch.zeros_like(features[:, 0])
        for j, scale in reversed(list(enumerate(scales(size - 1), 1))):
            part = features[:, j - 1] * scale
            lifted.insert(0, total - j * part)
            total = total + part
        whole = torch.stack([total, *lifted], 1)
        step = float(np.float32(1) / np.float32(size))
        nearest = torch.round(whole * step)
        far = whole - nearest * size
        first = torch.ones(size, size, dtype=torch.bool, device=far.device).tril(-1)[:, :, None]
        own, other = far[:, :, None], far[:, None]
        ahead = (own < other) | ((own == other) & first)
        rank = ahead.sum(2) + nearest.sum(1, keepdim=True)
        back = (rank < 0).to(rank.dtype) - (rank >= size).to(rank.dtype)
        nearest = nearest + back
        inside = (whole - nearest * size) * step
        return nearest.long(), (rank + back * size).long(), inside

    @staticmethod
    def packed(corner: torch.Tensor, rank: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Every lattice point as one number, N×(d+1)×P, and what neighbours are away, (d+1)×1."""
        images, size = corner.shape[:2]
        d = size - 1
        digits = torch.cat([corner[:, :1], corner[:, 1:d] - corner[:, :1]], 1)
        spans = digits.amax((0, 2)) - digits.amin((0, 2)) + 5
        spans[0] = (spans[0] - 1) * size
        radix = spans.cumprod(0)
        others = radix[: d - 1]
        places = torch.cat([size - others.sum(0, keepdim=True), others])
        number = torch.arange(images, device=corner.device)[:, None, None] * radix[-1]
        base = (corner[:, :d] * places[:, None]).sum(1, keepdim=True) + number
        remainders = torch.arange(size, device=corner.device)[:, None]
        stepped = rank[:, None, :d] > (d - remainders)[:, None]
        base = base - (stepped * places[:, None]).sum(2) + remainders
        shifts = torch.cat([d - others.sum(0, keepdim=True), others - 1, others.new_full((1,), -1)])
        return base, shifts[:, None]

    @staticmethod
    def found(keys: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Where `wanted` stand among the keys, which rise; as many as there are where nowhere."""
        count = keys.shape[0]
        place = torch.searchsorted(keys, wanted).clamp(max=count - 1)
        place = torch.where(keys[place] == wanted, place, count)
        return torch.cat([place, torch.full_like(wanted[:, :1], count)], 1)

    def filter(self, x: torch.Tensor) -> torch.Tensor:
        """R×N×P filtered within each image: splat, blur by direction, slice."""
        rows, size = x.shape[0], self.shares.shape[1]
        shares = self.shares.to(x.dtype)
        spread = (x[:, :, None] * shares).reshape(rows, -1)
        values = x.new_zeros(rows, self.size + 1).index_add(1, self.index.reshape(-1), spread)
        for after, before in zip(*self.neighbours, strict=True):
            around = values.index_select(1, after) + values.index_select(1, before)
            values = values + 0.5 * around
        scale = 1 / (1 + 2.0 ** (1 - size))
        found = values.index_select(1, self.index.reshape(-1)).reshape(rows, *self.index.shape)
        return (found * (shares * scale)).sum(2)


class MultiStageMeanfield(nn.Module):
    """Unary terms and start N×C×H×W and an image N×3×H×W (or more channels) to N×C×H×W.

    As in the fork no gradient reaches the image.

    Args:
        spatial_weight: 1×1×C×C, as the other two; what the filter of places is multiplied by.
        bilateral_weight: the same of places and colours.
        compatibility: of labels, multiplied by what both give.
        thetas: standard deviations theta_alpha, theta_beta, theta_gamma.
        iterations: how many.
    """

    def __init__(
        self,
        spatial_weight: np.ndarray,
        bilateral_weight: np.ndarray,
        compatibility: np.ndarray,
        *,
        thetas: tuple[float, float, float],
        iterations: int,
    ) -> None:
        super().__init__()
        self.spatial_weight = parameter(spatial_weight)
        self.bilateral_weight = parameter(bilateral_weight)
        self.compatibility = parameter(compatibility)
        self.thetas, self.iterations = thetas, iterations

    def extra_repr(self) -> str:
        return f"thetas={self.thetas}, iterations={self.iterations}"

    def lattices(self, image: torch.Tensor) -> tuple[Lattice, Lattice]:
        """Of places, one for all images; of places and colours."""
        images, _, height, width = image.shape
        image = image.detach().float()
        # Divided by tensors: by a number CUDA would multiply with its reciprocal.
        alpha, beta, gamma = (image.new_full((1,), theta) for theta in self.thetas)
        pixels = torch.arange(height * width, device=image.device)
        places = torch.stack([pixels % width, pixels // width]).float()[None]
        alike = (places / alpha).expand(images, -1, -1)
        colours = image[:, :3].reshape(images, 3, -1) / beta
        return Lattice(places / gamma), Lattice(torch.cat([alike, colours], 1))

    def forward(
        self, unary: torch.Tensor, start: torch.Tensor, image: torch.Tensor
    ) -> torch.Tensor:
        images, channels = unary.shape[:2]
        terms, current = unary.flatten(2), start.flatten(2)
        points = math.prod(unary.shape[2:])
        spatial, bilateral = self.lattices(image)
        ones = terms.new_ones(1, images, points)
        norms = [
            1 / (over.filter(one) + 1e-20)
            for over, one in ((spatial, ones[:, :1]), (bilateral, ones))
        ]
        for _ in range(self.iterations):
            chances = current.softmax(1)
            near = spatial.filter(chances.reshape(-1, 1, points)) * norms[0]
            alike = bilateral.filter(chances.transpose(0, 1)) * norms[1]
            messages = self.spatial_weight[0] @ near.reshape(images, channels, points)
            messages = messages + self.bilateral_weight[0] @ alike.transpose(0, 1)
            current = terms - self.compatibility[0] @ messages
        return current.reshape(unary.shape)
