"""loss.png, and how often a solver tells how it goes."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults.commands import make_solver
from zoo.training import curves
from zoo.training.solver import is_told, spacing


@pytest.fixture
def drawn(monkeypatch) -> list[Any]:
    """The figures that are written, as matplotlib has them."""
    found: list[Any] = []
    write = lambda figure, *_, **__: found.append(figure)  # noqa: E731
    monkeypatch.setattr(curves, "write_figure", write)
    return found


def log(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "metrics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"kind": "tra')
    return path


def training(losses: np.ndarray) -> list[dict[str, Any]]:
    return [
        {"kind": "train", "iteration": i, "loss": float(loss), "smoothed_loss": 9.0}
        for i, loss in enumerate(losses)
    ]


def test_a_curve_is_smoothed() -> None:
    noisy = np.tile([0.0, 2.0], 50)
    smooth = curves.smoothed(noisy, 0.1)
    assert len(smooth) == 100 and smooth[0] == 0.0
    assert np.abs(smooth[10:] - 1).max() < 0.2
    # Means of a window: a straight line stays one but at its end.
    line = np.arange(100.0)
    assert np.allclose(curves.smoothed(line, 0.1)[:95], line[:95])
    assert np.array_equal(curves.smoothed(line, 0.001), line)


def test_training_and_tests_are_drawn(drawn, tmp_path) -> None:
    """Two test networks, of which each has a row; one without a loss is left out."""
    losses = np.geomspace(2, 0.02, 100) * np.tile([0.8, 1.2], 50)
    tests = [
        {"kind": "test", "iteration": i, **values}
        for i in (0, 50)
        for values in ({"a": 1.0 + i, "b": 2.0}, {"accuracy": 0.5}, {"loss": 0.25})
    ]
    weights = [{"a": 1.0, "b": 0.5}, {}, {"loss": 1.0}]
    path = log(tmp_path, [*training(losses), *tests])
    assert curves.draw_curve(path, tmp_path / "loss.png", "net", weights)
    (axes,) = drawn[0].axes
    raw, smooth, first, second = axes.lines
    assert np.array_equal(raw.get_ydata(), losses)
    assert np.allclose(smooth.get_ydata(), curves.smoothed(losses))
    assert first.get_xydata().tolist() == [[0, 2], [50, 52]]
    assert second.get_xydata().tolist() == [[0, 0.25], [50, 0.25]]
    drawn[0].canvas.draw()
    numbers = [label.get_text() for label in axes.get_yticklabels()]
    assert axes.get_yscale() == "log"
    assert {"0.05", "0.1", "0.5", "1"} <= set(numbers) and not any("$" in n for n in numbers)


def test_large_numbers_are_written_out(drawn, tmp_path) -> None:
    path = log(tmp_path, training(np.geomspace(2_000_000, 150_000, 50)))
    assert curves.draw_curve(path, tmp_path / "loss.png", "net")
    drawn[0].canvas.draw()
    labels = [label.get_text() for label in drawn[0].axes[0].get_yticklabels()]
    assert "200,000" in labels and "1,000,000" in labels


def test_a_reconstruction_is_drawn_by_its_rmse(drawn, tmp_path) -> None:
    rows = [
        {"kind": "train", "iteration": 100 * i, "loss": 0.01 / i, "rmse": 0.1 / i}
        for i in range(1, 4)
    ]
    assert curves.draw_curve(log(tmp_path, rows), tmp_path / "x.png", "8_8_8", held_out=0.07)
    (axes,) = drawn[0].axes
    assert axes.lines[0].get_ydata() == pytest.approx([0.1, 0.05, 0.1 / 3])
    assert axes.lines[2].get_xydata().tolist() == [[300, 0.07]]
    assert axes.get_yscale() == "linear" and axes.get_ylim()[0] == 0


def test_one_row_is_no_curve(tmp_path) -> None:
    assert not curves.draw_curve(log(tmp_path, training(np.ones(1))), tmp_path / "x.png", "net")
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("length", [30, 60, 400, 5_000, 50_000, 200_000, 450_000])
def test_lines_are_as_many_whatever_the_length(length: int) -> None:
    told = [i for i in range(length) if is_told(i, length, 0)]
    assert 20 <= len(told) <= 57  # an even step, and the powers of ten before it
    assert told[0] == 0 and told[1] <= 2
    steps = {b - a for a, b in itertools.pairwise(told) if a >= spacing(length)}
    assert max(steps) == spacing(length)


def test_a_display_is_obeyed() -> None:
    assert [i for i in range(10) if is_told(i, 10, 4)] == [0, 4, 8]


def test_the_command_tells_and_logs(zoo, tmp_path) -> None:
    """Without `display` a few lines, and every iteration in the log; with it as many as it says."""
    words = make_solver(tmp_path)
    solver = tmp_path / "solver.prototxt"
    text = solver.read_text().replace("max_iter: 40", "max_iter: 120")
    for display, told, logged in (("", 25, 120), ("display: 30", 4, 4)):
        solver.write_text(text.replace("display: 3", display))
        (tmp_path / "io.npz").unlink(missing_ok=True)
        rng = np.random.default_rng(0)
        data = rng.normal(size=(120, 4, 1, 8, 8)).astype(np.float32)
        label = rng.integers(5, size=(120, 4)).astype(np.float32)
        np.savez(tmp_path / "io.npz", data=data, label=label)
        lines = zoo(*words, "-o", tmp_path / f"out{told}").out.splitlines()
        shown = [line for line in lines if ", loss = " in line and "test" not in line]
        assert len(shown) == told
        assert sum("test: " in line for line in lines) == 18
        rows = (tmp_path / f"out{told}/metrics.jsonl").read_text().splitlines()
        assert sum(json.loads(row)["kind"] == "train" for row in rows) == logged
        assert (tmp_path / f"out{told}/loss.png").is_file()
