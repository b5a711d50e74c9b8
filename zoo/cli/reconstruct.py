"""`zoo reconstruct`: images through a network and back, as pictures."""

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import options
from zoo.cli.options import Provider


def reconstruct(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Images, or folders of them.")
    ],
    output: Annotated[
        Path,
        typer.Option("-o", metavar="DIR", help="The folder for the pictures, made if need be."),
    ] = Path("reconstructions"),
    arch: options.Arch = None,
    model: options.Converted = None,
    mean: options.Mean = None,
    size: options.Size = None,
    provider: options.ProviderOption = Provider.auto,
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw what a network rebuilds of images; without --arch and --model, 48_96_192.

    Writes one PNG for each: the image shown as the network saw it (resized) beside what came
    back, with the RMSE and what the code costs.
    """
    sides = options.parse_size(size) if size else None
    from zoo.cli.console import Printer
    from zoo.paper import reconstruction
    from zoo.paper.models import BEST, find_model

    say = Printer(json, quiet)
    path, _ = find_model(model, arch, default=BEST)
    with say.progress("reconstructing") as bar:
        found = reconstruction.draw(
            path,
            images,
            output,
            mean=mean,
            size=sides,
            provider=provider.value,
            on_progress=bar.reach,
        )
    say.left_out(found.skipped)
    say.result(found.as_dict())
    say.table(
        ["image", "picture", "RMSE"],
        [[image, picture, f"{rmse:.4f}"] for image, picture, rmse in found.drawn],
    )
    say.notes(found.notes)
