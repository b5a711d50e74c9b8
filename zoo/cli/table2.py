"""`zoo table2`: every row of the paper's table, measured."""

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import options
from zoo.cli.options import Provider


def table2(
    data: options.Images = None,
    held_out: options.HeldOut = 0,
    caffemodels: Annotated[
        Path | None,
        typer.Option(
            "--caffemodels", metavar="DIR", help="The authors' weights, net*_iter_*.caffemodel."
        ),
    ] = None,
    mean: options.Mean = None,
    hub: options.Hub = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", metavar="DIR", help="Write table2.md, .json and .png, and pictures."),
    ] = None,
    provider: options.ProviderOption = Provider.auto,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Print Table II of the paper: published, the authors' weights converted, ours.

    --mean is what the authors' networks subtract. Ours are those of the hub: with a random encoder,
    and (ARCH-learned) with one that learned its switches.
    """
    from zoo.cli.console import Printer
    from zoo.paper import table2 as tables

    say = Printer(json, quiet)
    with say.progress("measuring") as bar:
        found = tables.measure(
            data,
            held_out=held_out,
            caffemodels=caffemodels,
            mean=mean,
            hub=hub,
            provider=provider.value,
            folder=output,
            on_progress=lambda *_: bar(),
        )
    say.left_out(found.skipped)
    say.result(found.as_dict())
    say.table(tables.COLUMNS, [tables.cells(row) for row in found.rows])
    say.line(
        f"RMSE over {found.about['images']} images of {found.source}; the published are over others"
    )
    say.wrote(found.files)
    say.notes(found.notes)
