"""`zoo train`: Caffe's solvers from Caffe's own files, and the paper's networks by name."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prototxt.errors import UsageError
from zoo.cli import options

if TYPE_CHECKING:
    from zoo.cli.console import Bar, Printer
    from zoo.paper.recipes.images import Images
    from zoo.training.run import Trained
    from zoo.training.solver import Event


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
    encoder: Annotated[
        EncoderName,
        typer.Option("--encoder", help="With --recipe modern: does it learn its switches?"),
    ] = EncoderName.random,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DB|DIR|IO.npz",
            help="An LMDB in place of the training's own, or an .npz with one array per input "
            "blob (of tests too), whose first axis is the iteration; with --arch an LMDB or a "
            "folder of images. "
            "Default: what the data layers name; with --arch sample photographs.",
        ),
    ] = None,
    hold_out: Annotated[
        int,
        typer.Option("--hold-out", min=0, metavar="N", help="With --arch: images to measure on."),
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
    if solver is not None:
        how |= {"data": data, "output": output, "im2col": im2col, "device": device}
        _by_solver(say, solver, {**how, "caffe": caffe.value})
        return
    assert arch is not None
    from zoo.paper import architectures

    architectures.channels(arch)
    if recipe is RecipeName.paper and encoder is EncoderName.learned:
        raise UsageError("--encoder learned goes with --recipe modern only")
    if recipe is RecipeName.modern and pretrained:
        raise UsageError("--pretrained goes with --recipe paper only")
    from zoo.cli.images import training_images
    from zoo.training.run import choose_device

    how |= {"seed": seed, "device": choose_device(device)}
    folder = output or Path(architectures.model_name(arch, encoder.value))
    if recipe is RecipeName.paper:
        images = training_images(say, data, hold_out, seed, variants=1)
        _by_paper(say, arch, images, folder, pretrained, how)
    else:
        images = training_images(say, data, hold_out, seed)
        _by_modern(say, arch, images, folder, encoder.value, encoders, how)


def _by_solver(
    say: Printer,
    path: Path,
    how: dict[str, Any],
) -> None:
    from zoo.training.run import train_solver

    with say.progress("training") as bar:
        shown = _Shown(say, bar, how["resume"])
        trained = train_solver(path, say=shown, **how)
    if trained is not None:
        _say_stopped(say, trained, f"zoo train {path}")
        say.result({**trained.as_dict(), "warnings": say.warnings})


def _by_paper(
    say: Printer, arch: str, images: Images, folder: Path, pretrained: bool, how: dict[str, Any]
) -> None:
    from zoo.paper.recipes.training import train_paper

    with say.progress("training") as bar:
        shown = _Shown(say, bar, how["resume"], arch)
        done = train_paper(arch, images, folder, pretrained=pretrained, say=shown, **how)
    _say_stopped(say, done.trained, f"zoo train --arch {arch} --recipe paper")
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
) -> None:
    from zoo.paper.recipes.training import train_modern

    with say.progress("training") as bar:
        shown = _ShownModern(say, bar)
        done = train_modern(
            arch, images, folder, encoder=encoder, encoders=encoders, say=shown, **how
        )
    if done is None:
        return
    if done.card is not None:
        _say_finished(say, done.card, done.folder)
    elif done.state is not None:
        kind = "" if encoder == "random" else f" --encoder {encoder}"
        say.note(f"stopped; go on with: zoo train --arch {arch}{kind} --resume {done.state}")
    else:
        say.note("stopped before the training began; nothing is kept")
    say.result({**done.as_dict(), "warnings": say.warnings})


class _Shown:
    """A solver's events, as they come: lines and a bar."""

    def __init__(self, say: Printer, bar: Bar, resume: Path | None, arch: str = "") -> None:
        self.say, self.bar, self.resume, self.arch = say, bar, resume, arch
        self.last = 0

    def __call__(self, event: Event) -> None:
        values, say = event.values, self.say
        if event.kind == "classify":
            say.line(f"classify{self.arch}: the encoder learns {values['classes']:.0f} classes")
        elif event.kind == "begin":
            self.last = int(values["max_iter"])
            self.bar.reach(0, max(0, self.last - event.iteration))
            if event.iteration >= self.last:
                there = f"is at iteration {event.iteration} already, max_iter is {self.last}"
                say.warn(f"{self.resume}: {there}")
        elif event.kind == "test":
            listed = ", ".join(f"{k} = {v:.6g}" for k, v in values.items())
            say.line(f"iteration {event.iteration}, test: {listed}")
        elif event.kind == "snapshot":
            say.line(f"snapshot {event.path}")
        if event.kind in ("train", "step"):
            self.bar()
        if event.kind == "train":
            left = (self.last - event.iteration) / values["iterations_per_second"]
            rmse = f"RMSE = {values['rmse']:.4f}, " if "rmse" in values else ""
            say.line(
                f"iteration {event.iteration - 1}, loss = {values['smoothed_loss']:.6g}, {rmse}"
                f"lr = {values['lr']:.6g}, {values['images_per_second']:.0f} images/s, "
                f"{_duration(left)} left"
            )


class _ShownModern:
    """The events of the `modern` recipe, likewise."""

    def __init__(self, say: Printer, bar: Bar) -> None:
        self.say, self.bar = say, bar

    def __call__(self, event: Event) -> None:
        values, say = event.values, self.say
        if event.kind == "begin":
            self.bar.reach(0, int(values["max_iter"]))
        elif event.kind == "step":
            self.bar()
        elif event.kind == "trial":
            rmse = f"RMSE {values['rmse']:.4f} after a brief trial"
            say.line(f"encoder {values['seed']:.0f}: {rmse}")
        elif event.kind == "train":
            say.line(
                f"iteration {event.iteration}, loss = {values['loss']:.6g}, "
                f"RMSE = {values['rmse']:.4f}, {values['images_per_second']:.0f} images/s, "
                f"{_duration(values['seconds_left'])} left"
            )
        elif event.kind == "snapshot":
            say.line(f"snapshot {event.path}")


def _say_stopped(say: Printer, trained: Trained, again: str) -> None:
    if not trained.finished:
        say.note(f"stopped; go on with: {again} --resume {trained.snapshot}")


def _say_finished(say: Printer, about: dict[str, Any], output: Path) -> None:
    name = about["name"]
    pairs: list[tuple[str, Any]] = [
        ("wrote", [str(output / f"{name}.{kind}") for kind in ("onnx", "caffemodel", "json")]),
    ]
    if about["rmse_held_out"] is not None:
        held = f"{about['rmse_held_out']:.4f} on {about['held_out']} images held out"
        pairs.append(("RMSE", held))
    if about["published"]:
        pairs.append(("published", f"{about['published']:.4f}, on other images"))
    say.fields(pairs)


def _duration(seconds: float) -> str:
    """Seconds as 1:23 or 1:02:03."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
