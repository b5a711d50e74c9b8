"""How an image becomes a network's input, from Caffe's `transform_param` to a model's metadata.

In Caffe's order (data_transformer.cpp): the image is resized, its centre cut out, the mean
subtracted, the rest multiplied by the scale. A converted model states it as properties:

    zoo.channel_order                       BGR, RGB or GRAY
    zoo.input_size                          HEIGHTxWIDTH that the definition states
    zoo.resize                              bilinear: OpenCV's plain filter, without antialiasing
    zoo.resize_size                         HEIGHTxWIDTH that images are resized to before the cut
    zoo.crop                                HEIGHTxWIDTH of the centre that is cut out
    zoo.mean                                b,g,r subtracted from pixels of 0..255
    zoo.mean.file, zoo.mean.file.sha256     the mean image; zoo.mean then is its average colour
    zoo.scale                               factor applied after the subtraction
    zoo.input                               "uint8 RGB" or "uint8 GRAY" where the model does all of
                                            this but the resizing, and takes N×H×W×C pixels
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import FormatError, ZooError
from .shapes import Size, shape_text, size_from_text

if TYPE_CHECKING:
    import numpy as np

__all__ = ["IMAGENET_MEAN", "Preprocessing", "Size", "read_mean", "read_mean_image"]

T = TypeVar("T")

ORDERS = ("BGR", "RGB", "GRAY")
IMAGENET_MEAN = "104.007,116.669,122.679"
"""The customary mean colour (BGR, 0..255) of Caffe's ILSVRC2012 networks."""
LARGEST_PLANE = 1 << 26
"""Pixels of an image that a model may ask for."""
LONGEST_SHOWN = 40
"""Characters of a text that an error shows."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes an input. None is what is not known."""

    mean: tuple[float, ...] | str | np.ndarray | None = None
    """Subtracted from pixels of 0..255: a number a channel (a text ``b,g,r`` becomes that), the
    path of a mean image, or an array C×1×1 or C×H×W; in the network's own order of channels.
    (0,) is known to be none."""
    mean_file: str | None = None
    """Name of the mean image, where it is not at hand: `mean` is its average colour, or None."""
    scale: float | None = None
    """What pixels minus the mean are multiplied by."""
    crop: Size | None = None
    """The centre that is cut out."""
    resize: Size | None = None
    """What images are resized to before they are cut."""
    channel_order: str | None = None
    """``BGR``, ``RGB`` or ``GRAY``; Caffe's own is BGR."""
    input_size: Size | None = None
    """Of the input blob, as the definition states it."""
    in_model: bool = False
    """Whether the model does all of this but the resizing itself, and takes uint8 N×H×W×C."""
    obstacle: str | None = None
    """What is done besides, which no model can do by itself."""

    def __post_init__(self) -> None:
        if isinstance(self.mean, str) and (numbers := parse_numbers(self.mean)):
            object.__setattr__(self, "mean", numbers)

    @property
    def factor(self) -> float:
        """The scale as a number: 1 where none is known."""
        return 1.0 if self.scale is None else self.scale

    @property
    def reverses(self) -> bool:
        """Whether the network takes colours in the order opposite to RGB, as Caffe does."""
        return self.channel_order in (None, "BGR")

    def overridden(
        self,
        mean: tuple[float, ...] | str | np.ndarray | None = None,
        scale: float | None = None,
        crop: Size | None = None,
        channel_order: str | None = None,
        **others: Any,
    ) -> Preprocessing:
        """With what is given in place of what was known; what is None stays."""
        given = {"mean": mean, "scale": scale, "crop": crop, "channel_order": channel_order}
        changes = {k: v for k, v in {**given, **others}.items() if v is not None}
        if mean is not None:
            changes["mean_file"] = None
        return dataclasses.replace(self, **changes)

    def mean_values(self, channels: int, error: type[ZooError] = FormatError) -> np.ndarray:
        """The mean as an array, C×1×1 or C×H×W; zeros where none is known."""
        if self.mean is None or isinstance(self.mean, str):
            return read_mean(self.mean, channels, error)
        if isinstance(self.mean, tuple):
            return read_mean(self.mean_text, channels, error)
        return self.mean

    @property
    def mean_text(self) -> str:
        """The mean as text: ``b,g,r``, or the path of the mean image."""
        if isinstance(self.mean, tuple):
            return ",".join(f"{value:.9g}" for value in self.mean)
        return self.mean if isinstance(self.mean, str) else ""

    def usual_mean(self, channels: int) -> tuple[float, ...] | str:
        """The mean where nothing tells it: ImageNet's of colours of 0..255, else 0."""
        return (0.0,) if channels == 1 or self.factor != 1 else IMAGENET_MEAN

    def stated_size(self, fixed: Size | None) -> Size | None:
        """What images are resized to, for an input that is `fixed` or open; None is not known."""
        size = None
        if self.in_model:
            size = fixed or self.resize or self.crop
        elif self.crop is not None and fixed in (None, self.crop):
            size = self.resize
        return size or fixed or self.input_size

    def to_metadata(self, channels: int | None) -> dict[str, str]:
        """The properties of a model whose input is an image of 1 or 3 channels, or (None) no image.

        Reads the mean image, of which they state the average colour and the digest.
        """
        order = "GRAY" if channels == 1 else self.channel_order or "BGR"
        found = {"zoo.channel_order": order}
        # A larger one is no image's, and whoever opens the model would refuse it.
        if self.input_size is not None and math.prod(self.input_size) <= LARGEST_PLANE:
            found["zoo.input_size"] = shape_text(self.input_size)
        if channels is not None:
            found["zoo.resize"] = "bilinear"
        for key, plane in (("zoo.resize_size", self.resize), ("zoo.crop", self.crop)):
            if plane is not None:
                found[key] = shape_text(plane)
        if self.scale is not None:
            found["zoo.scale"] = f"{self.scale:.9g}"
        if self.mean is not None:
            values = self.mean_values(channels or 3)
            average = values.reshape(len(values), -1).mean(axis=1)
            found["zoo.mean"] = ",".join(f"{value:.9g}" for value in average)
            path = Path(self.mean) if isinstance(self.mean, str) else None
            if path is not None and path.is_file():
                from .files import sha256

                found["zoo.mean.file"] = path.name
                found["zoo.mean.file.sha256"] = sha256(path)
        elif self.mean_file is not None:
            found["zoo.mean.file"] = Path(self.mean_file).name
        if self.in_model:
            found["zoo.input"] = "uint8 GRAY" if channels == 1 else "uint8 RGB"
        return found

    def told(self) -> str:
        """How an image becomes the input, in words: what is known of it."""
        size = self.resize or (None if self.crop else self.input_size)
        parts = [f"resized to {shape_text(size)}"] if size else []
        parts += [f"cut to the middle {shape_text(self.crop)}"] if self.crop else []
        parts.append({"GRAY": "grey"}.get(self.channel_order or "BGR", self.channel_order or "BGR"))
        if self.mean_file is not None:
            parts.append(f"minus the mean image {self.mean_file}")
        elif isinstance(self.mean, tuple) and any(self.mean):
            parts.append(f"minus {self.mean_text}")
        elif self.mean is not None:
            parts.append("minus nothing" if isinstance(self.mean, tuple) else "minus a mean image")
        if self.factor != 1:
            parts.append(f"times {self.factor:.6g}")
        return ", ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """As `zoo.preprocessing` and reports have it; null is what is not known."""
        return {
            "channel_order": self.channel_order,
            "resize": list(self.resize) if self.resize else None,
            "crop": list(self.crop) if self.crop else None,
            "input_size": list(self.input_size) if self.input_size else None,
            "mean": list(self.mean) if isinstance(self.mean, tuple) else None,
            "mean_file": self.mean_file,
            "scale": self.scale,
            "in_model": self.in_model,
        }

    @classmethod
    def from_metadata(
        cls, properties: Mapping[str, str], subject: str | None = None
    ) -> Preprocessing:
        """What a model states; whatever it does not state is not known.

        FormatError, about the file `subject`, where that is not what `to_metadata` writes: anybody
        may have written it. Above all, no file is read that it names.
        """

        def stated(key: str, wanted: str, read: Callable[[str], T | None]) -> T | None:
            text = properties.get(key)
            if not text:
                return None
            found = read(text)
            if found is None:
                shown = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
                raise FormatError(
                    f"its {key} is {shown!r}, not {wanted}",
                    subject=subject,
                    remedy="convert it again",
                )
            return found

        def plane(key: str) -> Size | None:
            return stated(key, f"HEIGHTxWIDTH of up to {LARGEST_PLANE >> 20} Mi pixels", plane_size)

        crop, resize = plane("zoo.crop"), plane("zoo.resize_size")
        if crop and resize and (crop[0] > resize[0] or crop[1] > resize[1]):
            raise FormatError(
                f"its zoo.crop, {shape_text(crop)}, is larger than its zoo.resize_size, "
                f"{shape_text(resize)}",
                subject=subject,
                remedy="convert it again",
            )
        return cls(
            mean=stated("zoo.mean", "numbers with commas", finite_numbers),
            mean_file=properties.get("zoo.mean.file"),
            scale=stated("zoo.scale", "a number other than 0", factor),
            crop=crop,
            resize=resize,
            channel_order=stated(
                "zoo.channel_order",
                " or ".join(ORDERS),
                lambda text: text if text in ORDERS else None,
            ),
            input_size=plane("zoo.input_size"),
            in_model="zoo.input" in properties,
        )


def parse_numbers(text: str) -> tuple[float, ...]:
    """The numbers of ``104,117,123``; none of any other text."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        return ()


def finite_numbers(text: str) -> tuple[float, ...] | None:
    """The same; None where there are none, or one is not finite."""
    found = parse_numbers(text)
    return found if found and all(map(math.isfinite, found)) else None


def factor(text: str) -> float | None:
    """The number; None of any other text, and of 0."""
    found = finite_numbers(text)
    return found[0] if found and len(found) == 1 and found[0] else None


def plane_size(text: str) -> Size | None:
    """The size of ``HEIGHTxWIDTH``; None of any other text, and of too large a one."""
    found = size_from_text(text)
    return found if found and math.prod(found) <= LARGEST_PLANE else None


def read_mean(
    spec: str | Path | None, channels: int = 3, error: type[ZooError] = FormatError
) -> np.ndarray:
    """A mean to subtract: .binaryproto or .npy (C×H×W), or numbers `b,g,r` (C×1×1); None is 0.

    Raises `error` (one line) where it cannot be read or is not of so many channels.
    """
    import numpy as np

    if spec is None or spec == "":
        return np.zeros((channels, 1, 1), np.float32)
    text = str(spec)
    if numbers := parse_numbers(text):
        if len(numbers) not in (1, channels) or not np.isfinite(numbers).all():
            raise error(
                f"give {channels} numbers", subject=f"mean {text}", remedy="as in 104,117,123"
            )
        return np.resize(np.array(numbers, np.float32), channels).reshape(channels, 1, 1)
    mean = read_mean_image(text, error)
    if mean.ndim == 1 and mean.size == channels:
        mean = mean.reshape(channels, 1, 1)
    if mean.ndim != 3 or mean.shape[0] != channels or not mean.size:
        shown = shape_text(mean.shape)
        raise error(f"the mean is {shown}, not {channels}xHxW", subject=text)
    return mean


def read_mean_image(path: str | Path, error: type[ZooError] = FormatError) -> np.ndarray:
    """The numbers of a .binaryproto or .npy, float32, as they are shaped but for a first axis of 1.

    Raises `error` (one line) where it cannot be read or holds what is no finite float32.
    """
    import numpy as np

    from .arrays import as_type, read_array

    if str(path).endswith(".npy"):
        stored = read_array(Path(path), error)
    else:
        from .binary import read_binaryproto

        stored = read_binaryproto(path)
    mean = as_type(stored)
    if not np.isfinite(mean).all():
        raise error("the mean holds numbers that are not finite", subject=path)
    return mean[0] if mean.ndim == 4 and mean.shape[0] == 1 else mean
