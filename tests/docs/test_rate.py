"""The tables of docs/guides/switches.md are those of rate.json, kodak.json and controls.json."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.docs.blocks import ROOT
from zoo.compression.controls import KINDS
from zoo.paper.formats import FORMATS

LINES = (ROOT / "docs/guides/switches.md").read_text().splitlines()
FOUND, KODAK, CONTROLS = (
    json.loads((ROOT / f"benchmarks/{name}.json").read_text())
    for name in ("rate", "kodak", "controls")
)


def quality(measured: dict[str, Any]) -> str:
    if not measured["rmse"]:
        return "lossless"
    return f"{measured['rmse']:.4f} / {measured['psnr']:.1f} / {measured['ssim']:.3f}"


@pytest.mark.parametrize("row", FOUND["rows"], ids=lambda row: row["arch"])
def test_a_row(row: dict[str, Any]) -> None:
    bits = row["bits_per_pixel_and_channel"]
    cells = [row["arch"], f"{bits['fixed']:g}", f"{bits['entropy']:.2f}", f"{bits['coded']:.2f}"]
    cells += [quality(row[name]) for name in ("switches", "jpeg", "webp")]
    assert f"| {' | '.join(cells)} |" in LINES


@pytest.mark.parametrize("row", KODAK["rows"], ids=lambda row: row["arch"])
def test_a_row_of_kodak(row: dict[str, Any]) -> None:
    cells = [row["arch"], f"{3 * row['bits_per_pixel_and_channel']['coded']:.3f}"]
    for name in ("switches", "jpeg", "webp", "avif"):
        assert row[name]["images"] == 24
        cells.append(f"{row[name]['psnr']:.2f} / {row[name]['ms_ssim']:.3f}")
    assert f"| {' | '.join(cells)} |" in LINES


@pytest.mark.parametrize("found", [FOUND, KODAK], ids=["rate", "kodak"])
def test_bjontegaard(found: dict[str, Any]) -> None:
    for name, against in found["against_jpeg"].items():
        shown = FORMATS[name].name if name in FORMATS else name
        if against:
            difference = f"{against['rate']:+.0f} % | {against['psnr']:+.1f} dB"
            assert f"| {shown} | {difference} |" in LINES


@pytest.mark.parametrize("name", KINDS)
def test_a_control(name: str) -> None:
    found = CONTROLS["found"][name]
    figures = f"{found['psnr']:.2f} | {found['bits_per_pixel']:.3f} | {found['loss']:.3f}"
    assert any(line.endswith(f"| {figures} |") for line in LINES)
