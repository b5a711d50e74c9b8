"""`zoo segment`: an image's foreground, from what a classifier looks at."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

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
        Path, typer.Option("-o", metavar="DIR", help="The folder for the masks; made if need be.")
    ],
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="W.caffemodel", help="The trained weights."),
    ] = None,
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
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Cut out what a classifier saw: saliency by a reversed network, then GrabCut.

    Writes STEM.png for each image, white where the foreground is, and STEM.seen.png to look at.
    With --masks, mean intersection over union and accuracy, beside a Gaussian blob's.
    """
    import numpy as np

    import runtime
    from converters.passes.reverse import METHODS
    from prototxt.files import make_folder
    from zoo.cli.console import Printer
    from zoo.paper import reconstruction as drawing
    from zoo.reversed import networks
    from zoo.reversed import segmentation as seg

    say = Printer(json, quiet)
    how: dict[str, Any] = dict(
        mean=mean, shapes=options.parse_shapes(shape), seed=seed, provider=provider.value
    )
    whole = networks.read(net, weights, None, **how)
    blob = blob or seg.before_softmax(whole.graph)
    network = networks.read(net, weights, blob, **how)
    networks.image_shape(network)
    sized = None if plain else seg.Convolutional(network, networks.definition(net), blob)
    paths = [path for item in images for path in runtime.list_images(item)]
    answers = seg.read_masks(masks, paths) if masks else []
    ours, baseline = seg.Score(), seg.Score()
    pictures, rows = [], []
    taken: set[str] = set()
    with say.progress("segmenting", len(paths)) as advance:
        for index, path in enumerate(paths):
            image = runtime.read_image(path)
            fitted = network
            if sized is not None:
                fitted = sized.at(seg.covering(image, network.graph.inputs[0].nominal[2:]))
            salient = seg.saliency(fitted, blob, METHODS[method.value], image, mean)
            found = seg.foreground(image, salient)
            row: dict[str, Any] = {"image": str(path), "share": float(found.mean())}
            if answers:
                wanted = seg.read_mask(answers[index], found.shape)
                ours.add(found, wanted)
                baseline.add(seg.foreground(image, seg.gaussian(found.shape)), wanted)
                row["iou"] = ours.unions[-1]
            name = drawing.free_name(path.stem, taken)
            row["mask"] = str(output / f"{name}.png")
            white = np.repeat(found[..., None].astype(np.uint8) * 255, 3, axis=2)
            seen = runtime.labelled_grid(
                [(path.name, seg.drawn(image, salient, found))],
                ["image", f"saliency ({method.value})", "foreground"],
            )
            pictures += [(output / f"{name}.png", white), (output / f"{name}.seen.png", seen)]
            rows.append(row)
            advance()
    make_folder(output)
    for target, content in pictures:
        runtime.write_png(target, content)
    table = [
        {"method": title, "iou": score.iou, "accuracy": score.accuracy}
        for title, score in ((method.value, ours), ("Gaussian blob", baseline))
        if answers
    ]
    say.result({"blob": blob, "images": rows, "scores": table, "notes": network.notes})
    say.table(
        ["image", "mask", "foreground", *(["IoU"] if answers else [])],
        [
            [r["image"], r["mask"], f"{r['share']:.1%}", *([f"{r['iou']:.3f}"] if answers else [])]
            for r in rows
        ],
    )
    if table:
        say.table(
            ["method", "mean IoU", "accuracy"],
            [[r["method"], f"{r['iou']:.3f}", f"{r['accuracy']:.3f}"] for r in table],
        )
    for note in network.notes:
        say.note(note)
