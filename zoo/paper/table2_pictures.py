"""The pictures of Table II: RMSE against bits per pixel, and what the networks rebuild."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.figures import new_figure, write_figure
from zoo.paper import architectures

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from zoo.paper.reconstruction import Reconstruction
    from zoo.paper.table2_rows import Row

SERIES = (
    ("published, pretrained", "pretrained", "published", "^", "#8c8c8c"),
    ("published", "random", "published", "o", "#4c72b0"),
    ("authors' weights, here", "random", "converted", "s", "#dd8452"),
    ("ours", "random", "ours", "D", "#3d8f57"),
    ("ours, learned switches", "random", "learned", "*", "#8172b3"),
)
"""Label, the rows' encoder, their field, marker and colour of each line."""

TITLES = {
    "equal": "as many channels in each level",
    "doubling": "twice as many in each deeper level",
}
APART = 0.005
"""RMSE between two labels, so that neither covers the other."""


def plot(table: Sequence[Row], path: Path) -> None:
    """Write `figure` as a PNG."""
    write_figure(figure(table), path)


def figure(table: Sequence[Row]) -> Figure:
    """RMSE against bits per pixel: a line for each series, the number at each point.

    Networks with as many channels in each level stand left, those that double them right.
    """
    drawing = new_figure(11, 6)
    panels = drawing.subplots(1, 2, sharey=True)
    series: dict[str, Any] = {}
    for axes, (layout, title) in zip(panels, TITLES.items(), strict=True):
        rows = [row for row in table if architectures.layout(row.arch) == layout]
        labels: dict[float, list[tuple[float, str]]] = {}
        for label, encoder, name, marker, colour in SERIES:
            points = [
                (row.bits_per_pixel, getattr(row, name)) for row in rows if row.encoder == encoder
            ]
            if all(value is None for _, value in points):
                continue
            (series[label],) = axes.plot(
                [bits for bits, _ in points],
                # No line across what was not measured.
                [math.nan if value is None else value for _, value in points],
                marker=marker,
                label=label,
                color=colour,
                markersize=8 if marker == "*" else 5,
                linewidth=1.2,
            )
            for bits, value in points:
                if value is not None:
                    labels.setdefault(bits, []).append((value, colour))
        for bits, found in labels.items():
            _label(axes, bits, found)
        ticks = {row.bits_per_pixel: row.arch.replace("_", ", ") for row in rows}
        axes.set(xscale="log", xlabel="channels; bits per pixel and colour channel", title=title)
        axes.set_xticks([*ticks], [f"{arch}\n{bits:g}" for bits, arch in ticks.items()])
        axes.minorticks_off()
        if ticks:
            axes.set_xlim(min(ticks) / 1.2, max(ticks) * 1.5)
        axes.set_ylim(bottom=0)
        axes.grid(linewidth=0.3)
    panels[0].set(ylabel="RMSE, pixels in [0,1]")
    panels[1].legend(handles=[*series.values()], fontsize=8)
    return drawing


def _label(axes: Any, bits: float, found: Sequence[tuple[float, str]]) -> None:
    """The figures of all points above one number of bits, right of them, none over another."""
    from matplotlib.patheffects import withStroke

    least = 0.0
    for value, colour in sorted(found):
        place = max(value, least)
        least = place + APART
        axes.annotate(
            f"{value:.4f}".removeprefix("0"),
            (bits, place),
            xytext=(7, 4),
            textcoords="offset points",
            verticalalignment="center",
            fontsize=8,
            color=colour,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
            zorder=4,
        )


def sheets(drawn: Mapping[str, Sequence[Reconstruction]]) -> list[np.ndarray]:
    """What each network rebuilds: a sheet for each image, H×W×3 uint8 BGR.

    `drawn` has the same images by each network, by its name. A row is of one number of bits per
    pixel: the original first, then each picture with its network and RMSE beneath.
    """
    import runtime

    budgets: dict[float, list[str]] = {}
    for name in drawn:
        bits = architectures.bits_per_pixel(architectures.arch_of(name))
        budgets.setdefault(bits, []).append(name)
    made = []
    for number, first in enumerate(next(iter(drawn.values()), ())):
        rows = []
        for bits, names in sorted(budgets.items()):
            row = [(first.original, f"original; {bits:g} bits per pixel:")]
            for name in sorted(names, key=_by_encoder):
                found = drawn[name][number]
                row.append((found.image, f"{name}: RMSE {found.rmse:.4f}"))
            rows.append(row)
        made.append(runtime.captioned_grid(rows))
    return made


def _by_encoder(name: str) -> bool:
    """Random encoders first."""
    return name != architectures.arch_of(name)
