"""The `zoo` command: which commands there are. Each has a file of its own in this folder."""

from typing import Annotated

import typer

from zoo import __version__
from zoo.cli import data
from zoo.cli.bench import bench
from zoo.cli.convert import convert
from zoo.cli.decode import decode
from zoo.cli.encode import encode
from zoo.cli.evaluate import evaluate
from zoo.cli.failures import guarded
from zoo.cli.filters import filters
from zoo.cli.informativeness import informativeness
from zoo.cli.inspect import inspect
from zoo.cli.layers import layers
from zoo.cli.list import list_models
from zoo.cli.prototxt import prototxt
from zoo.cli.publish import publish
from zoo.cli.pull import pull
from zoo.cli.rate import rate
from zoo.cli.reconstruct import reconstruct
from zoo.cli.segment import segment
from zoo.cli.serve import serve
from zoo.cli.table2 import table2
from zoo.cli.train import train
from zoo.cli.verify import verify
from zoo.cli.visualize import visualize

app = typer.Typer(
    name="zoo",
    no_args_is_help=True,
    add_completion=False,
    # Plain help: loading rich would double the time that `zoo --help` takes.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from zoo.cli import console

        console.text(f"caffe-zoo {__version__}\n")
        raise typer.Exit


@app.callback()
def _zoo(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Say which version."),
    ] = False,
) -> None:
    """Caffe networks in today's world: to ONNX and PyTorch, max-pooling switches included.

    Exit status: 0 done; 1 a problem with the input, told in one line; 2 wrong usage. With --json
    the result is one JSON object on stdout. ZOO_DEBUG=1 shows tracebacks.
    """


for _name, _command in (
    ("convert", convert),
    ("verify", verify),
    ("inspect", inspect),
    ("layers", layers),
    ("prototxt", prototxt),
    ("eval", evaluate),
    ("reconstruct", reconstruct),
    ("encode", encode),
    ("decode", decode),
    ("rate", rate),
    ("train", train),
    ("table2", table2),
    ("informativeness", informativeness),
    ("visualize", visualize),
    ("segment", segment),
    ("filters", filters),
    ("list", list_models),
    ("pull", pull),
    ("publish", publish),
    ("serve", serve),
    ("bench", bench),
):
    app.command(_name)(guarded(_command, _name))

_data = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=data.__doc__)
for _step in (data.build, data.mean, data.inspect):
    _data.command(_step.__name__)(guarded(_step, f"data {_step.__name__}"))
app.add_typer(_data, name="data")


def main() -> None:
    """The entry point of the `zoo` script."""
    app(prog_name="zoo")
