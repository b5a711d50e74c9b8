"""`zoo visualize`: what a neuron responds to in an image, by reversed networks."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import options
from zoo.cli.options import Provider, Target


class Method(StrEnum):
    """The reversed networks that have a name."""

    desalinet = "desalinet"
    salinet = "salinet"
    deconvnet = "deconvnet"
    all = "all"


class Sheet(StrEnum):
    """What else to draw, all methods side by side."""

    selectivity = "selectivity"
    fourier = "fourier"


def visualize(
    net: Annotated[Path, typer.Argument(metavar="NET.prototxt", help="The definition.")],
    image: Annotated[
        Path,
        typer.Argument(metavar="IMAGE", help="An image, or an .npz with the inputs as in.NAME."),
    ],
    blob: Annotated[
        str, typer.Option("--blob", metavar="BLOB", help="The blob whose neurons are shown.")
    ],
    output: Annotated[
        Path,
        typer.Option("-o", metavar="DIR", help="The folder for the pictures, made if need be."),
    ] = Path("visualizations"),
    weights: options.Weights = None,
    method: Annotated[
        Method, typer.Option("--method", help="Which reversed network; all is eight of them.")
    ] = Method.desalinet,
    neuron: Annotated[
        str,
        typer.Option(
            "--neuron",
            metavar="max|C,H,W|random",
            help="The most active neuron, the one there, or a mixture of all.",
        ),
    ] = "max",
    random_weights: Annotated[
        bool,
        typer.Option(
            "--random-weights", help="Draw the weights instead: what the structure alone shows."
        ),
    ] = False,
    sheet: Annotated[
        list[Sheet] | None,
        typer.Option(
            "--sheet",
            help="Also draw several neurons, or noise beside the image's own phase.",
        ),
    ] = None,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Also write METHOD.onnx, the reversed network.")
    ] = False,
    stored: Annotated[
        bool,
        typer.Option(
            "--stored",
            help="Also write METHOD.bottleneck.onnx and METHOD.stored.onnx, cut at the switches.",
        ),
    ] = False,
    target: Annotated[
        Target, typer.Option("--target", help="What --onnx and --stored are written for.")
    ] = Target.portable,
    mean: options.Mean = None,
    shape: options.Shapes = None,
    seed: options.Seed = 0,
    provider: options.ProviderOption = Provider.auto,
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show what makes a neuron active, through DeConvNet, SaliNet and DeSaliNet.

    Writes METHOD.png, the image beside what was found, and the raw values METHOD.npy (N, C, H, W)
    for each method; with --method all the eight combinations of rules, and all.png, a sheet of them
    (of the first image). What the neuron sees of the image (its receptive field) is framed, and
    stands beside, stretched, where it is less than half. The reversed network takes the image and
    `projection`, of the blob's shape, and gives `visualisation`.
    """
    from zoo import formatting
    from zoo.cli.console import Printer
    from zoo.reversed import visualization

    say = Printer(json, quiet)
    with say.progress("reversing") as bar:
        found = visualization.visualize(
            net,
            image,
            blob,
            output,
            weights,
            method=method.value,
            neuron=neuron,
            random_weights=random_weights,
            sheets=[asked.value for asked in sheet or ()],
            onnx=onnx,
            stored=stored,
            target=target.value,
            mean=mean,
            shapes=options.parse_shapes(shape),
            seed=seed,
            provider=provider.value,
            on_progress=bar.reach,
        )
    say.result(found.as_dict())
    say.table(
        ["method", "picture", "shape"],
        [[name, path, formatting.shape(dims)] for name, path, dims in found.methods],
    )
    say.fields(
        [
            ("neuron", [f"{blob} {place}" for place in found.neurons[:8]]),
            ("sheets", found.sheets),
            ("models", found.models),
        ]
    )
    say.notes(found.notes)
