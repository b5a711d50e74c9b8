"""`zoo visualize`: what a neuron responds to in an image, by reversed networks."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from zoo.commands import options
from zoo.commands.options import Provider


class Method(StrEnum):
    """The reversed networks that have a name."""

    desalinet = "desalinet"
    salinet = "salinet"
    deconvnet = "deconvnet"
    all = "all"


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
    mean: options.Mean = None,
    shape: options.Shapes = None,
    seed: options.Seed = 0,
    provider: options.ProviderOption = Provider.auto,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show what makes a neuron active, through DeConvNet, SaliNet and DeSaliNet.

    Writes METHOD.png and the raw values METHOD.npy (N, C, H, W) for each method; with --method all
    the eight combinations of rules, and all.png, a sheet of them (of the first image).
    """
    import io

    import numpy as np

    import runtime
    from prototxt.files import atomic_write
    from zoo import networks
    from zoo import reconstruction as drawing
    from zoo import visualization as vis
    from zoo.console import Printer

    say = Printer(json, quiet)
    network = networks.read(
        net, weights, blob, mean=mean, shape=shape, seed=seed, provider=provider.value
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
    drawing.make_folder(output)
    written = []
    suffix = "-random" if random_weights else ""
    for name, array in found.items():
        target = output / f"{name}{suffix}.png"
        pictures = [vis.display(one) for one in array]
        runtime.write_png(target, runtime.mosaic(pictures, gap=2, least=256))
        raw = io.BytesIO()
        np.save(raw, array)
        atomic_write(target.with_suffix(".npy"), raw.getvalue())
        written.append((name, str(target), "x".join(map(str, array.shape))))
    if method is Method.all:
        seen = feeds[network.graph.inputs[0].name][0]
        sheet = vis.sheet({name: array[0] for name, array in found.items()}, seen)
        runtime.write_png(output / f"all{suffix}.png", sheet)
    drawn = str(output / f"all{suffix}.png") if method is Method.all else None
    say.result(
        {
            "blob": blob,
            "neurons": places,
            "methods": [
                {"method": name, "picture": path, "shape": size} for name, path, size in written
            ],
            "sheet": drawn,
            "notes": network.notes,
        }
    )
    say.table(["method", "picture", "shape"], written)
    say.fields([("neuron", f"{blob} {place}") for place in places[:8]])
    for note in network.notes:
        say.note(note)
