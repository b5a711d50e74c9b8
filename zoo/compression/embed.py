"""How the embedded hub gets its networks for small files.

Run by whoever trained them anew:

    zoo train --arch A-rate-N --data DIR --hold-out 100 -o RUNS/A-rate-N     for each
    python -m zoo.compression.embed RUNS --data DIR

Each is converted anew, measured on the images that its training left out, gets its card, and is
published into the package's own folder.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import prototxt
from runtime.encoder_decoder import load_encoder_decoder
from runtime.switch_predictor import SwitchPredictor
from zoo.compression.training import export, measured
from zoo.hub.index import Metric
from zoo.hub.places import EMBEDDED
from zoo.paper.recipes.crops import cut_middle
from zoo.paper.recipes.embed import common, publish_trained
from zoo.paper.recipes.images import told
from zoo.paper.recipes.run import Files

VERSION = "1.0"
SIDE = 256
"""Of the middle of each image that is measured."""

CARD = """\
# {name}

Codes an image of any size in few bits, by nothing but max-pooling switches: those of the third
level of an encoder of convolutions and max pooling.

    zoo encode photo.jpg -o photo.switches --arch {name}

| {held_out} images held out, their middle {side}×{side} pixels | |
| --- | ---: |
| bits a pixel, whole file | {bits_per_pixel_held_out:.3f} |
| RMSE, pixels in [0,1] | {rmse_held_out:.4f} |

| | |
| --- | --- |
| input | `data`, N×3×H×W, BGR, 0..255 minus the mean colour {mean}; H and W are multiples of 8 |
| outputs | `image`; `pool3_mask`, the switches |
| trained | error and bits together, one squared grey level for {weight:g} bits; straight through |
| recipe | {course}{from_another} |
| time | {time} |
| data | {training_images} photographs of `{data}`, {pool:,} parts at half to their own scale |
| date | {date} |
"""


def card(about: Mapping[str, Any]) -> str:
    """The Markdown card of a network."""
    from zoo.compression.definitions import RATES

    origin = about["started_from"]
    more = {
        "from_another": f", going on from the weights of `{origin}`" if origin else "",
        "side": SIDE,
        "weight": RATES[about["number"] - 1],
    }
    return CARD.format(**{**common(about), **more})


def embed(runs: Path, images: list[np.ndarray], data: str, hub: Path = EMBEDDED) -> list[str]:
    """Publish every network below `runs`, measured on these H×W×3 images; a line for each.

    `data` is what they are called that the images are of.
    """
    lines = []
    held = cut_middle(images, SIDE)
    for folder in sorted(runs.iterdir()):
        trained = Files(folder, folder.name)
        if not trained.onnx.is_file():
            continue
        about = json.loads(trained.json.read_text())
        known = load_encoder_decoder(trained.onnx, "cpu").entropy_model
        assert isinstance(known, SwitchPredictor)
        with tempfile.TemporaryDirectory() as place:
            files = Files(Path(place), folder.name)
            colour = ",".join(f"{value:g}" for value in about["mean"])
            export(folder.name, prototxt.read_weights(trained.caffemodel), known, colour, files)
            found = measured(files.onnx, held)
            about |= {**found, "held_out": len(held)}
            where = f"{data}, held out"
            rmse, bits = found["rmse_held_out"], found["bits_per_pixel_held_out"]
            metrics = [
                Metric("rmse", rmse, where, len(held)),
                Metric("bits_per_pixel", bits, where, len(held)),
            ]
            source = f"zoo train --arch {folder.name}"
            done = publish_trained(files, hub, VERSION, card(about), source, "learned", metrics)
        lines.append(f"{done.outcome} {done.entry.label}: RMSE {rmse:.4f}, {bits:.3f} bits a pixel")
    return lines


def main() -> None:
    """The command line above; a line on stdout for each network."""
    import runtime
    from zoo.data.sources import evaluated_images

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out", type=int, default=100)
    given = parser.parse_args()
    items, _, _ = evaluated_images(given.data, given.held_out)
    images = [runtime.pixels(item) for item in items]
    for line in embed(given.runs, images, told(str(given.data))):
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
