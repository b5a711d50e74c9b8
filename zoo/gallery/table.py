"""Table II of the tunnel paper beside what this hub's models were measured to have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.gallery.plot import Point
from zoo.gallery.showing import ModelPage
from zoo.hub.index import ENCODERS, Entry


def is_of_paper(entry: Entry) -> bool:
    """Whether a model is one of the paper's networks."""
    return entry.task == "reconstruct" and entry.arch is not None


def table2(shown: Sequence[ModelPage]) -> list[dict[str, Any]]:
    """The paper's rows, each with the model that stands for it here.

    Then the networks with learned switches, which the paper has none of.
    """
    from zoo.paper import architectures

    rows: list[dict[str, Any]] = []
    for encoder in ENCODERS:
        figures = architectures.PUBLISHED.get(encoder)
        for arch in figures or architectures.ARCHES:
            here = next((one for one in shown if _stands_for(one.entry, arch, encoder)), None)
            if figures or here:
                rmse = figures[arch] if figures else None
                rows.append(_row(arch, encoder, rmse, here) | {"order": len(rows)})
    return rows


def _row(
    arch: str, encoder: str, published: float | None, here: ModelPage | None
) -> dict[str, Any]:
    from zoo.paper import architectures

    bits = architectures.bits_per_pixel(arch)
    metric = here.entry.metric("rmse") if here else None
    points = []
    if published is not None:
        points.append(Point(arch, encoder, bits, published))
    if metric is not None:
        points.append(Point(arch, encoder, bits, metric.value, measured=True))
    return {
        "arch": arch,
        "encoder": encoder,
        "bits": bits,
        "published": published,
        "metric": metric,
        "ratio": 100 * (metric.value / published - 1) if metric and published else None,
        "shown": here,
        "points": points,
    }


def _stands_for(entry: Entry, arch: str, encoder: str) -> bool:
    return is_of_paper(entry) and entry.arch == arch and (entry.encoder or "random") == encoder
