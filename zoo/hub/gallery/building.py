"""Build the whole site in memory, then write it: what fails while building changes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

from prototxt.files import atomic_write
from zoo.hub.gallery import demonstration, pages, vendor
from zoo.hub.gallery.photographs import read_photographs
from zoo.hub.places import Hub, locked, read_index
from zoo.hub.pulling import at_hand

FOLDER = "gallery"
"""Everything but the two pages at the top lies in this folder, which belongs to the gallery."""


def build(
    folder: Path,
    images: Path | None = None,
    *,
    demo: bool = True,
    runtime_web: Path | None = None,
    on_model: Callable[[], object] | None = None,
) -> list[Path]:
    """Write the gallery of the hub in `folder`; returns its pages, the first one first.

    `images` is a folder of photographs to rebuild. `demo` includes the live demonstration, for
    which onnxruntime-web is taken from `runtime_web` (its npm tarball), the cache, or npm.
    `on_model` is called after each version of a model.
    """
    hub = Hub(read_index(folder), folder=folder)
    photographs = read_photographs(images) if images is not None else []
    site: dict[str, bytes] = dict(pages.static())
    for photograph in photographs:
        site.update(photograph.files())
    for entry in hub.index.models:
        at_hand(hub, entry, entry.files)  # refuses what was tampered with
    demos = demonstration.collect(hub) if demo else []
    if demos:
        site.update(vendor.runtime_files(runtime_web))
        site.update(demonstration.files(demos, photographs))
    shown = []
    for entry in hub.index.models:
        shown.append(pages.model(hub, entry, photographs, site, bool(demos)))
        if on_model:
            on_model()
    pages.overview(hub, shown, demos, site)
    with locked(folder / ".lock", str(folder), "is the folder writable?"):
        _write(folder, site)
    written = [name for name in site if name.endswith(".html")]
    written.sort(key=lambda name: (name.count("/"), name != "index.html", name))
    return [folder / name for name in written]


def _write(folder: Path, site: Mapping[str, bytes]) -> None:
    """Pictures and scripts before the pages that need them; what an older gallery had goes last."""
    for name in sorted(site, key=lambda name: (name.endswith(".html"), -name.count("/"), name)):
        path = folder / name
        if not path.is_file() or path.read_bytes() != site[name]:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, site[name])
    below = folder / FOLDER
    for path in sorted(below.rglob("*"), reverse=True):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()
        elif name not in site:
            path.unlink()
    if "demo.html" not in site:
        (folder / "demo.html").unlink(missing_ok=True)
