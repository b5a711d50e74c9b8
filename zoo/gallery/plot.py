"""The plot of Table II as inline SVG: RMSE against bits per pixel, published and measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from zoo.paper import architectures

WIDTH, HEIGHT = 720, 430
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 48, 66
TICKS = (1.75, 3.5, 7.0, 14.0)
APART = {"random": -7, "pretrained": 7}
"""Pixels aside, by encoder: at the same number of bits their marks would cover each other."""


@dataclass(frozen=True)
class Point:
    """One row of Table II, published or measured here."""

    arch: str
    encoder: str
    bits: float
    rmse: float
    measured: bool = False

    @property
    def layout(self) -> str:
        """Whether all levels have as many channels, or deeper ones twice as many."""
        return architectures.layout(self.arch)


@dataclass(frozen=True)
class Scale:
    """Where values lie on the sheet."""

    low: float
    high: float

    def x(self, point: Point) -> float:
        """Pixels from the left: logarithmic in bits, encoders of one size side by side."""
        least, most = math.log2(TICKS[0]) - 0.35, math.log2(TICKS[-1]) + 0.35
        share = (math.log2(point.bits) - least) / (most - least)
        return LEFT + share * (WIDTH - LEFT - RIGHT) + APART.get(point.encoder, 0)

    def y(self, value: float) -> float:
        """Pixels from the top: `low` at the bottom of the axis, `high` at its top."""
        share = (value - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def svg(points: Sequence[Point]) -> str:
    """The plot; colours come from the page's style, by class."""
    values = [point.rmse for point in points] or [0.05, 0.15]
    step = 0.02
    scale = Scale(
        math.floor(min(values) / step - 0.25) * step, math.ceil(max(values) / step + 0.25) * step
    )
    body = "\n".join([*_axes(scale, step), *_lines(points, scale), *_marks(points, scale)])
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-labelledby="plot-title plot-text">\n'
        '<title id="plot-title">RMSE against bits per pixel</title>\n'
        '<desc id="plot-text">The more bits the code has, the smaller the error; '
        "all numbers are in the table.</desc>\n"
        f"{body}\n</svg>"
    )


def _axes(scale: Scale, step: float) -> Iterator[str]:
    value = scale.low
    while value < scale.high + step / 2:
        y = scale.y(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        place = f'x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end"'
        yield f'<text class="tick" {place}>{value:.2f}</text>'
        value += step
    for bits in TICKS:
        x = scale.x(Point("1_1_1", "", bits, 0))
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        yield (
            f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 25}" '
            f'text-anchor="middle">{bits:g}</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield (
        f'<text class="axis" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">'
        "bits per pixel and colour channel</text>"
    )
    yield '<text class="axis" x="2" y="22">RMSE</text>'


def _lines(points: Sequence[Point], scale: Scale) -> Iterator[str]:
    """The published points of one encoder and layout are joined."""
    for encoder in ("random", "pretrained"):
        for layout in ("equal", "doubling"):
            joined = sorted(
                (p.bits, p)
                for p in points
                if p.encoder == encoder and p.layout == layout and not p.measured
            )
            if len(joined) > 1:
                places = " ".join(f"{scale.x(p):.1f},{scale.y(p.rmse):.1f}" for _, p in joined)
                yield f'<polyline class="line {encoder} {layout}" points="{places}"/>'


def _marks(points: Sequence[Point], scale: Scale) -> Iterator[str]:
    for point in sorted(points, key=lambda p: p.measured):
        x, y = scale.x(point), scale.y(point.rmse)
        kind = "measured" if point.measured else "published"
        label = (
            f"{point.arch}, {point.encoder} encoder, {kind}: RMSE {point.rmse:.4f} "
            f"at {point.bits:g} bits per pixel"
        )
        yield (
            f'<g class="mark {point.encoder} {kind}"><title>{escape(label)}</title>'
            f"{mark(point.layout, x, y)}</g>"
        )


def mark(layout: str, x: float, y: float) -> str:
    """A circle for equal levels, a triangle for doubling ones."""
    if layout == "equal":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5"/>'
    corners = ((0, -7), (6.5, 5), (-6.5, 5))
    return f'<path d="M{"L".join(f"{x + dx:.1f} {y + dy:.1f}" for dx, dy in corners)}Z"/>'
