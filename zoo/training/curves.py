"""The picture of a training: loss over iterations, from its metrics.jsonl."""

from __future__ import annotations

import json
from pathlib import Path

from zoo.figures import new_figure, write_figure

__all__ = ["draw_curve", "read_metrics"]


def read_metrics(log: Path) -> list[dict[str, float]]:
    """The rows of kind ``train``; a last line that was cut short is left out."""
    rows = []
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if row.get("kind") == "train":
            rows.append(row)
    return rows


def draw_curve(log: Path, output: Path, title: str) -> bool:
    """Write a PNG of the losses that a log tells; False where it tells of fewer than two."""
    rows = read_metrics(log)
    if len(rows) < 2:
        return False
    figure = new_figure(6.4, 4)
    axes = figure.add_subplot()
    iterations = [row["iteration"] for row in rows]
    smoothed = "smoothed_loss" if "smoothed_loss" in rows[0] else "loss"
    axes.plot(iterations, [row[smoothed] for row in rows], linewidth=1.2)
    positive = all(row[smoothed] > 0 for row in rows)
    axes.set(xlabel="iteration", ylabel="loss", title=title, yscale="log" if positive else "linear")
    axes.grid(True, which="both", linewidth=0.3)
    write_figure(figure, output, dpi=120)
    return True
