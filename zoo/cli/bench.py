"""`zoo bench`: how fast, beside what one would use instead."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import options
from zoo.cli.options import Provider


class Suite(StrEnum):
    """What is measured."""

    convert = "convert"
    run = "run"
    train = "train"


def bench(
    suite: Annotated[
        list[Suite] | None, typer.Option("--suite", help="What to measure; default: all three.")
    ] = None,
    arch: Annotated[
        list[str] | None,
        typer.Option("--arch", metavar="n1_n2_n3", help="A network of the paper; repeat for more."),
    ] = None,
    batch: Annotated[
        list[int] | None,
        typer.Option("--batch", min=1, help="Images at a time; repeat for more; default 1 and 16."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads; default: one for each core.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=1, help="How many turns everyone has.")
    ] = None,
    provider: options.ProviderOption = Provider.cpu,
    large: Annotated[
        bool, typer.Option("--large", help="Also convert a model of 3 GB, within 6 GiB of memory.")
    ] = False,
    opencv: options.OpenCV = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small networks and few rounds: whether it works.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", metavar="DIR", help="Write SUITE.json and SUITE.md there."),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure conversion, inference and training on this machine.

    Everyone runs in a process of its own, and they take turns; figures are medians over the rounds.
    A ratio is the time of a contestant over that of the first one.
    """
    from zoo.benchmarks import report, suites
    from zoo.cli.console import Printer

    suites.check(arch or (), provider.value, output)
    say = Printer(json, quiet)
    found = []
    for name in dict.fromkeys(suite or Suite):
        with say.progress(name.value) as bar:
            document = suites.measure(
                name.value,
                arches=arch or (),
                batches=batch or (),
                threads=threads,
                rounds=rounds,
                provider=provider.value,
                quick=quick,
                large=large,
                opencv=opencv,
                on_round=bar,
            )
        found.append(document)
    if output is not None:
        suites.write(found, output)
    say.result({"suites": found})
    for document in found:
        say.line(f"{document['suite']}: {report.about(document)}")
        say.table(*report.table(document))
