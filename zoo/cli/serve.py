"""`zoo serve`: a hub's folder over HTTP."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import options


def serve(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a hub.")],
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0 takes one that is free.")
    ] = 8000,
    host: Annotated[str, typer.Option("--host", help="0.0.0.0 is open to others.")] = "127.0.0.1",
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Serve a hub, and its gallery, until Ctrl-C.

    Files only, and only those in the folder. Any static host serves a hub just as well.
    """
    from zoo.cli.console import Printer
    from zoo.hub.server import Server

    say = Printer(json, quiet)
    with Server(folder, host, port, say.line) as server, contextlib.suppress(KeyboardInterrupt):
        say.result({"url": server.url, "folder": str(folder)})
        say.line(f"{server.url}/ serves {folder}; Ctrl-C ends it")
        server.serve_forever()
