"""What switches cost and what they give, against JPEG and its successors at the same size."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prototxt.errors import Argument, Sentence, ZooError
from zoo.figures import new_figure, write_figure
from zoo.paper.formats import FORMATS, Ladder, Measured, bjontegaard
from zoo.progress import OnProgress, counted, unheard

if TYPE_CHECKING:
    from prototxt.preprocessing import Size
    from zoo.hub import Hub
    from zoo.hub.places import HubAddress
    from zoo.paper.coding import Coder


@dataclass
class Row:
    """One network over all images; bits are per pixel and colour channel."""

    name: str
    paper: float = 0
    fixed: float = 0
    entropy: float = 0
    values: int = 0
    switches: Measured = field(default_factory=Measured)
    others: dict[str, Measured] = field(default_factory=lambda: {f: Measured() for f in FORMATS})

    def result(self) -> dict[str, Any]:
        """The row as rate.json has it, each format's figures by the format's name."""
        bits = {"paper": self.paper, "fixed": self.fixed, "entropy": self.entropy}
        ours = self.switches.result()
        return {
            "arch": self.name,
            "bits_per_pixel_and_channel": {**bits, "coded": ours["bits"]},
            "switches": ours,
            **{name: other.result() for name, other in self.others.items()},
        }


@dataclass(frozen=True)
class Judged:
    """What was measured: a row for each network, and a curve for each format."""

    rows: list[Row]
    curves: dict[str, dict[float, Measured]]
    """By format and its setting."""
    png: float
    """Bits per pixel and channel that lossless PNG takes."""

    def as_dict(self) -> dict[str, Any]:
        """As rate.json has it."""
        return {
            "rows": [row.result() for row in self.rows],
            "curves": {kind: points for kind, points in self.results().items() if kind in FORMATS},
            "against_jpeg": self.against_jpeg(),
        }

    def families(self) -> dict[str, list[Row]]:
        """Networks that differ in their rate alone, by what they are called together."""
        from zoo.paper import architectures

        made = [row for row in self.rows if architectures.has_rate(row.name)]
        learned = [row for row in self.rows if row.name.endswith("-learned")]
        others = [row for row in self.rows if row not in (*learned, *made)]
        return {"switches": others, "learned switches": learned, "rate-aware switches": made}

    def results(self) -> dict[str, list[dict[str, Any]]]:
        """The points of each format's curve and each family's, by name."""
        curves = {
            kind: [{"setting": setting, **each.result()} for setting, each in curve.items()]
            for kind, curve in self.curves.items()
        }
        families = {
            name: [{"arch": row.name, **row.switches.result()} for row in rows]
            for name, rows in self.families().items()
        }
        return curves | families

    def against_jpeg(self) -> dict[str, dict[str, float] | None]:
        """Bjøntegaard's difference from JPEG of every other curve."""
        found = self.results()
        jpeg = found.pop("jpeg")
        return {name: bjontegaard(jpeg, points) for name, points in found.items() if points}


def measure(
    coders: Mapping[str, Coder],
    images: Iterable[np.ndarray],
    on_progress: Callable[[], object] = lambda: None,
) -> Judged:
    """Every network, and every format, over H×W×3 uint8 BGR images of any sizes."""
    from runtime import InferenceError
    from runtime.codec import dump

    rows = {name: Row(name) for name in coders}
    curves: dict[str, dict[float, Measured]] = {kind: {} for kind in FORMATS}
    png = values = 0
    for image in images:
        height, width = image.shape[:2]
        ladders = {kind: Ladder(image, kind) for kind in FORMATS}
        png += 8 * _png_size(image)
        values += image.size
        for name, coder in coders.items():
            header, row = coder.header(height, width), rows[name]
            masks = coder.switches(image)
            written = dump(io.BytesIO(), header, masks, coder.network.entropy_model)
            _add_cost(row, image.size, header.levels, written.fixed_bits, written.entropy_bits)
            row.switches.add(image, coder.picture(masks, height, width), written.size)
            for kind, ladder in ladders.items():
                found = ladder.best(written.size)
                if found is not None:
                    size, picture = found
                    row.others[kind].add(image, picture, size)
            on_progress()
        for kind, ladder in ladders.items():
            ladder.add_curve(curves[kind])
        on_progress()
    if not values:
        raise InferenceError(
            "no image can be read", remedy=Sentence("give others with ", Argument("data"))
        )
    return Judged(list(rows.values()), curves, png / values)


def _add_cost(row: Row, values: int, levels: Sequence[int], fixed: float, entropy: float) -> None:
    """Means over all values so far."""
    row.paper = sum(2 * c / 4**k for k, c in enumerate(levels, 1)) / 3
    row.fixed = (row.fixed * row.values + fixed) / (row.values + values)
    row.entropy = (row.entropy * row.values + entropy) / (row.values + values)
    row.values += values


def _png_size(image: np.ndarray) -> int:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image[..., ::-1])).save(file, "png", optimize=True)
    return len(file.getvalue())


COLUMNS = ("arch", "fixed", "entropy", "file", "switches", *(f.name for f in FORMATS.values()))
"""Bits per pixel and channel three times, then RMSE / PSNR / SSIM for each way to code."""


def cells(row: Row) -> list[str]:
    """A row as text, by COLUMNS; says of a format how many images it could make so small."""

    def quality(measured: Measured) -> str:
        found = measured.result()
        if not found["images"]:
            return "none so small"
        if found["psnr"] is None:
            text = "lossless"
        else:
            alike = found["ssim"] if found["ms_ssim"] is None else found["ms_ssim"]
            text = f"{found['rmse']:.4f} / {found['psnr']:.1f} / {alike:.3f}"
        fewer = found["images"] < len(row.switches.ssim)
        return f"{text} ({found['images']} images)" if fewer else text

    coded = row.switches.bits / row.switches.values
    bits = [f"{value:.2f}" for value in (row.fixed, row.entropy, coded)]
    return [row.name, *bits, *map(quality, (row.switches, *row.others.values()))]


EXPLANATION = (
    "fixed, entropy and file are bits per pixel and colour channel, a third of bits per pixel: "
    "2 bits a switch, as the paper counts, padding included; the order-0 entropy, channel by "
    "channel; the whole .switches file. Then RMSE over all 8-bit pixels (in [0,1]) / its PSNR (dB) "
    "/ mean MS-SSIM, or SSIM where an image is under 161 pixels a side. JPEG and the others: "
    "for each image the best file, by Pillow, that is not larger than its .switches file: the "
    "highest quality that fits, of JPEG 4:2:0 or 4:4:4, progressive or not, its Huffman tables "
    "optimised, of WebP lossy or lossless."
)


def against_jpeg(judged: Judged) -> list[list[str]]:
    """The table of Bjøntegaard's differences: a name, percent of bits, dB."""
    table = []
    for name, found in judged.against_jpeg().items():
        cells = [f"{found['rate']:+.0f} %", f"{found['psnr']:+.1f} dB"] if found else ["", ""]
        table.append([FORMATS[name].name if name in FORMATS else name, *cells])
    return table


BJONTEGAARD = ("beside JPEG", "bits at equal PSNR", "PSNR at equal bits")
ABOUT_CURVES = (
    "Bjøntegaard's differences from JPEG (4:2:0, progressive), over what both curves reach; "
    "nothing where that is nothing, or a curve has fewer than four points. A curve's points are "
    "means over all images at one setting of the format, or of one network."
)


def as_markdown(judged: Judged, about: Mapping[str, Any]) -> str:
    """The tables as a document."""
    lines = [
        "# Switches as an image format",
        "",
        f"{about['images']} images of {about['data']}, {about['size']}. Lossless PNG takes "
        f"{about['png_bits']:.2f} bits per pixel and channel.",
        "",
        EXPLANATION,
        "",
        *_table(COLUMNS, [cells(row) for row in judged.rows]),
        "",
        ABOUT_CURVES,
        "",
        *_table(BJONTEGAARD, against_jpeg(judged)),
    ]
    return "\n".join(lines) + "\n"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    head = "| " + " | ".join(columns) + " |"
    return [
        head,
        "| --- |" + " ---: |" * (len(columns) - 1),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def plot(judged: Judged, path: Path) -> None:
    """PSNR and (MS-)SSIM against bits per pixel and channel, as a PNG."""
    figure = new_figure(10.4, 4.6)
    found = judged.results()
    alike = (
        "ms_ssim" if all(p["ms_ssim"] is not None for ps in found.values() for p in ps) else "ssim"
    )
    units = {"psnr": "PSNR, dB", "ssim": "SSIM", "ms_ssim": "MS-SSIM"}
    for axes, measure in zip(figure.subplots(1, 2), ("psnr", alike), strict=True):
        for name, (label, style, colour) in STYLES.items():
            points = sorted(
                (p["bits"], p[measure], p.get("arch", ""))
                for p in found.get(name, [])
                if p["images"] and p[measure] is not None
            )
            if not points:
                continue
            bits, values, names = zip(*points, strict=True)
            axes.plot(bits, values, style, color=colour, markersize=5, linewidth=0.8, label=label)
            if name not in FORMATS:
                _annotate(axes, bits, values, names, above=name != "switches")
        axes.set(
            xscale="log",
            xlabel="bits per pixel and colour channel, whole file",
            ylabel=units[measure],
        )
        axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axes.minorticks_off()
        axes.margins(x=0.14)
        axes.grid(linewidth=0.3)
        axes.legend(fontsize=8)
    write_figure(figure, path)


STYLES = {
    "switches": ("switches", "o", "#4c72b0"),
    "learned switches": ("learned switches", "*", "#8172b3"),
    "rate-aware switches": ("rate-aware switches", "s-", "#4c4c4c"),
    "jpeg": ("JPEG", "-", "#dd8452"),
    "jpeg2000": ("JPEG 2000", "--", "#937860"),
    "webp": ("WebP", "-", "#55a868"),
    "avif": ("AVIF", "-", "#c44e52"),
}
"""How each curve is drawn: its label, its line or marks, its colour."""

TICKS = (0.03, 0.1, 0.3, 1, 3, 10)


def _annotate(
    axes: Any, bits: Sequence[float], values: Sequence[float], names: Sequence[str], above: bool
) -> None:
    """The arch beside each point: those that share a rate to its left and its right."""
    for number, (x, y, name) in enumerate(zip(bits, values, names, strict=True)):
        left = number % 2 == 0
        axes.annotate(
            name.removesuffix("-learned").rpartition("-rate-")[2].replace("_", ","),
            (x, y),
            xytext=(-5 if left else 5, 5 if above else -9),
            textcoords="offset points",
            horizontalalignment="right" if left else "left",
            fontsize=6,
        )


@dataclass(frozen=True)
class Rates:
    """What `zoo rate` measured."""

    judged: Judged
    about: dict[str, Any]
    """Of which images, of what size; what lossless PNG takes."""
    source: str
    """Where the images were, in full."""
    skipped: tuple[str, ...]
    """Why each image that was left out was."""
    files: tuple[Path, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As `zoo rate --json` prints it."""
        return {
            **self.about,
            **self.judged.as_dict(),
            "files": [str(path) for path in self.files],
            "notes": list(self.notes),
        }


def rate(
    names: Sequence[str] = (),
    data: Path | None = None,
    *,
    held_out: int = 0,
    limit: int | None = None,
    size: Size | None = None,
    hub: HubAddress = None,
    offline: bool = False,
    provider: str = "auto",
    folder: Path | None = None,
    on_progress: OnProgress = unheard,
    warn: Callable[[str], object] = lambda _: None,
) -> Rates:
    """Measure networks of a hub, by name (none: all that rebuild images), over images.

    Those are the first `limit` of `data`, as `zoo.data.sources.evaluated_images` takes it.

    `size` is height and width that images are resized to; None leaves each as it is. `folder` gets
    rate.md, rate.json and rate.png. `warn` is told of each broken image as it is left out.
    """
    import runtime
    from zoo import extras
    from zoo.data.sources import evaluated_images
    from zoo.hub import locate, open_hub
    from zoo.paper.coding import open_coder

    extras.require("PIL", "skimage", "matplotlib", "bjontegaard", "pytorch_msssim")
    names = names or networks(open_hub(hub, offline))
    coders = {name: open_coder(locate(name, hub, offline), provider) for name in names}
    items, notes, source = evaluated_images(data, held_out)
    items = items[:limit]
    skipped: list[str] = []

    def images() -> Iterator[np.ndarray]:
        for item in items:
            try:
                pixels = runtime.pixels(item)
            except ZooError as error:
                skipped.append(str(error))
                warn(f"left out: {error}")
                continue
            yield runtime.resize(pixels, *size) if size else pixels

    steps = len(items) * (len(coders) + 1)
    judged = measure(coders, images(), counted(on_progress, steps))
    about: dict[str, Any] = {
        "data": Path(source).name,
        "images": len(items) - len(skipped),
        "size": f"{size[0]}x{size[1]}" if size else "each of its own size",
        "held_out": held_out or None,
        "png_bits": round(judged.png, 6),
    }
    files = write(judged, about, folder) if folder is not None else ()
    notes += sorted({note for coder in coders.values() for note in coder.notes})
    return Rates(judged, about, source, tuple(skipped), files, tuple(notes))


def networks(hub: Hub) -> list[str]:
    """The networks of a hub that rebuild images from switches, newest versions, small first."""
    from zoo.paper import architectures

    order = {arch: number for number, arch in enumerate(architectures.ARCHES)}
    models = [entry for entry in hub.index.newest() if entry.task == "reconstruct"]
    found = [
        (architectures.bits_per_pixel(entry.arch), order.get(entry.arch, len(order)), entry.name)
        for entry in models
        if entry.arch is not None
    ]
    found += [
        (0.0, number, entry.name)
        for number, entry in enumerate(sorted(models, key=lambda entry: entry.name))
        if architectures.has_rate(entry.name)
    ]
    if not found:
        raise ZooError(
            "no network in it that rebuilds images", subject=hub.name, remedy="name another"
        )
    return [name for _, _, name in sorted(found)]


def write(judged: Judged, about: Mapping[str, Any], folder: Path) -> tuple[Path, ...]:
    """Write rate.md, rate.json and rate.png into a folder, made if need be; returns their paths."""
    from prototxt.files import atomic_write, make_folder

    make_folder(folder)
    table, data, figure = (folder / f"rate.{kind}" for kind in ("md", "json", "png"))
    atomic_write(table, as_markdown(judged, about))
    atomic_write(data, json.dumps({**about, **judged.as_dict()}, indent=2) + "\n")
    plot(judged, figure)
    return table, data, figure
