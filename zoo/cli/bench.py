"""`zoo bench`: how fast, beside what one would use instead."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from prototxt.errors import UsageError
from zoo.cli import mistakes, options
from zoo.cli.options import Provider


class Suite(StrEnum):
    """What is measured."""

    convert = "convert"
    run = "run"
    train = "train"
    precision = "precision"


def bench(
    suite: Annotated[
        list[Suite] | None, typer.Option("--suite", help="What to measure; default: all four.")
    ] = None,
    arch: Annotated[
        list[str] | None,
        typer.Option("--arch", metavar="n1_n2_n3", help="A network of the paper; repeat for more."),
    ] = None,
    batch: Annotated[
        list[int] | None,
        typer.Option(
            "--batch",
            min=1,
            help="Images at a time; repeat for more; default 1 and 16, in precision 1.",
        ),
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
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Images to measure accuracy over; default: sample photographs.",
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            "--calibrate",
            metavar="DIR",
            help="Images that int8 takes its ranges of; default: every fifth of --data, which is "
            "not measured then.",
        ),
    ] = None,
    net: Annotated[
        Path | None,
        typer.Option(
            "--net",
            metavar="NET.prototxt",
            help="Measure this network: alone, or after those of --arch.",
        ),
    ] = None,
    weights: options.Weights = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="FILE",
            help="Its classes, one a line; an image is of the one whose first word begins its "
            "name, or its folder's.",
        ),
    ] = None,
    mean: options.Mean = None,
    scale: options.Scale = None,
    size: options.Size = None,
    crop: options.Crop = None,
    channel_order: options.ChannelOrderOption = None,
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
    """Measure conversion, inference and training on this machine, and what fewer bits cost.

    Everyone runs in a process of its own, and they take turns; figures are medians over the rounds.
    A ratio is the time of a contestant over that of the first one. The suite precision measures
    networks of the paper, or a Caffe network with its --weights, in float32, float16 and int8. As
    a suite ends, what it found is printed and written.
    """
    from prototxt.preprocessing import Preprocessing
    from zoo.benchmarks import precision, report, suites
    from zoo.cli.console import Printer

    suites.check([one.value for one in suite or Suite], arch or (), provider.value, output)
    how = options.preprocessing(mean, scale, crop, channel_order)
    if size is not None:
        how = how.overridden(resize=options.parse_size(size))
    network = None
    if net is not None:
        mistakes.check_net(net, weights, "bench --net")
        network = precision.Network(net.stem, net, weights, how, labels)
    elif weights or labels or how != Preprocessing():
        raise UsageError("--weights, --labels, --mean and the like are for --net NET.prototxt")
    photographs = precision.Photographs.of(data, calibrate)
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
                photographs=photographs,
                network=network,
                on_round=bar,
            )
        # At once: what is measured stays where the next suite is ended before its time.
        found.append(document)
        if output is not None:
            suites.write(document, output)
        say.line(f"{document['suite']}: {report.about(document)}")
        say.table(*report.table(document))
    say.result({"suites": found})
