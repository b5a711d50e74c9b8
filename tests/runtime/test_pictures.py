"""Pictures with captions on one sheet."""

import numpy as np

import runtime
from runtime.pictures import BACKGROUND, CAPTION, GAP, MARGIN


def filled(value: int) -> np.ndarray:
    return np.full((100, 80, 3), value, np.uint8)


def cell(sheet: np.ndarray, row: int, column: int, head: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A picture of 200×160 (enlarged twice) and what is beneath it."""
    top, left = MARGIN + head + row * (200 + CAPTION), MARGIN + column * (160 + GAP)
    picture = sheet[top : top + 200, left : left + 160]
    return picture, sheet[top + 200 : top + 200 + CAPTION, left : left + 160 + GAP]


def written(strip: np.ndarray) -> bool:
    return bool((strip != BACKGROUND[0]).any())


def test_each_picture_stands_above_its_caption() -> None:
    rows = [[(filled(10), "ten"), (filled(20), "")], [(filled(30), "thirty")]]
    sheet = runtime.captioned_grid(rows, least=200)
    assert sheet.shape == (2 * MARGIN - 12 + 2 * 230, 2 * MARGIN - GAP + 2 * (160 + GAP), 3)
    for row, column, value, caption in ((0, 0, 10, 1), (0, 1, 20, 0), (1, 0, 30, 1)):
        picture, beneath = cell(sheet, row, column)
        assert (picture == value).all() and written(beneath) == caption
    picture, beneath = cell(sheet, 1, 1)
    assert not written(picture) and not written(beneath)


def test_columns_have_titles() -> None:
    plain, titled = (
        runtime.captioned_grid([[(filled(10), "ten")]], titles, least=200)
        for titles in ((), ["one"])
    )
    assert len(titled) == len(plain) + CAPTION and written(titled[MARGIN : MARGIN + CAPTION - 5])


def test_a_caption_is_cut_where_the_next_one_begins() -> None:
    long = "a caption that is far too long for its picture"
    alone, beside = (
        runtime.captioned_grid([[(filled(10), long), (filled(20), second)]], least=200)
        for second in ("", "x")
    )
    below = slice(MARGIN + 200, None)
    middle = slice(MARGIN + 160, MARGIN + 160 + GAP)
    assert written(alone[below, middle]) and not written(beside[below, middle])
    assert written(beside[below, : MARGIN + 160])
