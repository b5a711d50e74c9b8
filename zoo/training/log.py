"""metrics.jsonl: what a training measured, one JSON object a line."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prototxt.errors import Argument, Sentence, ZooError
from prototxt.files import lock, make_folder, writing

__all__ = ["Log"]


class Log:
    """The log of this process alone: ZooError where another trains into the same folder.

    Each row is there when `note` returns, whatever becomes of the process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        make_folder(path.parent)
        with writing(path):
            self._file = path.open("ab+", buffering=0)
        if lock(self._file.fileno()) is False:
            self._file.close()
            raise ZooError(
                "another process trains into this folder",
                subject=path.parent,
                remedy=Sentence("wait for that one, or give another ", Argument("output")),
            )

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def keep_until(self, iteration: int) -> None:
        """Drop what it says of iterations that are run again (or of an earlier training).

        A test is of the weights after an iteration, so that of the last one is run again too.
        """
        self._file.seek(0)
        kept = 0
        for line in self._file if iteration else ():
            try:
                row = json.loads(line)
                again = row["iteration"] > iteration - (row["kind"] in ("test", "best"))
            except (ValueError, KeyError, TypeError):
                break
            if again or not line.endswith(b"\n"):  # cut short by whatever ended the training
                break
            kept += len(line)
        with writing(self.path):
            self._file.truncate(kept)

    def note(self, kind: str, iteration: int, values: Mapping[str, Any]) -> None:
        """Add a row: all of it, or where that cannot be nothing."""
        row = json.dumps({"kind": kind, "iteration": iteration, **values}).encode() + b"\n"
        with writing(self.path):
            end = self._file.seek(0, os.SEEK_END)
            try:
                while row:
                    row = row[self._file.write(row) :]
            except OSError:
                self._file.truncate(end)
                raise
