"""The table of docs/guides/convert.md is that of benchmarks/precision.json."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.docs.blocks import ROOT

LINES = (ROOT / "docs/guides/convert.md").read_text().splitlines()
ROWS = json.loads((ROOT / "benchmarks/precision.json").read_text())["rows"]


def line(row: dict[str, Any]) -> str:
    """A row of the table: a figure in float32, then in fewer bits."""
    form = ".5f" if row["measure"] == "rmse" else "d"
    size, taken, fewer = row["bytes"], row["milliseconds"], row["precision"]
    cells = [
        f"`{row['network']}`" if row["measure"] == "rmse" else row["network"],
        fewer,
        f"{row['layers'] - row['kept']} of {row['layers']}",
        f"{row['float32']:{form}}, {row['value']:{form}}",
        f"{size['float32'] / 1024:,.0f}, {size[fewer] / 1024:,.0f}",
        f"{taken['float32']:.1f}, {taken[fewer]:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['network']}-{row['precision']}")
def test_a_row(row: dict[str, Any]) -> None:
    assert line(row) in LINES
    assert row["flipped"] == 0
    points = {"float16": 0.5, "int8": 7.5}[row["precision"]]  # of 500: 0.1 and 1.5 in a hundred
    assert abs(row["value"] - row["float32"]) <= (0.0005 if row["measure"] == "rmse" else points)
