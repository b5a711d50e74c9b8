"""What is known of images: their class, the class of each pixel, the things in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from prototxt.errors import Argument, Sentence, ZooError
from prototxt.files import read_bytes
from zoo.data.lists import from_list
from zoo.prediction.scoring import VOID, Truth

__all__ = ["annotation", "classes_of", "mask", "partner"]

VOID_COLOUR = (192, 224, 224)
"""Of PASCAL VOC's palette, BGR."""
WHITE = 255


def classes_of(
    paths: Sequence[Path],
    labels: Sequence[str],
    data: Path,
    truth: Path | None = None,
    classes: int | None = None,
) -> list[int]:
    """The class of each image, by number.

    By `truth`, a list of `PATH LABEL` lines, paths relative to `data`; else by names: the class
    whose label begins with the image's name up to its first ``_``, its whole name, or its folder's
    name; else, where there are as many folders as `classes`, by the place of its folder among them.
    ZooError (one line) for an image of which nothing tells it.
    """
    if truth is not None:
        root = data if data.is_dir() else data.parent
        listed = {e.path.resolve(): e.label for e in from_list(root, truth)}
        for path in paths:
            if path.resolve() not in listed:
                raise ZooError("is not in the list", subject=path, remedy=f"name it in {truth}")
        return [listed[path.resolve()] for path in paths]
    places = {word: place for place, label in enumerate(labels) for word in words(label)}
    folders = sorted({path.parent for path in paths})
    found = []
    for path in paths:
        names = (path.stem.partition("_")[0], path.stem, path.parent.name)
        known = [places[name.lower()] for name in names if name.lower() in places]
        if not known and len(folders) == classes:
            known = [folders.index(path.parent)]
        if not known:
            raise ZooError(
                "nothing tells its class" if labels else "no names of classes to tell its class by",
                subject=path,
                remedy=Sentence(
                    "give ",
                    Argument("truth"),
                    " with lines PATH LABEL, " + ("or " if labels else "") + "images in folders "
                    "named as the classes are",
                    *(() if labels else (", or ", Argument("labels"))),
                ),
            )
        found.append(known[0])
    return found


def words(label: str) -> tuple[str, ...]:
    """What an image or folder may be called after a class: its label, or the first word of that."""
    small = label.lower()
    return small, small.replace(" ", "_"), small.partition(" ")[0]


def partner(image: Path, folder: Path, suffixes: Sequence[str]) -> Path:
    """The file of an image's name in a folder of what is known; ZooError where there is none."""
    if folder.is_file():
        return folder
    for suffix in suffixes:
        path = folder / f"{image.stem}{suffix}"
        if path.is_file():
            return path
    raise ZooError(
        f"there is no {image.stem}{suffixes[0]} in {folder}",
        subject=image,
        remedy="leave the image out, or put it there",
    )


def mask(path: Path, colours: Mapping[tuple[int, int, int], int]) -> np.ndarray:
    """H×W classes of a mask: grey values are classes, black and white are 0 and 1.

    Of a coloured one `colours` (BGR) tells the class; 255 is `VOID`. ZooError in one line.
    """
    from prototxt.opencv import cv2, decode

    data = read_bytes(path, ZooError, "a mask")
    image = decode(data, cv2.IMREAD_UNCHANGED, path, ZooError)
    if image.dtype != np.uint8:
        raise ZooError(f"is a mask of {image.dtype}, not of 8 bits", subject=path)
    if image.ndim == 3 and image.shape[2] >= 3:
        same = (image[..., 0] == image[..., 1]) & (image[..., 1] == image[..., 2])
        if not same.all():
            return by_colour(image[..., :3], colours, path)
    grey = image if image.ndim == 2 else image[..., 0]
    values = np.unique(grey)
    if set(values.tolist()) <= {0, WHITE}:
        return (grey > 0).astype(np.int32)
    return grey.astype(np.int32)


def by_colour(
    image: np.ndarray, colours: Mapping[tuple[int, int, int], int], path: Path
) -> np.ndarray:
    """H×W×3 BGR as classes."""
    codes = image.astype(np.int32) @ np.array([1, 256, 65536])
    found = np.full(codes.shape, -1, np.int32)
    for (blue, green, red), place in {**colours, VOID_COLOUR: VOID}.items():
        found[codes == blue + 256 * green + 65536 * red] = place
    if (found < 0).any():
        row, column = np.argwhere(found < 0)[0]
        blue, green, red = image[row, column]
        raise ZooError(
            f"its pixel {row},{column} has the colour {red},{green},{blue}, which is no class's",
            subject=path,
            remedy="give masks whose grey values are classes, or in PASCAL VOC's colours",
        )
    return found


def annotation(path: Path) -> list[Truth]:
    """The things that an annotation in PASCAL VOC's XML names; ZooError in one line."""
    data = read_bytes(path, ZooError, "an annotation")
    try:
        root = ElementTree.fromstring(data)  # entities of its own are not expanded without bound
    except ElementTree.ParseError as error:
        raise ZooError(f"is no XML: {error}", subject=path) from None
    found = []
    for number, item in enumerate(root.iter("object"), 1):
        name, box = item.findtext("name"), item.find("bndbox")
        try:
            assert name and box is not None
            sides = [float(box.findtext(k) or "") for k in ("xmin", "ymin", "xmax", "ymax")]
        except (AssertionError, ValueError):
            raise ZooError(
                f"its object {number} has no name and no box of four numbers",
                subject=path,
                remedy="give annotations as PASCAL VOC has them",
            ) from None
        hard = (item.findtext("difficult") or "0").strip() == "1"
        # The first pixel is 1 there.
        left, top, right, bottom = (side - 1 for side in sides)
        found.append(Truth(name.strip(), (left, top, right, bottom), hard))
    return found
