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
    precision: Annotated[
        options.Precision | None,
        typer.Option("--precision", help="Only the files in these numbers; default: all."),
    ] = None,
    target: Annotated[
        options.Target | None,
        typer.Option("--target", help="Only the files for one runtime; default: all."),
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option(
            "--verify",
            metavar="PUBLIC.pem",
            help="Take what the owner of this key signed, and nothing else.",
        ),
    ] = None,
    hub: options.Hub = None,
    offline: options.Offline = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fetch a model from a hub.

    Every file is checked by its SHA-256 before it takes its name. Files are kept in the cache
    (ZOO_CACHE names another folder for it), where `--arch` of other commands finds them; a download
    that broke off goes on there.

    A hub is a folder, or at https://, hf://OWNER/NAME or s3://BUCKET/PATH. --hub given again names
    a mirror.
    """
    from zoo import formatting
    from zoo.cli.console import Printer
    from zoo.hub import open_hub
    from zoo.hub.cards import cost_text
    from zoo.hub.pulling import chosen, find, pull_entry, verify_entry

    say = Printer(json, quiet)
    opened = open_hub(hub, offline)
    entry = find(opened, name)
    wanted = chosen(entry, precision.value if precision else None, target.value if target else None)
    if verify is not None:
        verify_entry(opened, entry, verify, offline)
    size = sum(file.size for file in wanted)
    with say.progress(f"pulling {entry.label}", size, in_bytes=True) as advance:
        found = pull_entry(opened, entry, offline, files=wanted, output=output, on_bytes=advance)
    files = [pulled.as_dict() for pulled in found]
    result = {"hub": opened.name, "name": entry.name, "version": entry.version, "files": files}
    say.result({**result, "verified": str(verify) if verify else None})
    pairs: list[tuple[str, Any]] = [
        ("model", entry.label),
        ("files", [f"{row['path']} ({formatting.size(row['size'])})" for row in files]),
    ]
    pairs += [
        (file.network.precision, f"{file.name}: {cost_text(file.network.cost)}")
        for file in wanted
        if file.network and file.network.cost
    ]
    if verify is not None:
        pairs.append(("signed", f"by the owner of {verify}"))
    if entry.licence:
        pairs.append(("licence", entry.licence))
    say.fields(pairs)
