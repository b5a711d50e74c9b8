"""`zoo run`: any converted model on photographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli import options
from zoo.cli.options import Provider

if TYPE_CHECKING:
    from zoo.cli.console import Printer
    from zoo.prediction.run import Runs


def run(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A converted network, a name of a hub, or NET.prototxt with its --weights.",
        ),
    ],
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            help="Images, folders of them, a .txt that lists the frames of a video, or .npz files "
            "with the inputs by name.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            metavar="DIR",
            help="Draw what was found into this folder; default: nothing, but an image-to-image "
            "network's pictures go to the current one.",
        ),
    ] = None,
    weights: options.Weights = None,
    task: options.TaskOption = None,
    labels: options.Labels = None,
    mean: options.Mean = None,
    scale: options.Scale = None,
    crop: options.Crop = None,
    channel_order: options.ChannelOrderOption = None,
    size: options.Size = None,
    top: Annotated[
        int, typer.Option("--top", min=1, help="How many classes a classifier tells.")
    ] = 5,
    threshold: Annotated[
        float,
        typer.Option("--threshold", min=0, max=1, help="The least score of what a detector tells."),
    ] = 0.5,
    batch: options.Batch = 1,
    hub: options.Hub = None,
    offline: options.Offline = False,
    provider: options.ProviderOption = Provider.auto,
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run a model on images and tell what it found.

    Classes of a classifier, boxes of a detector, regions of a segmenter, the picture that an
    image-to-image network makes; of any other the shapes and statistics of its outputs. Images are
    fed as the model's metadata say, or you.
    """
    sides = options.parse_size(size) if size else None
    given = options.preprocessing(None, scale, crop, channel_order)
    from prototxt.labels import read_labels
    from zoo.cli.console import Printer
    from zoo.prediction import models
    from zoo.prediction import run as running

    say = Printer(json, quiet)
    names = read_labels(labels) if labels else ()
    with (
        models.model_file(model, weights, hub=hub, offline=offline) as (path, notes),
        say.progress("running") as bar,
    ):
        found = running.run(
            path,
            images,
            output,
            name=model,
            task=task.value if task else None,
            labels=names,
            mean=mean,
            given=given,
            size=sides,
            top=top,
            threshold=threshold,
            batch=batch,
            provider=provider.value,
            on_progress=bar.reach,
        )
    found.notes[:0] = notes
    say.left_out(found.skipped)
    say.result(found.as_dict())
    _show(say, found)


def _show(say: Printer, found: Runs) -> None:
    columns, rows = _rows(found)
    say.table(columns, rows)
    count = len(found.runs)
    say.fields(
        [
            ("task", found.task),
            ("images", f"{count}, {found.per_second:.1f} a second on {found.provider}"),
        ]
    )
    say.wrote([run.picture for run in found.runs if run.picture is not None])
    say.notes(found.notes)


def _rows(found: Runs) -> tuple[list[str], list[list[Any]]]:
    """A table of what was found, a line for each class, box, region or output."""
    kinds = {
        "classify": ("top", ["score", "class", "label"], _guess),
        "detect": ("boxes", ["score", "label", "left", "top", "right", "bottom"], _box),
        "segment": ("regions", ["share", "class", "label"], _region),
        "other": ("outputs", ["output", "shape", "least", "mean", "greatest"], None),
    }
    kind, columns, cells = kinds.get(found.task, ("size", ["size"], None))
    rows: list[list[Any]] = []
    for run in found.runs:
        said = run.found[kind]
        if kind == "size":
            lines = [["x".join(map(str, said))]]
        elif cells is None:
            lines = [_statistics(name, numbers) for name, numbers in said.items()]
        else:
            lines = [cells(item) for item in said] or [["nothing", *[""] * (len(columns) - 1)]]
        rows += [[run.source if not place else "", *line] for place, line in enumerate(lines)]
    return ["image", *columns], rows


def _guess(item: dict[str, Any]) -> list[Any]:
    return [f"{item['score']:.4g}", item["class"], item["label"]]


def _box(item: dict[str, Any]) -> list[Any]:
    return [f"{item['score']:.3f}", item["label"], *(f"{side:.0f}" for side in item["box"])]


def _region(item: dict[str, Any]) -> list[Any]:
    return [f"{item['share']:.1%}", item["class"], item["label"]]


def _statistics(name: str, numbers: dict[str, Any]) -> list[Any]:
    values = ["" if numbers[k] is None else f"{numbers[k]:.4g}" for k in ("min", "mean", "max")]
    return [name, "x".join(map(str, numbers["shape"])) or "scalar", *values]
