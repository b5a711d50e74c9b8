"""A hub opened: by its folder, by its address, or the one that the package carries."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from zoo.errors import HubError
from zoo.hub import index as schema
from zoo.hub.places import Hub, HubAddress, Place, read_index, several
from zoo.hub.remotes import REMOTES


def open_hub(hub: HubAddress = None, offline: bool = False) -> Hub:
    """The hub at an address or in a folder; by default what ZOO_HUB names, else the embedded.

    Of several, which are mirrors of one hub and trusted alike, the index is that of the first that
    answers; a file is then taken from whichever has the one that this index describes. `offline`
    takes the index of an address as it was last fetched. Raises HubError in one line.
    """
    places = [_place(given) for given in several(hub)]
    failures: list[str] = []
    for number, place in enumerate(places):
        try:
            index = _index(place, offline)
        except HubError as error:
            if len(places) == 1:
                raise
            failures.append(str(error))
            continue
        mirrors = (*places[:number], *places[number + 1 :])
        return Hub(index, place.folder, place.url, mirrors)
    raise HubError(f"no mirror answers: {' | '.join(failures)}")


def _index(place: Place, offline: bool) -> schema.Index:
    if place.url is None:
        assert place.folder is not None
        return read_index(place.folder)
    from zoo.hub.fetching import fetch_index

    return fetch_index(place.url, offline)


def _place(given: str) -> Place:
    """Where a hub is, without what follows its folder; HubError for what is no address."""
    if "://" not in given:
        return Place(folder=Path(given))
    try:
        parts = urlsplit(given)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    # Two colons would chain one of fsspec's file systems to another.
    known = parts.scheme in ("http", "https") or (parts.scheme in REMOTES and "::" not in given)
    if not known or not host or not given.isprintable():
        remotes = ", ".join(f"{scheme}://" for scheme in REMOTES)
        raise HubError(
            "not an address",
            subject=f"hub {given!r}",
            remedy=f"give https://HOST/PATH, a folder, or one of {remotes}",
        )
    url = given.partition("#")[0].partition("?")[0].removesuffix(schema.FILE).rstrip("/")
    return Place(url=url)
