"""The one table from an exception to what a person reads and the exit status.

    prototxt.ZooError
    ├── prototxt.FormatError          a file that is not what it should be
    ├── converters.ConversionError    a network that cannot be converted
    ├── runtime.InferenceError        a model or an image that cannot be run
    ├── HubError                      a model that is not at hand
    └── UsageError                    options that contradict one another (exit status 2)

`ZOO_DEBUG=1` in the environment shows the traceback of whatever is caught here.
"""

import functools
import os
import signal
from collections.abc import Callable
from typing import Any, NoReturn, ParamSpec, TypeVar

from prototxt.errors import UsageError, ZooError
from zoo import extras
from zoo.cli.limited import limited
from zoo.cli.signals import Terminated, ended_by_signals
from zoo.cli.spelling import spelled

FAILED = 1
USAGE = 2

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
    (KeyboardInterrupt, lambda error: "interrupted", 128 + signal.SIGINT),
    (ModuleNotFoundError, _not_installed, FAILED),
    (Exception, _library, FAILED),
)


def explain(error: BaseException) -> tuple[str, int]:
    """What a person reads, and the exit status."""
    if isinstance(error, Terminated):
        return "terminated", 128 + error.number  # as shells report it
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
            with ended_by_signals():
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
