"""The picture of the README: a photograph, its switches, and what the network makes of them.

    python -m docs.figures      writes docs/images/tunnel.png

By the network 48_96_192 that comes with the package, of two sample photographs that do.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import runtime
from zoo.hub import locate

NETWORK = "48_96_192"
PHOTOGRAPH, SIZE = "chelsea", (160, 240)
"""A sample photograph, and the height and width that it is resized to."""
PICTURE = Path(__file__).parent / "images/tunnel.png"


def drawn_switches(mask: np.ndarray) -> np.ndarray:
    """1×C×h×w int64, each the place of a maximum in a plane of 2h×2w -> 2h×2w×3 uint8.

    A window is one colour: blue, green and red are how many of the C channels have their maximum
    upper right, lower left and lower right in it, stretched over the picture. What is dark has it
    upper left, where ties go too.
    """
    _, channels, height, width = mask.shape
    counts = np.bincount(mask.ravel(), minlength=4 * height * width)
    windows = counts.reshape(height, 2, width, 2).transpose(0, 2, 1, 3).reshape(height, width, 4)
    shares = windows[..., 1:] / channels
    low, high = np.percentile(shares, (2, 98), axis=(0, 1))
    pixels = np.rint(255 * np.clip((shares - low) / (high - low), 0, 1)).astype(np.uint8)
    return pixels.repeat(2, 0).repeat(2, 1)


def panels(model: runtime.Model, image: np.ndarray, size: tuple[int, int]) -> list[np.ndarray]:
    """The photograph as the network sees it, its first level's switches, the reconstruction."""
    feeder = runtime.Feeder(model, None, size)
    blob = feeder.blob(image)
    name = runtime.image_output(model)
    found = model.run({model.inputs[0].name: blob[None]})
    switches = drawn_switches(found["pool1_mask"])
    return [feeder.picture(blob), switches, feeder.picture(found[name][0])]


def picture() -> np.ndarray:
    """The sheet, H×W×3 uint8 BGR."""
    model = runtime.load(locate(NETWORK), "cpu")
    found = panels(model, dict(runtime.sample_images())[PHOTOGRAPH], SIZE)
    titles = ("original", "switches of the first level", "rebuilt from switches alone")
    return runtime.contact_sheet([(title, [one]) for title, one in zip(titles, found, strict=True)])


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    runtime.write_png(PICTURE, picture())
