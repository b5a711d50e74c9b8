"""How the embedded hub is made of trained networks.

Run by whoever trained them anew:

    zoo train --arch A --data DIR --hold-out 100 -o RUNS/A      for each arch, and with
    zoo train --arch A --encoder learned --data DIR --hold-out 100 -o RUNS/A-learned
    python -m zoo.paper.recipes.embed RUNS --data DIR --caffemodels DIR [--mean FILE]

Each network is converted anew, measured on the images that its training left out, beside the
authors' weights where they are at hand, gets its card, and is published into the package's own
folder.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.formatting import on_gpu
from zoo.hub.index import Metric
from zoo.hub.places import EMBEDDED

if TYPE_CHECKING:
    from zoo.hub.publishing import Published
    from zoo.paper.recipes.run import Files

VERSION = "1.2"
"""1.0 was made by an earlier converter and is not kept; what learned by AdamW is 1.1."""

CARD = """\
# {name}

Rebuilds an image from its max-pooling switches alone ({bits_per_pixel:g} bits per pixel and colour
channel), after *Tunnel Effect in CNNs: Image Reconstruction From Max-Switch Locations*.

| RMSE, pixels in [0,1] | |
| --- | ---: |
| this network, {held_out} images held out | {rmse_held_out:.4f} |
| the authors' weights, the same images | {authors} |
| published for a random encoder, other images | {published:.4f} |

| | |
| --- | --- |
| input | `data`, N×3×H×W, BGR, 0..255 minus the mean colour {mean}; H and W are left open |
| outputs | `deconv1_2`, the image; `pool1_mask`, `pool2_mask`, `pool3_mask`, the switches |
| encoder | {encoder_origin} |
| decoder | recipe `{recipe}`: {course}{further} |
| time | {time} |
| data | {training_images} photographs of `{data}` and random parts of them ({pool:,} in all) |
| date | {date} |

Trained on few photographs: a demonstration, and a yardstick for your own training.
"""

ORIGIN = {
    "random": "the best of {candidates} random draws (seed {encoder_seed}); never trained",
    "learned": "learned its switches together with the decoder, by straight-through gradients; "
    "begun as a random draw (seed {encoder_seed})",
}
ORIGIN_OF_ANOTHER = {
    "random": "that of an earlier `{started_from}`; never trained",
    "learned": "learned its switches together with the decoder, by straight-through gradients; "
    "begun as that of an earlier `{started_from}`",
}
"""Of one that goes on from other weights."""
COURSE = "{iterations:,} × {batch} parts of {crop}×{crop} pixels, seed {seed}"


def common(about: Mapping[str, Any]) -> dict[str, Any]:
    """What every card says: all of `about`, its mean in words, the `course` and its `time`."""
    return {
        **about,
        "mean": ", ".join(f"{value:g}" for value in about["mean"]),
        "course": COURSE.format(**about),
        "time": f"{round(about['seconds'] / 60)} minutes{on_gpu(about)}",
    }


def card(about: Mapping[str, Any], authors: float | None) -> str:
    """The Markdown card of a network that the `modern` recipe trained."""
    stated = "not at hand" if authors is None else f"{authors:.4f}"
    goes_on = about.get("started_from")
    origin = (ORIGIN_OF_ANOTHER if goes_on else ORIGIN)[about["encoder"]].format(**about)
    further = ", going on from that one's weights" if goes_on else ""
    more = {"authors": stated, "encoder_origin": origin, "further": further}
    return CARD.format(**{**common(about), **more})


def publish_trained(
    files: Files,
    hub: Path,
    version: str,
    card: str,
    source: str,
    encoder: str,
    metrics: list[Metric],
) -> Published:
    """Publish a network by its converted file, with the Markdown of its card written beside."""
    from zoo.hub.publishing import publish

    text = files.folder / "card.md"
    text.write_text(card, encoding="utf-8")
    return publish(
        [files.onnx],
        hub,
        name=files.name,
        version=version,
        card=text,
        licence="BSD-2-Clause",
        source=source,
        encoder=encoder,
        metrics=metrics,
    )


def embed(
    runs: Path,
    images: list[Any],
    others: list[Any],
    caffemodels: Path | None,
    mean: str | None,
    hub: Path = EMBEDDED,
) -> list[str]:
    """Publish every network below `runs`; returns what was done, a line for each.

    They are measured on `images`; on `others`, which they learned from, it is counted how their
    switches follow one another.
    """
    import prototxt
    import runtime
    from zoo.paper import architectures, table2, table2_rows
    from zoo.paper.recipes.run import Files
    from zoo.paper.recipes.tunnel import export

    lines = []
    rows = [row for row in table2_rows.rows() if row.encoder == "random"]
    for encoder, row in itertools.product(ORIGIN, rows):
        name = architectures.model_name(row.arch, encoder)
        trained = runs / name / f"{name}.caffemodel"
        if not trained.is_file():
            continue
        about = {**json.loads(trained.with_suffix(".json").read_text()), "name": name}
        weights = table2.caffemodel(caffemodels, row) if caffemodels else None
        authors = None
        if weights is not None:
            converted = runtime.load(table2.converted(row, weights))
            average = runtime.read_mean(mean or runtime.IMAGENET_MEAN)
            authors = runtime.evaluate(converted, images, average).rmse
        with tempfile.TemporaryDirectory() as folder:
            files = Files(Path(folder), name)
            colour = ",".join(f"{value:g}" for value in about["mean"])
            sides = (architectures.SIZE,) * 2
            counted = (runtime.resize(runtime.pixels(item), *sides) for item in others)
            export(row.arch, prototxt.read_weights(trained), colour, files, counted)
            loaded = runtime.load(files.onnx)
            found = runtime.evaluate(loaded, images, runtime.read_mean(colour))
            about["rmse_held_out"] = found.rmse
            measured = [
                Metric("rmse", round(found.rmse, 8), f"{about['data']}, held out", found.images)
            ]
            if authors is not None:
                theirs = Metric("rmse_authors", round(authors, 8), measured[0].data, found.images)
                measured.append(theirs)
            source = f"zoo train --arch {row.arch} --encoder {encoder}"
            text = card(about, authors)
            done = publish_trained(files, hub, VERSION, text, source, encoder, measured)
        ratio = f", {found.rmse / authors:.3f} of the authors'" if authors else ""
        lines.append(f"{done.outcome} {done.entry.label}: RMSE {found.rmse:.4f}{ratio}")
    return lines


def main() -> None:
    """The command line above; a line on stdout for each network."""
    from zoo.data.sources import evaluated_images

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out", type=int, default=100)
    parser.add_argument("--caffemodels", type=Path)
    parser.add_argument("--mean")
    given = parser.parse_args()
    images, _, _ = evaluated_images(given.data, given.held_out)
    every, _, _ = evaluated_images(given.data, 0)
    others = [item for item in every if item not in images]
    for line in embed(given.runs, images, others, given.caffemodels, given.mean):
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
