"""`zoo bench`: how fast, beside what one would use instead."""

from __future__ import annotations

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

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
    opencv: Annotated[
        Path | None,
        typer.Option(
            "--opencv",
            metavar="DIR",
            help="A folder with OpenCV 4 (pip install --target), as OpenCV 5 reads no Caffe files.",
        ),
    ] = None,
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
    from prototxt.errors import UsageError
    from prototxt.files import atomic_write_all
    from zoo.benchmarks import machine, report
    from zoo.cli.console import Printer
    from zoo.paper import architectures

    for name in arch or ():
        architectures.channels(name)
    if provider is Provider.auto:
        raise UsageError("--provider auto: say which one is measured", remedy="cpu or cuda")
    if output is not None and output.exists() and not output.is_dir():
        raise UsageError(f"-o {output}: is a file", remedy="name a folder")
    say = Printer(json, quiet)
    chosen = list(dict.fromkeys(suite)) if suite else list(Suite)
    threads = threads or machine.cores()
    found = []
    for one in chosen:
        load = machine.describe()["load"]
        settings = settings_of(one, threads, rounds, provider.value, quick, large, opencv)
        with tempfile.TemporaryDirectory() as folder, say.progress(one.value, None) as advance:
            rows = measured(one, Path(folder), arch, batch, settings, quick, advance)
        found.append(report.document(one.value, vars(settings), rows, load))
    if output is not None:
        import json as text

        output.mkdir(parents=True, exist_ok=True)
        contents: list[tuple[str | Path, Any]] = []
        for document in found:
            path = output / f"{document['suite']}.json"
            contents.append((path, text.dumps(document, indent=1, default=str) + "\n"))
            contents.append((path.with_suffix(".md"), report.markdown(document)))
        atomic_write_all(contents)
    say.result({"suites": found})
    for document in found:
        say.line(f"{document['suite']}: {report.about(document)}")
        say.table(*report.table(document))


def settings_of(
    suite: Suite,
    threads: int,
    rounds: int | None,
    provider: str,
    quick: bool,
    large: bool,
    opencv: Path | None,
) -> Any:
    """How a suite is to be measured."""
    from zoo.benchmarks import converting, running, training

    given: dict[str, Any] = {"threads": threads}
    if rounds is not None or quick:
        given["rounds"] = rounds or 2
    if suite is Suite.convert:
        tiny: dict[str, Any] = {"side": 32, "width": 0.1, "hidden": 64} if quick else {}
        return converting.Settings(**given, **tiny, large=large and not quick)
    given["provider"] = provider
    if quick:
        given |= {"turn": 0.01, "matrix": 128}
    if suite is Suite.train:
        few: dict[str, Any] = {"batch": 2, "images": 5} if quick else {}
        return training.Settings(**given, **few)
    small: dict[str, Any] = {
        "side": 32,
        "compiled": False,
        "classifier_side": 67,
        "classifier_hidden": 8,
    }
    return running.Settings(
        **given, **(small if quick else {}), opencv=str(opencv.resolve()) if opencv else None
    )


def measured(
    suite: Suite,
    folder: Path,
    arches: list[str] | None,
    batches: list[int] | None,
    settings: Any,
    quick: bool,
    advance: Any,
) -> list[dict[str, Any]]:
    """The rows of a suite."""
    from zoo.benchmarks import converting, networks, running, training

    if suite is Suite.convert:
        return converting.run(folder, settings, advance)
    named = arches or networks.arches()[: 1 if quick else None]
    if suite is Suite.train:
        return training.run(folder, named, settings, advance)
    return running.run(folder, named, batches or ([1] if quick else [1, 16]), settings, advance)
