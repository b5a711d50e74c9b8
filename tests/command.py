"""Runs the `zoo` command in this process."""

import json
from typing import Any

from typer.testing import CliRunner

from zoo.cli.app import app


class Run:
    """What one command did: exit status, stdout, stderr."""

    def __init__(self, arguments: tuple[object, ...]) -> None:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        self.status: int = result.exit_code
        self.out: str = result.stdout
        self.err: str = result.stderr
        self.exception = result.exception

    @property
    def json(self) -> Any:
        """stdout as the one JSON object that it must be."""
        assert self.status == 0, self.err
        return json.loads(self.out)

    @property
    def refusal(self) -> str:
        """What follows `error: ` on the one line of a command that refused its input."""
        assert self.status == 1, (self.status, self.out, self.err)
        assert isinstance(self.exception, SystemExit)  # not whatever was raised inside
        assert self.out == ""
        assert self.err.endswith("\n") and self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err and "internal error" not in self.err, self.err
        assert self.err.startswith("error: "), self.err
        return self.err.removeprefix("error: ").strip()
