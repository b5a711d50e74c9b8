"""From an image to what a model takes, and back: by the model's own metadata.

A model takes either blobs, float32 N×C×H×W that Caffe's data layer would have made, or pixels,
uint8 N×H×W×C of an RGB image, and then makes the blob itself (`zoo convert --fold-preprocessing`).
Blobs may be N×H×W×C as well (`zoo convert --nhwc`).
What it was asked to rebuild is the blob, in both cases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from prototxt import preprocessing
from prototxt.borders import Borders
from prototxt.errors import Argument, Note, Sentence, UsageError
from prototxt.preprocessing import Preprocessing, Size
from prototxt.shapes import fixed_plane

from .errors import InferenceError
from .images import deprocess, fitted, resize
from .session import IOSpec, Model

__all__ = ["IMAGENET_MEAN", "Feeder", "channels_of", "fixed_size", "image_shape", "resolve"]

IMAGENET_MEAN = preprocessing.IMAGENET_MEAN
"""The customary mean colour (BGR, 0..255) of Caffe's ILSVRC2012 networks, as ``b,g,r``."""

CLIP = 5
"""Dimensions of N×C×L×H×W: clips of a video."""
USUAL_FRAMES = 16

USUAL_SIZE = (128, 128)
"""What images are resized to where nothing tells: the paper's."""


def image_shape(model: Model) -> tuple[int | str, ...] | None:
    """N×C×H×W of the images, or frames, that a model first takes; None where it takes none."""
    spec = model.inputs[0]
    if len(spec.shape) == CLIP:
        return (*spec.shape[:2], *spec.shape[3:])
    if len(spec.shape) != 4:
        return None
    return planes_shape(model.metadata, spec)


def frames_of(model: Model) -> int | None:
    """How many frames of a video a model of N×C×L×H×W takes at once; None of one of images.

    Where that is open it is 16, as C3D has it.
    """
    shape = model.inputs[0].shape
    if len(shape) != CLIP:
        return None
    return shape[2] if isinstance(shape[2], int) else USUAL_FRAMES


def channels_of(model: Model) -> int:
    """Of the images that a model takes: 1 or 3."""
    return 1 if (image_shape(model) or (0, 0))[1] == 1 else 3


def planes_shape(metadata: Mapping[str, str], spec: IOSpec) -> tuple[int | str, ...]:
    """The shape of a model's input or output, as N×C×H×W of one that is N×H×W×C."""
    return Borders.from_metadata(metadata).planes(spec.name, spec.shape, spec.dtype)


def is_nhwc(model: Model, name: str) -> bool:
    """Whether a float input or output is N×H×W×C."""
    return name in Borders.from_metadata(model.metadata).nhwc


def planes(model: Model, name: str, array: np.ndarray) -> np.ndarray:
    """What a model gave as output `name`, as N×C×H×W."""
    return array.transpose(0, 3, 1, 2) if is_nhwc(model, name) else array


def blob_shape(model: Model) -> tuple[int | str, ...] | None:
    """N×C×H×W of the blob that a model makes of its images, or is given."""
    shape = image_shape(model)
    crop = None
    if model.inputs[0].dtype == "uint8":
        crop = Preprocessing.from_metadata(model.metadata).crop
    return (*shape[:2], *crop) if shape and crop else shape


def fixed_size(model: Model, *, clips: bool = False) -> Size | None:
    """The height and width that a model's image input fixes, None where it takes any.

    InferenceError where it takes something else than one image, or (with `clips`) one clip of a
    video, or anything is float16.
    """
    refuse_half(model.inputs, model.outputs, model.source)
    fits = len(model.inputs) == 1 and (clips or frames_of(model) is None)
    shape = image_shape(model) if fits else None
    if shape is None:
        listed = ", ".join(spec.name for spec in model.inputs)
        raise InferenceError(
            f"takes {listed}, not one image",
            subject=model.source,
            remedy="give a network that takes images whole",
        )
    return fixed_plane(shape)


def refuse_half(inputs: Sequence[IOSpec], outputs: Sequence[IOSpec], source: str) -> None:
    """InferenceError where an input or output is float16."""
    for side, specs in (("input", inputs), ("output", outputs)):
        for spec in specs:
            if spec.dtype == "float16":
                raise InferenceError(
                    f"its {side} {spec.name} is float16, and images go in and out as float32",
                    subject=source,
                    remedy=Sentence(
                        "convert it with ", Argument("precision", "float16"), ", which keeps both"
                    ),
                )


def resolve(
    properties: Mapping[str, str],
    *,
    mean: str | None = None,
    size: Size | None = None,
    fixed: Size | None = None,
    given: Preprocessing | None = None,
    channels: int = 3,
) -> tuple[Preprocessing, Size, list[str]]:
    """How to feed a model: as the user says, else its metadata, else by habit, which is told.

    Where nothing tells the mean, that of ImageNet is taken for colour images of 0..255, and none
    for grey or scaled ones: the one place where this is decided.

    Args:
        properties: the model's metadata.
        mean: a .binaryproto, an .npy or ``b,g,r``.
        size: height and width that images are to be resized to.
        fixed: the only height and width that the model's input takes, if so.
        given: what the user says besides: scale, crop, order of channels.
        channels: of the images that the model takes.

    Returns:
        The preprocessing, what to resize images to, and what a person should know of that.

    Raises:
        UsageError: what the user gave does not go with the model.
    """
    how = Preprocessing.from_metadata(properties)
    notes: list[str] = []
    if given is not None:
        if how.in_model and (given.scale, given.crop, given.channel_order) != (None,) * 3:
            raise UsageError(
                "the model crops, orders and scales by itself",
                remedy="say nothing of it, or convert it again",
            )
        how = how.overridden(given.mean, given.scale, given.crop, given.channel_order)
    if how.in_model:
        if mean is not None:
            raise UsageError(
                "the model subtracts its own mean",
                remedy=Sentence("leave ", Argument("mean"), " out"),
            )
        how = how if how.mean is not None else how.overridden((0.0,))
    elif mean is not None:
        how = how.overridden(mean)
    elif how.mean is None:
        how = how.overridden(how.usual_mean(channels))
        notes.append(
            Sentence(
                "neither ",
                Argument("mean"),
                " nor the model gives a mean; took "
                + (f"ImageNet's {how.mean_text}" if how.mean != (0.0,) else "none"),
            )
        )
    elif how.mean_file is not None:
        notes.append(
            Note(
                f"the mean image {how.mean_file} stands in as its average colour {how.mean_text}",
                Sentence("give ", Argument("mean"), " for the image itself"),
            )
        )
    if size is not None and fixed is not None and size != fixed:
        raise UsageError(
            f"the model takes {fixed[0]}x{fixed[1]} only",
            subject=Argument("size", size),
            remedy=Sentence(
                "convert it again without ",
                Argument("shapes"),
                ", or leave ",
                Argument("size"),
                " out",
            ),
        )
    return how, size or how.stated_size(fixed) or USUAL_SIZE, notes


class Feeder:
    """How images are fed to a model of one image input.

    `mean` is C×1×1 or C×H×W; a model that takes pixels has its own, which stands instead. `size` is
    what images are resized to; without `crop` they are not cut then, whatever the model states.
    `how` stands in place of what its metadata state.
    """

    def __init__(
        self,
        model: Model,
        mean: np.ndarray | None,
        size: Size,
        crop: bool = True,
        how: Preprocessing | None = None,
    ) -> None:
        stated = Preprocessing.from_metadata(model.metadata)
        how = stated if how is None or stated.in_model else how
        self.size = size
        self.pixels = model.inputs[0].dtype == "uint8"
        self.nhwc = is_nhwc(model, model.inputs[0].name)
        self.scale = float(how.factor)
        self.rgb = how.channel_order == "RGB"
        self.crop = how.crop
        if not crop or (not self.pixels and size != how.resize):
            self.crop = None  # the blob's own size was asked for
        shape = image_shape(model)
        self.grey = shape is not None and shape[1] == 1
        if self.pixels or mean is None:
            mean = own_mean(model, how, 1 if self.grey else 3)
        self.mean = mean

    @property
    def window(self) -> tuple[float, float, float, float]:
        """What the model sees of an image: top, left, height and width as shares of the image."""
        if self.crop is None:
            return 0.0, 0.0, 1.0, 1.0
        (height, width), (tall, wide) = self.size, self.crop
        y, x = (height - tall) // 2, (width - wide) // 2
        return y / height, x / width, tall / height, wide / width

    def resized(self, image: np.ndarray) -> np.ndarray:
        """H×W×3 uint8 BGR -> H×W×C uint8, in the network's order of channels, not yet cut."""
        small = resize(image, *self.size)
        if self.grey:
            from prototxt.opencv import cv2

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
            blob = self.blob(image)
            return np.ascontiguousarray(blob.transpose(1, 2, 0)) if self.nhwc else blob
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


def own_mean(model: Model, how: Preprocessing, channels: int) -> np.ndarray:
    """The mean that a model's metadata state, or that a model of pixels subtracts: C×1×1, C×H×W."""
    if model.inputs[0].dtype == "uint8" and how.mean_file is not None:
        found = model.initializer(f"{model.inputs[0].name}.mean")
        if found is None:
            raise InferenceError("its mean image is not in it", subject=model.source)
        mean: np.ndarray = found[0]
        return mean
    return how.mean_values(channels, InferenceError)
