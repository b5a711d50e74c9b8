"""`zoo decode`: the picture that a network makes of switches."""

from pathlib import Path
from typing import Annotated

import typer

from prototxt.errors import UsageError
from zoo.cli import options
from zoo.cli.options import Provider


def decode(
    file: Annotated[Path, typer.Argument(metavar="F.switches", help="What `zoo encode` wrote.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            metavar="IMAGE.png",
            help="The picture; default: F.decoded.png in the current folder.",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", metavar="M.onnx", help="The network that encoded it; default: the hub's."
        ),
    ] = None,
    hub: options.Hub = None,
    offline: options.Offline = False,
    provider: options.ProviderOption = Provider.auto,
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw the image that was encoded, by the network that encoded it.

    The file names its model by digest. Without --model the hub must have just that one.
    """
    output = output or Path(f"{file.stem}.decoded.png")
    if output.suffix.lower() != ".png":
        raise UsageError("pictures are written as PNG", subject=output, remedy="give -o NAME.png")
    options.refuse_overwriting(output, [file, model])
    from zoo.cli.console import Printer
    from zoo.paper import coding

    say = Printer(json, quiet)
    found = coding.decode_file(
        file, output, model, hub=hub, offline=offline, provider=provider.value
    )
    say.result(found.as_dict())
    header = found.header
    made_by = coding.named(header.arch, header.sha256)
    say.line(f"wrote {output}, {header.height}x{header.width}, by {made_by}")
    say.notes(found.notes)
