"""Switches of 2×2 windows in training: found, kept at two bits each, unpooled."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch

__all__ = ["Soft", "SwitchStore", "pool_switches", "soft_unpool", "unpool"]

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Row and column of each position in its window."""


def pool_switches(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """2×2 max pooling of N×C×H×W: the maxima, and positions 0..3 (row-major; the first wins).

    Positions are uint8 and N×H/2×W/2×C: channels last, as `unpool` takes them.
    """
    best, position = x[:, :, ::2, ::2], torch.zeros(1, dtype=torch.uint8, device=x.device)
    for number, (row, column) in enumerate(CORNERS[1:], 1):
        other = x[:, :, row::2, column::2]
        position = torch.where(other > best, number, position)
        best = torch.maximum(best, other)
    return best, position.permute(0, 2, 3, 1).contiguous()


def unpool(x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Max unpooling: N×C×h×w by positions N×h×w×C (uint8) to N×C×2h×2w, channels last."""
    count, height, width, channels = positions.shape
    corners = torch.arange(4, dtype=torch.uint8, device=x.device).view(2, 1, 2, 1)
    chosen = positions[:, :, None, :, None] == corners
    unpooled = x.permute(0, 2, 3, 1)[:, :, None, :, None] * chosen
    return unpooled.view(count, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


class Soft(NamedTuple):
    """The switches of one level, and what they were chosen by."""

    positions: torch.Tensor
    """0..3, uint8, N×h×w×C."""
    values: torch.Tensor
    """N×C×2h×2w, before the ReLU."""
    temperature: float

    @property
    def shape(self) -> torch.Size:
        """N×h×w×C, so that it passes for its positions."""
        return self.positions.shape


def soft_unpool(x: torch.Tensor, switches: Soft) -> torch.Tensor:
    """`unpool` by the hard positions, with a gradient for the values that chose them."""
    unpooled: torch.Tensor = _SoftUnpool.apply(x, *switches)  # type: ignore[no-untyped-call]
    return unpooled


class _SoftUnpool(torch.autograd.Function):
    """Hard on the way forward; on the way back a switch counts as a softmax.

    It is that of its window's four values and of a fifth, 0, that stands for position 0: where no
    value is above 0, the ReLU leaves a tie of zeros, which the first place wins.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        positions: torch.Tensor,
        values: torch.Tensor,
        temperature: float,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, positions, values)
        ctx.temperature = temperature
        return unpool(x, positions)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, positions, values = ctx.saved_tensors
        grad, values, x = (t.permute(0, 2, 3, 1) for t in (grads[0], values, x))

        def corners(t: torch.Tensor) -> list[torch.Tensor]:
            return [t[:, row::2, column::2].float() for row, column in CORNERS]

        slopes, scores = corners(grad), [v / ctx.temperature for v in corners(values)]
        most = torch.stack(scores).amax(0).clamp_(min=0)
        shares, silent = [torch.exp(score - most) for score in scores], torch.exp(-most)
        total = sum(shares, silent)
        weighted = [share * slope for share, slope in zip(shares, slopes, strict=True)]
        average = sum(weighted, silent * slopes[0]) / total
        factor = x / (total * ctx.temperature)
        ways = [
            ((slope - average) * share * factor).to(grad.dtype)
            for slope, share in zip(slopes, shares, strict=True)
        ]
        rows = [torch.stack(ways[:2], 3), torch.stack(ways[2:], 3)]
        back = torch.stack(rows, 2).view(grad.shape).permute(0, 3, 1, 2)
        chosen = slopes[0]
        for number in (1, 2, 3):
            chosen = torch.where(positions == number, slopes[number], chosen)
        return chosen.to(x.dtype).permute(0, 3, 1, 2), None, back, None


@functools.cache
def quads(device: torch.device) -> torch.Tensor:
    """The four positions of each byte, as the four bytes of an int32: 256 of them."""
    shifts = torch.tensor([0, 2, 4, 6], dtype=torch.uint8)
    positions = (torch.arange(256, dtype=torch.uint8)[:, None] >> shifts) & 3
    return positions.view(torch.int32).flatten().to(device)


class SwitchStore:
    """The switches of many images of one size, four to a byte (of four channels)."""

    def __init__(self, count: int, size: int, widths: tuple[int, ...]) -> None:
        self.widths = widths
        self.levels = [
            torch.empty(count, size >> level, size >> level, -(-width // 4), dtype=torch.uint8)
            for level, width in enumerate(widths, 1)
        ]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that all levels take."""
        return sum(level.nbytes for level in self.levels)

    def put(self, start: int, positions: list[torch.Tensor]) -> None:
        """Keep the switches of images `start`, `start` + 1 and so on."""
        for level, found in zip(self.levels, positions, strict=True):
            padded = torch.nn.functional.pad(found.cpu(), (0, -found.shape[-1] % 4))
            parts = padded.view(*padded.shape[:3], -1, 4)
            packed = parts[..., 0].clone()
            for place in (1, 2, 3):
                packed |= parts[..., place] << 2 * place
            level[start : start + len(found)] = packed

    def get(
        self, places: list[tuple[int, int, int]], size: int, device: torch.device
    ) -> list[torch.Tensor]:
        """Positions in the `size`×`size` parts at (image, top, left), all multiples of 8.

        They are there as bytes of four, and on `device` as bytes each.
        """
        result = []
        for depth, (level, width) in enumerate(zip(self.levels, self.widths, strict=True), 1):
            side = size >> depth
            packed = torch.stack(
                [
                    level[image, top >> depth :, left >> depth :][:side, :side]
                    for image, top, left in places
                ]
            )
            packed = packed.to(device)
            found = quads(device).index_select(0, packed.flatten().int())
            result.append(found.view(packed.shape).view(torch.uint8)[..., :width])
        return result
