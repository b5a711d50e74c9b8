"""Training images in memory: from a folder or an LMDB, some held out, many parts of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from prototxt.errors import Argument, Sentence, ZooError
from zoo.data.sources import Source, held_out_places
from zoo.paper.recipes.crops import cut_middle, cut_pool, make_pool
from zoo.progress import OnProgress, counted, unheard

__all__ = ["VARIANTS", "Images", "load_images", "told"]

VARIANTS = 16
"""Parts that are taken of each image."""

Place = tuple[Source, int]
"""An image: where it is from, and its number there."""

PARTS = {"test", "train", "val", "images"}
"""What folders are called that are a part of a data set; it is their parent's name that tells."""

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
    held_labels: list[int] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    @cached_property
    def mean_image(self) -> np.ndarray:
        """Mean of the pool: 3×S×S, BGR, 0..255."""
        return np.asarray(self.pool.mean(0))


def told(source: str) -> str:
    """What a card calls the images of a folder or database."""
    path = Path(source)
    return f"{path.parent.name}/{path.name}" if path.name in PARTS else path.name


def load_images(
    data: Path | Sequence[Path] | None,
    hold_out: int = 0,
    variants: int = VARIANTS,
    size: int = 128,
    seed: int = 0,
    own_scale: bool = False,
    on_progress: OnProgress = unheard,
) -> Images:
    """Read folders of images or LMDBs (None: sample photographs) into a pool.

    Every n-th image of the first is held out, so that `hold_out` are. `variants` parts are taken
    of each of the others, fewer where there would be more than `MOST`; of more images than that,
    evenly spaced ones are taken. Broken images are skipped and counted. With `own_scale` parts are
    cut out, not resized, and of the images held out the middle of twice their size.
    """
    given: list[Path | None]
    given = [data] if data is None or isinstance(data, Path) else ([*data] or [None])
    sources = [Source(each) for each in given]
    first = len(sources[0].names)
    if hold_out >= first:
        raise ZooError(f"{first} images: cannot hold {hold_out} out", subject=sources[0].name)
    held: list[Place] = [(sources[0], place) for place in held_out_places(first, hold_out)]
    apart = set(held)
    every = [(source, place) for source in sources for place in range(len(source.names))]
    training = [each for each in every if each not in apart]
    if len(training) > MOST:
        training = [training[i * len(training) // MOST] for i in range(MOST)]
    variants = max(1, min(variants, MOST // len(training)))
    skipped: list[tuple[str, str]] = []
    step = counted(on_progress, len(training) + len(held))

    def images(places: Sequence[Place], taken: list[Place]) -> Iterator[np.ndarray]:
        for source, number in places:
            try:
                image = source.read(number)
            except ZooError as error:
                skipped.append((source.names[number], error.message))
                continue
            finally:
                step()
            taken.append((source, number))
            yield image

    taken: list[Place] = []
    taken_held: list[Place] = []
    parts = list(images(training, taken))
    if not parts:
        raise ZooError("none of its images can be read", subject=sources[0].name)
    pool = (cut_pool if own_scale else make_pool)(parts, variants, size, seed)
    kept = list(images(held, taken_held))
    held_pool = np.empty((0, 3, size, size), np.uint8)
    if kept:
        held_pool = cut_middle(kept, 2 * size) if own_scale else make_pool(kept, 1, size)
    mean = pool.mean((0, 2, 3), dtype=np.float64).round(3).reshape(3, 1, 1)
    sampled = Sentence(
        "no ",
        Argument("data"),
        f": trains on {len(taken)} sample photographs, only to try it out",
    )
    notes = (sampled,) if given == [None] else ()
    return Images(
        pool,
        held_pool,
        mean,
        " + ".join(told(source.name) for source in sources),
        len(taken),
        [source.names[number] for source, number in taken_held],
        [source.label(number) for source, number in taken for _ in range(variants)],
        [source.label(number) for source, number in taken_held],
        skipped,
        notes,
    )
