"""The figures of docs/speed.md are those of benchmarks/*.json, which `zoo bench -o` writes."""

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES = (ROOT / "docs/speed.md").read_text().splitlines()


def figures(suite: str) -> list[dict[str, Any]]:
    return json.loads((ROOT / f"benchmarks/{suite}.json").read_text())["rows"]


def found(rows: list[dict[str, Any]], contestant: str, **where: Any) -> dict[str, Any] | None:
    for row in rows:
        named = row["contestant"].startswith(contestant)
        if named and all(row[key] == value for key, value in where.items()):
            return row
    return None


def line(*cells: object) -> str:
    return " ".join(f"| {cell}" if cell != "" else "|" for cell in cells) + " |"


NETWORKS = ("8_8_8", "16_16_16", "32_32_32", "64_64_64", "caffenet")
RUNS = sorted({(r["network"], r["batch"]) for r in figures("run") if r["network"] in NETWORKS})


@pytest.mark.parametrize(("network", "batch"), RUNS)
def test_inference(network: str, batch: int) -> None:
    rows = figures("run")

    def milliseconds(contestant: str) -> str:
        row = found(rows, contestant, network=network, batch=batch)
        return f"{1000 * row['seconds']:.1f}" if row and row["seconds"] else ""

    ours = found(rows, "ONNX Runtime, zoo convert", network=network, batch=batch)
    assert ours is not None
    names = ["ONNX Runtime, opened", "ONNX Runtime, portable", "ONNX Runtime, naive", "OpenVINO"]
    names += ["torch, compiled", "torch, eager", "OpenCV"]
    cells = [f"`{network}`", batch, milliseconds("ONNX Runtime, zoo convert")]
    cells += [f"{ours['share_of_peak']:.0%}".replace("%", " %"), *map(milliseconds, names)]
    assert line(*cells) in LINES


CUDA = sorted({(row["network"], row["batch"]) for row in figures("cuda")})


@pytest.mark.parametrize(("network", "batch"), CUDA)
def test_on_a_gpu(network: str, batch: int) -> None:
    rows = figures("cuda")
    names = ("zoo convert", "naive export")
    ours, naive = (found(rows, name, network=network, batch=batch) for name in names)
    assert ours and naive
    cells = [f"`{network}`", batch, f"{1000 * ours['seconds']:.2f}"]
    cells += [f"{ours['images_per_second']:,.0f}", f"{1000 * naive['seconds']:.2f}"]
    assert line(*cells) in LINES


@pytest.mark.parametrize("cache", ["warm", "cold"])
@pytest.mark.parametrize("network", ["vgg16", "vgg16, wide"])
def test_conversion(network: str, cache: str) -> None:
    rows = figures("convert")
    ours = found(rows, "zoo convert", network=network, cache=cache)
    copy = found(rows, "copy", network=network, cache=cache)
    assert ours is not None and copy is not None
    cells = [network, f"{ours['bytes'] / 2**20:,.0f}", cache, f"{copy['seconds']:.2f}"]
    cells += [f"{ours['seconds']:.2f}", f"{ours['ratio']:.2f}", f"{ours['peak_rss'] / 2**20:.0f}"]
    assert line(*cells) in LINES
    assert ours["within"]


@pytest.mark.parametrize("network", ["8_8_8", "16_16_16", "32_32_32", "64_64_64"])
def test_training(network: str) -> None:
    rows = figures("train")
    names = ("zoo train, switches kept", "zoo train, switches computed", "torch rebuild")
    kept, computed, torch = (found(rows, name, network=network) for name in names)
    assert kept and computed and torch
    cells = [f"`{network}`", f"{kept['images_per_second']:,.0f}", f"{kept['times_floor']:.1f}"]
    cells += [f"{row['images_per_second']:,.0f}" for row in (computed, torch)]
    assert line(*cells) in LINES
