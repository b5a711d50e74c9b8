"""`zoo list`: the models of a hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.cli import options

if TYPE_CHECKING:
    from zoo.hub import Entry


def list_models(
    hub: options.Hub = None,
    offline: options.Offline = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """List the models of a hub.

    Each with its newest version, how many bits for each pixel and colour channel its code takes and
    how far off it is, and in which numbers it is there; --json has every version and file, and what
    fewer bits changed.
    """
    from zoo import formatting
    from zoo.cli.console import Printer
    from zoo.hub import open_hub
    from zoo.hub.index import as_dict

    say = Printer(json, quiet)
    opened = open_hub(hub, offline)
    say.result({"hub": opened.name, "models": [as_dict(entry) for entry in opened.index.models]})
    rows = [_row(entry, formatting.size(entry.size)) for entry in opened.index.newest()]
    if rows:
        say.table(
            ["model", "version", "task", "bits/pixel", "RMSE", "targets", "numbers", "size"], rows
        )
    count = f"{len(rows)} models" if len(rows) != 1 else "1 model"
    say.line(f"{count} in {opened.name}")


def _bits(entry: Entry) -> float | str:
    """Of the code, for each pixel and colour channel: as counted, or measured with its coding."""
    from zoo.paper import architectures

    if entry.arch is not None and entry.task == "reconstruct":
        return architectures.bits_per_pixel(entry.arch)
    measured = entry.metric("bits_per_pixel")
    return round(measured.value / 3, 3) if measured else ""  # a figure of all three channels


def _row(entry: Entry, size: str) -> list[Any]:
    rmse = entry.metric("rmse")
    return [
        entry.name,
        entry.version,
        entry.task,
        _bits(entry),
        f"{rmse.value:.4f}" if rmse else "",
        ",".join(entry.targets),
        ",".join(entry.precisions),
        size,
    ]
