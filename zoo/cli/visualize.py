"""`zoo visualize`: what a neuron responds to in an image, by reversed networks."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from prototxt.shapes import shape_text
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
        typer.Option("-o", metavar="DIR", help="The folder for the pictures; made if need be."),
    ],
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="W.caffemodel", help="The trained weights."),
    ] = None,
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
    ] = Target.cpu,
    mean: options.Mean = None,
    shape: options.Shapes = None,
    seed: options.Seed = 0,
    provider: options.ProviderOption = Provider.auto,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show what makes a neuron active, through DeConvNet, SaliNet and DeSaliNet.

    Writes METHOD.png and the raw values METHOD.npy (N, C, H, W) for each method; with --method all
    the eight combinations of rules, and all.png, a sheet of them (of the first image). The reversed
    network takes the image and `projection`, of the blob's shape, and gives `visualisation`.
    """
    import io

    import numpy as np

    import runtime
    from prototxt.files import atomic_write, make_folder
    from zoo.cli.console import Printer
    from zoo.reversed import networks
    from zoo.reversed import visualization as vis

    say = Printer(json, quiet)
    network = networks.read(
        net,
        weights,
        blob,
        mean=mean,
        shapes=options.parse_shapes(shape),
        seed=seed,
        provider=provider.value,
    )
    if random_weights:
        network.graph = networks.drawn(network.graph, seed)
    feeds = networks.feeds_of(network, image, mean)
    every = vis.combinations()
    chosen = every if method is Method.all else {method.value: every[method.value]}
    values = network.run(feeds)
    p, places = vis.projection(values, neuron, seed)
    found = {}
    with say.progress("reversing", len(chosen)) as advance:
        for name, rules in chosen.items():
            found[name] = vis.visualise(network, blob, rules, feeds, p)
            advance()
    suffix = "-random" if random_weights else ""
    seen = feeds[network.graph.inputs[0].name][0]
    sheets = {}
    if method is Method.all:
        sheets["all"] = vis.sheet({name: array[0] for name, array in found.items()}, seen)
    for asked in sheet or ():
        draw = vis.selectivity if asked is Sheet.selectivity else vis.fourier
        sheets[asked.value] = draw(network, blob, feeds, seed)
    contents: dict[str, bytes] = {}
    for name, rules in chosen.items():
        for cut in [False] * onnx + [True] * stored:
            contents |= vis.models(network, blob, f"{name}{suffix}", rules, target.value, cut)
    make_folder(output)
    written = []
    for name, array in found.items():
        path = output / f"{name}{suffix}.png"
        pictures = [vis.display(one) for one in array]
        runtime.write_png(path, runtime.mosaic(pictures, gap=2, least=256))
        raw = io.BytesIO()
        np.save(raw, array)
        atomic_write(path.with_suffix(".npy"), raw.getvalue())
        written.append((name, str(path), shape_text(array.shape)))
    for name, drawn in sheets.items():
        runtime.write_png(output / f"{name}{suffix}.png", drawn)
    for file, content in contents.items():
        atomic_write(output / file, content)
    say.result(
        {
            "blob": blob,
            "neurons": places,
            "methods": [
                {"method": name, "picture": path, "shape": size} for name, path, size in written
            ],
            "sheets": [str(output / f"{name}{suffix}.png") for name in sheets],
            "models": [str(output / file) for file in contents],
            "notes": network.notes,
        }
    )
    say.table(["method", "picture", "shape"], written)
    say.fields(
        [
            ("neuron", [f"{blob} {place}" for place in places[:8]]),
            ("sheets", [str(output / f"{name}{suffix}.png") for name in sheets]),
            ("models", [str(output / file) for file in contents]),
        ]
    )
    for note in network.notes:
        say.note(note)
