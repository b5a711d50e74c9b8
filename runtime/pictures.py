"""Pictures for people: original beside reconstruction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import prototxt
from prototxt.shapes import shape_text

from .errors import InferenceError

__all__ = [
    "captioned_grid",
    "contact_sheet",
    "labelled_grid",
    "mosaic",
    "side_by_side",
    "write_png",
]

MARGIN, CAPTION, GAP = 12, 30, 12
BACKGROUND, INK, QUIET = (252, 252, 252), (40, 40, 40), (110, 110, 110)


def enlarged(image: np.ndarray, least: int = 256) -> np.ndarray:
    """Small pictures are shown by whole multiples, pixel by pixel, so that nothing is smoothed."""
    factor = max(1, least // max(image.shape[:2]))
    return image.repeat(factor, 0).repeat(factor, 1)


def side_by_side(
    original: np.ndarray,
    reconstruction: np.ndarray,
    rmse: float | None = None,
    bits: float | None = None,
) -> np.ndarray:
    """Two H×W×3 uint8 BGR pictures on one sheet, with the second's cost and error beneath."""
    from prototxt.opencv import cv2

    left, right = enlarged(original), enlarged(reconstruction)
    height, width = left.shape[:2]
    sheet = np.full(
        (height + MARGIN + CAPTION, 2 * width + GAP + 2 * MARGIN, 3), BACKGROUND, np.uint8
    )
    places = (MARGIN, MARGIN + width + GAP)
    facts = [f"{bits:g} bits/pixel"] if bits is not None else []
    facts += [f"RMSE {rmse:.4f}"] if rmse is not None else []
    captions = (("original", ""), ("from switches", ", ".join(facts)))
    for picture, place, (title, fact) in zip((left, right), places, captions, strict=True):
        sheet[MARGIN : MARGIN + height, place : place + width] = picture
        base = MARGIN + height + 20
        font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.42
        cv2.putText(sheet, title, (place, base), font, scale, INK, 1, cv2.LINE_AA)
        if fact:
            (wide, _), _ = cv2.getTextSize(fact, font, scale * 0.9, 1)
            start = place + max(110, width - wide)
            cv2.putText(sheet, fact, (start, base), font, scale * 0.9, QUIET, 1, cv2.LINE_AA)
    return sheet


def contact_sheet(columns: Sequence[tuple[str, Sequence[np.ndarray]]]) -> np.ndarray:
    """Columns of H×W×3 uint8 BGR pictures of one size, each under its title, on one sheet."""
    from prototxt.opencv import cv2

    height, width = columns[0][1][0].shape[:2]
    count = max(len(pictures) for _, pictures in columns)
    sheet = np.full(
        (
            MARGIN + CAPTION + count * (height + GAP),
            2 * MARGIN - GAP + len(columns) * (width + GAP),
            3,
        ),
        BACKGROUND,
        np.uint8,
    )
    for column, (title, pictures) in enumerate(columns):
        left = MARGIN + column * (width + GAP)
        font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.42
        cv2.putText(sheet, title, (left, MARGIN + 16), font, scale, INK, 1, cv2.LINE_AA)
        for row, picture in enumerate(pictures):
            top = MARGIN + CAPTION + row * (height + GAP)
            sheet[top : top + height, left : left + width] = picture
    return sheet


def labelled_grid(
    rows: Sequence[tuple[str, Sequence[np.ndarray]]], columns: Sequence[str], least: int = 256
) -> np.ndarray:
    """Rows of H×W×3 uint8 BGR pictures of one size, each under its row's title, columns titled.

    Small pictures are enlarged to `least` rows or columns, so that the titles fit.
    """
    cells = [[(p, "" if i else title) for i, p in enumerate(row)] for title, row in rows]
    return captioned_grid(cells, columns, least)


def captioned_grid(
    rows: Sequence[Sequence[tuple[np.ndarray, str]]], columns: Sequence[str] = (), least: int = 256
) -> np.ndarray:
    """Rows of H×W×3 uint8 BGR pictures of one size, each above its own caption, columns titled.

    A row may be shorter than others. A caption goes on below pictures that have none, and is cut
    where the next one begins. Small pictures are enlarged to `least` rows or columns.
    """
    shown = [[(enlarged(p, least), caption) for p, caption in row] for row in rows]
    height, width = shown[0][0][0].shape[:2]
    head = CAPTION if columns else 0
    count = max(len(columns), *map(len, shown))
    sheet = np.full(
        (
            MARGIN + head + len(rows) * (height + CAPTION),
            2 * MARGIN - GAP + count * (width + GAP),
            3,
        ),
        BACKGROUND,
        np.uint8,
    )
    for column, title in enumerate(columns):
        write(sheet, title, (MARGIN + column * (width + GAP), MARGIN + 16), INK, width)
    for row, cells in enumerate(shown):
        top = MARGIN + head + row * (height + CAPTION)
        end = sheet.shape[1] - MARGIN
        for column in range(len(cells) - 1, -1, -1):
            picture, caption = cells[column]
            left = MARGIN + column * (width + GAP)
            sheet[top : top + height, left : left + width] = picture
            if caption:
                write(sheet, caption, (left, top + height + 18), QUIET, end - left)
                end = left - GAP
    return sheet


def write(
    sheet: np.ndarray, text: str, place: tuple[int, int], colour: tuple[int, int, int], room: int
) -> None:
    """Put a line of text on a sheet, its base line at (x, y); what is wider than `room` is cut."""
    from prototxt.opencv import cv2

    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.42
    if cv2.getTextSize(text, font, scale, 1)[0][0] > room:
        while text and cv2.getTextSize(f"{text}...", font, scale, 1)[0][0] > room:
            text = text[:-1]
        text = f"{text}..."
    cv2.putText(sheet, text, place, font, scale, colour, 1, cv2.LINE_AA)


def mosaic(pictures: Sequence[np.ndarray], gap: int = 1, least: int = 0) -> np.ndarray:
    """Pictures of one size in a grid that is about square, `gap` white pixels between them."""
    shown = [enlarged(p, least) if least else p for p in pictures]
    height, width = shown[0].shape[:2]
    columns = int(np.ceil(np.sqrt(len(shown))))
    rows = -(-len(shown) // columns)
    sheet = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, 3), BACKGROUND, np.uint8
    )
    for index, picture in enumerate(shown):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def write_png(path: str | Path, image: np.ndarray) -> None:
    """Write an H×W×3 uint8 BGR picture, whole or not at all."""
    prototxt.atomic_write(path, png(image))


def png(image: np.ndarray) -> bytes:
    """An H×W×3 uint8 BGR picture as a PNG."""
    from prototxt.opencv import cv2

    done, data = cv2.imencode(".png", image)
    if not done:
        raise InferenceError(f"a picture of {shape_text(image.shape)} is no PNG")
    return bytes(data)
