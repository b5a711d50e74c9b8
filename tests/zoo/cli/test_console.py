"""What is printed, and where."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from zoo import formatting
from zoo.cli import console
from zoo.cli.console import Printer
from zoo.progress import counted


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_people_get_a_table_with_numbers_to_the_right(capsys):
    Printer().table(["layer", "parameters"], [["conv1", 1234567], ["relu", 0]])
    assert capsys.readouterr().out == ("layer  parameters\nconv1   1,234,567\nrelu            0\n")


def test_an_empty_table_is_its_heading(capsys):
    Printer().table(["a", "b"], [])
    assert capsys.readouterr().out == "a  b\n"


def test_fields_and_lists_are_aligned(capsys):
    Printer().fields([("in", "x"), ("outputs", ["a", "b"])])
    assert capsys.readouterr().out == "in       x\noutputs  a\n         b\n"


def test_json_is_all_that_programs_get(capsys):
    say = Printer(json=True)
    say.line("for people")
    say.note("for people")
    say.fields([("for", "people")])
    say.table(["for"], [["people"]])
    say.result({"a": float("nan"), "b": np.float32(0.5), "c": (1, "x"), "d": float("inf")})
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"a": None, "b": 0.5, "c": [1, "x"], "d": None}
    assert captured.err == ""


def test_quiet_says_nothing(capsys):
    say = Printer(quiet=True)
    say.line("x")
    say.fields([("a", "b")])
    say.warn("w")
    say.result({"a": 1})
    with say.progress("work", 2) as advance:
        advance()
    assert capsys.readouterr() == ("", "")
    assert say.warnings == ["w"]


def test_warnings_go_to_stderr(capsys):
    say = Printer(json=True)
    say.warn("field ignored")
    assert capsys.readouterr() == ("", "warning: field ignored\n")


def test_progress_is_for_terminals_only(capsys, monkeypatch):
    with Printer().progress("work", 1) as advance:
        advance()
    assert capsys.readouterr() == ("", "")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Printer(json=True).progress("evaluating", 1) as advance:
        advance()
    assert "evaluating" in terminal.getvalue()


def test_a_terminal_gets_a_rich_table(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    Printer().table(["layer", "blob"], [["conv1", "[red]x[/red]"]])
    text = terminal.getvalue()
    assert "─" in text or "━" in text
    assert "[red]x[/red]" in text  # a name is not markup


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (27812, "27.2 KiB"),
        (3 * 2**40, "3072.0 GiB"),
    ],
)
def test_sizes(number, said):
    assert formatting.size(number) == said


def test_shapes():
    assert formatting.shape(("batch", 3, 128, 128)) == "batchx3x128x128"
    assert formatting.shape(()) == "scalar"


def test_a_bar_is_told_how_many_of_how_many(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Printer().progress("evaluating") as bar:
        counted(bar.reach, 4)()
        bar.reach(2, 4)
    assert "50%" in terminal.getvalue()


def test_images_left_out_are_named_up_to_a_number(capsys):
    skipped = [(f"{number}.png", "broken") for number in range(4)]
    say = Printer()
    say.left_out(skipped, 2)
    assert say.warnings == [
        "0.png: left out: broken",
        "1.png: left out: broken",
        "2 more images left out",
    ]
    say.left_out(skipped)
    assert len(say.warnings) == 7


ODD = "a\x1b[31m\r\n\x07\u202e\u2028\ud800é"
SHOWN = "a\\x1b[31m\\r\\n\\x07\\u202e\\u2028\\ud800é"


def test_no_text_drives_the_terminal(capsys):
    """Whatever a file calls its layers: one line stays one line, read from left to right."""
    say = Printer()
    say.line(ODD)
    say.note(ODD)
    say.fields([("name", ODD), ("list", [ODD, 1])])
    say.warn(ODD)
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        SHOWN,
        f"note: {SHOWN}",
        f"name  {SHOWN}",
        f"list  {SHOWN}",
        "      1",
    ]
    assert err == f"warning: {SHOWN}\n"
    say.table([SHOWN], [[ODD]])
    assert {line.strip() for line in capsys.readouterr().out.splitlines()} == {SHOWN}


def test_an_error_is_one_line_and_a_document_keeps_its_own(capsys):
    console.error(f"two\n  lines {ODD}")
    console.text(f"name: {ODD!r}\n{ODD}\n")
    out, err = capsys.readouterr()
    assert err == "error: two lines a\\x1b[31m \\x07\\u202e \\ud800é\n"
    assert out == f"name: {ODD!r}\na\\x1b[31m\\r\n\\x07\\u202e\\u2028\\ud800é\n"


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
def test_any_locale_shows_any_name(tmp_path, locale):
    (tmp_path / "net.prototxt").write_text('input: "网"\n', "utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "zoo", "inspect", "net.prototxt", "--layers"],
        cwd=tmp_path,
        env={**os.environ, "LC_ALL": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        capture_output=True,
    )
    assert b"Traceback" not in run.stderr and b"internal error" not in run.stderr
    assert ("网" if locale == "C.UTF-8" else "\\u7f51").encode() in run.stdout


def test_a_bar_says_what_is_done_and_leaves_the_estimate_to_the_lines(monkeypatch):
    """Of a training one estimate of the time left is enough: that of its lines."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    for estimate in (True, False):
        with Printer().progress("training", 4, estimate=estimate) as bar:
            bar.name("trying encoders")
            bar.reach(2, 4)
        said = terminal.getvalue()
        assert "trying encoders" in said
        assert ("elapsed" in said) == (not estimate)
