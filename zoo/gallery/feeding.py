"""How a model is fed, in words: the steps from a photograph to its input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prototxt.preprocessing import Preprocessing
from prototxt.shapes import shape_text
from zoo.gallery.showing import seen_at

if TYPE_CHECKING:
    import runtime

ORDERS = {
    "BGR": "three channels in the order blue, green, red",
    "RGB": "three channels in the order red, green, blue",
    "GRAY": "one channel, the grey of ITU-R 601 (OpenCV’s)",
}


def steps(predictor: runtime.Predictor) -> list[str]:
    """The steps in their order; nothing is said that the model does not take."""
    import numpy as np

    size = seen_at(predictor)
    feeder = predictor.feeder(np.zeros((*size, 3), np.uint8))
    order = "GRAY" if feeder.grey else "RGB" if feeder.rgb else "BGR"
    found = [f"Pixels of 0 to 255, {ORDERS[order]}."]
    if predictor.task == "image-to-image" and predictor.any_size:
        found.append("As large as it is: the network takes any size.")
    else:
        fixed = " This is the only size that it takes." if predictor.fixed == size else ""
        taken = shape_text(size)
        found.append(f"Resized to {taken}, bilinear without antialiasing (OpenCV’s).{fixed}")
        if feeder.crop and feeder.crop != size:
            fixed = " This is the only size that it takes." if predictor.fixed else ""
            found.append(f"The middle {shape_text(feeder.crop)} cut out.{fixed}")
    mean = [float(value) for value in feeder.mean.reshape(len(feeder.mean), -1).mean(1)]
    known = Preprocessing.from_metadata(predictor.model.metadata).mean is not None
    guess = "" if known else " The model does not state its mean: this is a guess."
    if any(mean):
        same = len(set(mean)) == 1
        listed = ", ".join(f"{value:.6g}" for value in (mean[:1] if same else mean))
        found.append(f"Less {listed}{'' if same else ', by channel'}.{guess}")
    elif guess:
        found.append(f"No mean is subtracted.{guess}")
    if feeder.scale != 1:
        found.append(f"Times {feeder.scale:.6g}{inverse(feeder.scale)}.")
    return found


def inverse(scale: float) -> str:
    """`` (1/255)`` where the factor is one over a whole number."""
    whole = round(1 / scale)
    return f" (1/{whole})" if abs(whole) > 1 and abs(whole * scale - 1) < 1e-5 else ""
