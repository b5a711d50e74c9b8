"""`zoo train`: Caffe's solvers, from Caffe's own files."""

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.commands import options


def train(
    solver: Annotated[Path, typer.Argument(metavar="SOLVER.prototxt", help="A solver definition.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DB|IO.npz",
            help="An LMDB in place of the definition's own, or an .npz with one array per input "
            "blob, whose first axis is the iteration; default: what the data layers name.",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="W.caffemodel", help="Start from these weights."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="S.solverstate", help="Go on from a snapshot."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Folder of the snapshots and the log."),
    ] = None,
    iterations: Annotated[
        int | None, typer.Option("--iterations", min=1, help="In place of the solver's max_iter.")
    ] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to train.")
    ] = "auto",
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a network as Caffe's solver would, step for step.

    Writes snapshots that Caffe loads (.caffemodel, .solverstate) and metrics.jsonl beside them.
    Ctrl-C takes a snapshot and says how to go on.
    """
    from zoo.console import Printer
    from zoo.training.run import open_solver
    from zoo.training.run import train as run

    say = Printer(json, quiet)
    opened = open_solver(solver, data, weights, resume, device, output, iterations)
    if opened.iteration >= opened.definition.max_iter:
        say.warn(f"{resume}: is at iteration {opened.iteration} already, max_iter is "
                 f"{opened.definition.max_iter}")  # fmt: skip
    seen: dict[str, Any] = {"loss": None, "smoothed_loss": None}
    first = opened.iteration
    with say.progress("training", opened.definition.max_iter - first) as advance:

        def show(event: Any) -> None:
            if event.kind in ("train", "step"):
                seen.update(event.values)
                advance()
            if event.kind == "train":
                values = event.values
                say.line(
                    f"iteration {event.iteration - 1}, loss = {values['smoothed_loss']:.6g}, "
                    f"lr = {values['lr']:.6g}"
                )
            elif event.kind == "test":
                listed = ", ".join(f"{k} = {v:.6g}" for k, v in event.values.items())
                say.line(f"iteration {event.iteration}, test: {listed}")
            elif event.kind == "snapshot":
                say.line(f"snapshot {event.path}")

        last = run(opened, show)
    stopped = opened.stop and opened.iteration < opened.definition.max_iter
    if stopped:
        say.note(f"stopped; go on with: zoo train {solver} --resume {last}")
    say.result(
        {
            "iterations": opened.iteration,
            "loss": seen["loss"],
            "smoothed_loss": seen["smoothed_loss"],
            "snapshot": str(last) if last else None,
            "device": str(opened.device),
            "finished": not stopped,
            "warnings": say.warnings,
        }
    )
