"""OpenCV, told how large an image may be before it is loaded, and images decoded by it.

A file of some kilobytes may say that it is a picture of gigabytes. OpenCV compares the size in an
image's header with a limit before it makes room for any pixel; the limit is read from the
environment when OpenCV is loaded. So whoever needs `cv2` takes it from here.
"""

from __future__ import annotations

import os

import numpy as np

from .errors import FormatError, ZooError
from .stderr import silenced

VARIABLE = "OPENCV_IO_MAX_IMAGE_PIXELS"
MOST_PIXELS = 1 << 27
"""134 megapixels, which are 400 MB once decoded."""

os.environ.setdefault(VARIABLE, str(MOST_PIXELS))

import cv2  # noqa: E402

__all__ = ["MOST_PIXELS", "cv2", "decode"]

TOO_LARGE = "CV_IO_MAX_IMAGE_"
"""What OpenCV names in its refusal."""


def decode(
    data: bytes, flags: int, subject: object, error: type[ZooError] = FormatError
) -> np.ndarray:
    """An encoded image as `cv2.imdecode` gives it: H×W or H×W×C.

    Raises `error` (one line, about the `subject`) where it is none, is broken or too large. What
    OpenCV and the libraries below it would print is not.
    """
    image = None
    try:
        with silenced():
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as problem:
        if TOO_LARGE in str(problem):
            raise error(
                f"an image of more than {os.environ[VARIABLE]} pixels",
                subject=str(subject),
                remedy=f"set {VARIABLE} to allow it",
            ) from None
    if image is None:
        raise error("not an image, or a broken one", subject=str(subject))
    return image
