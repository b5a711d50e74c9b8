"""From an image to what a model takes, and back: by the model's own metadata.

A model takes either blobs, float32 N×C×H×W that Caffe's data layer would have made, or pixels,
uint8 N×H×W×C of an RGB image, and then makes the blob itself (`zoo convert --fold-preprocessing`).
What it was asked to rebuild is the blob, in both cases.
"""

from __future__ import annotations

import numpy as np

from .errors import InferenceError
from .images import deprocess, fitted, read_mean, resize
from .session import Model

__all__ = ["Feeder", "image_shape"]

Plane = tuple[int, int]


def image_shape(model: Model) -> tuple[int | str, ...] | None:
    """N×C×H×W of the images that a model's first input takes; None where it takes none."""
    spec = model.inputs[0]
    if len(spec.shape) != 4:
        return None
    if spec.dtype != "uint8":
        return spec.shape
    batch, height, width, channels = spec.shape
    return batch, channels, height, width


def blob_shape(model: Model) -> tuple[int | str, ...] | None:
    """N×C×H×W of the blob that a model makes of its images, or is given."""
    shape = image_shape(model)
    crop = plane(model.metadata.get("zoo.crop")) if model.inputs[0].dtype == "uint8" else None
    return (*shape[:2], *crop) if shape and crop else shape


class Feeder:
    """How images are fed to a model of one image input.

    `mean` is C×1×1 or C×H×W; a model that takes pixels has its own, which stands instead. `size` is
    what images are resized to.
    """

    def __init__(self, model: Model, mean: np.ndarray | None, size: Plane) -> None:
        said = model.metadata
        self.size = size
        self.pixels = model.inputs[0].dtype == "uint8"
        self.scale = float(said.get("zoo.scale", "1"))
        self.rgb = said.get("zoo.channel_order", "BGR") == "RGB"
        self.crop = plane(said.get("zoo.crop"))
        if not self.pixels and size != plane(said.get("zoo.resize_size")):
            self.crop = None  # the blob's own size was asked for
        shape = image_shape(model)
        self.grey = shape is not None and shape[1] == 1
        if self.pixels or mean is None:
            mean = own_mean(model, 1 if self.grey else 3)
        self.mean = mean

    def resized(self, image: np.ndarray) -> np.ndarray:
        """H×W×3 uint8 BGR -> H×W×C uint8, in the network's order of channels, not yet cut."""
        small = resize(image, *self.size)
        if self.grey:
            import cv2

            return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY))[..., None]
        return small[..., ::-1] if self.rgb else small

    def blob(self, image: np.ndarray) -> np.ndarray:
        """H×W×3 uint8 BGR -> C×H×W float32, as Caffe's data layer makes it."""
        values = self.resized(image).transpose(2, 0, 1).astype(np.float32)
        values = np.asarray(values - fitted(self.mean, *self.size), np.float32)
        values = self.cut(values)
        return values if self.scale == 1 else values * np.float32(self.scale)

    def feed(self, image: np.ndarray) -> np.ndarray:
        """H×W×3 uint8 BGR -> what the model takes for one image."""
        if not self.pixels:
            return self.blob(image)
        found = self.resized(image)
        return np.ascontiguousarray(found if self.grey or self.rgb else found[..., ::-1])

    def picture(self, blob: np.ndarray) -> np.ndarray:
        """C×H×W float32 -> H×W×3 uint8 BGR, the inverse of `blob`."""
        mean = self.cut(fitted(self.mean, *self.size))
        found = deprocess(blob / np.float32(self.scale), mean)
        if self.grey:
            return np.repeat(found, 3, 2)
        return np.ascontiguousarray(found[..., ::-1]) if self.rgb else found

    def cut(self, planes: np.ndarray) -> np.ndarray:
        """The centre of C×H×W; of an odd rest the smaller half is above and left of it."""
        if self.crop is None or planes.shape[1:] == (1, 1):
            return planes
        y, x = (((whole - part) // 2) for whole, part in zip(self.size, self.crop, strict=True))
        if y < 0 or x < 0:
            raise InferenceError(
                f"images of {self.size[0]}x{self.size[1]} are smaller than the "
                f"{self.crop[0]}x{self.crop[1]} that the model cuts out of them"
            )
        return planes[:, y : y + self.crop[0], x : x + self.crop[1]]


def own_mean(model: Model, channels: int) -> np.ndarray:
    """The mean that a model's metadata state, or that a model of pixels subtracts: C×1×1, C×H×W."""
    said = model.metadata
    if model.inputs[0].dtype == "uint8" and "zoo.mean.file" in said:
        found = model.initializer(f"{model.inputs[0].name}.mean")
        if found is None:
            raise InferenceError(f"{model.source}: its mean image is not in it")
        return found[0]
    return read_mean(said.get("zoo.mean"), channels)


def plane(text: str | None) -> Plane | None:
    """`HEIGHTxWIDTH`."""
    height, x, width = (text or "").partition("x")
    return (int(height), int(width)) if x and height.isdecimal() and width.isdecimal() else None
