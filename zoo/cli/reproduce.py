"""`zoo reproduce`: four papers' tables and figures, each beside what was published."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import options


class Paper(StrEnum):
    """The sources, as `zoo.reproduction.items.SOURCES` has them."""

    tunnel = "tunnel"
    salinet = "salinet"
    filters = "filters"
    deconvnet = "deconvnet"


def reproduce(
    paper: Annotated[
        list[Paper] | None, typer.Option("--paper", help="Only these papers; default: all.")
    ] = None,
    item: Annotated[
        list[str] | None,
        typer.Option("--item", metavar="ID", help="Only these tables and figures."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="NAME=PATH",
            help="What to work on, by name: photographs, caffemodels, mean, trainings, classifier, "
            "objects, digits, digit-classifier, small-classifier, labelled, vgg; a path alone is "
            "of photographs.",
        ),
    ] = None,
    held_out: options.HeldOut = 0,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Take so many images for each item at most."),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "-o", metavar="DIR", help="The folder for the report; what it has is not made again."
        ),
    ] = Path("reproduction"),
    hub: options.Hub = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of every draw.")] = 0,
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make the tables and figures of four papers again, in one report.

    report.html is a page with pictures, report.md and report.json have the same. Without --data all
    is made that the package holds the data of, in two minutes. What lacks data or fails is
    told in its row, with the command that makes it alone; the others go on.
    """
    from zoo.cli.console import Printer
    from zoo.cli.spelling import spelled
    from zoo.reproduction import report, run
    from zoo.reproduction.inputs import Inputs

    say = Printer(json, quiet)
    inputs = Inputs(by_name(data or []), held_out, limit, seed, hub)

    def told(outcome: run.Outcome) -> None:
        said = f"in {outcome.seconds:.0f} s" if outcome.state == "made" else outcome.why
        say.line(f"{outcome.state:<8}{outcome.id}: {said}")

    with say.progress("making") as bar:
        found = run.reproduce(
            output,
            inputs,
            papers=[one.value for one in paper or ()],
            items=item or (),
            spell=spelled,
            on_progress=bar.reach,
            on_item=told,
        )
    result = found.as_dict()
    say.result(result | {"files": [str(path) for path in found.files]})
    say.line(report.summary(result))
    say.wrote(found.files)


def by_name(texts: list[str]) -> dict[str, Path]:
    """``NAME=PATH`` as a mapping; a path alone is of photographs."""
    found = {}
    for text in texts:
        name, given, path = text.partition("=")
        found[name if given else "photographs"] = Path(path if given else text)
    return found
