"""The rows of Table II: a network each, what is published of it, what was measured."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.paper import architectures

ENCODERS = ("random", "pretrained")


@dataclass
class Row:
    """One network. RMSE with pixels in [0,1]; None where there is nothing to measure."""

    arch: str
    encoder: str
    bits_per_pixel: float
    published: float | None
    converted: float | None = None
    ours: float | None = None
    learned: float | None = None
    """Ours with an encoder that learned its switches; of the same arch and code."""
    images: int = 0
    weights: str | None = None
    model: str | None = None
    learned_model: str | None = None

    @property
    def ratio(self) -> float | None:
        """Ours to the authors', on the same images."""
        return self.ours / self.converted if self.ours and self.converted else None

    @property
    def learned_ratio(self) -> float | None:
        """Ours with learned switches to the authors', on the same images."""
        return self.learned / self.converted if self.learned and self.converted else None


def rows() -> list[Row]:
    """Every row of the table, in its order, with what the paper says."""
    return [
        Row(arch, encoder, architectures.bits_per_pixel(arch), figure)
        for encoder in ENCODERS
        for arch, figure in architectures.PUBLISHED[encoder].items()
    ]
