"""`zoo train`: Caffe's solvers from Caffe's own files, and the paper's networks by name."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prototxt.errors import UsageError
from zoo.cli import options

if TYPE_CHECKING:
    from zoo.cli.console import Printer


class RecipeName(StrEnum):
    """How a network of the paper is trained."""

    modern = "modern"
    paper = "paper"


class EncoderName(StrEnum):
    """Whether the encoder of a network of the paper stays as it was drawn."""

    random = "random"
    learned = "learned"


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
    device: Annotated[
        str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to train.")
    ] = "auto",
    im2col: Annotated[
        bool,
        typer.Option(
            "--im2col",
            help="With a solver: convolve as Caffe does on CPUs. Rounds alike, far slower.",
        ),
    ] = False,
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
    from zoo import extras
    from zoo.cli.console import Printer

    extras.require("torch", "matplotlib")
    say = Printer(json, quiet)
    if solver is not None:
        _by_solver(say, solver, data, weights, resume, output, iterations, device, im2col)
        return
    assert arch is not None
    from zoo.paper import architectures

    architectures.channels(arch)
    output = output or Path(architectures.model_name(arch, encoder.value))
    if recipe is RecipeName.paper:
        if encoder is EncoderName.learned:
            raise UsageError("--encoder learned goes with --recipe modern only")
        _by_paper(
            say, arch, data, hold_out, weights, resume, output, iterations, seed, device, pretrained
        )
        return
    if pretrained:
        raise UsageError("--pretrained goes with --recipe paper only")
    _by_modern(
        say, arch, encoder.value, data, hold_out, encoders, weights, resume, output, iterations,
        seed, device,
    )  # fmt: skip


def _by_solver(
    say: Printer,
    path: Path,
    data: Path | None,
    weights: Path | None,
    resume: Path | None,
    output: Path | None,
    iterations: int | None,
    device: str,
    im2col: bool,
) -> None:
    from zoo.training.distributed import join
    from zoo.training.run import choose_device, convolving_as_caffe, open_solver

    with join(choose_device(device)) as group, convolving_as_caffe(im2col):
        solver = open_solver(path, data, weights, resume, device, output, iterations, group)
        result = _run_solver(say, solver, resume, f"zoo train {path}")
        if group.first:
            say.result({**result, "warnings": say.warnings})


def _run_solver(
    say: Printer, solver: Any, resume: Path | None, again: str, numbers: int | None = None
) -> dict[str, Any]:
    """Run a solver to its end, showing how it goes; what there is to say of it, as JSON.

    `numbers` is how many numbers an image has, where the loss is half a sum of squares over them.
    """
    from zoo.training.run import train as run

    first, last_iteration = solver.iteration, solver.definition.max_iter
    if first >= last_iteration:
        say.warn(f"{resume}: is at iteration {first} already, max_iter is {last_iteration}")
    seen: dict[str, Any] = {"loss": None, "smoothed_loss": None}
    with say.progress("training", last_iteration - first) as advance:

        def show(event: Any) -> None:
            if event.kind in ("train", "step"):
                seen.update(event.values)
                advance()
            if event.kind == "train":
                values = event.values
                left = (last_iteration - event.iteration) / values["iterations_per_second"]
                loss = values["smoothed_loss"]
                rmse = f"RMSE = {(2 * loss / numbers) ** 0.5 / 255:.4f}, " if numbers else ""
                say.line(
                    f"iteration {event.iteration - 1}, loss = {loss:.6g}, {rmse}"
                    f"lr = {values['lr']:.6g}, {values['images_per_second']:.0f} images/s, "
                    f"{_duration(left)} left"
                )
            elif event.kind == "test":
                listed = ", ".join(f"{k} = {v:.6g}" for k, v in event.values.items())
                say.line(f"iteration {event.iteration}, test: {listed}")
            elif event.kind == "snapshot":
                say.line(f"snapshot {event.path}")

        last = run(solver, show)
    stopped = solver.stop and solver.iteration < last_iteration
    if stopped:
        say.note(f"stopped; go on with: {again} --resume {last}")
    return {
        "iterations": solver.iteration,
        "loss": seen["loss"],
        "smoothed_loss": seen["smoothed_loss"],
        "snapshot": str(last) if last else None,
        "device": str(solver.device),
        "finished": not stopped,
    }


def _by_paper(
    say: Printer,
    arch: str,
    data: Path | None,
    hold_out: int,
    weights: Path | None,
    resume: Path | None,
    output: Path,
    iterations: int | None,
    seed: int,
    device: str,
    pretrained: bool,
) -> None:
    import prototxt
    from zoo.paper.recipes import tunnel
    from zoo.paper.recipes.paper import paper_solver
    from zoo.training.run import choose_device

    images = training_images(say, data, hold_out, 1, seed)
    start = prototxt.read_weights(weights) if weights is not None else None
    how: dict[str, Any] = {"iterations": iterations, "seed": seed, "device": choose_device(device)}
    again = f"zoo train --arch {arch} --recipe paper"
    mean = images.pool.mean(0)
    if pretrained and weights is None and resume is None:
        classifier = paper_solver(
            arch, images.pool, mean, output, classify=True, labels=images.labels, **how
        )
        say.line(f"classify{arch}: the encoder learns {len(set(images.labels))} classes")
        first = _run_solver(say, classifier, None, again)
        if not first["finished"]:
            say.result({**first, "warnings": say.warnings})
            return
        start = classifier.network.weights()
    solver = paper_solver(arch, images.pool, mean, output, weights=start, **how)
    if resume is not None:
        solver.restore(resume)
    result = _run_solver(say, solver, resume, again, mean.size)
    if result["finished"]:
        kind = "pretrained" if pretrained else "random"
        about = tunnel.finish_paper(arch, images, mean, solver, output, seed, kind)
        result = {**about, **result}
        _say_finished(say, about, output)
    say.result({**result, "warnings": say.warnings})


def _by_modern(
    say: Printer,
    arch: str,
    encoder: str,
    data: Path | None,
    hold_out: int,
    encoders: int | None,
    weights: Path | None,
    resume: Path | None,
    output: Path,
    iterations: int | None,
    seed: int,
    device: str,
) -> None:
    from zoo.paper.recipes.modern import fast_bfloat16, recipe_for
    from zoo.paper.recipes.tunnel import STATE, TunnelRun, starting_weights, train_arch
    from zoo.training.distributed import join
    from zoo.training.run import choose_device

    device = choose_device(device)
    if resume is not None:
        output = resume if resume.is_dir() else resume.parent
    with join(device) as group:
        images = training_images(say, data, hold_out, None, seed)
        start = None if weights is None else starting_weights(arch, weights)
        recipe = recipe_for(
            arch, iterations, seed, fast_bfloat16(device), encoders, start is not None, encoder
        )
        run = TunnelRun(arch, images, recipe, output, device, group, start)
        with say.progress("training", recipe.iterations) as advance:

            def show(event: Any) -> None:
                if event.kind == "step":
                    advance()
                elif event.kind == "trial":
                    seed, rmse = event.values["seed"], event.values["rmse"]
                    say.line(f"encoder {seed:.0f}: RMSE {rmse:.4f} after a brief trial")
                elif event.kind == "train":
                    values = event.values
                    say.line(
                        f"iteration {event.iteration}, loss = {values['loss']:.6g}, "
                        f"RMSE = {values['rmse']:.4f}, {values['images_per_second']:.0f} "
                        f"images/s, {_duration(values['seconds_left'])} left"
                    )
                elif event.kind == "snapshot":
                    say.line(f"snapshot {event.path}")

            about = train_arch(run, show if group.first else lambda _: None, resume is not None)
        if not group.first:
            return
        if about is None:
            if run.training is not None:
                state = output / STATE
                kind = "" if encoder == "random" else f" --encoder {encoder}"
                say.note(f"stopped; go on with: zoo train --arch {arch}{kind} --resume {state}")
            else:
                say.note("stopped before the training began; nothing is kept")
            say.result({"arch": arch, "finished": False, "warnings": say.warnings})
            return
        _say_finished(say, about, output)
        say.result({**about, "output": str(output), "finished": True, "warnings": say.warnings})


def training_images(
    say: Printer, data: Path | None, hold_out: int, variants: int | None, seed: int
) -> Any:
    from zoo.paper.recipes.images import VARIANTS, load_images

    with say.progress("reading images", None) as advance:
        images = load_images(
            data, hold_out, VARIANTS if variants is None else variants, seed=seed,
            on_progress=advance,
        )  # fmt: skip
    for name, why in images.skipped[:5]:
        say.warn(f"{name}: left out: {why}")
    if len(images.skipped) > 5:
        say.warn(f"{len(images.skipped) - 5} more images left out")
    if data is None:
        say.note(f"no --data: trains on {images.count} sample photographs, only to try it out")
    return images


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
