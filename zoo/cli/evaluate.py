"""`zoo eval`: the RMSE of a reconstruction network over images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli import options
from zoo.cli.options import Provider

if TYPE_CHECKING:
    from zoo.cli.console import Printer
    from zoo.paper.evaluation import Evaluated


def evaluate(
    arch: options.Arch = None,
    model: options.Converted = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR|DB",
            help="A folder of images, one image, or an LMDB; default: sample photographs.",
        ),
    ] = None,
    held_out: options.HeldOut = 0,
    mean: options.Mean = None,
    pretrained: Annotated[
        bool,
        typer.Option(
            "--pretrained",
            help="Compare with the paper's figure for an encoder pretrained for classification.",
        ),
    ] = False,
    provider: options.ProviderOption = Provider.auto,
    batch: options.Batch = 16,
    limit: options.Limit = None,
    size: options.Size = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="DIR", help="Write report.md, report.json and pairs of pictures."
        ),
    ] = None,
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how well a network rebuilds images.

    The measure is the RMSE with pixels in [0,1]. Images are decoded and resized as the paper's
    authors did: OpenCV, BGR, plain bilinear, minus the training mean. The published figures are
    over other images (Table II of the paper).
    """
    sides = options.parse_size(size) if size else None
    from zoo.cli.console import Printer
    from zoo.cli.spelling import spelled
    from zoo.paper import evaluation
    from zoo.paper.models import find_model

    say = Printer(json, quiet)
    path, arch = find_model(model, arch, pretrained=pretrained)
    with say.progress("evaluating") as bar:
        found = evaluation.evaluate(
            path,
            arch,
            data,
            held_out=held_out,
            limit=limit,
            pretrained=pretrained,
            mean=mean,
            size=sides,
            provider=provider.value,
            batch=batch,
            report=report,
            spell=spelled,
            on_progress=bar.reach,
        )
    say.left_out(found.outcome.skipped)
    result = found.as_dict()
    say.result(result)
    _show(say, found, result)


def _show(say: Printer, found: Evaluated, result: dict[str, Any]) -> None:
    pairs: list[tuple[str, Any]] = [("RMSE", f"{result['rmse']:.4f}")]
    if result["published"]:
        aside = ", which this untrained network cannot meet" if found.untrained else ""
        encoder = result["published_encoder"]
        pairs.append(("published", f"{result['published']:.4f} ({encoder} encoder){aside}"))
    if result["bits_per_pixel"]:
        pairs.append(("code", f"{result['bits_per_pixel']:g} bits per pixel and channel"))
    height, width = found.plane
    speed = f"{result['images_per_second']:g} a second on {found.provider}"
    pairs.append(("images", f"{result['images']}, {height}x{width}, {speed}"))
    if found.report:
        pairs.append(("report", found.report[0]))
    say.fields(pairs)
    say.notes(found.notes)
