"""`zoo prototxt`: the paper's definitions, written out."""

from pathlib import Path
from typing import Annotated

import typer


def prototxt(
    arch: Annotated[
        str, typer.Option("--arch", metavar="n1_n2_n3", help="Channels of the three levels.")
    ],
    classify: Annotated[
        bool, typer.Option("--classify", help="The classifier that pretrains the encoder.")
    ] = False,
    solver: Annotated[
        bool, typer.Option("--solver", help="The solver of the network, not the network.")
    ] = False,
    size: Annotated[
        int | None,
        typer.Option("--size", metavar="N", help="Height and width of the images; default 128."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", metavar="FILE", help="Where to write; default: stdout.")
    ] = None,
) -> None:
    """Write a network of the paper, or its solver.

    The paper's archs are 8_8_8, 6_12_24, 16_16_16, 12_24_48, 32_32_32, 24_48_96, 64_64_64 and
    48_96_192; any other three numbers do as well.
    """
    from zoo.cli import console
    from zoo.paper import architectures

    content = architectures.document(arch, size=size, classify=classify, of_solver=solver)
    console.text(content, output)
