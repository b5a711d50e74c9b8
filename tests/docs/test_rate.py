"""The table of docs/guides/switches.md is that of benchmarks/rate.json."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.docs.blocks import ROOT
from zoo.paper.formats import FORMATS

LINES = (ROOT / "docs/guides/switches.md").read_text().splitlines()
FOUND = json.loads((ROOT / "benchmarks/rate.json").read_text())
ROWS = FOUND["rows"]


def quality(measured: dict[str, Any]) -> str:
    if not measured["rmse"]:
        return "lossless"
    return f"{measured['rmse']:.4f} / {measured['psnr']:.1f} / {measured['ssim']:.3f}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["arch"])
def test_a_row(row: dict[str, Any]) -> None:
    bits = row["bits_per_pixel_and_channel"]
    cells = [row["arch"], f"{bits['fixed']:g}", f"{bits['entropy']:.2f}", f"{bits['coded']:.2f}"]
    cells += [quality(row[name]) for name in ("switches", "jpeg", "webp")]
    assert f"| {' | '.join(cells)} |" in LINES


@pytest.mark.parametrize("name", FOUND["against_jpeg"])
def test_bjontegaard(name: str) -> None:
    shown = FORMATS[name].name if name in FORMATS else name
    found = FOUND["against_jpeg"][name]
    assert f"| {shown} | {found['rate']:+.0f} % | {found['psnr']:+.1f} dB |" in LINES
