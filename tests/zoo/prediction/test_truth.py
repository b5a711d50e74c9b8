"""What files, folders and names tell of images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from prototxt.errors import ZooError
from runtime.drawing import colour_of
from zoo.prediction.truth import annotation, classes_of, mask, partner

LABELS = ("n01 tench", "n02 great white shark", "cat")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("n02_shark.jpg", 1),
        ("x/n01/7.jpg", 0),
        ("x/great white shark/7.jpg", None),
        ("CAT/7.jpg", 2),
        ("n02 great white shark/7.jpg", 1),
    ],
)
def test_names_and_folders(tmp_path: Path, name: str, wanted: int | None) -> None:
    if wanted is None:
        with pytest.raises(ZooError, match="nothing tells its class"):
            classes_of([tmp_path / name], LABELS, tmp_path)
    else:
        assert classes_of([tmp_path / name], LABELS, tmp_path) == [wanted]


def test_as_many_folders_as_classes(tmp_path: Path) -> None:
    paths = [tmp_path / "b" / "1.png", tmp_path / "a" / "2.png"]
    assert classes_of(paths, (), tmp_path, classes=2) == [1, 0]
    with pytest.raises(ZooError, match="no names of classes to tell its class by"):
        classes_of(paths, (), tmp_path, classes=3)


def test_a_list(tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_text("a b.png 7\nc.png 2\n")
    paths = [tmp_path / "c.png", tmp_path / "a b.png"]
    assert classes_of(paths, (), tmp_path, tmp_path / "val.txt") == [2, 7]
    with pytest.raises(ZooError, match="is not in the list"):
        classes_of([tmp_path / "d.png"], (), tmp_path, tmp_path / "val.txt")


def written(path: Path, image: np.ndarray) -> Path:
    cv2.imwrite(str(path), image)
    return path


def test_masks_of_grey_values_black_and_white_and_colours(tmp_path: Path) -> None:
    colours = {colour_of(place): place for place in range(21)}
    grey = np.array([[0, 3], [255, 20]], np.uint8)
    path = written(tmp_path / "a.png", grey)
    np.testing.assert_array_equal(mask(path, colours), grey)
    white = np.array([[0, 255]], np.uint8)
    np.testing.assert_array_equal(mask(written(path, white), colours), [[0, 1]])
    np.testing.assert_array_equal(mask(written(path, np.dstack([white] * 3)), colours), [[0, 1]])
    # PASCAL VOC's: an aeroplane is 128,0,0 (red), a person 192,128,128, the rim 224,224,192.
    voc = np.array([[[0, 0, 128], [128, 128, 192]], [[192, 224, 224], [0, 0, 0]]], np.uint8)
    np.testing.assert_array_equal(mask(written(path, voc), colours), [[1, 15], [255, 0]])
    voc[0, 0] = 1, 2, 3
    with pytest.raises(ZooError, match=r"its pixel 0,0 has the colour 3,2,1, which is no class's"):
        mask(written(path, voc), colours)


XML = """<annotation><object><name>cat</name><difficult>1</difficult>
<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>%s</ymax></bndbox></object></annotation>"""


def test_annotations(tmp_path: Path) -> None:
    """Their first pixel is 1."""
    path = tmp_path / "a.xml"
    path.write_text(XML % "4.5")
    (found,) = annotation(path)
    assert (found.name, found.corners, found.difficult) == ("cat", (0, 1, 2, 3.5), True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<a>", "is no XML"),
        (XML % "four", "its object 1 has no name and no box of four numbers"),
        (
            '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
            + "".join(f'<!ENTITY a{i} "{f"&a{i - 1 if i else str()};" * 10}">' for i in range(9))
            + "]><a>&a8;</a>",
            "is no XML",
        ),
    ],
)
def test_annotations_that_are_none(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(ZooError, match=told):
        annotation(path)


def test_partners(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert partner(Path("x/a.jpg"), tmp_path, (".bmp", ".png")) == tmp_path / "a.png"
    with pytest.raises(ZooError, match=r"b\.jpg: there is no b\.bmp in"):
        partner(Path("x/b.jpg"), tmp_path, (".bmp", ".png"))
