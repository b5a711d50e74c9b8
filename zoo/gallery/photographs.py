"""The photographs that models are shown on."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import HubError

if TYPE_CHECKING:
    import numpy as np

MOST = 6
"""Photographs shown of a folder: the first ones, by name."""

LONGEST = 640
"""Pixels of a sample's longer side."""


@dataclass(frozen=True)
class Photograph:
    """One photograph: H×W×3 uint8 BGR, at most LONGEST pixels long."""

    number: int
    name: str
    pixels: Any

    @property
    def path(self) -> str:
        """Where it lies below the site."""
        return f"gallery/photographs/{self.number}.jpg"

    def files(self) -> dict[str, bytes]:
        """Its JPEG file's bytes, by path below the site."""
        return {self.path: encode(self.pixels, ".jpg")}


def read_photographs(folder: Path | None, skipped: list[tuple[str, str]]) -> list[Photograph]:
    """The first photographs of a folder that can be read, or those that come along; made smaller.

    Of those that cannot, (name, reason) go to `skipped`. ZooError where none can be read.
    """
    import runtime
    from zoo.data.sources import readable_images

    if folder is None:
        named = runtime.sample_images()
    else:
        readable = readable_images(runtime.list_images(folder), skipped)
        named = [(path.stem, pixels) for path, pixels in itertools.islice(readable, MOST)]
    return [
        Photograph(number, name.replace("_", " ").replace("-", " ").strip(), smaller(pixels))
        for number, (name, pixels) in enumerate(named, 1)
    ]


def smaller(pixels: np.ndarray, longest: int = LONGEST) -> np.ndarray:
    """An image with no side longer than `longest`, averaged down."""
    import numpy as np

    from prototxt.opencv import cv2

    height, width = pixels.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return pixels
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def encode(pixels: np.ndarray, suffix: str = ".png") -> bytes:
    """H×W×3 BGR or H×W uint8 as the bytes of a picture file."""
    from prototxt.opencv import cv2

    quality = [cv2.IMWRITE_JPEG_QUALITY, 90] if suffix == ".jpg" else []
    done, data = cv2.imencode(suffix, pixels, quality)
    if not done:
        raise HubError(f"a picture cannot be encoded as {suffix}")
    return bytes(data.tobytes())
