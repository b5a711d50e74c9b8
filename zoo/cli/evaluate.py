"""`zoo eval`: how right a model is over images."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prototxt.errors import UsageError
from zoo.cli import options
from zoo.cli.options import Provider
from zoo.cli.spelling import spelled

if TYPE_CHECKING:
    from zoo.cli.console import Printer
    from zoo.paper.evaluation import Evaluated
    from zoo.prediction.accuracy import Accuracy


def evaluate(
    named: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="A converted network, a name of a hub, or NET.prototxt with its --weights.",
        ),
    ] = None,
    arch: options.Arch = None,
    model: options.Converted = None,
    weights: options.Weights = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR|DB",
            help="A folder of images, one image, or an LMDB; default: sample photographs.",
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            "--truth",
            metavar="FILE|DIR",
            help="What is known of the images: a list of PATH LABEL lines; or a folder, with files "
            "named as they are, of masks, annotations (VOC's XML) or the pictures to be made. "
            "Default: a class is told by the image's folder or name.",
        ),
    ] = None,
    held_out: options.HeldOut = 0,
    task: options.TaskOption = None,
    labels: options.Labels = None,
    mean: options.Mean = None,
    scale: options.Scale = None,
    crop: options.Crop = None,
    channel_order: options.ChannelOrderOption = None,
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
    hub: options.Hub = None,
    offline: options.Offline = False,
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how right a model is: over which images, and by what, its task tells.

    A network that rebuilds its input: the RMSE with pixels in [0,1], PSNR and SSIM; for the paper's
    networks images are decoded and resized as its authors did (OpenCV, BGR, plain bilinear, minus
    the training mean), and the published figure stands beside, over other images (Table II). A
    classifier: top-1 and top-5. A segmenter: mean intersection over union. A detector: PASCAL VOC's
    average precision.
    """
    sides = options.parse_size(size) if size else None
    given = options.preprocessing(None, scale, crop, channel_order)
    from prototxt.labels import read_labels
    from zoo.cli.console import Printer
    from zoo.paper import evaluation
    from zoo.paper.models import find_model
    from zoo.prediction import accuracy, models

    say = Printer(json, quiet)
    names = read_labels(labels) if labels else ()
    if named is not None and (model is not None or arch is not None):
        raise UsageError("MODEL, --model and --arch name the network; give one of them")
    if named is None and (weights is not None or hub is not None):
        raise UsageError("--weights and --hub go with MODEL")
    how: dict[str, Any] = {"mean": mean, "size": sides, "limit": limit, "batch": batch}
    with contextlib.ExitStack() as stack:
        if named is not None:
            file = models.model_file(named, weights, hub=hub, offline=offline)
            path, _ = stack.enter_context(file)
        else:
            path, arch = find_model(model, arch, pretrained=pretrained)
        how |= {"on_progress": stack.enter_context(say.progress("evaluating")).reach}
        how |= {"provider": provider.value}
        if accuracy.measures(task.value if task else models.task_of(path), truth):
            if report is not None or held_out or pretrained:
                told = "--report, --held-out and --pretrained are for networks that rebuild images"
                raise UsageError(told)
            how |= {"name": named, "task": task.value if task else None, "given": given}
            measured = accuracy.measure(path, data, truth, labels=names, **how)
            stack.close()
            _show_accuracy(say, measured)
            return
        if truth is not None or labels is not None:
            raise UsageError("--truth and --labels do not go with a network that rebuilds images")
        how |= {"held_out": held_out, "pretrained": pretrained, "report": report}
        rebuilt = evaluation.evaluate(path, arch, data, spell=spelled, **how)
    say.left_out(rebuilt.outcome.skipped)
    result = rebuilt.as_dict()
    say.result(result)
    _show(say, rebuilt, result)


def _show(say: Printer, found: Evaluated, result: dict[str, Any]) -> None:
    likeness = f", SSIM {result['ssim']:.4f}" if result["ssim"] is not None else ""
    shown = f"{result['rmse']:.4f} (PSNR {result['psnr']:.2f} dB{likeness})"
    pairs: list[tuple[str, Any]] = [("RMSE", shown)]
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


WORDS = {
    "top1": "top-1",
    "top5": "top-5",
    "mean_iou": "mean IoU",
    "pixel_accuracy": "pixel accuracy",
    "map": "mAP",
    "rmse": "RMSE",
    "psnr": "PSNR",
    "ssim": "SSIM",
}
"""How people know the measures."""


def _show_accuracy(say: Printer, found: Accuracy) -> None:
    say.left_out(found.skipped)
    say.result(found.as_dict())
    pairs: list[tuple[str, Any]] = [("task", found.task)]
    for name, value in found.measures.items():
        share = name not in ("rmse", "psnr", "ssim")
        shown = f"{value:.1%}" if share else f"{value:.2f} dB" if name == "psnr" else f"{value:.4f}"
        pairs.append((WORDS[name], shown))
    speed = f"{found.per_second:.1f} a second on {found.provider}"
    pairs.append(("images", f"{found.images}, {speed}"))
    say.fields(pairs)
    confusions = found.details.get("confusions")
    if confusions and confusions[0]["images"] == 1:
        say.line(f"{found.details['confused']} images were taken for another class, no two alike")
    elif confusions:
        rows = [[c["truth"], c["found"], f"{c['images']} of {c['of']}"] for c in confusions]
        say.line()
        say.table(["class", "taken for", "images"], rows)
    for kind in ("iou", "average_precision"):
        if kind in found.details:
            say.line()
            of_classes = found.details[kind].items()
            rows = [[name, f"{value:.3f}"] for name, value in of_classes]
            say.table(["class", kind.replace("_", " ")], rows)
    say.notes(found.notes)
