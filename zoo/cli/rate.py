"""`zoo rate`: what switches cost, against JPEG and WebP of the same size."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prototxt.errors import ZooError
from zoo.cli import options
from zoo.cli.options import Provider

if TYPE_CHECKING:
    from zoo.hub import Hub


def rate(
    arch: Annotated[
        list[str] | None,
        typer.Option("--arch", metavar="n1_n2_n3", help="Only these networks; default: the hub's."),
    ] = None,
    data: options.Images = None,
    held_out: options.HeldOut = 0,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Take the first N images only.")
    ] = None,
    size: Annotated[
        str,
        typer.Option(
            "--size", metavar="HxW|own", help="Size the images are resized to; own leaves them."
        ),
    ] = "128x128",
    hub: options.Hub = None,
    offline: options.Offline = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", metavar="DIR", help="Write rate.md, rate.json and rate.png."),
    ] = None,
    provider: options.ProviderOption = Provider.auto,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure switches as an image format: bits per pixel, RMSE, PSNR, SSIM for each network.

    Beside each stand the best JPEG and WebP files that are not larger.
    """
    sides = None if size == "own" else options.parse_size(size)
    import runtime
    from prototxt.files import atomic_write
    from zoo import extras
    from zoo.cli.console import Printer
    from zoo.data.sources import evaluated_images
    from zoo.hub import locate, open_hub
    from zoo.paper import coding, rates

    extras.require("PIL", "skimage", *(["matplotlib"] if output else []))
    say = Printer(json, quiet)
    names = arch or _networks(open_hub(hub, offline))
    coders = {name: coding.open_coder(locate(name, hub, offline), provider.value) for name in names}
    items, notes, source = evaluated_images(data, held_out)
    items = items[:limit]
    skipped: list[str] = []

    def images() -> Iterator[Any]:
        for item in items:
            try:
                pixels = runtime.pixels(item)
            except ZooError as error:
                skipped.append(str(error))
                say.warn(f"left out: {error}")
                continue
            yield runtime.resize(pixels, *sides) if sides else pixels

    with say.progress("measuring", len(items) * len(coders)) as advance:
        rows, png = rates.measure(coders, images(), advance)
    about: dict[str, Any] = {
        "data": Path(source).name,
        "images": len(items) - len(skipped),
        "size": f"{sides[0]}x{sides[1]}" if sides else "each of its own size",
        "held_out": held_out or None,
        "png_bits": round(png, 6),
    }
    written: list[Path] = []
    if output is not None:
        from prototxt.files import make_folder

        make_folder(output)
        written = [output / f"rate.{kind}" for kind in ("md", "json", "png")]
        atomic_write(written[0], rates.as_markdown(rows, about))
        atomic_write(written[1], rates.as_json(rows, about))
        rates.plot(rows, written[2])
    notes += sorted({note for coder in coders.values() for note in coder.notes})
    say.result(
        {
            **about,
            "rows": [row.result() for row in rows],
            "files": [str(path) for path in written],
            "notes": notes,
        }
    )
    say.table(rates.COLUMNS, [rates.cells(row) for row in rows])
    say.line(f"{about['images']} images of {source}, {about['size']}")
    say.line(rates.EXPLANATION)
    for path in written:
        say.line(f"wrote {path}")
    for note in notes:
        say.note(note)


def _networks(hub: "Hub") -> list[str]:
    """The networks of a hub that rebuild images from switches, newest versions, small first."""
    from zoo.paper import architectures

    order = {arch: number for number, arch in enumerate(architectures.ARCHES)}
    found = [
        (architectures.bits_per_pixel(entry.arch), order.get(entry.arch, len(order)), entry.name)
        for entry in hub.index.newest()
        if entry.arch is not None and entry.task == "reconstruct"
    ]
    if not found:
        raise ZooError(
            "no network in it that rebuilds images", subject=hub.name, remedy="name another"
        )
    return [name for _, _, name in sorted(found)]
