"""What the pages of the four papers show of reports that `zoo reproduce` made.

    python -m docs.report FULL SAMPLES

FULL, of all data, gives benchmarks/reproduction.json and the table in docs/reproduction.md.
SAMPLES, of the photographs that come along, gives docs/pictures.md and its pictures in
docs/images/reproduction.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import prototxt
from prototxt.opencv import cv2
from zoo.reproduction import report

DOCS = Path(__file__).parent
TABLE = DOCS / "reproduction.md"
FULL = DOCS.parent / "benchmarks/reproduction.json"
PICTURES = DOCS / "pictures.md"
FOLDER = DOCS / "images/reproduction"

WIDEST = 1000
"""Pixels of a picture."""
QUALITY = 78
"""Of its WebP."""
MOST = 2
"""Pictures of an item."""

ABOUT = """# Pictures of four papers

What `zoo reproduce` draws of the sample photographs that come with the package, a picture or two of
each figure. The numbers are in [Four papers, reproduced](reproduction.md).

"""


def table(found: Mapping[str, Any]) -> str:
    """The section of docs/reproduction.md that a report fills."""
    lines = report.table(report.COLUMNS, report.compared(found), (2, 3))
    return f"## Published and ours\n\n{report.summary(found)}.\n\n{lines}\n\n"


def fill_table(found: Mapping[str, Any]) -> None:
    """Put a report's numbers into docs/reproduction.md."""
    text = TABLE.read_text(encoding="utf-8")
    before, _, rest = text.partition("## Published and ours\n")
    _, _, after = rest.partition("\nA number is met where")
    prototxt.atomic_write(TABLE, f"{before}{table(found)}A number is met where{after}")


def shrink(source: Path, name: str) -> None:
    """A picture as a small WebP."""
    picture = cv2.imread(str(source))
    height, width = picture.shape[:2]
    if width > WIDEST:
        size = (WIDEST, round(height * WIDEST / width))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    coded = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1]
    (FOLDER / name).write_bytes(coded.tobytes())


def draw(folder: Path) -> None:
    """Write docs/pictures.md and its pictures, those of `folder`."""
    found = json.loads((folder / report.STATE).read_text(encoding="utf-8"))
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.webp"):
        old.unlink()
    parts = []
    for source, items in report.by_source(found):
        parts.append(f"## {source.title}")
        for item in items:
            parts += [f"### {item['number']}: {item['title']}", item["command"]]
            for picture in item["pictures"][:MOST]:
                name = f"{Path(picture['file']).stem}.webp"
                shrink(folder / picture["file"], name)
                parts.append(f"![{picture['caption']}](images/reproduction/{name})")
                parts.append(f"*{picture['caption']}*")
    prototxt.atomic_write(PICTURES, ABOUT + "\n\n".join(parts) + "\n")


if __name__ == "__main__":
    full, samples = map(Path, sys.argv[1:])
    numbers = json.loads((full / report.STATE).read_text(encoding="utf-8"))
    prototxt.atomic_write(FULL, json.dumps(numbers, indent=1) + "\n")
    fill_table(numbers)
    draw(samples)
