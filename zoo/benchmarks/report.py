"""The figures of a suite as plain data, as a table for people, as Markdown."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zoo import __version__

from .machine import describe

__all__ = ["COLUMNS", "SUITES", "document", "markdown", "table"]

SUITES = ("convert", "run", "train", "precision")

Column = tuple[str, str, Callable[[Any], Any]]
"""Its heading, the key of a row, how the value is shown."""


def plain(value: Any) -> Any:
    return value


def milliseconds(value: float) -> str:
    return f"{1000 * value:.1f}"


def times(value: float) -> str:
    return f"{value:.2f}"


def whole(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def mib(value: float) -> str:
    return f"{value / (1 << 20):,.0f}"


def kib(value: float) -> str:
    return f"{value / 1024:,.0f}"


def five(value: float) -> str:
    return f"{value:.5f}"


def signed(value: float) -> str:
    return f"{value:+.5f}"


def digits(value: float) -> str:
    return f"{value:.3g}"


def yes(value: bool) -> str:
    return "yes" if value else "no"


NAMED: tuple[Column, ...] = (("network", "network", plain), ("contestant", "contestant", plain))
BATCH: Column = ("batch", "batch", plain)
PROCESS: tuple[Column, ...] = (("MiB", "peak_rss", mib), ("start, s", "start_seconds", times))
SPEED: tuple[Column, ...] = (
    ("ms", "seconds", milliseconds),
    ("ratio", "ratio", times),
    ("images/s", "images_per_second", whole),
)

CONTESTANTS = ("contestant", "precision")
"""The keys of a row that say who is measured."""

COLUMNS: dict[str, tuple[Column, ...]] = {
    "run": (
        NAMED[0],
        BATCH,
        NAMED[1],
        *SPEED,
        ("GMAC/s", "gmacs_per_second", whole),
        ("of peak", "share_of_peak", percent),
        *PROCESS,
    ),
    "convert": (
        *NAMED,
        ("file, MiB", "bytes", mib),
        ("page cache", "cache", plain),
        ("s", "seconds", times),
        ("ratio", "ratio", times),
        ("MiB", "peak_rss", mib),
        ("MiB/file", "memory_ratio", times),
        ("within", "within", yes),
    ),
    "precision": (
        NAMED[0],
        BATCH,
        ("precision", "precision", plain),
        ("layers", "layers", plain),
        ("float32", "kept", plain),
        ("KiB", "bytes", kib),
        *SPEED[:2],
        ("judged by", "measure", plain),
        ("value", "value", five),
        ("change", "change", signed),
        ("flipped", "flipped", plain),
        ("largest", "largest", digits),
        ("mean", "mean", digits),
        ("of", "magnitude", digits),
    ),
    "train": (
        NAMED[0],
        BATCH,
        NAMED[1],
        *SPEED,
        ("floor, ms", "floor_seconds", milliseconds),
        ("of floor", "times_floor", times),
        *PROCESS,
    ),
}


def document(
    suite: str, settings: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], load: float | None
) -> dict[str, Any]:
    """All of a suite's run; `load` is the machine's when it began."""
    return {
        "suite": suite,
        "version": __version__,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": {**describe(), "load": load},
        "settings": dict(settings),
        "rows": [dict(row) for row in rows],
    }


def table(found: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Headings and rows; what there is none of is empty, and who is absent says why."""
    columns = COLUMNS[found["suite"]]
    rows = []
    for row in found["rows"]:
        cells = ["" if row[key] is None else show(row[key]) for _, key, show in columns]
        if row.get("absent"):
            place = next(i for i, (_, key, _) in enumerate(columns) if key in CONTESTANTS)
            cells[place] = f"{cells[place]}: {row['absent']}"
        rows.append(cells)
    return [heading for heading, _, _ in columns], rows


def markdown(found: Mapping[str, Any]) -> str:
    """The table, and below it the machine."""
    headings, rows = table(found)
    texts = {"network", "contestant", "precision", "judged by", "page cache", "within"}
    rule = ["---" if heading in texts else "---:" for heading in headings]
    lines = [f"| {' | '.join(map(str, line))} |" for line in (headings, rule, *rows)]
    return "\n".join([*lines, "", about(found), ""])


def about(found: Mapping[str, Any]) -> str:
    """One sentence on where and how it was measured."""
    machine, settings = found["machine"], found["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    over = ""
    if found["suite"] == "precision":
        over = (
            f"accuracy over {settings['images']} images of {settings['data']}, calibrated on "
            f"{settings['calibration_images']} of {settings['calibrated_on']}; "
        )
    return (
        f"{over}{', '.join([*machine['gpus'], machine['processor']])}, {machine['cores']} cores, "
        f"{settings['threads']} threads, "
        f"load {machine['load']} when it began; medians of {settings['rounds']} rounds; {versions}."
    )
