"""The report of an import: Markdown for people, JSON for programs, one page to look at."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from zoo.formatting import printable

__all__ = ["documents"]

ORDER = ("published", "mended", "unchanged", "refused", "incomplete")
TITLES = {
    "published": "Became models",
    "mended": "Models whose facts were mended",
    "unchanged": "Were models already",
    "refused": "Refused",
    "incomplete": "Incomplete: weights without a definition, definitions without weights",
}
COLUMNS = {
    "published": ("model", "task", "definition", "verified", "notes"),
    "mended": ("model", "task", "definition", "verified", "notes"),
    "unchanged": ("model", "task", "definition", "verified", "notes"),
    "refused": ("file", "why"),
    "incomplete": ("file", "why"),
}
STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0;
  overflow-wrap: anywhere; border-bottom: 1px solid color-mix(in srgb, currentColor 25%, transparent); }
details summary { cursor: pointer; font-size: 1.3rem; font-weight: 600; margin-top: 1.5rem; }
"""


def documents(found: Mapping[str, Any]) -> dict[str, str]:
    """The files of the report by name; `found` is `Import.as_dict`."""
    return {
        "report.json": json.dumps(found, indent=1) + "\n",
        "report.md": markdown(found),
        "report.html": page(found),
    }


def summary(found: Mapping[str, Any]) -> str:
    """How many of what, in a sentence."""
    count = found["count"]
    parts = [f"{count[kind]} {kind}" for kind in ORDER if kind in count]
    solvers = f"; {found['solvers']} solvers passed over" if found["solvers"] else ""
    return ", ".join(parts or ["nothing was found"]) + solvers


def sections(found: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...], list[list[str]]]]:
    """Title, columns and rows of each outcome that is there."""
    for kind in ORDER:
        rows = [row(one, COLUMNS[kind]) for one in found["models"] if one["outcome"] == kind]
        if rows:
            yield f"{TITLES[kind]} ({len(rows)})", COLUMNS[kind], rows


def row(one: Mapping[str, Any], columns: tuple[str, ...]) -> list[str]:
    """The cells of one outcome."""
    checked = one["verified"]
    largest = checked.get("largest")
    cells = {
        "model": one["name"],
        "task": one["task"],
        "definition": Path(one["definition"]).name,
        "verified": f"yes, {largest:.1e}" if checked.get("ok") else f"no: {checked.get('why', '')}",
        "notes": "; ".join(one["notes"]),
        "file": one["weights"] or one["definition"],
        "why": one["why"],
    }
    return [printable(cells[column]) for column in columns]


def markdown(found: Mapping[str, Any]) -> str:
    """For people."""
    lines = ["# Import", "", f"{summary(found)}.", ""]
    for title, columns, rows in sections(found):
        lines += [f"## {title}", "", "| " + " | ".join(columns) + " |"]
        lines.append("|" + " --- |" * len(columns))
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in r) + " |" for r in rows]
        lines.append("")
    return "\n".join(lines)


def page(found: Mapping[str, Any]) -> str:
    """One page, which asks nobody for anything."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Import</title><style>{STYLE}</style></head><body><main><h1>Import</h1>",
        f"<p>{escape(summary(found))}.</p>",
    ]
    for number, (title, columns, rows) in enumerate(sections(found)):
        head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>\n"
            for cells in rows
        )
        shown = " open" if number == 0 or len(rows) <= 30 else ""
        parts.append(f"<details{shown}><summary>{escape(title)}</summary>")
        parts.append(
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></details>"
        )
    return "\n".join([*parts, "</main></body></html>", ""])
