"""The report of a reproduction: one page to look at, Markdown for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from zoo.formatting import printable
from zoo.reproduction.items import SOURCES, Source

__all__ = [
    "COLUMNS",
    "STATE",
    "by_source",
    "cells",
    "compared",
    "documents",
    "summary",
    "table",
]

STATE = "report.json"
COLUMNS = ("published in", "what", "published", "ours", "condition", "met?")
SHORT = ("condition", "met?")
STATES = {
    "made": "made",
    "lacking": "not made: it lacks",
    "failed": "failed",
}
STYLE = """
:root { color-scheme: light dark; }
* { box-sizing: border-box; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto;
  padding: 0 1rem; }
h1, h2, h3 { line-height: 1.25; }
h2 { margin-top: 3rem; border-bottom: 1px solid #8885; padding-bottom: .3rem; }
h3 { margin: 2.2rem 0 .4rem; }
table { border-collapse: collapse; width: 100%; margin: .8rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0;
  overflow-wrap: anywhere; border-bottom: 1px solid #8885; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.number, .short { white-space: nowrap; }
.yes { color: light-dark(#1a7f37, #4ac26b); font-weight: 600; }
.no { color: light-dark(#b35900, #e3a04f); font-weight: 600; }
code { background: #8883; border-radius: .25rem; padding: .1rem .3rem;
  overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: .5rem 0; }
dt { opacity: .75; }
dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 1rem 0; }
figure img { display: block; max-width: 100%; height: auto; border: 1px solid #8885; }
figcaption { margin-top: .3rem; opacity: .85; }
details > summary { cursor: pointer; font-size: 1.2rem; font-weight: 600; margin: 1rem 0; }
@media (max-width: 40rem) {
  dl { grid-template-columns: 1fr; }
  dt { margin-top: .4rem; }
  table, tbody { display: block; }
  thead { display: none; }
  tr { display: block; border-bottom: 1px solid #8885; padding: .4rem 0; }
  td, td.number { display: grid; grid-template-columns: 7.5rem 1fr; border: 0; padding: .05rem 0;
    text-align: left; white-space: normal; }
  td::before { content: attr(data-column); opacity: .75; font-weight: 400; color: CanvasText; }
  td:empty { display: none; }
}
"""


def documents(found: Mapping[str, Any]) -> dict[str, str]:
    """The files of the report by name; `found` is `Reproduction.as_dict`."""
    return {
        STATE: json.dumps(found, indent=1) + "\n",
        "report.md": markdown(found),
        "report.html": page(found),
    }


def summary(found: Mapping[str, Any]) -> str:
    """How many tables and figures were made, and how many numbers are met, in a sentence."""
    count, numbers = found["count"], found["numbers"]
    parts = [f"{count.get('made', 0)} of {len(found['items'])} tables and figures made"]
    parts += [f"{count[kind]} {kind}" for kind in ("lacking", "failed") if kind in count]
    met = f"of {numbers['compared']} published numbers that ours stand beside {numbers['met']}"
    return f"{', '.join(parts)}; {met} are met"


def compared(found: Mapping[str, Any]) -> list[list[str]]:
    """Every published number that is at hand, by COLUMNS."""
    return [
        [f"{item['source']}, {item['number']}", *cells(number)]
        for item in found["items"]
        for number in item["numbers"]
        if number["published"] is not None
    ]


def cells(number: Mapping[str, Any]) -> list[str]:
    """A number as text, by COLUMNS but the first."""
    met = {True: "yes", False: "no", None: ""}[number["met"]]
    return [
        printable(number["what"]),
        figure(number["published"], number["digits"]) or "not at hand",
        figure(number["ours"], number["digits"]) or "not made",
        number["condition"],
        met,
    ]


def figure(value: float | None, digits: int) -> str:
    """A number with so many decimals, as far as they say something; empty for None."""
    if value is None:
        return ""
    return f"{value:.{digits}f}" if round(value, digits) or not value else f"{value:.1e}"


def facts(item: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is to be said of an item, name and text; of a command as it is."""
    state = STATES[item["state"]]
    said = f"{state}: {item['why']}" if item["state"] == "failed" else f"{state} {item['why']}"
    if item["state"] == "made":
        said = f"in {item['seconds']:.0f} s, by version {item['version']}"
    pairs = [
        ("made", said),
        ("on", item["data"]),
        ("alone by", item["command"]),
        ("what differs", item["differs"]),
        *(("note", note) for note in item["notes"]),
    ]
    return [(name, printable(text)) for name, text in pairs if text]


def by_source(found: Mapping[str, Any]) -> Iterator[tuple[Source, Sequence[Mapping[str, Any]]]]:
    """The items of each source that there are any of."""
    for name, source in SOURCES.items():
        items = [item for item in found["items"] if item["source"] == name]
        if items:
            yield source, items


def cell(text: str) -> str:
    """A text in a cell of Markdown."""
    return text.replace("|", "\\|")


def table(columns: Sequence[str], lines: Sequence[Sequence[str]], numeric: Sequence[int]) -> str:
    """A table of Markdown; `numeric` are the columns to be set to the right."""
    rule = " | ".join("---:" if n in numeric else "---" for n in range(len(columns)))
    made = [f"| {' | '.join(columns)} |", f"| {rule} |"]
    return "\n".join([*made, *(f"| {' | '.join(map(cell, line))} |" for line in lines)])


def markdown(found: Mapping[str, Any]) -> str:
    """For people."""
    parts = ["# Reproduction", f"{summary(found)}."]
    lines = compared(found)
    if lines:
        parts += ["## Published and ours", table(COLUMNS, lines, (2, 3))]
    for source, items in by_source(found):
        parts += [f"## {source.title}", f"{source.about}."]
        parts += ["\n".join(f"- Left out: {text}." for text in source.left_out)]
        for item in items:
            parts.append(f"### {item['number']}: {item['title']}")
            parts.append("\n".join(f"- {name}: {text}" for name, text in facts(item)))
            if item["numbers"]:
                lines = [cells(number) for number in item["numbers"]]
                parts.append(table(COLUMNS[1:], lines, (1, 2)))
            parts += [f"![{p['caption']}]({p['file']})" for p in item["pictures"]]
    return "\n\n".join(part for part in parts if part) + "\n"


def html_table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of HTML; what is met is coloured."""
    numeric = {n for n, name in enumerate(columns) if name in ("published", "ours")}

    def attributes(place: int, text: str = "") -> str:
        if columns[place] == "met?" and text:
            return f' class="{text}"'
        kind = "number" if place in numeric else "short" if columns[place] in SHORT else ""
        return f' class="{kind}"' if kind else ""

    head = "".join(
        f'<th scope="col"{attributes(n)}>{escape(name)}</th>' for n, name in enumerate(columns)
    )
    body = "\n".join(
        "<tr>"
        + "".join(
            f'<td{attributes(n, text)} data-column="{escape(columns[n])}">{escape(text)}</td>'
            for n, text in enumerate(line)
        )
        + "</tr>"
        for line in lines
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"


def page(found: Mapping[str, Any]) -> str:
    """One page, which asks nobody for anything; the pictures lie beside it."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Reproduction</title><style>{STYLE}</style></head><body><main>",
        f"<h1>Reproduction</h1><p>{escape(summary(found))}.</p>",
        contents(found),
    ]
    lines = compared(found)
    if lines:
        parts.append("<details open><summary>Published and ours</summary>")
        parts += [html_table(COLUMNS, lines), "</details>"]
    for source, items in by_source(found):
        parts.append(f'<h2 id="{source.name}">{escape(source.title)}</h2>')
        parts.append(f"<p>{escape(source.about)}.</p>")
        if source.left_out:
            left = "".join(f"<li>{escape(text)}</li>" for text in source.left_out)
            parts.append(f"<details><summary>Left out</summary><ul>{left}</ul></details>")
        parts += [section(item) for item in items]
    return "\n".join([*parts, "</main></body></html>", ""])


def contents(found: Mapping[str, Any]) -> str:
    """Links to the items, by source."""
    groups = []
    for source, items in by_source(found):
        links = ", ".join(f'<a href="#{i["id"]}">{escape(i["number"])}</a>' for i in items)
        groups.append(f'<li><a href="#{source.name}">{escape(source.title)}</a>: {links}</li>')
    return f"<nav><ul>{''.join(groups)}</ul></nav>"


def section(item: Mapping[str, Any]) -> str:
    """An item: what is to be said of it, its numbers and pictures."""
    heading = escape(f"{item['number']}: {item['title']}")
    said = "".join(
        f"<dt>{escape(name)}</dt><dd>{shown(name, text)}</dd>" for name, text in facts(item)
    )
    parts = [f'<section id="{item["id"]}"><h3>{heading}</h3><dl>{said}</dl>']
    if item["numbers"]:
        parts.append(html_table(COLUMNS[1:], [cells(n) for n in item["numbers"]]))
    for picture in item["pictures"]:
        caption = escape(picture["caption"])
        parts.append(
            f'<figure><img src="{escape(picture["file"])}" alt="{caption}" loading="lazy">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    return "\n".join([*parts, "</section>"])


def shown(name: str, text: str) -> str:
    """A fact in HTML: commands between backticks as code."""
    quoted = escape(text)
    return f"<code>{quoted.strip('`')}</code>" if name == "alone by" else quoted
