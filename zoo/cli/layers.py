"""`zoo layers`: every layer type that is known."""

from dataclasses import asdict
from typing import Annotated

import typer

from prototxt.errors import UsageError
from zoo.cli import options


def layers(
    plugin: options.Plugins = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print LAYERS.md, the same table as a page.")
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """List every layer type that is known.

    Each with what it can become, ONNX and PyTorch, and what there is to show for it: solver runs
    of Caffe's own and tests of gradients (trained), cases that Caffe computed (goldens), tests
    against numpy written from Caffe's C++ (oracles); and of 100 published definitions how many
    have it (used). The fork is the Caffe that has it.
    """
    if markdown and json:
        raise UsageError("give --markdown or --json, not both")
    import converters
    from zoo.checking import layer_table
    from zoo.cli import console
    from zoo.cli.console import Printer

    say = Printer(json, quiet)
    for path in plugin or ():
        converters.load_plugin(path)
    table, published = layer_table.rows(), layer_table.usage()
    say.result({"layers": [asdict(row) for row in table]})
    if markdown:
        console.text(layer_table.markdown(table))
        return
    say.table(
        ["type", "family", "fork", "onnx", "torch", "trained", "goldens", "oracles", "used"],
        [
            [
                *(row.type, row.family, row.fork, row.onnx, row.torch),
                *layer_table.counts(row),
                published.percent(row.used),
            ]
            for row in table
        ],
    )
    say.line(layer_table.totals(table))
