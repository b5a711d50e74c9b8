"""A hub on the web."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.zoo.hub.web import Web


@pytest.fixture
def web(hub: Path) -> Iterator[Web]:
    served = Web(hub)
    yield served
    served.end()
