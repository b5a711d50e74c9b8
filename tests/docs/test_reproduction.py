"""docs/reproduction.md has the numbers of benchmarks/reproduction.json."""

from __future__ import annotations

import json

from tests.docs.blocks import ROOT
from zoo.reproduction import report
from zoo.reproduction.inputs import NAMES
from zoo.reproduction.items import SOURCES

PAGE = (ROOT / "docs/reproduction.md").read_text()
FOUND = json.loads((ROOT / "benchmarks/reproduction.json").read_text())


def test_the_table_of_published_numbers() -> None:
    assert report.table(report.COLUMNS, report.compared(FOUND), (2, 3)) in PAGE
    assert f"{report.summary(FOUND)}." in PAGE


def test_what_data_there_are() -> None:
    for name, text in NAMES.items():
        assert f"| `{name}` | {text} |" in PAGE


def test_what_the_small_network_learned() -> None:
    """The row of its training is that of its learning curves."""
    (item,) = [item for item in FOUND["items"] if item["id"] == "deconvnet-learning"]
    right, five, _, tested, trained = (number["ours"] for number in item["numbers"])
    cells = f"{trained:.2f} | {tested:.2f} | {right:.1%} | {five:.1%}".replace("%", " %")
    assert any(
        line.startswith("| deconvnet |") and line.endswith(f"| {cells} |")
        for line in PAGE.splitlines()
    )


def test_what_is_left_out() -> None:
    for source in SOURCES.values():
        for text in source.left_out:
            assert text in PAGE.replace("\n  ", " ")
