"""Images as Caffe takes them: BGR, 0..255, plain bilinear, minus the mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from prototxt import preprocessing
from prototxt.files import read_bytes
from prototxt.shapes import shape_text

from .errors import InferenceError

__all__ = [
    "deprocess",
    "list_images",
    "preprocess",
    "read_image",
    "read_mean",
    "resize",
    "sample_images",
]

SUFFIXES = frozenset(".jpg .jpeg .png .bmp .tif .tiff .webp .ppm .pgm".split())

SAMPLES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
"""Free colour photographs that come along; `samples/README.md` says whose they are."""


def list_images(path: str | Path) -> list[Path]:
    """The image files of a folder and those below it, sorted; or the one file named."""
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.exists():
        raise InferenceError("no such file or folder", subject=path)
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise InferenceError(
            "no images in it", subject=path, remedy=f"looked for {' '.join(sorted(SUFFIXES))}"
        )
    return found


def read_image(path: str | Path) -> np.ndarray:
    """Decode a file: H×W×3 uint8, BGR."""
    from prototxt.opencv import cv2, decode

    data = read_bytes(path, InferenceError, "an image file")
    # As Caffe reads: a JPEG's orientation tag is not obeyed by its OpenCV 2.
    return decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, path, InferenceError)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """OpenCV's plain bilinear filter, without antialiasing, as convert_imageset has it."""
    from prototxt.opencv import cv2

    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR))


def read_mean(spec: str | Path | None, channels: int = 3) -> np.ndarray:
    """A mean to subtract: .binaryproto or .npy (C×H×W), or numbers `b,g,r` (C×1×1); None is 0."""
    return preprocessing.read_mean(spec, channels, InferenceError)


def fitted(mean: np.ndarray, height: int, width: int) -> np.ndarray:
    """The mean (C×1×1 or C×H×W) at an image's size; one of another size is resized."""
    if mean.ndim != 3:
        shown = shape_text(mean.shape)
        raise InferenceError(
            f"the mean is {shown}, not CxHxW", remedy="runtime.read_mean makes one"
        )
    if mean.shape[1:] in ((1, 1), (height, width)):
        return mean
    from prototxt.opencv import cv2

    planes = [cv2.resize(p, (width, height), interpolation=cv2.INTER_LINEAR) for p in mean]
    return np.stack(planes)


def preprocess(image: np.ndarray, mean: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """H×W×3 uint8 BGR -> C×height×width float32, 0..255 minus the mean."""
    small = resize(image, *size)
    blob = small.transpose(2, 0, 1).astype(np.float32)
    return np.asarray(blob - fitted(mean, *size), np.float32)


def deprocess(blob: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The inverse: C×H×W float32 -> H×W×3 uint8 BGR, rounded and clipped."""
    values = blob + fitted(mean, *blob.shape[1:])
    rounded: np.ndarray = np.clip(np.rint(values), 0, 255)
    return rounded.astype(np.uint8).transpose(1, 2, 0)


def sample_paths() -> list[Path]:
    """scikit-image's free photographs, which come with the package."""
    folder = Path(__file__).parent / "samples"
    return [folder / name for name in SAMPLES]


def sample_images() -> list[tuple[str, np.ndarray]]:
    """(name, H×W×3 uint8 BGR) of scikit-image's free photographs, which come with the package."""
    return [(path.stem, read_image(path)) for path in sample_paths()]
