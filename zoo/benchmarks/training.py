"""The `train` suite: the `modern` recipe's steps beside what the multiply-adds alone would take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prototxt.errors import ZooError

from .crew import Measurement, compete
from .networks import tunnel
from .running import macs

__all__ = ["CACHED", "Settings", "rows", "run", "work"]

CACHED, UNCACHED = "zoo train, switches kept", "zoo train, switches computed"
PLAIN = "torch rebuild, AdamW"
PEAK = "matrices, torch"


@dataclass(frozen=True)
class Settings:
    """How long to measure, and the recipe's batch and crop."""

    threads: int
    rounds: int = 9
    turn: float = 0.5
    provider: str = "cpu"
    batch: int = 16
    crop: int = 64
    images: int = 64
    matrix: int = 2048


def run(
    folder: Path,
    arches: Sequence[str],
    settings: Settings,
    on_round: Callable[[], object] = lambda: None,
) -> list[dict[str, Any]]:
    """Rows of all networks."""
    from zoo.paper.recipes.modern import fast_bfloat16

    quick = fast_bfloat16("cpu" if settings.provider == "cpu" else "cuda")
    result = []
    for arch in arches:
        files = tunnel(arch, settings.crop, folder)
        common = {
            "arch": arch, "batch": settings.batch, "crop": settings.crop,
            "images": settings.images, "threads": settings.threads,
            "provider": settings.provider, "bfloat16": quick,
            "net": str(files.net), "caffemodel": str(files.caffemodel), "output": "deconv1_2",
        }  # fmt: skip
        specs = {
            CACHED: {**common, "kind": "train", "cached": True},
            UNCACHED: {**common, "kind": "train", "cached": False},
            PLAIN: {**common, "kind": "plain train"},
            PEAK: {
                **common, "kind": "matrices", "library": "torch", "size": settings.matrix,
                "dtype": "bfloat16" if quick else "float32",
            },
        }  # fmt: skip
        found = compete(specs, settings.threads, settings.rounds, settings.turn, on_round)
        shape = [settings.batch, 3, settings.crop, settings.crop]
        encoder, decoder = work(arch, macs(files.naive, shape), shape)
        result += rows(arch, settings, encoder, decoder, found, quick)
    return result


def work(arch: str, total: int, shape: Sequence[int]) -> tuple[int, int]:
    """Multiply-adds of the encoder and of the decoder, forward; `total` is of both."""
    from zoo.paper import architectures

    before, places, encoder = shape[1], shape[0] * shape[2] * shape[3], 0
    for width in architectures.channels(arch):
        encoder += 9 * places * width * (before + width)
        before, places = width, places // 4
    return encoder, total - encoder


def rows(
    arch: str,
    settings: Settings,
    encoder: int,
    decoder: int,
    found: Mapping[str, Measurement],
    bfloat16: bool,
) -> list[dict[str, Any]]:
    """Figures of each way to train.

    `ratio` is how many times as long as ours, with the switches kept, it takes. A step is the
    decoder three times (forward, and backward to weights and to inputs), and the encoder once where
    the switches are not kept. The floor is that at the machine's measured peak.
    """
    ours, peak = found[CACHED].seconds, found[PEAK].seconds
    if ours is None or peak is None:
        raise ZooError(f"training cannot be measured: {found[CACHED].absent or found[PEAK].absent}")
    rate = settings.matrix**3 / peak.median
    result = []
    for name, one in found.items():
        if name == PEAK:
            continue
        timing = one.seconds
        floor = (3 * decoder + (0 if name == CACHED else encoder)) / rate
        result.append(
            {
                "network": arch,
                "batch": settings.batch,
                "contestant": name,
                "absent": one.absent,
                "bfloat16": bfloat16 and name != PLAIN,
                "seconds": timing.median if timing else None,
                "quartiles": [timing.low, timing.high] if timing else None,
                "ratio": timing.median / ours.median if timing else None,
                "images_per_second": settings.batch / timing.median if timing else None,
                "floor_seconds": floor,
                "times_floor": timing.median / floor if timing else None,
                "peak_gmacs_per_second": rate / 1e9,
                "peak_rss": one.peak_rss,
                "start_seconds": one.start,
            }
        )
    return result
