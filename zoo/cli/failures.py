"""The one table from an exception to what a person reads and the exit status.

    prototxt.ZooError
    ├── prototxt.FormatError          a file that is not what it should be
    ├── converters.ConversionError    a network that cannot be converted
    ├── runtime.InferenceError        a model or an image that cannot be run
    ├── HubError                      a model that is not at hand
    └── UsageError                    options that contradict one another (exit status 2)

`ZOO_DEBUG=1` in the environment shows the traceback of whatever is caught here.
"""

import contextlib
import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn, ParamSpec, TypeVar

from prototxt.errors import UsageError, ZooError
from zoo import extras, processes
from zoo.cli.limited import limited
from zoo.cli.spelling import spelled

FAILED = 1
USAGE = 2
BY_SIGNAL = 128
"""Plus the signal's number: as shells report it."""

P = ParamSpec("P")
R = TypeVar("R")


def _ours(error: BaseException) -> str:
    assert isinstance(error, ZooError)
    return spelled(error.sentence)


def _os_error(error: BaseException) -> str:
    assert isinstance(error, OSError)
    reason = error.strerror or str(error) or type(error).__name__
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{': '.join([*names, reason])}; check the path, its permissions and the space left"


def _internal(error: BaseException) -> str:
    return (
        f"internal error: {type(error).__name__}: {error}; "
        "set ZOO_DEBUG=1 to see where, and report it"
    )


def _not_installed(error: BaseException) -> str:
    assert isinstance(error, ModuleNotFoundError)
    return extras.remedy(error) or _internal(error)


def _library(error: BaseException) -> str:
    from runtime import limits

    return _memory(error) if limits.short_of_memory(error) else _internal(error)


def _memory(error: BaseException) -> str:
    from runtime import limits

    if limits.limited():
        return spelled(limits.too_large().sentence)
    return "out of memory; give a smaller --shape, --size or --batch"


# First match wins, so the narrower type stands first.
TABLE: tuple[tuple[type[BaseException], Callable[[BaseException], str], int], ...] = (
    (UsageError, _ours, USAGE),
    (ZooError, _ours, FAILED),
    (OSError, _os_error, FAILED),
    (MemoryError, _memory, FAILED),
    (KeyboardInterrupt, lambda error: "interrupted", BY_SIGNAL + signal.SIGINT),
    (ModuleNotFoundError, _not_installed, FAILED),
    (Exception, _library, FAILED),
)


class Terminated(KeyboardInterrupt):
    """Somebody asked the process to end; it does so as upon Ctrl-C, and cleans up."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let signals that end a process raise what a command cleans up for.

    Only those that would end it at once: a signal may be ignored (nohup), or somebody else's. While
    a module is loaded it is waited for, as one written in C may crash of an exception; a second
    signal then does end the process at once.
    """
    came: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if not _loading(frame):
            raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)
        if len(came) > 1:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        signal.setitimer(signal.ITIMER_VIRTUAL, SOON)

    def look_again(_: int, frame: FrameType | None) -> None:
        end(came.pop(), frame)

    mine: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():
        asking = (signal.SIGINT, *processes.ENDING)
        mine += [number for number in asking if signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in mine:
            signal.signal(number, end)
        if mine:
            signal.signal(signal.SIGVTALRM, look_again)
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)


SOON = 0.01
"""Seconds of this process after which it is looked again whether modules have been loaded."""


def _loading(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def explain(error: BaseException) -> tuple[str, int]:
    """What a person reads, and the exit status."""
    if isinstance(error, Terminated):
        return "terminated", BY_SIGNAL + error.number
    for kind, message, status in TABLE:
        if isinstance(error, kind):
            return message(error), status
    raise error


def _stop(error: BaseException, name: str) -> NoReturn:
    import typer

    from zoo.cli import console

    if os.environ.get("ZOO_DEBUG", "0") not in ("", "0"):
        console.traceback(error)
    message, status = explain(error)
    if name and isinstance(error, ModuleNotFoundError) and extras.remedy(error):
        message = f"zoo {name}: {message}"
    console.error(message)
    raise typer.Exit(status) from None


def guarded(command: Callable[P, R], name: str = "") -> Callable[P, R]:
    """A command that ends in one line and an exit status instead of a traceback.

    `name` is what follows `zoo` on the command line.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with _ended_by_signals():
                return limited(command)(*args, **kwargs)
        except BrokenPipeError as error:
            # Whoever read our output has gone (`zoo layers | head`): nobody is there to tell.
            from zoo.cli import console

            console.silence()
            import typer

            raise typer.Exit(FAILED) from error
        except (Exception, KeyboardInterrupt) as error:
            if _is_typers_own(error):
                raise
            _stop(error, name)

    return run


def _is_typers_own(error: Any) -> bool:
    """Exit, Abort and the usage errors, which typer itself turns into text and a status."""
    return type(error).__module__.partition(".")[0] == "typer"
