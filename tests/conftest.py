"""Fixtures that every folder of tests uses."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import Run

# The networks of the tests are tiny, and several processes may run them at once.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of Caffe's own files and numbers beside the checkout; skips without it."""
    folder = ROOT.parent / "shared"
    if not (folder / "caffe").is_dir():
        pytest.skip("needs ../shared (Caffe's own files), which is not here")
    return folder


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Runs the `zoo` command in an empty folder of its own, which is also the test's `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZOO_DEBUG", raising=False)
    return lambda *arguments: Run(arguments)
