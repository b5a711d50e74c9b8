"""The tunnel paper's table and figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zoo.paper import architectures
from zoo.paper.table2_rows import Row, rows
from zoo.progress import OnProgress, counted
from zoo.reproduction.inputs import Inputs
from zoo.reproduction.items import SOURCES, Item, Made, Number, Picture

__all__ = ["ITEMS"]

TUNNEL = SOURCES["tunnel"]
SIZE = (architectures.SIZE, architectures.SIZE)
WORSE = "rows in which pretraining makes it worse, of the six"
SHOWN = 3
"""Photographs that are drawn."""
STRIP = (1080, 128)
"""Width and height of the channels of a stage, side by side."""


def authors(row: Row) -> str:
    """What the number of a row of the authors' weights is called."""
    return f"RMSE of {row.arch}, {row.encoder} encoder, the authors' weights"


def ours(row: Row) -> str:
    """The same of our network with a random encoder."""
    return f"RMSE of {row.arch}, random encoder, ours"


def learned(row: Row) -> str:
    """The same of our network that learned its switches."""
    return f"RMSE of {row.arch}, learned switches, ours"


def table2_numbers() -> list[Number]:
    """Every number of Table II, met by the authors' weights and, as a limit, by ours."""
    table = rows()
    drawn = [row for row in table if row.encoder == "random"]
    found = [Number(authors(row), row.published) for row in table]
    found += [Number(ours(row), row.published, "at most") for row in drawn]
    found += [Number(learned(row), row.published, "at most") for row in drawn]
    return [*found, Number(WORSE, float(len(worse(table, "published"))), "by", 1.0, 0)]


def worse(table: Sequence[Row], measure: str) -> list[str]:
    """The archs whose pretrained encoder has the greater RMSE, of those that have both."""
    found: dict[str, dict[str, float]] = {}
    for row in table:
        value = getattr(row, measure)
        if value is not None:
            found.setdefault(row.arch, {})[row.encoder] = value
    return [a for a, by in found.items() if len(by) == 2 and by["pretrained"] > by["random"]]


def table2(inputs: Inputs, on_progress: OnProgress) -> Made:
    """Table II, measured, and the curve of it (Fig. 3)."""
    import runtime
    from zoo.figures import encoded
    from zoo.paper import table2 as tables
    from zoo.paper import table2_pictures

    images, data = inputs.photographs()
    table = rows()
    weights, mean = inputs.path("caffemodels"), inputs.path("mean")
    runs = sum(2 if row.encoder == "random" else 0 for row in table)
    if weights is not None:
        runs += sum(tables.caffemodel(weights, row) is not None for row in table)
    tables.fill(
        table,
        images,
        caffemodels=weights,
        mean=None if mean is None else runtime.read_mean(str(mean)),
        hub=inputs.hub,
        on_progress=counted(on_progress, runs * len(images)),
    )
    values: dict[str, float] = {}
    for row in table:
        measured = {authors(row): row.converted, ours(row): row.ours, learned(row): row.learned}
        values |= {what: value for what, value in measured.items() if value is not None}
    both = [row.arch for row in table if row.encoder == "pretrained" and row.converted]
    notes = []
    if both:
        values[WORSE] = float(len(worse(table, "converted")))
        notes.append(f"pretrained weights are at hand of {', '.join(both)}")
    plot = Picture("RMSE by bits per pixel (Fig. 3)", encoded(table2_pictures.figure(table)))
    return Made(data, values, [plot], notes)


def bits_numbers() -> list[Number]:
    """Bits per pixel of each arch, as the paper counts."""
    return [
        Number(f"bits per pixel of {arch}", bits, "within", 0.01, 2)
        for arch, bits in zip(architectures.ARCHES, BITS, strict=True)
    ]


BITS = (1.75, 1.75, 3.5, 3.5, 7.0, 7.0, 14.0, 14.0)
"""Table II: bits of the switches for each pixel and colour channel."""


def bits(inputs: Inputs, on_progress: OnProgress) -> Made:
    """What the switches of a photograph really take, at two bits each, in a file."""
    import tempfile

    import runtime
    from zoo.hub import locate
    from zoo.paper import coding

    [(name, image)], _ = inputs.pictures(1)
    image = runtime.resize(image, *SIZE)
    step = counted(on_progress, len(architectures.ARCHES))
    values = {}
    with tempfile.TemporaryDirectory() as folder:
        for arch, number in zip(architectures.ARCHES, bits_numbers(), strict=True):
            coder = coding.open_coder(locate(arch, inputs.hub), "cpu")
            written = coding.encode(coder, image, Path(folder) / "image.switches", raw=True)
            values[number.what] = 8 * written.size / image.size
            step()
    return Made(f"{name}, {SIZE[0]}x{SIZE[1]} pixels", values)


def networks(inputs: Inputs) -> dict[str, Path]:
    """Our networks of a hub, random encoders first, by name."""
    from zoo.errors import HubError
    from zoo.hub import locate

    found: dict[str, Path] = {}
    for encoder in ("random", "learned"):
        for arch in architectures.ARCHES:
            name = architectures.model_name(arch, encoder)
            try:
                found[name] = locate(name, inputs.hub)
            except HubError:
                continue
    return found


def figure1(inputs: Inputs, on_progress: OnProgress) -> Made:
    """What each network rebuilds of photographs."""
    from runtime.pictures import png
    from zoo.paper import table2_pictures
    from zoo.paper.models import open_model
    from zoo.paper.reconstruction import Reconstruction, reconstruct

    images, data = inputs.pictures(SHOWN)
    found = networks(inputs)
    step = counted(on_progress, len(found))
    drawn: dict[str, list[Reconstruction]] = {}
    for name, path in found.items():
        opened = open_model(path)
        drawn[name] = [reconstruct(opened.model, pixels, opened.mean, SIZE) for _, pixels in images]
        step()
    sheets = table2_pictures.sheets(drawn)
    pictures = [
        Picture(f"{name}, rebuilt from switches alone", png(sheet))
        for (name, _), sheet in zip(images, sheets, strict=True)
    ]
    return Made(f"{data}, {SIZE[0]}x{SIZE[1]} pixels", {}, pictures)


def figure4(inputs: Inputs, on_progress: OnProgress) -> Made:
    """What each stage of a decoder makes of the switches, channel by channel."""
    import numpy as np

    import runtime
    from prototxt.opencv import cv2
    from runtime.pictures import png
    from zoo.gallery.activations import decoder_stages
    from zoo.hub import locate
    from zoo.paper.models import open_model

    images, data = inputs.pictures(1)
    names = ("8_8_8", "8_8_8-learned", "64_64_64")
    step = counted(on_progress, len(names))
    pictures = []
    for name in names:
        path = locate(name, inputs.hub)
        opened = open_model(path, "cpu")
        blob = runtime.Feeder(opened.model, opened.mean, SIZE).blob(images[0][1])
        rows = []
        for stage in decoder_stages(path, blob):
            white = np.where(stage.strip[..., 3:] > 0, stage.strip[..., :3], 252).astype(np.uint8)
            shown = cv2.resize(white, STRIP, interpolation=cv2.INTER_NEAREST)
            about = f"{stage.name}: {stage.channels} channels of {stage.height}x{stage.width}"
            rows.append([(shown, about)])
        pictures.append(Picture(f"{name}: stage by stage", png(runtime.captioned_grid(rows))))
        step()
    return Made(f"{images[0][0]}, of {data}", {}, pictures)


OTHER_IMAGES = (
    "The published figures are over ImageNet's images of 2013 and 2014, ours over others, so that "
    "the authors' own weights are off by a few percent, too. "
)

ITEMS = [
    Item(
        "tunnel-table-2",
        TUNNEL,
        "Table II, Fig. 3",
        "RMSE and bits per pixel, encoders left random or pretrained for classification",
        OTHER_IMAGES
        + "Ours are trained otherwise (thresholds that silence windows, SOAP on 600 photographs, "
        "the four wide ones AdamW on 400), with the same architecture and the same code.",
        table2,
        table2_numbers(),
        uses=("photographs", "caffemodels", "mean"),
        packages=("matplotlib",),
    ),
    Item(
        "tunnel-bits",
        TUNNEL,
        "Table II, bits",
        "the code's size in a file, two bits a switch",
        "Measured from a .switches file, with its header and checksum (some 70 bytes).",
        bits,
        bits_numbers(),
        uses=("photographs",),
    ),
    Item(
        "tunnel-figure-1",
        TUNNEL,
        "Fig. 1",
        "photographs rebuilt from switches alone",
        "Other photographs, and our networks.",
        figure1,
        uses=("photographs",),
    ),
    Item(
        "tunnel-figure-4",
        TUNNEL,
        "Fig. 4",
        "what each stage of a decoder makes of the switches",
        "Another photograph, our networks; of each stage the channels that vary most, each "
        "stretched.",
        figure4,
        uses=("photographs",),
    ),
]
