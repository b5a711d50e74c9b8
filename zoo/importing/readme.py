"""The front matter of a Caffe Model Zoo `readme.md`: what its author says of a model.

---
name: BVLC CaffeNet Model
caffemodel: bvlc_reference_caffenet.caffemodel
caffemodel_url: http://dl.caffe.berkeleyvision.org/bvlc_reference_caffenet.caffemodel
license: unrestricted
sha1: 4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46
caffe_commit: 709dc15af4a06bebda027c1eb2b3f3e3375d5077
---
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from prototxt.errors import ZooError
from prototxt.files import read_lines

__all__ = ["Readme", "read_readme"]

NAMES = ("readme.md", "readme.markdown", "readme.txt", "readme")
FIELD = re.compile(r"([A-Za-z_][\w-]*)\s*:\s*(.*?)\s*$")
LONGEST = 400
"""Characters of a value: what is longer is no name and no address."""


@dataclass(frozen=True)
class Readme:
    """What stands in it: the front matter by key, in lower case, and the text after it."""

    path: Path
    fields: dict[str, str] = field(default_factory=dict)
    text: str = ""

    def get(self, *keys: str) -> str:
        """The first of some fields that is there; empty where none is."""
        return next((self.fields[key] for key in keys if self.fields.get(key)), "")


def read_readme(folder: Path) -> Readme | None:
    """That of a folder; None where there is none, or it is no text."""
    for path in sorted(folder.iterdir()):
        if path.name.lower() in NAMES and path.is_file():
            try:
                lines = read_lines(path, "a text")
            except ZooError:
                return None
            return parsed(path, lines)
    return None


def parsed(path: Path, lines: list[str]) -> Readme:
    """The parts of a text."""
    if not lines or lines[0].strip() != "---":
        return Readme(path, {}, "\n".join(lines))
    end = next((i for i, line in enumerate(lines[1:], 1) if line.strip() in ("---", "...")), 0)
    found: dict[str, str] = {}
    for line in lines[1:end]:
        if match := FIELD.match(line):
            value = match[2].strip("\"'")
            if value and len(value) <= LONGEST and value.isprintable():
                found[match[1].lower()] = value
    return Readme(path, found, "\n".join(lines[end + 1 :]).strip())
