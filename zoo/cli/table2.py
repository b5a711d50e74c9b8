"""`zoo table2`: every row of the paper's table, measured."""

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli import options
from zoo.cli.options import Provider

DRAWN = 4
"""How many images the picture of reconstructions shows."""


def table2(
    data: options.Images = None,
    held_out: options.HeldOut = 0,
    caffemodels: Annotated[
        Path | None,
        typer.Option(
            "--caffemodels", metavar="DIR", help="The authors' weights, net*_iter_*.caffemodel."
        ),
    ] = None,
    mean: options.Mean = None,
    hub: options.Hub = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", metavar="DIR", help="Write table2.md, .json and .png, and pictures."),
    ] = None,
    provider: options.ProviderOption = Provider.auto,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Print Table II of the paper: published, the authors' weights converted, ours.

    --mean is what the authors' networks subtract. Ours are those of the hub: with a random encoder,
    and (ARCH-learned) with one that learned its switches.
    """
    import runtime
    from prototxt.files import atomic_write
    from zoo import extras
    from zoo.cli.console import Printer
    from zoo.data.sources import evaluated_images
    from zoo.paper import table2 as tables

    if output is not None:
        extras.require("matplotlib")
    say = Printer(json, quiet)
    images, notes, name = evaluated_images(data, held_out)
    table = tables.rows()
    with say.progress("measuring", None) as advance:
        drawn = tables.fill(
            table,
            images,
            caffemodels=caffemodels,
            mean=runtime.read_mean(mean) if mean else None,
            hub=hub,
            provider=provider.value,
            draw=DRAWN if output else 0,
            on_progress=advance,
        )
    about: dict[str, Any] = {
        "data": Path(name).name,
        "images": max(row.images for row in table),
        "held_out": held_out or None,
    }
    written: list[Path] = []
    if output is not None:
        from prototxt.files import make_folder

        make_folder(output)
        written = [output / f"table2.{kind}" for kind in ("md", "json", "png")]
        atomic_write(written[0], tables.as_markdown(table, about))
        atomic_write(written[1], tables.as_json(table, about))
        tables.plot(table, written[2])
        if drawn:
            originals = [runtime.resize(runtime.pixels(i), 128, 128) for i in images[:DRAWN]]
            columns = [("original", originals), *drawn]
            written.append(output / "reconstructions.png")
            runtime.write_png(written[-1], runtime.contact_sheet(columns))
    say.result(
        {
            **about,
            "rows": tables.listed(table),
            "files": [str(path) for path in written],
            "notes": notes,
        }
    )  # fmt: skip
    say.table(tables.COLUMNS, [tables.cells(row) for row in table])
    say.line(f"RMSE over {about['images']} images of {name}; the published are over others")
    for path in written:
        say.line(f"wrote {path}")
    for note in notes:
        say.note(note)
