"""A network that recognises characters, made by hand: strokes, where they meet, characters.

As the supplement of *Understanding learned CNN features through Filter Decoding with Substitution*
has one: every filter is known, so that one sees whether decoding finds it. No weight is trained.
Strokes are drawn pixel by pixel, meetings of strokes as strokes, characters as meetings.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

__all__ = ["CHARACTERS", "MEETINGS", "PROTOTXT", "STROKES", "drawing", "weights"]

STROKES: Mapping[str, tuple[str, str, str]] = {
    "-": ("   ", "###", "   "),
    "|": (" # ", " # ", " # "),
    "\\": ("#  ", " # ", "  #"),
    "/": ("  #", " # ", "#  "),
}
"""The first layer, pixel by pixel."""

CHARACTERS: Mapping[str, tuple[str, str, str, str, str]] = {
    "A": ("+-+-+", "|   |", "+-+-+", "|   |", "+   +"),
    "C": ("+-+-+", "|    ", "+    ", "|    ", "+-+-+"),
    "E": ("+-+-+", "|    ", "+-+-+", "|    ", "+-+-+"),
    "F": ("+-+-+", "|    ", "+-+-+", "|    ", "+    "),
    "H": ("+   +", "|   |", "+-+-+", "|   |", "+   +"),
    "K": ("+   +", "|  / ", "+-+  ", "|  \\ ", "+   +"),
    "L": ("+    ", "|    ", "+    ", "|    ", "+-+-+"),
    "N": ("+   +", "|\\  |", "+ + +", "|  \\|", "+   +"),
    "O": ("+-+-+", "|   |", "+   +", "|   |", "+-+-+"),
    "P": ("+-+-+", "|   |", "+-+-+", "|    ", "+    "),
    "S": ("+-+-+", "|    ", "+-+-+", "    |", "+-+-+"),
    "T": ("+-+-+", "  |  ", "  +  ", "  |  ", "  +  "),
    "U": ("+   +", "|   |", "+   +", "|   |", "+-+-+"),
    "X": ("+   +", " \\ / ", "  +  ", " / \\ ", "+   +"),
    "Y": ("+   +", " \\ / ", "  +  ", "  |  ", "  +  "),
    "Z": ("+-+-+", "   / ", "  +  ", " /   ", "+-+-+"),
}
"""The last layer: + where strokes begin, meet and end, and a stroke from each to the next."""

AROUND = {
    (-1, -1): "\\",
    (-1, 0): "|",
    (-1, 1): "/",
    (0, -1): "-",
    (0, 1): "-",
    (1, -1): "/",
    (1, 0): "|",
    (1, 1): "\\",
}
"""Where a stroke may leave a meeting, in rows and columns, and which one."""

Meeting = frozenset[tuple[int, int]]
"""Where strokes leave it."""

SIZE = 40
"""Rows and columns of the image."""
APART = 8
"""Pixels from a meeting to the next: after two poolings 2."""


def meeting(rows: tuple[str, ...], row: int, column: int) -> Meeting:
    """What meets at a + of a character."""
    return frozenset(
        (up, left)
        for (up, left), stroke in AROUND.items()
        if 0 <= row + up < len(rows)
        and 0 <= column + left < len(rows)
        and rows[row + up][column + left] == stroke
    )


def meetings(rows: tuple[str, ...]) -> dict[tuple[int, int], Meeting]:
    """All of a character, by row and column (0, 2 or 4)."""
    places = [(r, c) for r in (0, 2, 4) for c in (0, 2, 4)]
    return {place: found for place in places if (found := meeting(rows, *place))}


MEETINGS: tuple[Meeting, ...] = tuple(
    sorted({one for rows in CHARACTERS.values() for one in meetings(rows).values()}, key=sorted)
)
"""The layer in between: each that some character has."""

PROTOTXT = f"""\
name: "Characters"
layer {{
  name: "data" type: "Input" top: "data"
  input_param {{ shape {{ dim: 1 dim: 1 dim: {SIZE} dim: {SIZE} }} }}
}}
layer {{
  name: "strokes" type: "Convolution" bottom: "data" top: "strokes"
  convolution_param {{ num_output: {len(STROKES)} kernel_size: 3 pad: 1 }}
}}
layer {{ name: "relu1" type: "ReLU" bottom: "strokes" top: "strokes" }}
layer {{
  name: "pool1" type: "Pooling" bottom: "strokes" top: "pool1"
  pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }}
}}
layer {{
  name: "meetings" type: "Convolution" bottom: "pool1" top: "meetings"
  convolution_param {{ num_output: {len(MEETINGS)} kernel_size: 5 pad: 2 }}
}}
layer {{ name: "relu2" type: "ReLU" bottom: "meetings" top: "meetings" }}
layer {{
  name: "pool2" type: "Pooling" bottom: "meetings" top: "pool2"
  pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }}
}}
layer {{
  name: "characters" type: "Convolution" bottom: "pool2" top: "characters"
  convolution_param {{ num_output: {len(CHARACTERS)} kernel_size: 5 }}
}}
layer {{
  name: "anywhere" type: "Pooling" bottom: "characters" top: "anywhere"
  pooling_param {{ pool: MAX global_pooling: true }}
}}
layer {{ name: "answer" type: "Softmax" bottom: "anywhere" top: "answer" }}
"""


def weights() -> dict[str, list[np.ndarray]]:
    """The weights and biases by layer. What a filter draws weighs 1, what it must not see -1."""
    strokes = np.stack([stroke(rows) for rows in STROKES.values()])
    middle = np.stack([corner(one) for one in MEETINGS])
    last = np.stack([character(rows) for rows in CHARACTERS.values()])
    return {
        "strokes": [strokes, np.full(len(STROKES), -0.4, np.float32)],
        "meetings": [middle, np.full(len(MEETINGS), -0.3, np.float32)],
        "characters": [last, np.zeros(len(CHARACTERS), np.float32)],
    }


def balanced(drawn: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """A filter in which what is drawn shares 1, and what is left out -1."""
    values = drawn / max(1, drawn.sum()) - left_out / max(1, left_out.sum())
    return np.asarray(values, np.float32)


def stroke(rows: tuple[str, ...]) -> np.ndarray:
    """A filter of the first layer, 1×3×3."""
    ink = np.array([[pixel == "#" for pixel in row] for row in rows])[None]
    return balanced(ink, ~ink)


def corner(found: Meeting) -> np.ndarray:
    """A filter of the layer in between, strokes×5×5: two steps of each stroke that leaves it."""
    names = list(STROKES)
    drawn, left_out = (np.zeros((len(names), 5, 5)) for _ in range(2))
    for (up, left), name in AROUND.items():
        where = drawn if (up, left) in found else left_out
        for step in (1, 2):
            where[names.index(name), 2 + step * up, 2 + step * left] = 1
    return balanced(drawn, left_out)


def character(rows: tuple[str, ...]) -> np.ndarray:
    """A filter of the last layer, meetings×5×5."""
    own, others = (np.zeros((len(MEETINGS), 5, 5)) for _ in range(2))
    for (row, column), found in meetings(rows).items():
        own[MEETINGS.index(found), row, column] = 1
    for row, column in np.ndindex(3, 3):
        others[:, 2 * row, 2 * column] = 1
    return balanced(own, others - own)


def drawing(name: str, top: int = 12, left: int = 12) -> np.ndarray:
    """A character as the network sees it: SIZE×SIZE float32, its lines 1, one pixel wide.

    `top` and `left` are where its first meeting is, in pixels.
    """
    image = np.zeros((SIZE, SIZE), np.float32)
    for (row, column), found in meetings(CHARACTERS[name]).items():
        y, x = top + row // 2 * APART, left + column // 2 * APART
        for up, left_ in found:
            for step in range(APART // 2 + 1):
                image[y + step * up, x + step * left_] = 1
    return image
