"""The model hub: a folder of models with an index, which any static host serves.

locate      a model's path, fetched if need be: what `--arch` of a command calls
locate_file a model's path by its sha256
pull        all files of a model, into the cache or a folder
publish     validated models, into a hub's folder
open_hub    the index of a hub, wherever it is
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prototxt.lazy import looked_up

if TYPE_CHECKING:
    from .index import Entry, Index, Metric
    from .opening import open_hub
    from .places import Hub
    from .publishing import publish
    from .pulling import locate, locate_file, pull

_HOMES = {
    "index": "Entry Index Metric",
    "opening": "open_hub",
    "places": "Hub",
    "publishing": "publish",
    "pulling": "locate locate_file pull",
}

__all__ = [
    "Entry",
    "Hub",
    "Index",
    "Metric",
    "locate",
    "locate_file",
    "open_hub",
    "publish",
    "pull",
]

__getattr__ = looked_up(__name__, _HOMES)
