"""`zoo eval`: the RMSE of a reconstruction network over images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prototxt.errors import ZooError
from zoo.cli import options
from zoo.cli.options import Provider

if TYPE_CHECKING:
    from runtime import Model


def evaluate(
    arch: options.Arch = None,
    model: Annotated[
        Path | None, typer.Option("--model", metavar="M.onnx", help="A converted network.")
    ] = None,
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
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Take the first N images only.")
    ] = None,
    size: options.Size = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="DIR", help="Write report.md, report.json and pairs of pictures."
        ),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how well a network rebuilds images.

    The measure is the RMSE with pixels in [0,1]. Images are decoded and resized as the paper's
    authors did: OpenCV, BGR, plain bilinear, minus the training mean. The published figures are
    over other images (Table II of the paper).
    """
    sides = options.parse_size(size) if size else None
    from zoo.cli.models import model_for

    model, arch = model_for(model, arch, pretrained)
    import runtime
    from converters.metadata import untrained
    from zoo.cli.console import Printer
    from zoo.data.sources import evaluated_images
    from zoo.paper import architectures

    say = Printer(json, quiet)
    loaded = runtime.load(model, provider.value)
    arch = _agreed_arch(arch, loaded, model)
    fixed = runtime.fixed_plane(loaded)
    how, plane, said = runtime.resolve(loaded.metadata, mean=mean, size=sides, fixed=fixed)
    images, notes, data_name = evaluated_images(data, held_out)
    images = images[:limit]
    notes += said
    for sentence in (loaded.note, untrained(loaded.metadata)):
        if sentence:
            notes.append(sentence)
    with say.progress("evaluating", len(images)) as advance:
        outcome = runtime.evaluate(
            loaded,
            images,
            how.mean_values(3),
            size=plane,
            batch=batch,
            on_progress=lambda *_: advance(),
        )
    for name, reason in outcome.skipped:
        say.warn(f"{name}: left out: {reason}")
    published = architectures.published(arch, pretrained) if arch else None
    result = {
        "rmse": round(outcome.rmse, 6),
        "published": published,
        "published_encoder": ("pretrained" if pretrained else "random") if published else None,
        "bits_per_pixel": architectures.bits_per_pixel(arch) if arch else None,
        "images": outcome.images,
        "skipped": len(outcome.skipped),
        "arch": arch,
        "model": str(model),
        "data": data_name,
        "size": list(plane),
        "provider": loaded.provider,
        "seconds": round(outcome.seconds, 3),
        "images_per_second": round(outcome.images_per_second, 1),
        "notes": notes,
    }
    if report is not None:
        from zoo.paper.report import write_report

        files = write_report(report, result, outcome, images, loaded, how, plane)
        result["report"] = [str(path) for path in files]
    say.result(result)
    _show(say, result, bool(untrained(loaded.metadata)))


def _agreed_arch(arch: str | None, model: Model, path: Path) -> str | None:
    """The arch that the user and the model agree on; ZooError where they contradict."""
    stated = model.metadata.get("zoo.arch")
    if model.metadata.get("zoo.task", "reconstruct") != "reconstruct":
        raise ZooError(
            "classifies, and reconstructs no image",
            subject=path,
            remedy="convert a `net*` definition",
        )
    if arch is not None and stated is not None and arch != stated:
        raise ZooError(
            f"is the paper's {stated}, not {arch}", subject=path, remedy="mend --arch or --model"
        )
    return arch or stated


def _show(say: Any, result: Mapping[str, Any], untrained: bool) -> None:
    pairs: list[tuple[str, Any]] = [("RMSE", f"{result['rmse']:.4f}")]
    if result["published"]:
        aside = ", which this untrained network cannot meet" if untrained else ""
        pairs.append(
            (
                "published",
                f"{result['published']:.4f} ({result['published_encoder']} encoder){aside}",
            )
        )
    if result["bits_per_pixel"]:
        pairs.append(("code", f"{result['bits_per_pixel']:g} bits per pixel and channel"))
    pairs.append(
        (
            "images",
            f"{result['images']}, {result['size'][0]}x{result['size'][1]}, "
            f"{result['images_per_second']:g} a second on {result['provider']}",
        )
    )
    if result.get("report"):
        pairs.append(("report", result["report"][0]))
    say.fields(pairs)
    for note in result["notes"]:
        say.note(note)
