"""Table II of the paper, row by row: published, converted from the authors' weights, ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prototxt.errors import Argument, Sentence, ZooError
from zoo.figures import new_figure, write_figure
from zoo.paper import architectures

if TYPE_CHECKING:
    import numpy as np

    from runtime import Model
    from zoo.hub.places import HubAddress

ENCODERS = ("random", "pretrained")

DRAWN = 4
"""How many images the picture of reconstructions shows."""


@dataclass
class Row:
    """One network. RMSE with pixels in [0,1]; None where there is nothing to measure."""

    arch: str
    encoder: str
    bits_per_pixel: float
    published: float | None
    converted: float | None = None
    ours: float | None = None
    learned: float | None = None
    """Ours with an encoder that learned its switches; of the same arch and code."""
    images: int = 0
    weights: str | None = None
    model: str | None = None
    learned_model: str | None = None

    @property
    def ratio(self) -> float | None:
        """Ours to the authors', on the same images."""
        return self.ours / self.converted if self.ours and self.converted else None

    @property
    def learned_ratio(self) -> float | None:
        """Ours with learned switches to the authors', on the same images."""
        return self.learned / self.converted if self.learned and self.converted else None


def rows() -> list[Row]:
    """Every row of the table, in its order, with what the paper says."""
    return [
        Row(arch, encoder, architectures.bits_per_pixel(arch), figure)
        for encoder in ENCODERS
        for arch, figure in architectures.PUBLISHED[encoder].items()
    ]


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
) -> list[tuple[str, list[np.ndarray]]]:
    """Measure every row over `images` (as `runtime.evaluate` takes them).

    `mean` is what the authors' networks subtract; ours state theirs. Returns the reconstructions of
    the first `draw` images by each of our networks: (arch, H×W×3 uint8 BGR each).
    """
    import runtime
    from zoo.errors import HubError
    from zoo.hub import locate
    from zoo.paper.reconstruction import reconstruct

    drawn = []

    def measured(model: Model, average: np.ndarray, row: Row) -> float:
        found = runtime.evaluate(model, images, average, size=(128, 128), on_progress=on_progress)
        row.images = found.images
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
            if draw:
                pictures = [
                    reconstruct(model, runtime.pixels(item), average, (128, 128)).image
                    for item in images[:draw]
                ]
                drawn.append((name, pictures))
    if not any(row.converted or row.ours or row.learned for row in table):
        raise ZooError(
            "no network to measure",
            remedy=Sentence("give ", Argument("caffemodels", "DIR"), " or ", Argument("hub")),
        )
    return drawn


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


def plot(table: Sequence[Row], path: Path) -> None:
    """RMSE against bits per pixel, as a PNG: published, converted, ours."""
    figure = new_figure(6.8, 4.4)
    axes = figure.add_subplot()
    random = [row for row in table if row.encoder == "random"]
    pretrained = [row for row in table if row.encoder == "pretrained"]
    series = (
        ("published, random encoder", random, "published", "o", "#4c72b0"),
        ("published, pretrained", pretrained, "published", "^", "#8c8c8c"),
        ("authors' weights, here", random, "converted", "s", "#dd8452"),
        ("ours", random, "ours", "D", "#55a868"),
        ("ours, learned switches", random, "learned", "*", "#8172b3"),
    )
    for label, chosen, name, marker, colour in series:
        points = [(r.bits_per_pixel, getattr(r, name), r.arch) for r in chosen if getattr(r, name)]
        if not points:
            continue
        axes.plot(
            [bits for bits, _, _ in points],
            [value for _, value, _ in points],
            marker,
            label=label,
            color=colour,
            markersize=6,
        )
        if name == "published" and chosen is random:
            for place, (bits, value, arch) in enumerate(points):
                axes.annotate(
                    arch.replace("_", ","),
                    (bits, value),
                    xytext=(8, -7 if place % 2 else 3),
                    textcoords="offset points",
                    fontsize=7,
                )
    axes.set(xscale="log", xlabel="bits per pixel and colour channel", ylabel="RMSE")
    ticks = sorted({row.bits_per_pixel for row in table})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(ticks[0] / 1.25, ticks[-1] * 1.6)
    axes.set_ylim(bottom=0)
    axes.grid(linewidth=0.3)
    axes.legend(fontsize=8)
    write_figure(figure, path)


@dataclass(frozen=True)
class Measured:
    """The table, filled, and on which images."""

    rows: list[Row]
    about: dict[str, Any]
    source: str
    """Where the images were, in full."""
    files: tuple[Path, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As `zoo table2 --json` prints it."""
        return {
            **self.about,
            "rows": listed(self.rows),
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
    gets table2.md, .json and .png, and a picture of reconstructions. `on_progress` is called after
    each image of each network. Raises ZooError where there is no network to measure.
    """
    import runtime
    from zoo import extras
    from zoo.data.sources import evaluated_images

    if folder is not None:
        extras.require("matplotlib")
    images, notes, name = evaluated_images(data, held_out)
    table = rows()
    drawn = fill(
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
    files = write(table, about, folder, images, drawn) if folder is not None else ()
    return Measured(table, about, name, files, tuple(notes))


def write(
    table: Sequence[Row],
    about: dict[str, Any],
    folder: Path,
    images: Sequence[Any],
    drawn: Sequence[tuple[str, list[np.ndarray]]],
) -> tuple[Path, ...]:
    """Write the table into a folder, made if need be, and what `fill` drew; returns the files."""
    import runtime
    from prototxt.files import atomic_write, make_folder

    make_folder(folder)
    written = [folder / f"table2.{kind}" for kind in ("md", "json", "png")]
    atomic_write(written[0], as_markdown(table, about))
    atomic_write(written[1], as_json(table, about))
    plot(table, written[2])
    if drawn:
        originals = [runtime.resize(runtime.pixels(item), 128, 128) for item in images[:DRAWN]]
        columns = [("original", originals), *drawn]
        written.append(folder / "reconstructions.png")
        runtime.write_png(written[-1], runtime.contact_sheet(columns))
    return tuple(written)
