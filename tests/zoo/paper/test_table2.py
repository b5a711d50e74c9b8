"""`zoo table2`: the table, its plot, and sheets of what the networks rebuild."""

from typing import Any

import numpy as np
import pytest

import runtime
from zoo.paper import architectures, table2_pictures
from zoo.paper.reconstruction import Reconstruction
from zoo.paper.table2_rows import rows


@pytest.fixture
def drawn(monkeypatch) -> list[Any]:
    """The figures that are written, as matplotlib has them."""
    found: list[Any] = []
    monkeypatch.setattr(table2_pictures, "write_figure", lambda figure, _: found.append(figure))
    return found


def test_the_plot_has_lines_and_each_figure(drawn, tmp_path) -> None:
    table = rows()
    for row in table:
        if row.encoder == "random":
            row.ours, row.learned = row.published * 0.8, row.published * 0.5
    table[4].ours = None
    table2_pictures.plot(table, tmp_path / "x.png")
    (figure,) = drawn
    equal, doubling = figure.axes
    for axes, layout in ((equal, "equal"), (doubling, "doubling")):
        here = [row for row in table if architectures.layout(row.arch) == layout]
        values = [
            value
            for row in here
            for value in (row.published, row.ours, row.learned)
            if value is not None
        ]
        labels = [float(text.get_text()) for text in axes.texts]
        assert sorted(labels) == pytest.approx(sorted(values), abs=5e-5)
        ticks = [label.get_text().splitlines()[0] for label in axes.get_xticklabels()]
        assert ticks == [r.arch.replace("_", ", ") for r in here if r.encoder == "random"]
        lines = {line.get_label(): line for line in axes.lines}
        assert set(lines) == {
            "published", "published, pretrained", "ours", "ours, learned switches"
        }  # fmt: skip
        assert all(line.get_linestyle() == "-" for line in lines.values())
        # Labels of one number of bits lie apart.
        for bits in {text.xy[0] for text in axes.texts}:
            places = sorted(text.xy[1] for text in axes.texts if text.xy[0] == bits)
            assert np.diff(places).min(initial=1) > 0.99 * table2_pictures.APART
    gap = next(line for line in equal.lines if line.get_label() == "ours").get_ydata()
    assert np.isnan(gap).tolist() == [False, False, True, False]


def test_a_sheet_for_each_image(monkeypatch) -> None:
    """By bits, the original first; the RMSE beneath each picture."""
    sheets: list[Any] = []
    monkeypatch.setattr(runtime, "captioned_grid", lambda rows: sheets.append(rows) or rows)
    grey = [np.full((128, 128, 3), n, np.uint8) for n in range(6)]
    found = {
        "8_8_8": [Reconstruction(grey[0], grey[1], 0.1), Reconstruction(grey[2], grey[3], 0.2)],
        "8_8_8-learned": [Reconstruction(grey[0], grey[4], 0.05)] * 2,
        "6_12_24": [Reconstruction(grey[0], grey[5], 0.06)] * 2,
        "16_16_16": [Reconstruction(grey[0], grey[5], 0.04)] * 2,
    }
    table2_pictures.sheets(found)
    assert len(sheets) == 2
    first, second = ([[caption for _, caption in row] for row in rows] for rows in sheets)
    assert first == [
        [
            "original; 1.75 bits per pixel:",
            "8_8_8: RMSE 0.1000",
            "6_12_24: RMSE 0.0600",
            "8_8_8-learned: RMSE 0.0500",
        ],
        ["original; 3.5 bits per pixel:", "16_16_16: RMSE 0.0400"],
    ]
    assert second[0][1] == "8_8_8: RMSE 0.2000"
    assert sheets[1][0][0][0] is grey[2] and sheets[1][0][1][0] is grey[3]


@pytest.mark.slow
def test_the_command(zoo, tmp_path) -> None:
    """With one image that is broken: the others are measured and drawn."""
    (tmp_path / "photos").mkdir()
    for name, image in runtime.sample_images()[:2]:
        runtime.write_png(tmp_path / "photos" / f"{name}.png", image[::4, ::4])
    (tmp_path / "photos" / "a.png").write_bytes(b"none")
    run = zoo("table2", "--data", "photos", "-o", "out", "--json")
    assert (run.json["images"], run.json["skipped"]) == (2, 1)
    assert run.err == "warning: photos/a.png: left out: not an image, or a broken one\n"
    names = [f"out/table2.{kind}" for kind in ("md", "json", "png")]
    assert run.json["files"] == [*names, "out/reconstructions-1.png", "out/reconstructions-2.png"]
    sheet = runtime.read_image(tmp_path / "out/reconstructions-1.png")
    assert sheet.shape[0] > 4 * 256 and sheet.shape[1] > 5 * 256
