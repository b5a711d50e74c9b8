"""Runs a `zoo` command and tells the most memory that it held.

`python -m zoo.benchmarks.measured RESULT LIMIT COMMAND...` writes it into the file RESULT; LIMIT is
one of address space in bytes, 0 for none.
"""

from __future__ import annotations

import atexit
import json
import runpy
import sys
from pathlib import Path

from .machine import peak_rss


def main() -> None:
    """Run the command in this process; the file is written at exit, failures included."""
    result, limit = Path(sys.argv[1]), int(sys.argv[2])
    if limit:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    atexit.register(lambda: result.write_text(json.dumps({"peak_rss": peak_rss()})))
    sys.argv = ["zoo", *sys.argv[3:]]
    runpy.run_module("zoo", run_name="__main__")


if __name__ == "__main__":
    main()
