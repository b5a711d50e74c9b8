"""`zoo import`: a folder of Caffe models, as people publish them, into a hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import options


def import_models(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Folders with definitions and weights."),
    ],
    hub: Annotated[
        Path | None,
        typer.Option(
            "--hub", metavar="DIR", help="The hub's folder, made if need be; default: ZOO_HUB."
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            metavar="DIR",
            help="The folder for the report; what it says was done is not done again.",
        ),
    ] = Path("import"),
    version: Annotated[str, typer.Option("--version", help="Numbers with dots.")] = "1.0",
    licence: Annotated[
        str, typer.Option("--licence", help="As SPDX, of models that state none.")
    ] = "",
    fetch: Annotated[
        bool,
        typer.Option("--fetch", help="Fetch weights of which a readme.md gives the address alone."),
    ] = False,
    # Not `trust`: the limits are those of each model's own process, and not of this one.
    trusting: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find Caffe models in folders, convert, verify and publish them, and report.

    Weights are matched with their definition by place, name and layers; mean files, lists of labels
    and the front matter of a Caffe Model Zoo readme.md beside them are read. Each model is made in
    a process of its own; what fails stands in the report, and the others go on.
    """
    from zoo.cli.console import Printer
    from zoo.hub.places import publishing_folder
    from zoo.importing import report
    from zoo.importing.run import import_models as run

    say = Printer(json, quiet)
    folder = publishing_folder(hub)
    with say.progress("importing") as bar:
        found = run(
            folders,
            folder,
            output,
            version=version,
            licence=licence,
            fetch=fetch,
            trust=trusting,
            on_progress=bar.reach,
        )
    result = found.as_dict()
    say.result(result | {"report": [str(path) for path in found.files]})
    made = [one for one in found.outcomes if one.name and one.task]
    say.table(
        ["model", "task", "outcome", "why"],
        [[one.name, one.task, one.outcome, one.why] for one in made],
    )
    say.line(report.summary(result))
    if any(one.url and not one.task for one in found.outcomes):
        say.note("--fetch fetches weights that are only an address")
    say.wrote(found.files)
