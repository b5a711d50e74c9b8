"""The picture of a training: loss over iterations, from its metrics.jsonl."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.figures import new_figure, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_curve", "read_metrics", "smoothed"]

WINDOW = 0.08
"""Share of a curve's points that each point of the smoothed one is the mean of."""

LOGARITHMIC = 5.0
"""From this ratio of the greatest loss to the least on the axis is logarithmic."""


def read_metrics(log: Path, kind: str = "train") -> list[dict[str, Any]]:
    """The rows of a kind; a last line that was cut short is left out."""
    rows = []
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if row.get("kind") == kind:
            rows.append(row)
    return rows


def smoothed(values: Sequence[float], share: float = WINDOW) -> np.ndarray:
    """Means over a window about each point: as many values.

    It narrows towards the first point, which a curve begins with; at the end it is cut off.
    """
    half = round(len(values) * share / 2)
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, np.float64))])
    places = np.arange(len(values))
    before = np.minimum(half, places)
    after = np.minimum(before, places[::-1])
    return np.asarray((sums[places + after + 1] - sums[places - before]) / (before + after + 1))


def test_losses(
    rows: Sequence[Mapping[str, float]], tests: Sequence[Mapping[str, float]]
) -> Iterator[list[tuple[float, float]]]:
    """(iteration, loss) of each test network that has a loss, of which `tests` has the weights.

    Where there are several, each has a row of every iteration that was tested, in their order.
    """
    found: list[list[tuple[float, float]]] = [[] for _ in tests]
    seen: Counter[float] = Counter()
    for row in rows:
        number = seen[row["iteration"]]
        seen[row["iteration"]] += 1
        weights = tests[number] if number < len(tests) else {}
        if weights and all(name in row for name in weights):
            loss = sum(weight * row[name] for name, weight in weights.items())
            found[number].append((row["iteration"], loss))
    yield from filter(None, found)


def draw_curve(
    log: Path,
    output: Path,
    title: str,
    tests: Sequence[Mapping[str, float]] = (),
    held_out: float | None = None,
) -> bool:
    """Write a PNG of the losses that a log tells; False where it tells of fewer than two.

    Pale what was measured, over it the mean of its neighbours; then the tests' losses, by the
    weights of each test network (`tests`). Where the log tells the RMSE of a reconstruction, that
    is drawn instead, on other images too, and `held_out`, that RMSE at the end.
    """
    rows = read_metrics(log)
    if len(rows) < 2:
        return False
    figure = new_figure(6.8, 4.2)
    axes = figure.add_subplot()
    measure = "rmse" if "rmse" in rows[0] else "loss"
    iterations = [row["iteration"] for row in rows]
    values = [row[measure] for row in rows]
    axes.plot(iterations, values, color="#4c72b0", alpha=0.3, linewidth=0.8)
    axes.plot(iterations, smoothed(values), color="#4c72b0", linewidth=1.6, label="training")
    shown = [*values]
    for number, points in enumerate(test_losses(read_metrics(log, "test"), tests)):
        axes.plot(*zip(*points, strict=True), color="#dd8452", linewidth=1.2, marker="o",
                  markersize=3, linestyle=("-", "--", ":")[number % 3],
                  label="test" if len(tests) == 1 else f"test {number + 1}")  # fmt: skip
        shown += [value for _, value in points]
    if tested := read_metrics(log, "held_out"):
        points = [(row["iteration"], row["rmse"]) for row in tested]
        axes.plot(*zip(*points, strict=True), color="#dd8452", linewidth=1.2)
        shown += [value for _, value in points]
    if held_out is not None:
        label = f"held out: {held_out:.4f}"
        axes.plot(
            iterations[-1:], [held_out], color="#dd8452", marker="o", linestyle="", label=label
        )
        shown.append(held_out)
    name = "RMSE, pixels in [0,1]" if measure == "rmse" else "loss"
    axes.set(xlabel="iteration", ylabel=name, title=title)
    plain_numbers(axes, shown)
    axes.grid(True, which="both", linewidth=0.3)
    axes.legend(fontsize=8)
    write_figure(figure, output, dpi=120)
    return True


def plain_numbers(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis where the values call for one; its numbers are written out, too."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    least, most = min(values), max(values)
    if least <= 0 or most < LOGARITHMIC * least:
        axes.set_ylim(bottom=min(0.0, least))
        return
    axes.set_yscale("log")
    decades = math.log10(most / least)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 4 else (1,)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
