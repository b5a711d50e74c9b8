"""The `zoo` command: which commands there are. Each has a file of its own in this folder."""

from typing import Annotated

import typer

from zoo.cli.page import Entry, Page


class Front(Page):
    """`zoo --help`."""

    sections = (
        (
            "Convert",
            (
                Entry("convert", "convert", "Convert a Caffe network to ONNX."),
                Entry("verify", "verify", "Compare a model with the network it was made of."),
                Entry("inspect", "inspect", "Show what is in a file of Caffe's or ONNX's."),
                Entry("layers", "layers", "List every layer type that is known."),
                Entry("targets", "targets", "List the runtimes that a model can be written for."),
            ),
        ),
        (
            "Run",
            (
                Entry("run", "run", "Run any model on images and tell what it found."),
                Entry("eval", "evaluate", "Measure how right a model is over images."),
                Entry("reconstruct", "reconstruct", "Draw what a network rebuilds of images."),
                Entry("encode", "encode", "Write an image as max-pooling switches."),
                Entry("decode", "decode", "Draw the image that was encoded as switches."),
                Entry("rate", "rate", "Measure switches as an image format, beside JPEG."),
            ),
        ),
        (
            "Train",
            (
                Entry("train", "train", "Train a network as Caffe's solver would."),
                Entry("data", "data:app", "Build and inspect databases of images."),
            ),
        ),
        (
            "Hub",
            (
                Entry("list", "list:list_models", "List the models of a hub."),
                Entry("import", "import_models", "Put a folder of Caffe models into a hub."),
                Entry("pull", "pull", "Fetch a model from a hub."),
                Entry("publish", "publish", "Put a model into a hub, which is a folder."),
                Entry("serve", "serve", "Serve a hub and its gallery until Ctrl-C."),
            ),
        ),
        (
            "Papers",
            (
                Entry("prototxt", "prototxt", "Write a network of the paper, or its solver."),
                Entry("table2", "table2", "Print the paper's Table II beside our figures."),
                Entry(
                    "informativeness",
                    "informativeness",
                    "Compare what switches and ReLU masks tell of an image.",
                ),
                Entry("reproduce", "reproduce", "Make four papers' tables and figures again."),
            ),
        ),
        (
            "Reversed networks",
            (
                Entry("visualize", "visualize", "Show what makes a neuron active."),
                Entry("segment", "segment", "Cut out what a classifier saw."),
                Entry("filters", "filters", "Decode the filters of a layer down to the image."),
            ),
        ),
        (
            "Tools",
            (Entry("bench", "bench", "Measure speed on this machine, beside other tools."),),
        ),
    )


app = typer.Typer(
    name="zoo",
    cls=Front,
    # Plain help: loading rich would double the time that `zoo --help` takes.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done; 1 a problem with the input, told in one line; 2 wrong usage. "
    "With --json the result is one JSON object on stdout. ZOO_DEBUG=1 shows tracebacks.",
)


def _version(asked: bool) -> None:
    if asked:
        from zoo import __version__
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

    `zoo COMMAND --help` explains a command.
    """


def main() -> None:
    """What the `zoo` script runs."""
    from zoo.cli import console, limited

    console.open_streams()
    limited.alone = True
    app(prog_name="zoo")
