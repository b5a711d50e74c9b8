"""What `zoo eval --report DIR` writes: report.md for people, report.json for programs, pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from prototxt.files import Content, write_folder
from prototxt.shapes import shape_text
from zoo.formatting import printable
from zoo.paper.reconstruction import picture, reconstruct
from zoo.prediction.items import free_name

if TYPE_CHECKING:
    from prototxt.preprocessing import Preprocessing, Size
    from runtime import Evaluation, Model

PAIRS = 8
"""How many images are drawn: the first ones that could be read."""


def write_report(
    folder: Path,
    result: Mapping[str, Any],
    outcome: Evaluation,
    images: Sequence[Any],
    model: Model,
    how: Preprocessing,
    size: Size,
) -> list[Path]:
    """Write the report of one evaluation; returns its files, report.md first.

    `images` are what was evaluated, as `runtime.evaluate` took it, resized to `size`.
    """
    import runtime
    from runtime.pictures import png

    mean = how.mean_values(3)
    skipped = {str(name) for name, _ in outcome.skipped}
    taken: set[str] = set()
    drawn: list[tuple[str, float, Path]] = []
    pictures: list[tuple[Path, Content]] = []
    for item in images:
        if len(drawn) == PAIRS:
            break
        named = isinstance(item, tuple)
        name = item[0] if named else Path(item).name
        if (name if named else str(item)) in skipped or name in skipped:
            continue
        found = reconstruct(model, runtime.pixels(item), mean, size)
        path = folder / f"{free_name(Path(name).stem, taken)}.png"
        pictures.append((path, png(picture(found, result["arch"]))))
        drawn.append((name, found.rmse, path))
    report, data = folder / "report.md", folder / "report.json"
    per_image = [{"name": str(name), "rmse": rmse} for name, rmse in outcome.per_image]
    whole = {**result, "per_image": per_image, "left_out": [list(s) for s in outcome.skipped]}
    text = json.dumps(whole, indent=2, default=str) + "\n"
    write_folder(folder, [(report, _markdown(result, outcome, drawn)), (data, text), *pictures])
    return [report, data, *(path for _, _, path in drawn)]


def _markdown(
    result: Mapping[str, Any], outcome: Evaluation, drawn: Sequence[tuple[str, float, Path]]
) -> str:
    rows = [
        ("RMSE", f"{result['rmse']:.4f}"),
        ("published", result["published"]),
        ("bits per pixel and channel", result["bits_per_pixel"]),
        ("arch", result["arch"]),
        ("images", result["images"]),
        ("size", shape_text(result["size"])),
        ("data", result["data"]),
        ("model", result["model"]),
        ("provider", result["provider"]),
    ]
    lines = [f"# Reconstruction by {_cell(result['arch'] or result['model'])}", "", "| | |"]
    lines.append("| --- | --- |")
    lines += [f"| {name} | {_cell(value)} |" for name, value in rows if value is not None]
    lines += ["", *(f"- {note}" for note in result["notes"])]
    lines += [f"- left out: {_cell(name)}: {_cell(reason)}" for name, reason in outcome.skipped]
    lines += ["", "Left the image as the network saw it, right what came back.", ""]
    lines += [
        f"![{_cell(name)}, RMSE {rmse:.4f}]({quote(os.fsencode(path.name))})"
        for name, rmse, path in drawn
    ]
    return "\n".join([*lines, ""])


def _cell(value: object) -> str:
    return printable(str(value)).replace("|", "\\|")
