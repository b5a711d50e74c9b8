"""`zoo verify` of models that take pixels: what they are fed, and the blobs that must come of it.

The blob is made here in plain numpy, after data_transformer.cpp; how (mean, scale, crop, order of
channels) the model's metadata say, or the definition's or the user's mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prototxt.errors import Argument, Sentence, ZooError
from prototxt.preprocessing import Preprocessing
from prototxt.shapes import shape_text
from zoo.checking import probes

if TYPE_CHECKING:
    from runtime import Model

GROUND = {"zeros": 0.0, "tiny": 0.0, "one-hot": 0.0}
"""What the probes' 0 becomes; of other kinds the middle."""

SPARE = (3, 4)
"""How much higher and wider images are than what is cut out of them, where they may be: odd and
even, so that a centre that is rounded the other way shows."""


class PixelFeed:
    """The input of a model that takes pixels, and what must come of them.

    `given` is the user's mean, as `prototxt.preprocessing.read_mean` takes it; `stated` what the
    definition's data layers say.
    """

    def __init__(self, model: Model, name: str, given: str | None, stated: Preprocessing) -> None:
        self.name, how = name, Preprocessing.from_metadata(model.metadata)
        self.stated = next(spec.shape for spec in model.inputs if spec.name == name)
        self.channels = int(self.stated[3])
        self.crop, self.scale = how.crop, np.float32(how.factor)
        self.reverse = self.channels == 3 and how.reverses
        if given is not None:
            how = how.overridden(given)
        elif how.mean_file is not None:
            # The metadata have only its average.
            if not isinstance(stated.mean, str) or not Path(stated.mean).is_file():
                raise ZooError(
                    f"subtracts the mean image {how.mean_file}",
                    subject=model.source,
                    remedy=Sentence("give it by ", Argument("mean")),
                )
            how = stated
        self.mean = how.mean_values(self.channels)

    @property
    def blob_shape(self) -> tuple[int | str, ...]:
        """N×C×H×W of the blob that is made of the pixels."""
        return (self.stated[0], self.channels, *(self.crop or self.stated[1:3]))

    def image_shape(self, blob: tuple[int, ...]) -> tuple[int, int, int, int]:
        """N×H×W×C of images for a blob of that shape."""
        spare = SPARE if self.crop else (0, 0)
        plane = self.mean.shape[1:]
        if plane == (1, 1):
            plane = (blob[2] + spare[0], blob[3] + spare[1])
        return (blob[0], plane[0], plane[1], self.channels)

    def blob(self, images: np.ndarray) -> np.ndarray:
        """N×H×W×C uint8, RGB or grey -> N×C×H×W float32."""
        if self.reverse:
            images = images[..., ::-1]
        found = images.transpose(0, 3, 1, 2).astype(np.float32)
        if self.mean.shape[1:] not in ((1, 1), found.shape[2:]):
            theirs, ours = (shape_text(dims) for dims in (found.shape, self.mean.shape))
            raise ZooError(f"the mean image is {ours}, the images of {self.name!r} are {theirs}")
        found = found - self.mean
        if self.crop is not None:
            top, left = (found.shape[2] - self.crop[0]) // 2, (found.shape[3] - self.crop[1]) // 2
            found = found[:, :, top : top + self.crop[0], left : left + self.crop[1]]
        return np.ascontiguousarray(found * self.scale)

    def given(self, array: np.ndarray, path: Path) -> np.ndarray:
        """Pixels of a file; whole numbers of another type will do. ZooError for any others."""
        number = np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)
        rank = array.ndim == 4 and array.shape[3] == self.channels
        if not (rank and number) or not np.array_equal(array, np.clip(np.rint(array), 0, 255)):
            raise ZooError(
                f"{self.name!r} is no pixels",
                subject=path,
                remedy=f"the model takes uint8 N×H×W×{self.channels}, RGB or grey",
            )
        return np.ascontiguousarray(array.astype(np.uint8))


def pixel_feed(model: Model, given: str | None, stated: Preprocessing) -> PixelFeed | None:
    """None of a model that takes blobs."""
    name = next((spec.name for spec in model.inputs if spec.dtype == "uint8"), None)
    return PixelFeed(model, name, given, stated) if name is not None else None


def draw(kind: str, shape: tuple[int, int, int, int], seed: int) -> np.ndarray:
    """Uint8 N×H×W×C of one of the kinds of `probes`."""
    count, height, width, channels = shape
    found = probes.probe(kind, {"x": (count, channels, height, width)}, {}, seed, 64.0)["x"]
    levels = np.clip(np.rint(found.astype(np.float64) + GROUND.get(kind, 128.0)), 0, 255)
    return np.ascontiguousarray(levels.astype(np.uint8).transpose(0, 2, 3, 1))
