"""`zoo encode`: an image as the switches of a network."""

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import options
from zoo.cli.options import Provider
from zoo.cli.reconstruct import DEFAULT


def encode(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image of any size.")],
    output: Annotated[
        Path, typer.Option("-o", metavar="F.switches", help="The file to be written.")
    ],
    arch: options.Arch = None,
    model: Annotated[
        Path | None, typer.Option("--model", metavar="M.onnx", help="A converted network.")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Leave the switches at 2 bits each, not compressed.")
    ] = False,
    hub: options.Hub = None,
    offline: options.Offline = False,
    provider: options.ProviderOption = Provider.auto,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write an image as max-pooling switches; without --arch and --model, those of 48_96_192.

    The image keeps its size: it is padded to a multiple of the poolings' and cut again by
    `zoo decode`, which needs the same model.
    """
    from zoo.cli.models import model_for

    options.refuse_overwriting(output, [image, model])
    path, _ = model_for(model, arch if arch or model else DEFAULT, hub=hub, offline=offline)
    import runtime
    from zoo import formatting
    from zoo.cli.console import Printer
    from zoo.paper import coding

    say = Printer(json, quiet)
    options.refuse_overwriting(output, [path])
    pixels = runtime.read_image(image)
    coder = coding.open_coder(path, provider.value)
    written = coding.encode(coder, pixels, output, raw)
    height, width = pixels.shape[:2]
    header = coder.header(height, width, raw)
    bits = coding.bits_per_pixel(header, written)
    say.result(
        {
            "image": str(image),
            "file": str(output),
            "bytes": written.size,
            "coding": "raw" if raw else "lzma2",
            "size": [height, width],
            "padded": list(header.padded),
            "arch": header.arch or None,
            "model": str(path),
            "sha256": header.sha256,
            "bits_per_pixel_and_channel": {name: round(bit, 6) for name, bit in bits.items()},
            "bits_per_pixel": {name: round(3 * bit, 6) for name, bit in bits.items()},
            "notes": coder.notes,
        }
    )

    def rate(name: str) -> str:
        return f"{bits[name]:.3f} bits per pixel and channel, {3 * bits[name]:.3f} per pixel"

    say.fields(
        [
            ("wrote", f"{output}, {formatting.size(written.size)}"),
            ("image", f"{height}x{width}, by {coding.named(header.arch, header.sha256)}"),
            ("paper", f"{rate('paper')}: 2 bits a switch"),
            ("padded", f"{rate('fixed')}: of {header.padded[0]}x{header.padded[1]} pixels"),
            ("entropy", f"{rate('entropy')}: order 0, channel by channel"),
            ("file", f"{rate('coded')}: {'not compressed' if raw else 'LZMA2'}, header included"),
        ]
    )
    for note in coder.notes:
        say.note(note)
