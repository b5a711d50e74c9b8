"""What a network's data layers hold, where their files are at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from prototxt.errors import ZooError

if TYPE_CHECKING:
    from prototxt import LayerDefinition, NetDefinition

__all__ = ["stored_shapes"]


def stored_shapes(
    net: NetDefinition, path: Path, warn: Callable[[str], None]
) -> dict[str, tuple[int, ...]]:
    """One row's shape of each top of the Data and HDF5Data layers whose source is there.

    Sources are looked for from the current folder, then beside `path`. One that cannot be read is
    a warning: the network may tell its size by itself.
    """
    from converters.layers.inputs import Data, HDF5Data
    from converters.registry import find

    found: dict[str, tuple[int, ...]] = {}
    for layer in net.layers:
        kind = find(layer.type)
        readable = isinstance(kind, (Data, HDF5Data)) and kind.message
        source = layer.param(readable) if readable else None
        name = source.last("source") if source is not None else None
        text = getattr(getattr(name, "value", None), "text", "")
        places = [place for place in (Path(text), path.parent / text) if text and place.exists()]
        if not places:
            continue
        try:
            rows = row_shapes(layer, places[0])
        except ZooError as error:
            warn(f"layer {layer.name!r}: {error}")
            continue
        found.update({top: row for top, row in zip(layer.tops, rows, strict=False) if row})
    return found


def row_shapes(layer: LayerDefinition, source: Path) -> list[tuple[int, ...]]:
    from converters.layers.inputs import HDF5Data
    from converters.registry import find

    from .records import Decoding, HDF5Records, LMDBRecords

    kind = find(layer.type)
    assert kind is not None
    if isinstance(kind, HDF5Data):
        return HDF5Records(source, layer.tops).shapes()
    transform = kind.read(layer, True, lambda _: None).transform
    decoding: Decoding = "native"
    if transform.force_color or transform.force_gray:
        decoding = "color" if transform.force_color else "gray"
    return LMDBRecords(source, decoding=decoding).shapes()
