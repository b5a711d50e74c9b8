"""Signals end a command as Ctrl-C does: what it has begun is put away, one line says so."""

import os
import signal
import sys
import time

import pytest

from zoo.cli.signals import Terminated, ended_by_signals

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers():
    """As the `zoo` script begins, and put back afterwards."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == [signal.SIG_DFL] * 3
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (signal.SIGINT, "interrupted"),
        (signal.SIGTERM, "terminated"),
        (signal.SIGHUP, "terminated"),
    ],
)
def test_in_the_midst_of_writing(zoo, tmp_path, monkeypatch, number, word):
    (tmp_path / "net.prototxt").write_text("before")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: signal.raise_signal(number))
        run = zoo("prototxt", "--arch", "8_8_8", "-o", "net.prototxt")
    assert (run.status, run.err, run.out) == (128 + number, f"error: {word}\n", "")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "net.prototxt": "before"
    }


MODULE = """
import signal
signal.raise_signal(signal.SIGTERM)
whole = True
"""


def test_a_module_is_loaded_to_its_end(tmp_path, monkeypatch):
    """One that is written in C may crash of an exception meanwhile."""
    (tmp_path / "interrupted_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Terminated) as caught, ended_by_signals():
        import interrupted_module  # type: ignore[import-not-found]

        assert interrupted_module.whole
        end = time.process_time() + 10
        while time.process_time() < end:
            pass
    assert caught.value.number == signal.SIGTERM
    assert sys.modules.pop("interrupted_module").whole


def test_what_is_ignored_stays_so():
    """As nohup does."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with ended_by_signals():
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
