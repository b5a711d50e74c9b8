"""A contestant's own process: `python -m zoo.benchmarks.worker SPEC`, SPEC being JSON.

It answers one line of JSON when ready or absent, and one for each line on stdin: the number of
calls to make, or `end`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

__all__ = ["serve"]


def main() -> None:
    # Libraries may print: what the parent reads is theirs no longer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(json.loads(sys.argv[1]), sys.stdin, answers)


def serve(spec: dict[str, Any], asked: TextIO, answers: TextIO) -> None:
    """Make the contestant, then run it as often as asked."""
    from zoo.extras import remedy

    from .contestants import Unavailable, make
    from .machine import peak_rss
    from .timing import seconds_per_call

    def say(**data: Any) -> None:
        answers.write(json.dumps(data) + "\n")
        answers.flush()

    try:
        call = make(spec)
        keep(call, spec.get("keep"))
    except Unavailable as error:
        say(absent=str(error))
        return
    except ModuleNotFoundError as error:
        say(absent=remedy(error) or str(error))
        return
    except Exception as error:  # a library's own trouble is a row of the table, not the end of it
        say(absent=f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
        return
    say(ready=True)
    for line in asked:
        if line.strip() == "end":
            break
        say(seconds=seconds_per_call(call, int(line)))
    say(peak_rss=peak_rss())


def keep(call: Callable[[], Any], path: str | None) -> None:
    """The first call; what it gives goes into a file, if one is named."""
    result = call()
    if path is not None:
        import numpy as np

        np.save(path, result)


if __name__ == "__main__":
    main()
