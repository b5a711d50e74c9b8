"""`zoo decode`: the picture that a network makes of switches."""

from pathlib import Path
from typing import Annotated

import typer

from prototxt.errors import UsageError
from zoo.cli import options
from zoo.cli.options import Provider


def decode(
    file: Annotated[Path, typer.Argument(metavar="F.switches", help="What `zoo encode` wrote.")],
    output: Annotated[Path, typer.Option("-o", metavar="IMAGE.png", help="The picture.")],
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", metavar="M.onnx", help="The network that encoded it; default: the hub's."
        ),
    ] = None,
    hub: options.Hub = None,
    offline: options.Offline = False,
    provider: options.ProviderOption = Provider.auto,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw the image that was encoded, by the network that encoded it.

    The file names its model by digest. Without --model the hub must have just that one.
    """
    if output.suffix.lower() != ".png":
        raise UsageError("pictures are written as PNG", subject=output, remedy="give -o NAME.png")
    options.refuse_overwriting(output, [file, model])
    import runtime
    from runtime.codec import read_header
    from zoo.cli.console import Printer
    from zoo.paper import coding

    say = Printer(json, quiet)
    header = read_header(file)
    path = model if model is not None else coding.model_of(header, file, hub, offline)
    coder = coding.open_coder(path, provider.value)
    runtime.write_png(output, coding.decode(coder, file))
    say.result(
        {
            "file": str(file),
            "picture": str(output),
            "size": [header.height, header.width],
            "arch": header.arch or None,
            "model": str(path),
            "sha256": header.sha256,
            "notes": coder.notes,
        }
    )
    made_by = coding.named(header.arch, header.sha256)
    say.line(f"wrote {output}, {header.height}x{header.width}, by {made_by}")
    for note in coder.notes:
        say.note(note)
