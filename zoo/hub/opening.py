"""A hub opened: by its folder, by its URL, or the one that the package carries."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from zoo.errors import HubError
from zoo.hub import index as schema
from zoo.hub.places import EMBEDDED, Hub, read_index


def open_hub(hub: str | Path | None = None, offline: bool = False) -> Hub:
    """The hub at a URL or in a folder; by default the one that ZOO_HUB names, else the embedded.

    `offline` takes the index of a URL as it was last fetched. Raises HubError in one line.
    """
    given = str(hub or os.environ.get("ZOO_HUB") or EMBEDDED)
    url = _url(given)
    if url is not None:
        from zoo.hub.fetching import fetch_index

        return Hub(fetch_index(url, offline), url=url)
    folder = Path(given)
    return Hub(read_index(folder), folder=folder)


def _url(given: str) -> str | None:
    """The hub's URL without what follows its folder; None where a folder is meant."""
    if "://" not in given:
        return None
    try:
        parts = urlsplit(given)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or not given.isprintable():
        raise HubError(
            "not an address", subject=f"hub {given!r}", remedy="give https://HOST/PATH or a folder"
        )
    return given.partition("#")[0].partition("?")[0].removesuffix(schema.FILE).rstrip("/")
