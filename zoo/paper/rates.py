"""What switches cost and what they give, against JPEG and WebP at the same size in bytes."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prototxt.errors import Argument, Sentence, ZooError
from zoo.figures import new_figure, write_figure
from zoo.progress import OnProgress, counted, unheard

if TYPE_CHECKING:
    from prototxt.preprocessing import Size
    from zoo.hub import Hub
    from zoo.hub.places import HubAddress
    from zoo.paper.coding import Coder

QUALITIES = range(1, 101)
FORMATS: dict[str, list[tuple[dict[str, Any], range]]] = {
    "jpeg": [
        ({"optimize": True, "subsampling": "4:2:0"}, QUALITIES),
        ({"optimize": True, "subsampling": "4:4:4"}, QUALITIES),
    ],
    "webp": [({}, QUALITIES), ({"lossless": True}, range(100, 101))],
}
"""The ways that are tried of each format, as Pillow's options, and their qualities."""


@dataclass
class Measured:
    """Pictures of one way to code, against their originals, both as 8-bit pixels."""

    bits: float = 0
    values: int = 0
    squares: float = 0
    ssim: list[float] = field(default_factory=list)

    def add(self, original: np.ndarray, picture: np.ndarray, size: int) -> None:
        """One image, H×W×3 uint8 both, and the bytes that it took."""
        import runtime

        measure = runtime.RMSE()
        measure.add(picture[None], original[None])
        self.bits += 8 * size
        self.values += original.size
        self.squares += measure.total
        self.ssim.append(runtime.ssim(original, picture))

    def result(self) -> dict[str, Any]:
        """Bits per pixel and channel, RMSE over all pixels, its PSNR, mean SSIM.

        The PSNR is None where there is no error at all, all four where there was no image.
        """
        import runtime

        if not self.values:
            return {"images": 0, "bits": None, "rmse": None, "psnr": None, "ssim": None}
        rmse = math.sqrt(self.squares / self.values)
        return {
            "images": len(self.ssim),
            "bits": self.bits / self.values,
            "rmse": rmse,
            "psnr": runtime.psnr(rmse) if rmse else None,
            "ssim": float(np.mean(self.ssim)),
        }


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


class Ladder:
    """An image in one format at every quality: made once, asked for each network."""

    def __init__(self, image: np.ndarray, kind: str) -> None:
        from PIL import Image

        self.kind, self._original = kind, image
        self._image = Image.fromarray(np.ascontiguousarray(image[..., ::-1]))
        self._sizes: dict[tuple[int, int], int] = {}

    def best(self, most: int) -> tuple[int, np.ndarray] | None:
        """Size and picture of the best file of at most so many bytes; None where none fits.

        In each way that FORMATS lists it is the highest quality that fits (every one is tried, for
        sizes need not grow with it), and among the ways the one with the least squared error.
        """
        found = []
        for way in range(len(FORMATS[self.kind])):
            quality = self.highest(way, most)
            if quality is not None:
                picture = self._decoded(way, quality)
                error = float(np.square(picture.astype(np.float64) - self._original).sum())
                found.append((error, way, quality, picture))
        if not found:
            return None
        _, way, quality, picture = min(found, key=lambda each: each[:3])
        return self._sizes[way, quality], picture

    def highest(self, way: int, most: int) -> int | None:
        """The highest quality of a way whose whole file has at most so many bytes."""
        for quality in reversed(FORMATS[self.kind][way][1]):
            if (way, quality) not in self._sizes:
                self._sizes[way, quality] = len(self.encoded(way, quality))
            if self._sizes[way, quality] <= most:
                return quality
        return None

    def encoded(self, way: int, quality: int) -> bytes:
        """The whole file."""
        file = io.BytesIO()
        self._image.save(file, self.kind, quality=quality, **FORMATS[self.kind][way][0])
        return file.getvalue()

    def _decoded(self, way: int, quality: int) -> np.ndarray:
        from PIL import Image

        with Image.open(io.BytesIO(self.encoded(way, quality))) as found:
            return np.asarray(found.convert("RGB"))[..., ::-1]


def measure(
    coders: Mapping[str, Coder],
    images: Iterable[np.ndarray],
    on_progress: Callable[[], object] = lambda: None,
) -> tuple[list[Row], float]:
    """Every network over H×W×3 uint8 BGR images of any sizes.

    Returns a row each, and what lossless PNG takes in bits per pixel and channel.
    """
    from runtime import InferenceError
    from runtime.codec import dump

    rows = {name: Row(name) for name in coders}
    png = values = 0
    for image in images:
        height, width = image.shape[:2]
        ladders = {kind: Ladder(image, kind) for kind in FORMATS}
        png += 8 * _png_size(image)
        values += image.size
        for name, coder in coders.items():
            header, row = coder.header(height, width), rows[name]
            masks = coder.switches(image)
            written = dump(io.BytesIO(), header, masks)
            _add_cost(row, image.size, header.levels, written.fixed_bits, written.entropy_bits)
            row.switches.add(image, coder.picture(masks, height, width), written.size)
            for kind, ladder in ladders.items():
                found = ladder.best(written.size)
                if found is not None:
                    size, picture = found
                    row.others[kind].add(image, picture, size)
            on_progress()
    if not values:
        raise InferenceError(
            "no image can be read", remedy=Sentence("give others with ", Argument("data"))
        )
    return list(rows.values()), png / values


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


COLUMNS = ("arch", "fixed", "entropy", "file", "switches", "JPEG", "WebP")
"""Bits per pixel and channel three times, then RMSE / PSNR / SSIM three times."""


def cells(row: Row) -> list[str]:
    """A row as text, by COLUMNS; says of a format how many images it could make so small."""

    def quality(measured: Measured) -> str:
        found = measured.result()
        if not found["images"]:
            return "none so small"
        if found["psnr"] is None:
            text = "lossless"
        else:
            text = f"{found['rmse']:.4f} / {found['psnr']:.1f} / {found['ssim']:.3f}"
        fewer = found["images"] < len(row.switches.ssim)
        return f"{text} ({found['images']} images)" if fewer else text

    coded = row.switches.bits / row.switches.values
    bits = [f"{value:.2f}" for value in (row.fixed, row.entropy, coded)]
    return [row.name, *bits, *map(quality, (row.switches, *row.others.values()))]


EXPLANATION = (
    "fixed, entropy and file are bits per pixel and colour channel, a third of bits per pixel: "
    "2 bits a switch, as the paper counts, padding included; the order-0 entropy, channel by "
    "channel; the whole .switches file. Then RMSE over all 8-bit pixels (in [0,1]) / its PSNR (dB) "
    "/ mean SSIM. JPEG and WebP: for each image the best file, by Pillow, that is not larger than "
    "its .switches file: the highest quality that fits, of JPEG 4:2:0 or 4:4:4, of WebP lossy, or "
    "lossless."
)


def as_markdown(rows: Sequence[Row], about: Mapping[str, Any]) -> str:
    """The table as a document."""
    lines = [
        "# Switches as an image format",
        "",
        f"{about['images']} images of {about['data']}, {about['size']}. Lossless PNG takes "
        f"{about['png_bits']:.2f} bits per pixel and channel.",
        "",
        EXPLANATION,
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "| --- |" + " ---: |" * (len(COLUMNS) - 1),
        *("| " + " | ".join(cells(row)) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def as_json(rows: Sequence[Row], about: Mapping[str, Any]) -> str:
    """The content of rate.json: `about` and the rows."""
    return json.dumps({**about, "rows": [row.result() for row in rows]}, indent=2) + "\n"


def plot(rows: Sequence[Row], path: Path) -> None:
    """PSNR and SSIM against bits per pixel and channel, as a PNG."""
    figure = new_figure(10.4, 4.6)
    found = [row.result() for row in rows]
    learned = [row for row in found if row["arch"].endswith("-learned")]
    others = [row for row in found if row not in learned]
    series = (
        ("switches", "switches", others, "o", "#4c72b0"),
        ("learned switches", "switches", learned, "*", "#8172b3"),
        ("JPEG, as many bytes", "jpeg", found, "s-", "#dd8452"),
        ("WebP, as many bytes", "webp", found, "D-", "#55a868"),
    )
    for axes, measure, unit in zip(
        figure.subplots(1, 2), ("psnr", "ssim"), ("PSNR, dB", "SSIM"), strict=True
    ):
        for label, name, chosen, style, colour in series:
            points = sorted(
                (row[name]["bits"], row[name][measure], row["arch"])
                for row in chosen
                if row[name]["images"] and row[name][measure] is not None
            )
            if not points:
                continue
            bits, values, names = zip(*points, strict=True)
            axes.plot(bits, values, style, color=colour, markersize=5, linewidth=0.8, label=label)
            if name == "switches":
                _annotate(axes, bits, values, names, above=chosen is learned)
        axes.set(xscale="log", xlabel="bits per pixel and colour channel, whole file", ylabel=unit)
        axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axes.minorticks_off()
        axes.margins(x=0.14)
        axes.grid(linewidth=0.3)
        axes.legend(fontsize=8)
    write_figure(figure, path)


TICKS = (0.25, 0.5, 1, 2, 4, 8, 16)


def _annotate(
    axes: Any, bits: Sequence[float], values: Sequence[float], names: Sequence[str], above: bool
) -> None:
    """The arch beside each point: those that share a rate to its left and its right."""
    for number, (x, y, name) in enumerate(zip(bits, values, names, strict=True)):
        left = number % 2 == 0
        axes.annotate(
            name.removesuffix("-learned").replace("_", ","),
            (x, y),
            xytext=(-5 if left else 5, 5 if above else -9),
            textcoords="offset points",
            horizontalalignment="right" if left else "left",
            fontsize=6,
        )


@dataclass(frozen=True)
class Rates:
    """What `zoo rate` measured: a row for each network."""

    rows: list[Row]
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
            "rows": [row.result() for row in self.rows],
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

    extras.require("PIL", "skimage", *(["matplotlib"] if folder else []))
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

    rows, png = measure(coders, images(), counted(on_progress, len(items) * len(coders)))
    about: dict[str, Any] = {
        "data": Path(source).name,
        "images": len(items) - len(skipped),
        "size": f"{size[0]}x{size[1]}" if size else "each of its own size",
        "held_out": held_out or None,
        "png_bits": round(png, 6),
    }
    files = write(rows, about, folder) if folder is not None else ()
    notes += sorted({note for coder in coders.values() for note in coder.notes})
    return Rates(rows, about, source, tuple(skipped), files, tuple(notes))


def networks(hub: Hub) -> list[str]:
    """The networks of a hub that rebuild images from switches, newest versions, small first."""
    from zoo.paper import architectures

    order = {arch: number for number, arch in enumerate(architectures.ARCHES)}
    found = [
        (architectures.bits_per_pixel(entry.arch), order.get(entry.arch, len(order)), entry.name)
        for entry in hub.index.newest()
        if entry.arch is not None and entry.task == "reconstruct"
    ]
    if not found:
        raise ZooError(
            "no network in it that rebuilds images", subject=hub.name, remedy="name another"
        )
    return [name for _, _, name in sorted(found)]


def write(rows: Sequence[Row], about: Mapping[str, Any], folder: Path) -> tuple[Path, ...]:
    """Write rate.md, rate.json and rate.png into a folder, made if need be; returns their paths."""
    from prototxt.files import atomic_write, make_folder

    make_folder(folder)
    table, data, figure = (folder / f"rate.{kind}" for kind in ("md", "json", "png"))
    atomic_write(table, as_markdown(rows, about))
    atomic_write(data, as_json(rows, about))
    plot(rows, figure)
    return table, data, figure
