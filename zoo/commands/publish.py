"""`zoo publish`: models into a hub's folder."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from zoo.commands import options
from zoo.errors import UsageError


class Encoder(StrEnum):
    """How the paper's encoder came to be."""

    random = "random"
    pretrained = "pretrained"


def publish(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL.onnx...", help="The ONNX files of one model."),
    ],
    hub: Annotated[
        Path | None,
        typer.Option(
            "--hub", metavar="DIR", help="The hub's folder, made if need be; default: ZOO_HUB."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="The model's name; default: its arch.")
    ] = None,
    version: Annotated[str, typer.Option("--version", help="Numbers with dots.")] = "1.0",
    card: Annotated[
        Path | None,
        typer.Option("--card", metavar="FILE", help="What a person should know, in Markdown."),
    ] = None,
    licence: Annotated[str, typer.Option("--licence", help="As SPDX: BSD-2-Clause.")] = "",
    source: Annotated[str, typer.Option("--source", help="Where the weights are from.")] = "",
    encoder: Annotated[
        Encoder | None, typer.Option("--encoder", help="How the paper's encoder came to be.")
    ] = None,
    metrics: Annotated[
        list[Path] | None,
        typer.Option("--metrics", metavar="FILE", help="What `zoo eval --json` printed."),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Publish a model: put it into a hub, a folder.

    Any static host serves such a folder. The files are checked, run once on zeros, and must say how
    they are to be fed. They appear
    before the index names them. A version that is published keeps its bytes for ever; publishing
    the same files again mends what is said of them.
    """
    from zoo import console
    from zoo import hub as hubs
    from zoo.console import Printer
    from zoo.hub.publishing import read_metric

    say = Printer(json, quiet)
    folder = _folder(hub)
    done = hubs.publish(
        models,
        folder,
        name=name,
        version=version,
        card=card,
        licence=licence,
        source=source,
        encoder=encoder.value if encoder else None,
        metrics=[read_metric(path) for path in metrics or ()],
    )
    entry = done.entry
    files = [
        {"path": str(folder / entry.path(file)), "size": file.size, "sha256": file.sha256}
        for file in entry.files
    ]
    say.result(
        {
            "hub": str(folder),
            "name": entry.name,
            "version": entry.version,
            "outcome": done.outcome,
            "files": files,
            "notes": list(done.notes),
        }
    )
    say.fields(
        [
            (done.outcome, entry.label),
            (
                "files",
                [
                    f"{row['path']} ({console.size(file.size)})"
                    for row, file in zip(files, entry.files, strict=True)
                ],
            ),
        ]  # fmt: skip
    )
    for note in done.notes:
        say.note(note)


def _folder(hub: Path | None) -> Path:
    given = str(hub) if hub is not None else os.environ.get("ZOO_HUB", "")
    if not given:
        raise UsageError("neither --hub nor ZOO_HUB names the hub's folder")
    if "://" in given or (hub is not None and str(hub).startswith(("http:/", "https:/"))):
        raise UsageError(
            f"{given}: is an address, and only a folder can be published to",
            hint="publish to a folder, and copy that to its host",
        )
    return Path(given)
