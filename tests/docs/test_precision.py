"""The table of docs/guides/convert.md is that of benchmarks/precision.json, and so are its words.

`zoo bench --suite precision -o benchmarks` writes both of the latter.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.docs.blocks import ROOT
from zoo.benchmarks import report

TEXT = (ROOT / "docs/guides/convert.md").read_text()
LINES = TEXT.splitlines()
FOUND = json.loads((ROOT / "benchmarks/precision.json").read_text())
ROWS = FOUND["rows"]
POINTS = {"float16": 0.001, "int8": 0.015}
"""How much less of the images may be classified right."""


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    share = row["measure"] == "top-1"
    cells = [
        f"`{row['network']}`",
        row["precision"],
        f"{row['layers'] - row['kept']} of {row['layers']}",
        f"{row['measure']} {row['value']:.1%}".replace("%", " %")
        if share
        else f"{row['measure']} {row['value']:.5f}",
        "",
        f"{row['bytes'] / 1024:,.0f}",
        f"{1000 * row['seconds']:.1f}",
        f"{row['ratio']:.2f}",
        "",
    ]
    if row["precision"] != "float32":
        cells[4] = f"{100 * row['change']:+.1f} points" if share else f"{row['change']:+.5f}"
        cells[8] = f"{row['largest']:.3g}, {row['mean']:.2g}"
    return " ".join(f"| {cell}" if cell else "|" for cell in cells) + " |"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['network']}-{row['precision']}")
def test_a_row(row: dict[str, Any]) -> None:
    assert line(row) in LINES
    if row["precision"] == "float32":
        return
    assert row["flipped"] == 0
    if row["measure"] == "RMSE":
        assert row["switches"] > 0 and abs(row["change"]) <= 0.0005
    else:
        assert row["change"] >= -POINTS[row["precision"]]


def test_without_vnni() -> None:
    rows = json.loads((ROOT / "benchmarks/precision_avx2.json").read_text())["rows"]
    for row in rows:
        if row["precision"] == "int8":
            share = row["measure"] == "top-1"
            change = f"{100 * row['change']:+.1f} points" if share else f"{row['change']:+.5f}"
            assert f"| `{row['network']}` | {change} | {row['ratio']:.2f} |" in LINES
            assert row["flipped"] == 0


def test_on_which_images() -> None:
    settings = FOUND["settings"]
    images, others = settings["images"], settings["calibration_images"]
    stated = f"over {images} photographs, calibrated on {others} others"
    assert stated in " ".join(TEXT.split())


def test_the_page_is_that_of_the_figures() -> None:
    assert (ROOT / "benchmarks/precision.md").read_text() == report.markdown(FOUND)
