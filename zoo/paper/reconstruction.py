"""An image through a network and back: what `zoo reconstruct` and `zoo eval --report` draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.prediction.items import free_name
from zoo.progress import OnProgress, unheard

if TYPE_CHECKING:
    from prototxt.preprocessing import Size
    from runtime import Model


@dataclass(frozen=True)
class Reconstruction:
    """One image, as the network saw it, and what came back; H×W×3 uint8 BGR, RMSE in [0,1]."""

    original: np.ndarray
    image: np.ndarray
    rmse: float


def reconstruct(
    model: Model, image: np.ndarray, mean: np.ndarray, size: tuple[int, int]
) -> Reconstruction:
    """Resize an H×W×3 uint8 BGR image, run it through the network, and measure.

    The RMSE is taken before the result is rounded and clipped to a picture, as the paper does.
    """
    import runtime
    from runtime.evaluation import check_image
    from runtime.feeding import planes

    feeder = runtime.Feeder(model, mean, size)
    blob = feeder.blob(image)
    name = runtime.image_output(model)
    made = model.run({model.inputs[0].name: feeder.feed(image)[None]}, [name])[name]
    result = planes(model, name, made)[0]
    check_image(result, blob, model, "an image")
    measure = runtime.RMSE()
    measure.add(result[None] / feeder.scale, blob[None] / feeder.scale)
    return Reconstruction(feeder.picture(blob), feeder.picture(result), measure.value)


def picture(found: Reconstruction, arch: str | None) -> np.ndarray:
    """Original and reconstruction side by side, with what it cost and how far off it is."""
    import runtime
    from zoo.paper import architectures

    bits = architectures.bits_per_pixel(arch) if arch else None
    return runtime.side_by_side(found.original, found.image, rmse=found.rmse, bits=bits)


@dataclass(frozen=True)
class Pictures:
    """The pictures that were drawn, and how."""

    drawn: tuple[tuple[Path, Path, float], ...]
    """Image, picture, RMSE in [0,1]."""
    plane: Size
    """Height and width at which the network saw the images."""
    notes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    """Name and reason of each image that could not be read."""

    def as_dict(self) -> dict[str, Any]:
        """As `zoo reconstruct --json` prints it."""
        rows = [
            {"image": str(image), "picture": str(picture), "rmse": rmse}
            for image, picture, rmse in self.drawn
        ]
        return {
            "pictures": rows,
            "skipped": len(self.skipped),
            "size": list(self.plane),
            "notes": list(self.notes),
        }


def draw(
    model: Path,
    images: Sequence[Path],
    folder: Path,
    *,
    mean: str | None = None,
    size: Size | None = None,
    provider: str = "auto",
    on_progress: OnProgress = unheard,
) -> Pictures:
    """Write a picture (PNG) of each image, or of each in a folder of them.

    It shows what the network saw beside what came back. `folder` is made if need be; images that
    cannot be read are skipped.

    `mean` and `size` (height, width) go before what the model states. Raises ZooError.
    """
    import runtime
    from prototxt.files import write_folder
    from runtime.pictures import png
    from zoo.data.sources import readable_images, refuse_overwriting
    from zoo.paper.models import open_model

    opened = open_model(model, provider, mean, size)
    average = opened.mean
    paths = [path for item in images for path in runtime.list_images(item)]
    taken: set[str] = set()
    skipped: list[tuple[str, str]] = []
    drawn, contents = [], []
    for path, image in readable_images(paths, skipped, on_progress):
        found = reconstruct(opened.model, image, average, opened.plane)
        target = folder / f"{free_name(path.stem, taken)}.png"
        contents.append((target, png(picture(found, opened.arch))))
        drawn.append((path, target, found.rmse))
    refuse_overwriting((target for target, _ in contents), paths)
    write_folder(folder, contents)
    return Pictures(tuple(drawn), opened.plane, opened.notes, tuple(skipped))
