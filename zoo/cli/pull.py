"""`zoo pull`: the files of a model from a hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli import options


def pull(
    name: Annotated[
        str, typer.Argument(metavar="NAME[@VERSION]", help="A model; an arch, as 64_64_64.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", metavar="DIR", help="The folder for the files; default: the cache."),
    ] = None,
    hub: options.Hub = None,
    offline: options.Offline = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fetch a model from a hub.

    Every file is checked by its SHA-256 before it takes its name. Files are kept in the cache
    (ZOO_CACHE names another folder for it), where `--arch` of other commands finds them.
    """
    from zoo import formatting
    from zoo.cli.console import Printer
    from zoo.hub import open_hub
    from zoo.hub.pulling import find, pull_entry

    say = Printer(json, quiet)
    opened = open_hub(hub, offline)
    entry = find(opened, name)
    with say.progress(f"pulling {entry.label}", entry.size, in_bytes=True) as advance:
        found = pull_entry(opened, entry, offline, output=output, on_bytes=advance)
    files = [pulled.as_dict() for pulled in found]
    say.result({"hub": opened.name, "name": entry.name, "version": entry.version, "files": files})
    pairs: list[tuple[str, Any]] = [
        ("model", entry.label),
        ("files", [f"{row['path']} ({formatting.size(row['size'])})" for row in files]),
    ]
    if entry.licence:
        pairs.append(("licence", entry.licence))
    say.fields(pairs)
