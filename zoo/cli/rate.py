"""`zoo rate`: what switches cost, against JPEG and its successors at the same size."""

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import options
from zoo.cli.options import Provider


def rate(
    arch: Annotated[
        list[str] | None,
        typer.Option("--arch", metavar="n1_n2_n3", help="Only these networks; default: the hub's."),
    ] = None,
    data: options.Images = None,
    held_out: options.HeldOut = 0,
    limit: options.Limit = None,
    size: Annotated[
        str,
        typer.Option(
            "--size", metavar="HxW|own", help="Size the images are resized to; own leaves them."
        ),
    ] = "128x128",
    hub: options.Hub = None,
    offline: options.Offline = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", metavar="DIR", help="Write rate.md, rate.json and rate.png."),
    ] = None,
    provider: options.ProviderOption = Provider.auto,
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure switches as an image format: bits per pixel, RMSE, PSNR, (MS-)SSIM of each network.

    Beside each stand the best JPEG, JPEG 2000, WebP and AVIF files that are not larger. A second
    table has Bjøntegaard's differences from JPEG over the whole curves.
    """
    sides = None if size == "own" else options.parse_size(size)
    from zoo.cli.console import Printer
    from zoo.paper import rates

    say = Printer(json, quiet)
    with say.progress("measuring") as bar:
        found = rates.rate(
            arch or (),
            data,
            held_out=held_out,
            limit=limit,
            size=sides,
            hub=hub,
            offline=offline,
            provider=provider.value,
            folder=output,
            on_progress=bar.reach,
            warn=say.warn,
        )
    say.result(found.as_dict())
    say.table(rates.COLUMNS, [rates.cells(row) for row in found.judged.rows])
    say.line(f"{found.about['images']} images of {found.source}, {found.about['size']}")
    say.line(rates.EXPLANATION)
    say.table(rates.BJONTEGAARD, rates.against_jpeg(found.judged))
    say.line(rates.ABOUT_CURVES)
    say.wrote(found.files)
    say.notes(found.notes)
