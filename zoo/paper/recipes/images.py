"""Training images in memory: from a folder or an LMDB, some held out, many parts of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from prototxt.errors import Argument, Sentence, ZooError
from zoo.data.sources import Source, held_out_places
from zoo.paper.recipes.crops import make_pool
from zoo.progress import OnProgress, counted, unheard

__all__ = ["VARIANTS", "Images", "load_images"]

VARIANTS = 16
"""Parts that are taken of each image."""

MOST = 24_576
"""Images kept in memory at most: 1.2 GB of 128×128."""


@dataclass
class Images:
    """`pool` is N×3×S×S uint8 (BGR); `held` likewise, of the images that are held out."""

    pool: np.ndarray
    held: np.ndarray
    mean: np.ndarray
    """Mean colour of the pool: 3×1×1, BGR, 0..255."""
    source: str
    count: int
    """Images that the pool was made of."""
    held_names: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    """Of the pool's images: the database's, or the number of the image's folder."""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def load_images(
    data: Path | None,
    hold_out: int = 0,
    variants: int = VARIANTS,
    size: int = 128,
    seed: int = 0,
    on_progress: OnProgress = unheard,
) -> Images:
    """Read a folder of images or an LMDB (None: sample photographs) into a pool.

    Every n-th image is held out, so that `hold_out` are. `variants` parts are taken of each of the
    others, fewer where there would be more than `MOST`; of more images than that, evenly spaced
    ones are taken. Broken images are skipped and counted.
    """
    source = Source(data)
    count = len(source.names)
    if hold_out >= count:
        raise ZooError(f"{count} images: cannot hold {hold_out} out", subject=source.name)
    held = held_out_places(count, hold_out)
    training = sorted(set(range(count)) - set(held))
    if len(training) > MOST:
        training = [training[i * len(training) // MOST] for i in range(MOST)]
    variants = max(1, min(variants, MOST // len(training)))
    skipped: list[tuple[str, str]] = []
    step = counted(on_progress, len(training) + len(held))

    def images(places: Sequence[int], taken: list[int]) -> Iterator[np.ndarray]:
        for place in places:
            try:
                image = source.read(place)
            except ZooError as error:
                skipped.append((source.names[place], error.message))
                continue
            finally:
                step()
            taken.append(place)
            yield image

    taken: list[int] = []
    taken_held: list[int] = []
    parts = list(images(training, taken))
    if not parts:
        raise ZooError("none of its images can be read", subject=source.name)
    pool = make_pool(parts, variants, size, seed)
    kept = list(images(held, taken_held))
    held_pool = make_pool(kept, 1, size) if kept else np.empty((0, 3, size, size), np.uint8)
    mean = pool.mean((0, 2, 3), dtype=np.float64).round(3).reshape(3, 1, 1)
    sampled = Sentence(
        "no ",
        Argument("data"),
        f": trains on {len(taken)} sample photographs, only to try it out",
    )
    notes = (sampled,) if data is None else ()
    return Images(
        pool,
        held_pool,
        mean,
        source.name,
        len(taken),
        [source.names[place] for place in taken_held],
        [source.label(place) for place in taken for _ in range(variants)],
        skipped,
        notes,
    )
