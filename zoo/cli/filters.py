"""`zoo filters`: what the filters of a layer look like in the image."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

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
        Path, typer.Option("-o", metavar="DIR", help="The folder to write to; made if need be.")
    ],
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="W.caffemodel", help="The trained weights."),
    ] = None,
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
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Decode the filters of a layer down to the image, without an image.

    Each value of a filter is replaced by the lower layer's filter that it multiplies, and pooling
    by upsampling. Writes LAYER.png, a sheet of all filters, and LAYER.npz with them as `filters`
    (filters, channels, height, width). With --check the mean squared error between response and
    correlation, both stretched to 0..1 for each image.
    """
    import io

    import numpy as np

    import runtime
    from prototxt.files import atomic_write, make_folder
    from zoo.cli.console import Printer
    from zoo.reversed import filter_decoding as decoding
    from zoo.reversed import networks

    say = Printer(json, quiet)
    network = networks.read(
        net, weights, None, mean=mean, shapes=options.parse_shapes(shape), seed=seed, provider="cpu"
    )
    decoded = decoding.filters(network.graph, layer, unpool.value)
    error = None
    if check is not None:
        feeds = networks.feeds_of(network, check, mean)
        error = decoding.agreement(network, layer, decoded, feeds)
    sheet = runtime.mosaic(decoding.pictures(decoded), gap=2, least=64)
    name = layer.replace("/", "_")
    make_folder(output)
    stored = io.BytesIO()
    np.savez_compressed(stored, filters=decoded)
    atomic_write(output / f"{name}.npz", stored.getvalue())
    runtime.write_png(output / f"{name}.png", sheet)
    found = {
        "layer": layer,
        "unpool": unpool.value,
        "shape": list(decoded.shape),
        "picture": str(output / f"{name}.png"),
        "values": str(output / f"{name}.npz"),
        "error": error,
        "notes": network.notes,
    }
    say.result(found)
    count, channels, height, width = decoded.shape
    say.fields(
        [
            ("filters", f"{count} of {channels}x{height}x{width}"),
            ("wrote", [found["picture"], found["values"]]),
            *([("error", f"{error:.4f}, mean squared, against the response")] if check else []),
        ]
    )
    for note in network.notes:
        say.note(note)
