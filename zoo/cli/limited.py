"""Commands that run what strangers made: within limits, unless `--trust` is given."""

import functools
import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

alone = False
"""Whether this process is the command's own, so that it may be forked."""


def limited(command: Callable[P, R]) -> Callable[P, R]:
    """A command that takes `trust` goes on in a limited process without it; others as they are."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if alone and kwargs.get("trust") is False:
            from runtime import limits

            status = limits.supervised()
            if status is not None:
                os._exit(status)  # there is nothing to be put away in this process
        return command(*args, **kwargs)

    return run
