"""Training images, read for a command that trains on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.cli.console import Printer
    from zoo.paper.recipes.images import Images

MOST_WARNINGS = 5
"""How many of the images left out are named; the others are counted."""


def training_images(
    say: Printer,
    data: Sequence[Path],
    hold_out: int,
    seed: int,
    variants: int | None = None,
    own_scale: bool = False,
) -> Images:
    """As `zoo.paper.recipes.images.load_images`; warns of what is left out."""
    from zoo.paper.recipes.images import VARIANTS, load_images

    taken = VARIANTS if variants is None else variants
    with say.progress("reading images") as bar:
        images = load_images(
            data, hold_out, taken, seed=seed, own_scale=own_scale, on_progress=bar.reach
        )
    say.left_out(images.skipped, MOST_WARNINGS)
    say.notes(images.notes)
    return images
