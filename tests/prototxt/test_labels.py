"""Names of classes: of a text, of SSD's LabelMap, in metadata."""

from __future__ import annotations

from pathlib import Path

import pytest

from prototxt.errors import FormatError
from prototxt.labels import labels_of, labels_text, read_labels


def test_a_text_has_one_a_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("n01 tench \r\nn02 great white shark\n\n")
    assert read_labels(path) == ("n01 tench", "n02 great white shark")


def test_a_label_map_numbers_them(tmp_path: Path) -> None:
    path = tmp_path / "labelmap.prototxt"
    path.write_text(
        'item { name: "none_of_the_above" label: 0 display_name: "background" }\n'
        'item { name: "n02" label: 2 }\n'
    )
    assert read_labels(path) == ("background", "", "n02")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\n\nb\n", "labels.txt:2:1: names no class"),
        ("\n", "labels.txt: names no classes"),
        ("a\0b", "labels.txt: not a text file"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(text)
    with pytest.raises(FormatError) as caught:
        read_labels(path)
    assert told in str(caught.value)


def test_a_label_map_does_not_say_how_much_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "map.prototxt"
    path.write_text('item { name: "a" label: 2000000000 }')
    with pytest.raises(FormatError, match="numbers a class 2000000000"):
        read_labels(path)


def test_metadata_hold_them() -> None:
    labels = ("a cat", "a dog")
    assert labels_of({"zoo.labels": labels_text(labels)}) == labels
    assert labels_of({}) == ()
