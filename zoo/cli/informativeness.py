"""`zoo informativeness`: how much switches and ReLU masks tell of an image."""

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import options


def informativeness(
    arch: Annotated[
        str, typer.Option("--arch", metavar="n1_n2_n3", help="Its encoder and decoder.")
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DB|DIR", help="Images; default: sample photographs."),
    ] = None,
    hold_out: Annotated[
        int, typer.Option("--hold-out", min=0, metavar="N", help="Images to measure on.")
    ] = 0,
    iterations: Annotated[
        int, typer.Option("--iterations", min=1, help="Of each of the three trainings.")
    ] = 1500,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of every draw.")] = 0,
    device: options.Device = "auto",
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train three decoders of one random encoder: told its switches, its ReLU masks, or both.

    The table stands beside the published one of *Salient deconvolutional networks* (section 3.3),
    which is of another network.
    """
    from zoo.cli.console import Printer
    from zoo.cli.images import training_images
    from zoo.paper import architectures
    from zoo.reversed.informativeness import measure
    from zoo.training.run import choose_device

    say = Printer(json, quiet)
    architectures.channels(arch)
    device = choose_device(device)
    images = training_images(say, [data] if data else [], hold_out, seed)
    with say.progress("training") as bar:
        found = measure(
            arch,
            images,
            iterations,
            seed=seed,
            device=device,
            on_progress=bar.reach,
            on_trained=lambda kind, rmse: say.line(f"told {kind}: RMSE {rmse:.4f}"),
        )
    say.result(found.as_dict())
    say.table(
        ["told", "instead of", "RMSE", "published (L2)"],
        [
            [
                row["told"],
                row["instead_of"],
                f"{row['rmse_change']:+.0%}",
                f"{row['published_change']:+.0%}",
            ]
            for row in found.changes
        ],
    )
