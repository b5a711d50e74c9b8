"""Figures of matplotlib: drawn without a screen, written whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from prototxt.files import atomic_write

from .processes import private_caches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["encoded", "new_figure", "write_figure"]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches, laid out so that nothing overlaps."""
    private_caches()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def encoded(figure: Figure, dpi: int = 130) -> bytes:
    """It as a PNG."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dpi)
    return content.getvalue()


def write_figure(figure: Figure, path: Path, dpi: int = 130) -> None:
    """Write it as a PNG."""
    atomic_write(path, encoded(figure, dpi))
