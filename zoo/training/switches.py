"""Switches of 2×2 windows in training: found, kept at two bits each, unpooled."""

from __future__ import annotations

import torch

__all__ = ["SwitchStore", "pool_switches", "unpool"]


def pool_switches(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """2×2 max pooling of N×C×H×W: the maxima, and positions 0..3 (row-major; the first wins).

    Positions are uint8 and N×H/2×W/2×C: channels last, as `unpool` takes them.
    """
    best, position = x[:, :, ::2, ::2], torch.zeros(1, dtype=torch.uint8)
    for number, (row, column) in enumerate(((0, 1), (1, 0), (1, 1)), 1):
        other = x[:, :, row::2, column::2]
        position = torch.where(other > best, number, position)
        best = torch.maximum(best, other)
    return best, position.permute(0, 2, 3, 1).contiguous()


def unpool(x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Max unpooling: N×C×h×w by positions N×h×w×C (uint8) to N×C×2h×2w, channels last."""
    count, height, width, channels = positions.shape
    corners = torch.arange(4, dtype=torch.uint8, device=x.device).view(2, 1, 2, 1)
    chosen = positions[:, :, None, :, None] == corners
    spread = x.permute(0, 2, 3, 1)[:, :, None, :, None] * chosen
    return spread.view(count, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


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

    def get(self, places: list[tuple[int, int, int]], size: int) -> list[torch.Tensor]:
        """Positions in the `size`×`size` parts at (image, top, left), all multiples of 8."""
        shifts = torch.tensor([0, 2, 4, 6], dtype=torch.uint8)
        result = []
        for depth, (level, width) in enumerate(zip(self.levels, self.widths, strict=True), 1):
            side = size >> depth
            packed = torch.stack(
                [
                    level[image, top >> depth :, left >> depth :][:side, :side]
                    for image, top, left in places
                ]
            )
            unpacked = (packed[..., None] >> shifts) & 3
            result.append(unpacked.flatten(3)[..., :width])
        return result
