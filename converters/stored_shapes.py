"""What a network's data layers hold, where their files are at hand."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from prototxt.errors import Sentence, ZooError
from prototxt.files import find_beside
from prototxt.net import LayerDefinition, NetDefinition

from .layers.inputs import Data, HDF5Data
from .registry import find

__all__ = ["stored_shapes"]


def stored_shapes(
    net: NetDefinition, warn: Callable[[str], None], given: Collection[str] = ()
) -> dict[str, tuple[int, ...]]:
    """One row's shape of each top of the Data and HDF5Data layers whose source is there.

    Sources are looked for from the current folder, then beside the definition. One that cannot be
    read is a warning: the network may tell its size by itself. Layers whose first top is among
    those `given` are left out.
    """
    found: dict[str, tuple[int, ...]] = {}
    for layer in net.layers:
        kind = find(layer.type)
        if not isinstance(kind, (Data, HDF5Data)) or set(layer.tops[:1]) & set(given):
            continue
        source = layer.param(kind.message or "")
        name = source.last("source") if source is not None else None
        place = find_beside(getattr(getattr(name, "value", None), "text", ""), Path(net.path))
        if place is None:
            continue
        try:
            rows = row_shapes(layer, kind, place)
        except ZooError as error:
            warn(Sentence(f"layer {layer.name!r}: ", error.sentence))
            continue
        found.update({top: row for top, row in zip(layer.tops, rows, strict=False) if row})
    return found


def row_shapes(
    layer: LayerDefinition, kind: Data | HDF5Data, source: Path
) -> list[tuple[int, ...]]:
    from prototxt.records import Decoding, HDF5Records, LMDBRecords

    if isinstance(kind, HDF5Data):
        return HDF5Records(source, layer.tops).shapes()
    params = kind.read(layer, True, lambda _: None)
    decoding: Decoding = "native"
    if params.transform.force_color or params.transform.force_gray:
        decoding = "color" if params.transform.force_color else "gray"
    return LMDBRecords(source, decoding=decoding).shapes()
