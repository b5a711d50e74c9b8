"""`zoo segment`: an image's foreground, from what a classifier looks at."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import options
from zoo.cli.options import Provider


class Method(StrEnum):
    """The reversed networks that have a name."""

    salinet = "salinet"
    desalinet = "desalinet"
    deconvnet = "deconvnet"


def segment(
    net: Annotated[Path, typer.Argument(metavar="NET.prototxt", help="A classifier.")],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Images, or folders of them.")
    ],
    output: Annotated[
        Path, typer.Option("-o", metavar="DIR", help="The folder for the masks, made if need be.")
    ] = Path("segmentations"),
    weights: options.Weights = None,
    method: Annotated[
        Method, typer.Option("--method", help="Which reversed network.")
    ] = Method.desalinet,
    blob: Annotated[
        str | None,
        typer.Option("--blob", metavar="BLOB", help="Default: what the last softmax reads."),
    ] = None,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain", help="Resize to the network's own size; default: fully convolutional."
        ),
    ] = False,
    masks: Annotated[
        Path | None,
        typer.Option("--masks", metavar="DIR", help="Right answers, STEM.png, black background."),
    ] = None,
    mean: options.Mean = None,
    shape: options.Shapes = None,
    seed: options.Seed = 0,
    provider: options.ProviderOption = Provider.auto,
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Cut out what a classifier saw: saliency by a reversed network, then GrabCut.

    Gaps of the foreground are closed, and islands below a fifth of its largest part dropped.
    Writes STEM.png for each image, white where the foreground is, and STEM.seen.png to look at.
    With --masks, mean intersection over union and accuracy, beside a Gaussian blob's.
    """
    from zoo.cli.console import Printer
    from zoo.reversed import segmentation

    say = Printer(json, quiet)
    with say.progress("segmenting") as bar:
        found = segmentation.segment(
            net,
            images,
            output,
            weights,
            method=method.value,
            blob=blob,
            plain=plain,
            masks=masks,
            mean=mean,
            shapes=options.parse_shapes(shape),
            seed=seed,
            provider=provider.value,
            on_progress=bar.reach,
        )
    say.left_out(found.skipped)
    say.result(found.as_dict())
    scored = bool(found.scores)
    say.table(
        ["image", "mask", "foreground", *(["IoU"] if scored else [])],
        [
            [r["image"], r["mask"], f"{r['share']:.1%}", *([f"{r['iou']:.3f}"] if scored else [])]
            for r in found.images
        ],
    )
    if scored:
        say.table(
            ["method", "mean IoU", "accuracy"],
            [[m, f"{s.iou:.3f}", f"{s.accuracy:.3f}"] for m, s in found.scores.items()],
        )
    say.notes(found.notes)
