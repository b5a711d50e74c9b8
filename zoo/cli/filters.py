"""`zoo filters`: what the filters of a layer look like in the image."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli import options


class Unpool(StrEnum):
    """How a pooling is upsampled."""

    nearest = "nearest"
    bilinear = "bilinear"
    bicubic = "bicubic"


def filters(
    net: Annotated[Path, typer.Argument(metavar="NET.prototxt", help="The definition.")],
    layer: Annotated[
        str, typer.Option("--layer", metavar="LAYER", help="A convolution or inner product.")
    ],
    output: Annotated[
        Path, typer.Option("-o", metavar="DIR", help="The folder to write to, made if need be.")
    ] = Path("filters"),
    weights: options.Weights = None,
    unpool: Annotated[
        Unpool, typer.Option("--unpool", help="How a pooling below is upsampled.")
    ] = Unpool.bicubic,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check",
            metavar="IMAGE|NPZ",
            help="Compare the layer's response to an image with the decoded filters' own.",
        ),
    ] = None,
    mean: options.Mean = None,
    shape: options.Shapes = None,
    seed: options.Seed = 0,
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Decode the filters of a layer down to the image, without an image.

    Each value of a filter is replaced by the lower layer's filter that it multiplies, and pooling
    by upsampling. Where blobs are joined (Concat, sums), what comes down each branch is summed.
    Writes LAYER.png, a sheet of all filters, numbered from 0, and LAYER.npz with them as `filters`
    (filters, channels, height, width). With --check the mean squared error between response and
    correlation, both stretched to 0..1 for each image.
    """
    from zoo.cli.console import Printer
    from zoo.reversed import filter_decoding

    say = Printer(json, quiet)
    found = filter_decoding.decode_filters(
        net,
        layer,
        output,
        weights,
        unpool=unpool.value,
        check=check,
        mean=mean,
        shapes=options.parse_shapes(shape),
        seed=seed,
    )
    say.result(found.as_dict())
    count, channels, height, width = found.shape
    pairs: list[tuple[str, Any]] = [
        ("filters", f"{count} of {channels}x{height}x{width}"),
        ("wrote", [found.picture, found.values]),
    ]
    if found.error is not None:
        pairs.append(("error", f"{found.error:.4f}, mean squared, against the response"))
    say.fields(pairs)
    say.notes(found.notes)
