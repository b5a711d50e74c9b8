"""Table II of the paper, row by row: published, converted from the authors' weights, ours."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prototxt.errors import Argument, Sentence, ZooError
from zoo.paper import architectures
from zoo.paper.table2_rows import Row, rows

if TYPE_CHECKING:
    import numpy as np

    from runtime import Model
    from zoo.hub.places import HubAddress
    from zoo.paper.reconstruction import Reconstruction

DRAWN = 4
"""How many images there are sheets of reconstructions of."""


def caffemodel(folder: Path, row: Row) -> Path | None:
    """The authors' weights of a row, by their file names; the latest iteration."""
    middle = "Pretrain" if row.encoder == "pretrained" else ""
    found = sorted(
        folder.glob(f"net{row.arch}{middle}_iter_*.caffemodel"),
        key=lambda path: (len(path.name), path.name),
    )
    return found[-1] if found else None


def converted(row: Row, weights: Path) -> bytes:
    """The paper's definition with the authors' weights, as ONNX."""
    import converters
    import prototxt

    net = prototxt.parse_net(architectures.definition(row.arch))
    model: bytes = converters.convert(net, weights).to_onnx().SerializeToString()
    return model


def fill(
    table: Sequence[Row],
    images: Sequence[Any],
    *,
    caffemodels: Path | None = None,
    mean: np.ndarray | None = None,
    hub: HubAddress = None,
    provider: str = "auto",
    draw: int = 0,
    on_progress: Callable[..., object] = lambda *_: None,
) -> tuple[dict[str, list[Reconstruction]], list[tuple[str, str]]]:
    """Measure every row over `images` (as `runtime.evaluate` takes them).

    `mean` is what the authors' networks subtract; ours state theirs. Returns the reconstructions of
    the first `draw` images that can be read, by the name of each of our networks; and (name,
    reason) of the images that cannot.
    """
    import runtime
    from zoo.errors import HubError
    from zoo.hub import locate
    from zoo.paper.reconstruction import reconstruct

    drawn = {}
    skipped: list[tuple[str, str]] = []
    shown = readable(images, draw)

    def measured(model: Model, average: np.ndarray, row: Row) -> float:
        found = runtime.evaluate(model, images, average, size=(128, 128), on_progress=on_progress)
        row.images, skipped[:] = found.images, found.skipped
        return found.rmse

    for row in table:
        weights = caffemodel(caffemodels, row) if caffemodels else None
        if weights is not None:
            row.weights = weights.name
            model = runtime.load(converted(row, weights), provider)
            average = runtime.read_mean(runtime.IMAGENET_MEAN) if mean is None else mean
            row.converted = measured(model, average, row)
        if row.encoder != "random":
            continue
        for encoder in ("random", "learned"):
            name = architectures.model_name(row.arch, encoder)
            try:
                path = locate(name, hub)
            except HubError:
                continue
            model = runtime.load(path, provider)
            average = runtime.read_mean(model.metadata.get("zoo.mean"))
            rmse = measured(model, average, row)
            if encoder == "learned":
                row.learned_model, row.learned = path.name, rmse
            else:
                row.model, row.ours = path.name, rmse
            if shown:
                drawn[name] = [reconstruct(model, image, average, (128, 128)) for image in shown]
    if not any(row.converted or row.ours or row.learned for row in table):
        raise ZooError(
            "no network to measure",
            remedy=Sentence("give ", Argument("caffemodels", "DIR"), " or ", Argument("hub")),
        )
    return drawn, skipped


def readable(images: Sequence[Any], most: int) -> list[np.ndarray]:
    """The first images that can be read, at most so many: H×W×3 uint8 BGR."""
    import runtime

    found: list[np.ndarray] = []
    for item in images:
        if len(found) == most:
            break
        with contextlib.suppress(ZooError):  # the evaluation tells
            found.append(runtime.pixels(item))
    return found


def as_json(table: Sequence[Row], about: dict[str, Any]) -> str:
    """The table with what it was measured on."""
    return json.dumps({**about, "rows": listed(table)}, indent=2) + "\n"


def listed(table: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as JSON has them."""
    return [
        {**asdict(row), "ratio": row.ratio, "learned_ratio": row.learned_ratio} for row in table
    ]


COLUMNS = (
    "arch",
    "encoder",
    "bits/pixel",
    "published",
    "authors' weights",
    "ours",
    "ratio",
    "learned",
    "ratio",
)


def cells(row: Row) -> list[Any]:
    """A row as text, by COLUMNS; empty where there is no figure."""

    def figure(value: float | None) -> str:
        return "" if value is None else f"{value:.4f}"

    def share(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    measures = map(figure, (row.published, row.converted, row.ours))
    ours = [*measures, share(row.ratio), figure(row.learned), share(row.learned_ratio)]
    return [row.arch, row.encoder, f"{row.bits_per_pixel:g}", *ours]


def as_markdown(table: Sequence[Row], about: dict[str, Any]) -> str:
    """The table as a document; `about` says over which `images` of which `data`."""
    lines = [
        "# Table II",
        "",
        f"RMSE over {about['images']} images ({about['data']}), pixels in [0,1]; the published "
        "figures are over other images. Learned: ours with an encoder that learned its switches. "
        "Ratio: to the authors' weights, on the same images.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "| --- | --- |" + " ---: |" * (len(COLUMNS) - 2),
    ]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in table]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Measured:
    """The table, filled, and on which images."""

    rows: list[Row]
    about: dict[str, Any]
    source: str
    """Where the images were, in full."""
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    """Name and reason of each image that could not be read."""

    def as_dict(self) -> dict[str, Any]:
        """As `zoo table2 --json` prints it."""
        return {
            **self.about,
            "rows": listed(self.rows),
            "skipped": len(self.skipped),
            "files": [str(path) for path in self.files],
            "notes": list(self.notes),
        }


def measure(
    data: Path | None = None,
    *,
    held_out: int = 0,
    caffemodels: Path | None = None,
    mean: str | None = None,
    hub: HubAddress = None,
    provider: str = "auto",
    folder: Path | None = None,
    on_progress: Callable[..., object] = lambda *_: None,
) -> Measured:
    """Measure the whole table over the images of `data`, as `evaluated_images` takes them.

    `caffemodels` is a folder of the authors' weights, `mean` what those networks subtract. `folder`
    gets table2.md, .json and .png, and reconstructions-N.png of a few images. `on_progress` is
    called after each image of each network. Raises ZooError where there is no network to measure.
    """
    import runtime
    from zoo import extras
    from zoo.data.sources import evaluated_images

    if folder is not None:
        extras.require("matplotlib")
    images, notes, name = evaluated_images(data, held_out)
    table = rows()
    drawn, skipped = fill(
        table,
        images,
        caffemodels=caffemodels,
        mean=runtime.read_mean(mean) if mean else None,
        hub=hub,
        provider=provider,
        draw=DRAWN if folder else 0,
        on_progress=on_progress,
    )
    about: dict[str, Any] = {
        "data": Path(name).name,
        "images": max(row.images for row in table),
        "held_out": held_out or None,
    }
    files = write(table, about, folder, drawn) if folder is not None else ()
    return Measured(table, about, name, files, tuple(notes), tuple(skipped))


def write(
    table: Sequence[Row],
    about: dict[str, Any],
    folder: Path,
    drawn: Mapping[str, Sequence[Reconstruction]],
) -> tuple[Path, ...]:
    """Write the table into a folder, made if need be, and what `fill` drew; returns the files."""
    from prototxt.files import atomic_write, make_folder
    from runtime.pictures import png
    from zoo.paper import table2_pictures as pictures

    make_folder(folder)
    written = [folder / f"table2.{kind}" for kind in ("md", "json", "png")]
    atomic_write(written[0], as_markdown(table, about))
    atomic_write(written[1], as_json(table, about))
    pictures.plot(table, written[2])
    for number, sheet in enumerate(pictures.sheets(drawn), 1):
        written.append(folder / f"reconstructions-{number}.png")
        atomic_write(written[-1], png(sheet))
    return tuple(written)
