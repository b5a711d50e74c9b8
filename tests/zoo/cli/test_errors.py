"""From an exception to a line and an exit status."""

import pytest

from prototxt.errors import FormatError, Position, UsageError, ZooError
from zoo.cli.app import Front
from zoo.cli.data import DataPage
from zoo.cli.failures import TABLE, explain, guarded
from zoo.errors import HubError


@pytest.mark.parametrize(
    ("error", "line", "status"),
    [
        (
            FormatError("no colon", position=Position("a.prototxt", 3, 5), remedy="add one"),
            "a.prototxt:3:5: no colon; add one",
            1,
        ),
        (ZooError("plain"), "plain", 1),
        (HubError("not at hand", remedy="give --model"), "not at hand; give --model", 1),
        (UsageError("--a with --b"), "--a with --b", 2),
        (
            FileNotFoundError(2, "No such file or directory", "x.png"),
            "x.png: No such file or directory; check the path, its permissions and the space left",
            1,
        ),
        (KeyboardInterrupt(), "interrupted", 130),
        (
            ValueError("odd"),
            "internal error: ValueError: odd; set ZOO_DEBUG=1 to see where, and report it",
            1,
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you asked for 8 bytes"),
            "out of memory; give a smaller --shape, --size or --batch",
            1,
        ),
    ],
)
def test_the_table(error, line, status):
    assert explain(error) == (line, status)


def test_memory_errors_say_what_to_do():
    line, status = explain(MemoryError())
    assert "out of memory" in line and "--batch" in line and status == 1


def test_narrow_types_stand_before_wide_ones():
    kinds = [kind for kind, _, _ in TABLE]
    for index, kind in enumerate(kinds):
        assert not any(issubclass(later, kind) for later in kinds[index + 1 :])


def test_system_exit_is_not_an_error():
    with pytest.raises(SystemExit):
        explain(SystemExit(0))


def test_a_guarded_command_keeps_its_name_and_result():
    @guarded
    def command(x: int) -> int:
        """Doubles."""
        return 2 * x

    assert (command(2), command.__name__, command.__doc__) == (4, "command", "Doubles.")


def test_every_command_is_guarded():
    commands = {**Front.entries(), **DataPage.entries()}
    del commands["data"]
    assert len(commands) > 20
    for name, entry in commands.items():
        # typer's wrapper, around ours, around the command
        assert hasattr(entry.load().callback.__wrapped__, "__wrapped__"), name


def test_debug_shows_the_traceback(zoo, monkeypatch):
    assert "Traceback" not in zoo("inspect", "missing.prototxt").err
    monkeypatch.setenv("ZOO_DEBUG", "1")
    run = zoo("inspect", "missing.prototxt")
    assert run.status == 1
    assert "Traceback" in run.err
    assert run.err.splitlines()[-1] == "error: missing.prototxt: no such file; check the path"
