"""The code blocks of the documentation, and how they are run.

Before a block there may stand

    <!-- parse -->              its commands are not run (long, or for a network); they must exist
    <!-- file: PATH -->         it is the text of that file of the repository
    <!-- write: NAME -->        it is a file that later blocks of the page read
    <!-- output -->             what the block before printed; … stands for whatever it is
    Not run: REASON             in a paragraph that a reader sees

All blocks of a page are run in order in one folder, which has the files that `made.py` makes.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "api"),
]

SHELL = ("sh", "bash")


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    language: str
    text: str
    line: int
    """Of its first line of text, from 1."""
    directive: str = ""
    """``parse``, ``file``, ``write`` or ``output``."""
    argument: str = ""
    not_run: str = ""
    """The reason that a reader is given."""

    @property
    def commands(self) -> list[str]:
        """Of a shell's block: the commands, each on one line, without comments."""
        joined = self.text.replace("\\\n", " ")
        lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
        return [part.strip() for line in lines for part in line.split("&&") if part.strip()]


def blocks(page: Path) -> list[Block]:
    """All blocks of a page that have fences."""
    return list(_blocks(page.read_text(encoding="utf-8").splitlines()))


def _blocks(lines: list[str]) -> Iterator[Block]:
    number = 0
    while number < len(lines):
        match = re.fullmatch(r"( *)```(\w*)", lines[number])
        number += 1
        if not match:
            assert "```" not in lines[number - 1], f"line {number}: a fence of an unknown form"
            continue
        start, indent = number, len(match[1])
        while lines[number].strip() != "```":
            number += 1
        text = "".join(f"{line[indent:]}\n" for line in lines[start:number])
        number += 1
        before = [line.strip() for line in lines[: start - 1]]
        while before and not before[-1]:
            before.pop()
        paragraph = before[-1] if before else ""
        found = re.fullmatch(r"<!-- (parse|file|write|output)(?:: (.+))? -->", paragraph)
        directive, argument = (found[1], found[2] or "") if found else ("", "")
        reason = ""
        if not found:
            while before and before[-1]:
                reason = f"{before.pop()} {reason}"
            reason = reason.strip().strip("*") if reason.startswith("*Not run: ") else ""
        yield Block(match[2], text, start + 1, directive, argument, reason[9:])


def words(command: str) -> list[str]:
    """The words of a shell's command, less where its output goes."""
    return shlex.split(command.partition(" > ")[0])
