"""`zoo reconstruct`: images through a network and back, as pictures."""

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli import options
from zoo.cli.options import Provider

DEFAULT = "48_96_192"
"""The network of the paper that rebuilds best."""


def reconstruct(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Images, or folders of them.")
    ],
    output: Annotated[
        Path,
        typer.Option("-o", metavar="DIR", help="The folder for the pictures; made if need be."),
    ],
    arch: options.Arch = None,
    model: Annotated[
        Path | None, typer.Option("--model", metavar="M.onnx", help="A converted network.")
    ] = None,
    mean: options.Mean = None,
    size: options.Size = None,
    provider: options.ProviderOption = Provider.auto,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw what a network rebuilds of images; without --arch and --model, 48_96_192.

    Writes one PNG for each: the image shown as the network saw it (resized) beside what came
    back, with the RMSE and what the code costs.
    """
    sides = options.parse_size(size) if size else None
    from zoo.cli.models import model_for

    path, _ = model_for(model, arch if arch or model else DEFAULT)
    import runtime
    from converters.metadata import untrained
    from prototxt.files import make_folder
    from zoo.cli.console import Printer
    from zoo.paper import reconstruction as drawing

    say = Printer(json, quiet)
    loaded = runtime.load(path, provider.value)
    fixed = runtime.fixed_size(loaded)
    how, plane, said = runtime.resolve(loaded.metadata, mean=mean, size=sides, fixed=fixed)
    average = how.mean_values(3)
    paths = [path for item in images for path in runtime.list_images(item)]
    stated = loaded.metadata.get("zoo.arch")
    drawn: list[dict[str, Any]] = []
    taken: set[str] = set()
    pictures = []
    with say.progress("reconstructing", len(paths)) as advance:
        for path in paths:
            found = drawing.reconstruct(loaded, runtime.read_image(path), average, plane)
            target = output / f"{drawing.free_name(path.stem, taken)}.png"
            pictures.append((target, drawing.picture(found, stated)))
            drawn.append({"image": str(path), "picture": str(target), "rmse": found.rmse})
            advance()
    # Only now, so that one bad image leaves no folder half full.
    make_folder(output)
    for target, content in pictures:
        runtime.write_png(target, content)
    notes = [note for note in (*said, loaded.note, untrained(loaded.metadata)) if note]
    say.result({"pictures": drawn, "size": list(plane), "notes": notes})
    say.table(
        ["image", "picture", "RMSE"],
        [[row["image"], row["picture"], f"{row['rmse']:.4f}"] for row in drawn],
    )
    for note in notes:
        say.note(note)
