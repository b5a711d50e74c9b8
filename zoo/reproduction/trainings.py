"""Table II again from the first step: networks trained here by the authors' own recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prototxt.errors import ZooError
from zoo.formatting import on_gpu
from zoo.paper import architectures
from zoo.paper.table2_rows import Row, rows
from zoo.progress import OnProgress, counted
from zoo.reproduction.inputs import Inputs
from zoo.reproduction.items import SOURCES, Item, Made, Number, Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ITEMS", "Training", "trainings"]

ARCHES = ("8_8_8", "6_12_24", "16_16_16", "12_24_48")
"""Those that two cores train in hours."""
SHARE = 0.03
"""By how much ours may differ from the authors' weights on the same photographs."""


def chosen() -> list[Row]:
    """The rows of Table II that are trained again."""
    return [row for row in rows() if row.arch in ARCHES]


def error(row: Row) -> str:
    """What the RMSE of a row is called."""
    return f"RMSE of {row.arch}, {row.encoder} encoder, trained here by the authors' recipe"


def ratio(row: Row) -> str:
    """What its ratio to the authors' weights is called."""
    return f"the same, {row.arch} {row.encoder}: ratio to the authors' weights, same photographs"


def numbers() -> list[Number]:
    """The published RMSE of each row, and that ours should be no other than the authors'."""
    found = []
    for row in chosen():
        found += [Number(error(row), row.published), Number(ratio(row), 1.0, "by", SHARE, 3)]
    return found


@dataclass(frozen=True)
class Training:
    """A network that `zoo train --recipe paper` left in a folder."""

    folder: Path
    card: dict[str, Any]

    @property
    def model(self) -> Path:
        """The exported network."""
        return self.folder / f"{self.card['arch']}.onnx"

    @property
    def mean(self) -> Path:
        """The mean image that it was trained with."""
        return self.folder / "mean.binaryproto"

    @property
    def told(self) -> str:
        """The command, the time and the seed."""
        card = self.card
        pretrained = " --pretrained --classes ..." if card["encoder"] == "pretrained" else ""
        told = (
            f"`zoo train --arch {card['arch']} --recipe paper{pretrained} --data ... "
            f"--hold-out {card['held_out']} --seed {card['seed']}` on {card['training_images']} "
            f"photographs ({card['data']}): {card['iterations']:,} iterations{took(card)}"
        )
        before = card.get("pretraining")
        if before:
            told += (
                f"; its encoder learned {before['classes']} classes of "
                f"{before['training_images']:,} images before, {before['iterations']:,} "
                f"iterations{took(before)}, and is that of iteration {before['taken']:,}"
            )
        return told


def took(card: Mapping[str, Any]) -> str:
    """How long it took and on which GPU, where that is known."""
    return f" in {card['seconds'] / 60:.0f} minutes{on_gpu(card)}" if card.get("seconds") else ""


def trainings(folder: Path) -> Iterator[Training]:
    """Every training in a folder and below it; ZooError for a card that is none."""
    for path in sorted(folder.rglob("*.json")):
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as problem:
            raise ZooError(f"no JSON: {problem}", subject=path) from None
        if isinstance(card, dict) and card.get("recipe") == "paper":
            yield Training(path.parent, card)


def again(inputs: Inputs, on_progress: OnProgress) -> Made:
    """The RMSE of each network over the photographs, beside the authors' weights; their curves."""
    import runtime
    from zoo.figures import encoded
    from zoo.paper import table2
    from zoo.paper.models import open_model

    images, data = inputs.photographs()
    weights, mean = inputs.path("caffemodels"), inputs.path("mean")
    average = runtime.read_mean(str(mean) if mean is not None else runtime.IMAGENET_MEAN)
    found = list(trainings(inputs.paths["trainings"]))
    table = {(row.arch, row.encoder): row for row in chosen()}
    step = counted(on_progress, len(found))
    values: dict[str, float] = {}
    for one in found:
        row = table.get((one.card["arch"], one.card["encoder"]))
        if row is not None:
            opened = open_model(one.model, mean=str(one.mean))
            ours = runtime.evaluate(opened.model, images, opened.mean).rmse
            values[error(row)] = ours
            theirs = table2.caffemodel(weights, row) if weights is not None else None
            if theirs is not None:
                model = runtime.load(table2.converted(row, theirs))
                values[ratio(row)] = ours / runtime.evaluate(model, images, average).rmse
        step()
    curves = Picture(
        "RMSE while they learn: smoothed, and on what is held out", encoded(curve(found))
    )
    return Made(data, values, [curves], [one.told for one in found])


def curve(found: list[Training]) -> Figure:
    """The RMSE of each over the iterations, from its log."""
    from zoo.figures import new_figure
    from zoo.training.curves import read_metrics, smoothed

    figure = new_figure(7.2, 4.4)
    axes = figure.add_subplot()
    for number, one in enumerate(found):
        name = f"{one.card['arch']}, {one.card['encoder']}"
        for kind, measure, line in (("train", "smoothed_loss", "-"), ("test", "L2_loss", ":")):
            listed = read_metrics(one.folder / "metrics.jsonl", kind)
            rmse = [architectures.rmse_of_loss(row[measure]) for row in listed if measure in row]
            if not rmse:
                continue
            shown = smoothed(rmse) if kind == "train" else rmse
            iterations = [row["iteration"] for row in listed if measure in row]
            label = name if kind == "train" else None
            axes.plot(iterations, shown, line, color=f"C{number}", linewidth=1.4, label=label)
    axes.set(xlabel="iteration", ylabel="RMSE, pixels in [0,1]")
    axes.grid(True, linewidth=0.3)
    axes.legend(fontsize=8)
    return figure


ITEMS = [
    Item(
        "tunnel-authors-recipe",
        SOURCES["tunnel"],
        "Table II, trained again",
        "networks trained here by the authors' solver, AdaGrad, 50,000 iterations of 16",
        "The authors trained on ImageNet's 400,000 images of detection, 128x128; ours learn from "
        "hundreds of photographs, each of which comes a thousand times.",
        again,
        numbers(),
        needs=("trainings",),
        uses=("photographs", "caffemodels", "mean", "trainings"),
        packages=("matplotlib", "torch"),
    )
]
