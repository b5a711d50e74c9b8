"""`zoo encode`: an image as the switches of a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli import options
from zoo.cli.options import Provider

if TYPE_CHECKING:
    from zoo.cli.console import Printer
    from zoo.paper.coding import Encoded


def encode(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image of any size.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            metavar="F.switches",
            help="The file to be written; default: IMAGE.switches in the current folder.",
        ),
    ] = None,
    arch: options.Arch = None,
    model: options.Converted = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Leave the switches at 2 bits each, not compressed.")
    ] = False,
    hub: options.Hub = None,
    offline: options.Offline = False,
    provider: options.ProviderOption = Provider.auto,
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write an image as max-pooling switches; without --arch and --model, those of 48_96_192.

    The image keeps its size: it is padded to a multiple of the poolings' and cut again by
    `zoo decode`, which needs the same model.
    """
    from zoo.cli.console import Printer
    from zoo.paper import coding
    from zoo.paper.models import BEST, find_model

    say = Printer(json, quiet)
    output = output or Path(f"{image.stem}.switches")
    options.refuse_overwriting(output, [image, model])
    path, _ = find_model(model, arch, default=BEST, hub=hub, offline=offline)
    options.refuse_overwriting(output, [path])
    found = coding.encode_file(image, output, path, raw=raw, provider=provider.value)
    say.result(found.as_dict())
    _show(say, found)


def _show(say: Printer, found: Encoded) -> None:
    from zoo import formatting
    from zoo.paper.coding import named

    header, bits = found.header, found.bits

    def rate(name: str) -> str:
        return f"{bits[name]:.3f} bits per pixel and channel, {3 * bits[name]:.3f} per pixel"

    stored = {
        "raw": "not compressed",
        "lzma2": "LZMA2",
        "tables": "by the model's tables",
        "scores": "by the model's scores",
    }
    by = named(header.arch, header.sha256)
    say.fields(
        [
            ("wrote", f"{found.file}, {formatting.size(found.written.size)}"),
            ("image", f"{header.height}x{header.width}, by {by}"),
            ("paper", f"{rate('paper')}: 2 bits a switch"),
            ("padded", f"{rate('fixed')}: of {header.padded[0]}x{header.padded[1]} pixels"),
            ("entropy", f"{rate('entropy')}: order 0, channel by channel"),
            ("file", f"{rate('coded')}: {stored[header.coding]}, header included"),
        ]
    )
    say.notes(found.notes)
