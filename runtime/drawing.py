"""What a network says of an image, drawn: boxes, a coloured map with its key, captions."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np

from .pictures import BACKGROUND, INK
from .predictions import Boxes, Classes, Numbers, Picture, Prediction, Regions

__all__ = ["colour_of", "drawn"]

MAP = 0.55
"""How much of a map's colour there is over the image."""
GOLDEN = 0.618034
LEAST = 256
"""Pixels of the longer side, to which a smaller picture is enlarged so that words fit."""

Drawing = tuple[list[str], list[tuple[int, int, int]]]


def drawn(image: np.ndarray, found: Prediction) -> np.ndarray | None:
    """The H×W×3 uint8 BGR image with what was found; None where that is numbers alone.

    Of an image-to-image network it is what it made, and nothing else.
    """
    if isinstance(found, Numbers):
        return None
    if isinstance(found, Picture):
        return found.image
    factor = max(1, -(-LEAST // max(image.shape[:2])))
    sheet = image.repeat(factor, 0).repeat(factor, 1)
    if isinstance(found, Boxes):
        return with_boxes(sheet, found, factor)
    if isinstance(found, Regions):
        return with_map(sheet, found, factor)
    assert isinstance(found, Classes)
    lines = [f"{guess.score:.3g}  {guess.label}" for guess in found.top]
    return captioned(sheet, lines, [])


def colour_of(place: int) -> tuple[int, int, int]:
    """The colour (BGR) of a class, as PASCAL VOC's palette has it; of class 0 black."""
    red = green = blue = 0
    for bit in range(8):
        red |= (place & 1) << (7 - bit)
        green |= (place >> 1 & 1) << (7 - bit)
        blue |= (place >> 2 & 1) << (7 - bit)
        place >>= 3
    return blue, green, red


def hue_of(place: int) -> tuple[int, int, int]:
    """A bright colour (BGR) of a class: neighbours in number are far apart in hue."""
    red, green, blue = colorsys.hsv_to_rgb((0.33 + place * GOLDEN) % 1, 0.85, 0.95)
    return round(blue * 255), round(green * 255), round(red * 255)


def with_boxes(image: np.ndarray, found: Boxes, factor: int) -> np.ndarray:
    """Each box in its class's colour, with its name and score."""
    from prototxt.opencv import cv2

    sheet = image.copy()
    scale = max(0.45, max(sheet.shape[:2]) / 1600)
    thick = max(1, round(max(sheet.shape[:2]) / 400))
    for box in reversed(found.boxes):  # the best one last, and so on top
        colour = hue_of(box.guess.place)
        left, top, right, bottom = (round(side * factor) for side in box.corners)
        cv2.rectangle(sheet, (left, top), (right, bottom), colour, thick)
        text = f"{plain(box.guess.label)} {box.guess.score:.2f}"
        (wide, tall), under = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        base = max(top, tall + under)
        cv2.rectangle(sheet, (left, base - tall - under), (left + wide, base), colour, -1)
        ink = (0, 0, 0) if sum(colour) > 380 else (255, 255, 255)
        place = (left, base - under)
        cv2.putText(sheet, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)
    return sheet


def with_map(image: np.ndarray, found: Regions, factor: int) -> np.ndarray:
    """The image beside itself under the map's colours, with a key; class 0 lets it through."""
    large = found.map.repeat(factor, 0).repeat(factor, 1)
    overlay = image.copy()
    for region in found.regions:
        if region.place:
            here = large == region.place
            mixed = (1 - MAP) * image[here] + MAP * np.array(colour_of(region.place))
            overlay[here] = np.rint(mixed).astype(np.uint8)
    lines = [f"{region.label}  {region.share:.1%}" for region in found.regions]
    colours = [colour_of(region.place) for region in found.regions]
    return captioned(np.hstack([image, overlay]), lines, colours)


def captioned(
    image: np.ndarray, lines: Sequence[str], colours: Sequence[tuple[int, int, int]]
) -> np.ndarray:
    """A picture with lines of text beneath, each behind a patch of its colour, if it has one."""
    from prototxt.opencv import cv2

    step, margin = 20, 8
    width = image.shape[1]
    foot = np.full((len(lines) * step + margin, width, 3), BACKGROUND, np.uint8)
    for number, line in enumerate(lines):
        base, left = number * step + 16, margin
        if colours:
            foot[base - 10 : base, left : left + 10] = colours[number]
            left += 18
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(foot, plain(line), (left, base), font, 0.45, INK, 1, cv2.LINE_AA)
    return np.vstack([image, foot])


def plain(text: str) -> str:
    """What OpenCV's font has: ASCII; of anything else a question mark."""
    return "".join(char if " " <= char <= "~" else "?" for char in text)
