"""Databases of images: Caffe's convert_imageset and compute_image_mean."""

from pathlib import Path
from typing import Annotated

import typer

from prototxt.shapes import shape_text
from zoo.cli import options
from zoo.cli.page import Entry, Page


def build(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="A folder of images.")],
    output: Annotated[Path, typer.Argument(metavar="OUT.lmdb", help="The database to write.")],
    size: Annotated[
        str,
        typer.Option("--size", metavar="HxW|N|keep", help="Size of the stored images."),
    ] = "128",
    labels: Annotated[
        Path | None,
        typer.Option(
            "--list",
            metavar="FILE",
            help="Lines of `PATH LABEL`; without it each folder below IMAGES is a class.",
        ),
    ] = None,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="Random order of records.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of --shuffle.")] = 0,
    gray: Annotated[bool, typer.Option("--gray", help="One channel instead of BGR.")] = False,
    encoded: Annotated[
        bool, typer.Option("--encoded", help="Store PNGs (or, with --size keep, the files).")
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write an LMDB that Caffe and `zoo train` read.

    Images are resized by OpenCV's plain bilinear filter. An interrupted build goes on where it
    stopped when the same command is given again; a database that is there is not overwritten.
    """
    from zoo.cli.console import Printer
    from zoo.cli.images import MOST_WARNINGS
    from zoo.data import build as builder
    from zoo.data.lists import listed

    say = Printer(json, quiet)
    sides = None if size == "keep" else options.parse_size(size)
    entries = listed(images, labels, seed if shuffle else None)
    with say.progress("writing") as bar:
        done = builder.build(entries, output, sides, gray, encoded, bar.reach)
    say.left_out(done.skipped, MOST_WARNINGS)
    total = done.records + done.resumed
    say.result(
        {
            "database": str(output),
            "records": total,
            "resumed": done.resumed,
            "skipped": len(done.skipped),
            "warnings": say.warnings,
        }
    )
    say.fields([("wrote", f"{output} ({total:,} records)"), ("left out", len(done.skipped))])


def mean(
    database: Annotated[Path, typer.Argument(metavar="DB", help="An LMDB.")],
    output: Annotated[Path, typer.Argument(metavar="OUT.binaryproto", help="The mean to write.")],
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the mean image of a database."""
    from zoo.cli.console import Printer
    from zoo.data import build as builder

    say = Printer(json, quiet)
    with say.progress("averaging") as bar:
        average = builder.mean(database, output, bar.reach)
    channels = [round(float(v), 3) for v in average.mean((1, 2))]
    say.result({"mean": str(output), "shape": list(average.shape), "channel_means": channels})
    shape = shape_text(average.shape)
    say.fields([("wrote", f"{output} ({shape})"), ("channels", ", ".join(map(str, channels)))])


def inspect(
    database: Annotated[Path, typer.Argument(metavar="DB", help="An LMDB.")],
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Say what is in a database: records, sizes, labels."""
    from zoo.cli.console import Printer
    from zoo.data.build import describe

    say = Printer(json, quiet)
    found = describe(database)
    say.result(found)
    low, high = found["label_range"]
    say.fields(
        [
            ("records", f"{found['records']:,}"),
            ("shapes", [f"{shape}: {count:,}" for shape, count in found["shapes"].items()]),
            ("labels", f"{found['labels']:,} different, {low} to {high}"),
            ("channel means", ", ".join(map(str, found["channel_means"]))),
            ("keys", f"{found['first_key']} to {found['last_key']}"),
        ]
    )


class DataPage(Page):
    """`zoo data --help`."""

    path = "data"
    sections = (
        (
            "Commands",
            (
                Entry("build", "data:build", "Write an LMDB that Caffe and `zoo train` read."),
                Entry("mean", "data:mean", "Write the mean image of a database."),
                Entry("inspect", "data:inspect", "Say what is in a database."),
            ),
        ),
    )


app = typer.Typer(cls=DataPage, rich_markup_mode=None, add_completion=False)


@app.callback()
def _data() -> None:
    """Databases of images: Caffe's convert_imageset and compute_image_mean."""
