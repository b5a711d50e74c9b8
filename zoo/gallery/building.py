"""Build the whole site in memory, then write it: what fails while building changes nothing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prototxt.files import atomic_write
from zoo import extras
from zoo.errors import HubError
from zoo.gallery import demonstration, pages, vendor
from zoo.gallery.photographs import read_photographs
from zoo.hub.fields import Fields, parse, plain_name
from zoo.hub.places import Hub, locked_folder, read_index
from zoo.hub.pulling import at_hand
from zoo.progress import OnProgress, counted, unheard

LIST = "gallery/site.json"
"""What the gallery consists of."""


@dataclass(frozen=True)
class Gallery:
    """What was written."""

    pages: tuple[Path, ...]
    """The first page first."""
    runs_models: bool
    """Whether any page runs a model."""
    skipped: tuple[tuple[str, str], ...] = ()
    """Name of each photograph that cannot be read, and why."""


def build(
    folder: Path,
    images: Path | None = None,
    *,
    demo: bool = True,
    runtime_web: Path | None = None,
    on_progress: OnProgress = unheard,
) -> Gallery:
    """Write the gallery of the hub in `folder`.

    `images` is a folder of photographs that models are shown on; without it those that come along
    are. `demo` lets pages run models, for which onnxruntime-web is taken from `runtime_web` (its
    npm tarball), the cache, or npm. `on_progress` is told of each version of a model.
    """
    extras.require("jinja2", "markdown_it", "markupsafe")
    hub = Hub(read_index(folder), folder=folder)
    skipped: list[tuple[str, str]] = []
    photographs = read_photographs(images, skipped)
    site: dict[str, bytes] = dict(pages.static())
    for photograph in photographs:
        site.update(photograph.files())
    for entry in hub.index.models:
        at_hand(hub, entry, entry.files)  # refuses what was tampered with
    demos = demonstration.collect(hub) if demo else []
    if demos:
        site.update(demonstration.files(demos, photographs))
    shown = []
    step = counted(on_progress, len(hub.index.models))
    for entry in hub.index.models:
        shown.append(pages.model(hub, entry, photographs, site, demos, demo))
        step()
    runs = bool(demos) or any(one.live for one in shown)
    if runs:
        site.update(vendor.runtime_files(runtime_web))
    pages.overview(hub, shown, demos, site)
    with locked_folder(folder):
        _write(folder, site)
    written = [name for name in site if name.endswith(".html")]
    written.sort(key=lambda name: (name.count("/"), name != "index.html", name))
    return Gallery(tuple(folder / name for name in written), runs, tuple(skipped))


def _write(folder: Path, site: Mapping[str, bytes]) -> None:
    """Pictures and scripts before the pages that need them; what an older gallery had goes last.

    Only what the list of the older gallery names is overwritten or removed: a folder may hold
    things of other people's.
    """
    before = _listed(folder)
    site = {**site, LIST: _list(site)}
    for name in site:
        path = folder / name
        if name not in before and path.exists() and not _same(path, site[name]):
            raise HubError("is there, and not of a gallery", subject=path, remedy="move it away")
    for name in sorted(site, key=lambda name: (name.endswith(".html"), -name.count("/"), name)):
        path = folder / name
        if not _same(path, site[name]):
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, site[name])
    for name in sorted(before - site.keys()):
        path = folder / name
        path.unlink(missing_ok=True)
        for parent in path.parents:
            if parent == folder:
                break
            with contextlib.suppress(OSError):  # not empty
                parent.rmdir()


def _same(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _list(site: Mapping[str, bytes]) -> bytes:
    return (json.dumps({"files": sorted([*site, LIST])}, indent=1) + "\n").encode()


def _listed(folder: Path) -> set[str]:
    """The files of the gallery that is there; nothing that a list may not name."""
    path = folder / LIST
    if not path.is_file():
        return set()
    fields = Fields(parse(path.read_bytes(), str(path)), str(path))
    names = [name for name in fields.items("files") if isinstance(name, str)]
    return {
        name
        for name in names
        if name in (LIST, "index.html", "demo.html")
        or (name.startswith("gallery/") and all(map(plain_name, name.split("/"))))
    }
