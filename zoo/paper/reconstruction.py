"""An image through a network and back: what `zoo reconstruct` and `zoo eval --report` draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from runtime import Model


@dataclass(frozen=True)
class Reconstruction:
    """One image, as the network saw it, and what came back; H×W×3 uint8 BGR, RMSE in [0,1]."""

    original: np.ndarray
    image: np.ndarray
    rmse: float


def reconstruct(
    model: Model, image: np.ndarray, mean: np.ndarray, size: tuple[int, int]
) -> Reconstruction:
    """Resize an H×W×3 uint8 BGR image, run it through the network, and measure.

    The RMSE is taken before the result is rounded and clipped to a picture, as the paper does.
    """
    import runtime

    feeder = runtime.Feeder(model, mean, size)
    blob = feeder.blob(image)
    name = runtime.image_output(model)
    result = model.run({model.inputs[0].name: feeder.feed(image)[None]}, [name])[name][0]
    measure = runtime.RMSE()
    measure.add(result[None] / feeder.scale, blob[None] / feeder.scale)
    return Reconstruction(feeder.picture(blob), feeder.picture(result), measure.value)


def picture(found: Reconstruction, arch: str | None) -> np.ndarray:
    """Original and reconstruction side by side, with what it cost and how far off it is."""
    import runtime
    from zoo.paper import architectures

    bits = architectures.bits_per_pixel(arch) if arch else None
    return runtime.side_by_side(found.original, found.image, rmse=found.rmse, bits=bits)


def free_name(stem: str, taken: set[str]) -> str:
    """`stem`, or `stem-2` and so on where two images have one name; notes it as taken."""
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name
