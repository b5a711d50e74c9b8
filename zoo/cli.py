"""The `zoo` command: which commands there are. Each has its own file in `zoo/commands/`."""

from typing import Annotated

import typer

from zoo import __version__
from zoo.commands import data
from zoo.commands.bench import bench
from zoo.commands.convert import convert
from zoo.commands.decode import decode
from zoo.commands.encode import encode
from zoo.commands.evaluate import evaluate
from zoo.commands.filters import filters
from zoo.commands.informativeness import informativeness
from zoo.commands.inspect import inspect
from zoo.commands.layers import layers
from zoo.commands.list import list_models
from zoo.commands.prototxt import prototxt
from zoo.commands.publish import publish
from zoo.commands.pull import pull
from zoo.commands.rate import rate
from zoo.commands.reconstruct import reconstruct
from zoo.commands.segment import segment
from zoo.commands.serve import serve
from zoo.commands.table2 import table2
from zoo.commands.train import train
from zoo.commands.verify import verify
from zoo.commands.visualize import visualize
from zoo.errors import guarded

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
        from zoo import console

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
