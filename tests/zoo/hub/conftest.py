"""A hub on the web, and a folder that is served."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.zoo.hub.served import fill
from tests.zoo.hub.web import Web
from zoo.hub.server import Server


@pytest.fixture
def web(hub: Path) -> Iterator[Web]:
    served = Web(hub)
    yield served
    served.end()


@pytest.fixture
def hasty(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes minutes otherwise is over in a second."""
    monkeypatch.setattr("zoo.hub.visits.TIMEOUT", (0.3, 0.3))
    monkeypatch.setattr("zoo.hub.fetching.INDEX_SECONDS", 1.0)
    monkeypatch.setattr("zoo.hub.fetching.PATIENCE", 1.0)
    monkeypatch.setattr("zoo.hub.fetching.SLOWEST", 1 << 30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with Server(folder) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()
