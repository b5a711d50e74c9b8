"""The only module that prints.

For people (rich in a terminal, plain text elsewhere), as one JSON object (`--json`), or nothing but
errors (`--quiet`).

Results go to stdout. Errors, warnings and progress go to stderr, progress only to a terminal.
"""

import contextlib
import functools
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from prototxt.errors import Sentence
from zoo import formatting
from zoo.cli.spelling import spelled
from zoo.formatting import printable


class Bar:
    """A progress bar, if anybody sees it: called once a step, or with how many were done."""

    def __init__(self, update: Callable[..., object] = lambda **_: None) -> None:
        self._update = update

    def __call__(self, steps: int = 1) -> None:
        """Move on by so many steps."""
        self._update(advance=steps)

    def reach(self, done: int, total: int) -> None:
        """As `zoo.progress.OnProgress`."""
        self._update(completed=done, total=total)

    def name(self, what: str) -> None:
        """Say what is done now."""
        self._update(description=what)


class Printer:
    """What one command says.

    A command calls `table`, `fields` and `line` for people and `result` once for programs; which
    of them comes out is decided here.
    """

    def __init__(self, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self.warnings: list[str] = []

    @property
    def for_people(self) -> bool:
        """Whether text is printed: neither `--json` nor `--quiet`."""
        return not (self.json or self.quiet)

    def result(self, data: Mapping[str, Any]) -> None:
        """The whole result as one JSON object, when `--json` asks for it.

        Numbers that JSON lacks (nan, inf) become null.
        """
        if self.json:
            text = json.dumps(_plain(data), indent=2 if _is_terminal(sys.stdout) else None)
            print(text, flush=True)

    def line(self, text: str = "") -> None:
        """One line on stdout, for people; options in it are spelled as on the command line."""
        if self.for_people:
            print(printable(spelled(text)), flush=True)

    def note(self, text: str) -> None:
        """Something a person should know about the result."""
        self.line(Sentence("note: ", text))

    def notes(self, texts: Iterable[str]) -> None:
        """Several of them."""
        for text in texts:
            self.note(text)

    def wrote(self, paths: Iterable[Path]) -> None:
        """The files that were written, a line each."""
        for path in paths:
            self.line(f"wrote {path}")

    def left_out(self, skipped: Sequence[tuple[str, str]], most: int | None = None) -> None:
        """Warn of images (name, reason) that could not be read: name `most`, count the others."""
        for name, reason in skipped[:most]:
            self.warn(f"{name}: left out: {reason}")
        if most is not None and len(skipped) > most:
            self.warn(f"{len(skipped) - most} more images left out")

    def warn(self, text: str) -> None:
        """A warning, to stderr; kept in `warnings` for the JSON object."""
        text = spelled(text)
        self.warnings.append(text)
        if not self.quiet:
            print(f"warning: {printable(text)}", file=sys.stderr, flush=True)

    def fields(self, pairs: Sequence[tuple[str, Any]]) -> None:
        """Names and values, one pair a line; a list gives a line for each of its items."""
        if not self.for_people:
            return
        pairs = [(printable(name), value) for name, value in pairs]  # a file's metadata, perhaps
        width = max((len(name) for name, _ in pairs), default=0)
        for name, value in pairs:
            values = value if isinstance(value, list | tuple) else [value]
            for number, item in enumerate(values):
                shown = spelled(item) if isinstance(item, str) else str(item)
                print(f"{name if number == 0 else '':<{width}}  {printable(shown)}")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A table; columns whose every value is a number are set to the right."""
        if not self.for_people:
            return
        numeric = [
            bool(rows) and all(isinstance(row[i], int | float) or row[i] == "" for row in rows)
            for i in range(len(columns))
        ]
        cells = [[_cell(value) for value in row] for row in rows]
        if _is_terminal(sys.stdout):
            _rich_table(columns, cells, numeric)
        else:
            _plain_table(columns, cells, numeric)

    @contextlib.contextmanager
    def progress(
        self,
        what: str,
        total: int | None = None,
        in_bytes: bool = False,
        estimate: bool = True,
    ) -> Iterator[Bar]:
        """A progress bar on stderr while the block runs, which tells it how far it is.

        `in_bytes` shows sizes and speed. `estimate` shows the time left; without it the time that
        has passed, for commands that tell the time left themselves.
        """
        if self.quiet or not _is_terminal(sys.stderr):
            yield Bar()
            return
        from rich import progress
        from rich.console import Console

        columns = list(progress.Progress.get_default_columns())
        if in_bytes:
            columns[2:] = [progress.DownloadColumn(), progress.TransferSpeedColumn()]
        if not estimate:
            columns[-1:] = [progress.TimeElapsedColumn(), progress.TextColumn("elapsed")]
        with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield Bar(functools.partial(bar.update, task))


def text(content: str, output: Path | None = None) -> None:
    """A document, as it is, to a file or stdout."""
    if output is not None:
        from prototxt.files import atomic_write

        atomic_write(output, content)
        return
    sys.stdout.write("\n".join(map(printable, spelled(content).split("\n"))))
    sys.stdout.flush()


def error(message: str) -> None:
    """The one line that says why a command failed; lines of a library's message are joined."""
    joined = " ".join(part.strip() for part in message.splitlines() if part.strip())
    print(f"error: {printable(joined)}", file=sys.stderr, flush=True)


def open_streams() -> None:
    """Let stdout and stderr show any text, whatever the locale: what it lacks is escaped.

    Where there are none, what is said goes nowhere, and not into the file that is opened next.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(handle)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def traceback(exception: BaseException) -> None:
    """The whole traceback on stderr, for whoever sets ZOO_DEBUG."""
    import traceback as tracebacks

    tracebacks.print_exception(exception, file=sys.stderr)


def silence() -> None:
    """Send stdout nowhere: without a reader, Python's last flush would complain."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return formatting.count(value)
    return printable(spelled(value) if isinstance(value, str) else str(value))


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return spelled(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Sentence):
        return spelled(value)
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a numpy scalar
        return _plain(value.item())
    return value


def _plain_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]
) -> None:
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        print("  ".join(cells).rstrip())


def _rich_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]
) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column, right in zip(columns, numeric, strict=True):
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console().print(table)
