"""`zoo train`: Caffe's solvers from Caffe's own files, and the paper's networks by name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prototxt.errors import UsageError
from zoo.cli import options
from zoo.cli.training import Shown, ShownModern

if TYPE_CHECKING:
    from zoo.cli.console import Printer
    from zoo.paper.recipes.images import Images
    from zoo.paper.recipes.training import ByModern
    from zoo.training.run import Trained


class RecipeName(StrEnum):
    """How a network of the paper is trained."""

    modern = "modern"
    paper = "paper"


class EncoderName(StrEnum):
    """Whether the encoder of a network of the paper stays as it was drawn."""

    random = "random"
    learned = "learned"


class CaffeName(StrEnum):
    """Whose solvers are followed."""

    release = "1.0"
    before = "2016"


def train(
    ctx: typer.Context,
    solver: Annotated[
        Path | None, typer.Argument(metavar="[SOLVER.prototxt]", help="A solver definition.")
    ] = None,
    arch: options.Arch = None,
    recipe: Annotated[
        RecipeName, typer.Option("--recipe", help="With --arch: how it is trained.")
    ] = RecipeName.modern,
    pretrained: Annotated[
        bool,
        typer.Option("--pretrained", help="With --recipe paper: the encoder learns classes first."),
    ] = False,
    classes: Annotated[
        Path | None,
        typer.Option(
            "--classes",
            metavar="DB|DIR",
            help="With --pretrained: the images it learns classes of. Default: those of --data.",
        ),
    ] = None,
    encoder: Annotated[
        EncoderName,
        typer.Option("--encoder", help="With --recipe modern: does it learn its switches?"),
    ] = EncoderName.random,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            metavar="DB|DIR|IO.npz",
            help="An LMDB in place of the training's own, or an .npz with one array per input "
            "blob (of tests too), whose first axis is the iteration; with --arch an LMDB or a "
            "folder of images, or several (give it again). "
            "Default: what the data layers name; with --arch sample photographs.",
        ),
    ] = None,
    hold_out: Annotated[
        int,
        typer.Option(
            "--hold-out",
            min=0,
            metavar="N",
            help="With --arch: images of the first --data to measure on.",
        ),
    ] = 0,
    encoders: Annotated[
        int | None,
        typer.Option(
            "--encoders",
            min=1,
            metavar="N",
            help="With --arch: how many random encoders are drawn; the best in brief trials stays.",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="W.caffemodel", help="Start from these weights."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="STATE", help="Go on from a snapshot."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Folder of what is written; default: the solver's snapshot_prefix, or ARCH.",
        ),
    ] = None,
    iterations: Annotated[
        int | None, typer.Option("--iterations", min=1, help="In place of the solver's max_iter.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="With --arch: of every draw.")] = 0,
    ema: Annotated[
        float,
        typer.Option(
            "--ema",
            min=0,
            max=1,
            metavar="DECAY",
            help="Average the weights over the steps, as 0.999; the average is tested and kept.",
        ),
    ] = 0.0,
    mixed: Annotated[
        bool | None,
        typer.Option(
            "--mixed-precision/--full-precision",
            help="Compute in bfloat16 where that is safe, or all in float32. Default: float32; "
            "with --recipe modern bfloat16 where the machine is fast at it.",
        ),
    ] = None,
    device: options.Device = "auto",
    im2col: Annotated[
        bool,
        typer.Option(
            "--im2col",
            help="With a solver: convolve as Caffe does on CPUs. Rounds alike, far slower.",
        ),
    ] = False,
    caffe: Annotated[
        CaffeName,
        typer.Option(
            "--caffe",
            help="With a solver: whose. Until 2016 solvers changed BatchNorm's running statistics, "
            "too.",
        ),
    ] = CaffeName.release,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a network as Caffe's solver would, step for step, or a network of the paper by name.

    With a solver: snapshots that Caffe loads (.caffemodel, .solverstate), metrics.jsonl and
    loss.png beside them. With --arch: ARCH.prototxt, .caffemodel, .onnx and .json as well, by the
    authors' recipe or by a modern one that is better and far faster. Ctrl-C takes a snapshot and
    says how to go on. Started by torchrun, the processes share the work.
    """
    if (solver is None) == (arch is None):
        raise UsageError("give either SOLVER.prototxt or --arch")
    from zoo import extras, processes
    from zoo.cli.console import Printer

    extras.require("torch", "matplotlib")
    processes.private_caches()
    say = Printer(json, quiet)
    how: dict[str, Any] = {"weights": weights, "resume": resume, "iterations": iterations}
    how |= {"ema": ema, "mixed": mixed if recipe is RecipeName.modern and arch else bool(mixed)}
    again = functools.partial(options.again, ctx)
    if solver is not None:
        if len(data or []) > 1:
            raise UsageError("--data is given several times; that goes with --arch only")
        how |= {
            "data": data[0] if data else None,
            "output": output,
            "im2col": im2col,
            "device": device,
        }
        _by_solver(say, solver, {**how, "caffe": caffe.value}, again)
        return
    assert arch is not None
    extras.require("pytorch_optimizer")
    from zoo.paper import architectures
    from zoo.training.run import choose_device

    how |= {"seed": seed, "device": choose_device(device)}
    if "-rate-" in arch:
        _without_recipe(recipe, encoder, encoders, pretrained, classes)
        _by_rate(say, arch, data or [], hold_out, output or Path(arch), how, again)
        return
    architectures.channels(arch)
    if recipe is RecipeName.paper and encoder is EncoderName.learned:
        raise UsageError("--encoder learned goes with --recipe modern only")
    if recipe is RecipeName.modern and pretrained:
        raise UsageError("--pretrained goes with --recipe paper only")
    if classes is not None and not pretrained:
        raise UsageError("--classes goes with --pretrained only")
    from zoo.cli.images import training_images

    folder = output or Path(architectures.model_name(arch, encoder.value))
    if recipe is RecipeName.paper:
        images = training_images(say, data or [], hold_out, seed, variants=1)
        if classes is not None:
            how["classes"] = training_images(say, [classes], hold_out, seed, variants=1)
        _by_paper(say, arch, images, folder, pretrained, how, again)
    else:
        images = training_images(say, data or [], hold_out, seed)
        _by_modern(say, arch, images, folder, encoder.value, encoders, how, again)


def _without_recipe(
    recipe: RecipeName,
    encoder: EncoderName,
    encoders: int | None,
    pretrained: bool,
    classes: Path | None,
) -> None:
    """UsageError for what a network for small files has no use for."""
    given = {
        "--recipe paper": recipe is RecipeName.paper,
        "--encoder learned": encoder is EncoderName.learned,
        "--encoders": encoders is not None,
        "--pretrained": pretrained,
        "--classes": classes is not None,
    }
    for name in (name for name, there in given.items() if there):
        raise UsageError(f"{name} does not go with --arch n1_n2_n3-rate-N")


def _by_solver(
    say: Printer,
    path: Path,
    how: dict[str, Any],
    again: Callable[..., str],
) -> None:
    from zoo.training.run import train_solver

    with say.progress("training", estimate=False) as bar:
        shown = Shown(say, bar, how["resume"])
        trained = train_solver(path, say=shown, **how)
    if trained is not None:
        _say_stopped(say, trained, again)
        say.result({**trained.as_dict(), "warnings": say.warnings})


def _by_paper(
    say: Printer,
    arch: str,
    images: Images,
    folder: Path,
    pretrained: bool,
    how: dict[str, Any],
    again: Callable[..., str],
) -> None:
    from zoo.paper.recipes.training import train_paper

    with say.progress("training", estimate=False) as bar:
        shown = Shown(say, bar, how["resume"], arch)
        done = train_paper(arch, images, folder, pretrained=pretrained, say=shown, **how)
    _say_stopped(say, done.trained, again)
    if done.card is not None:
        _say_finished(say, done.card, folder)
    say.result({**done.as_dict(), "warnings": say.warnings})


def _by_modern(
    say: Printer,
    arch: str,
    images: Images,
    folder: Path,
    encoder: str,
    encoders: int | None,
    how: dict[str, Any],
    again: Callable[..., str],
) -> None:
    from zoo.paper.recipes.training import train_modern

    with say.progress("training", estimate=False) as bar:
        shown = ShownModern(say, bar)
        done = train_modern(
            arch, images, folder, encoder=encoder, encoders=encoders, say=shown, **how
        )
    _say_learned(say, done, again)


def _say_learned(say: Printer, done: ByModern | None, again: Callable[..., str]) -> None:
    if done is None:
        return
    if done.card is not None:
        _say_finished(say, done.card, done.folder)
    elif done.state is not None:
        say.note(f"stopped; go on with: {again(resume=done.state)}")
    else:
        say.note("stopped before anything was done that could be kept; give the command again")
    say.result({**done.as_dict(), "warnings": say.warnings})


def _by_rate(
    say: Printer,
    arch: str,
    data: list[Path],
    hold_out: int,
    folder: Path,
    how: dict[str, Any],
    again: Callable[..., str],
) -> None:
    from zoo.cli.images import training_images
    from zoo.compression.definitions import parsed
    from zoo.compression.training import train_rate

    parsed(arch)
    images = training_images(say, data, hold_out, how["seed"], own_scale=True)
    with say.progress("training", estimate=False) as bar:
        done = train_rate(arch, images, folder, say=ShownModern(say, bar), **how)
    _say_learned(say, done, again)


def _say_stopped(say: Printer, trained: Trained, again: Callable[..., str]) -> None:
    if not trained.finished:
        say.note(f"stopped; go on with: {again(resume=trained.snapshot)}")


def _say_finished(say: Printer, about: dict[str, Any], output: Path) -> None:
    name = about["name"]
    pairs: list[tuple[str, Any]] = [
        ("wrote", [str(output / f"{name}.{kind}") for kind in ("onnx", "caffemodel", "json")]),
    ]
    if about["rmse_held_out"] is not None:
        held = f"{about['rmse_held_out']:.4f} on {about['held_out']} images held out"
        if about.get("bits_per_pixel_held_out"):
            held += f", in {about['bits_per_pixel_held_out']:.3f} bits a pixel"
        pairs.append(("RMSE", held))
    if about["published"]:
        pairs.append(("published", f"{about['published']:.4f}, on other images"))
    say.fields(pairs)
