"""What a converted model says of itself, as ONNX metadata properties.

caffe.prototxt, caffe.prototxt.sha256   name and digest of the definition
caffe.weights, caffe.weights.sha256     the same of the caffemodel, where there was one
caffe.phase                             test or train
zoo.version                             the version of this tool
zoo.weights                             "caffemodel", or "fillers, seed N" where none was given
zoo.arch, zoo.task                      n1_n2_n3, and reconstruct or classify, if recognised
zoo.part                                encoder or decoder, of a model that was split
zoo.input_size                          HEIGHTxWIDTH that the definition states
zoo.resize                              bilinear: OpenCV's plain filter, without antialiasing
zoo.resize_size                         HEIGHTxWIDTH that images are resized to before they are cut
zoo.crop                                HEIGHTxWIDTH of the centre that is cut out
zoo.mean                                b,g,r subtracted from pixels of 0..255
zoo.mean.file, zoo.mean.file.sha256     the mean image; zoo.mean then is its average colour
zoo.scale                               factor applied after the subtraction
zoo.channel_order                       BGR, RGB or GRAY
zoo.input                               "uint8 RGB" or "uint8 GRAY" where the model does all of this
                                        but the resizing itself, and takes N×H×W×C pixels
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo import __version__, transforms

if TYPE_CHECKING:
    from prototxt.net import NetDefinition
    from zoo.paper.architectures import Recognised
    from zoo.transforms import Transform

IMAGENET_MEAN = "104.007,116.669,122.679"
"""The customary mean colour (BGR, 0..255) of Caffe's ILSVRC2012 networks."""


@dataclass(frozen=True)
class Preprocessing:
    """How pixels become the input, and in words where that was found."""

    mean: str
    size: tuple[int, int]
    notes: tuple[str, ...] = ()


def describe(
    prototxt: Path,
    weights: Path | None,
    net: NetDefinition,
    *,
    phase: str,
    seed: int,
    mean: str | None,
    recognised: Recognised | None,
    input_shape: tuple[int, ...] | None,
    digest: Callable[[], str] | None = None,
    transform: Transform | None = None,
    folded: bool = False,
) -> dict[str, str]:
    """The properties of a model about to be written. Reads the files to take their digests.

    `digest` gives that of the weights, where it is being taken already (`sha256_meanwhile`).
    `mean` is the text of `--mean`; without it the definition's own `transform_param` is used, if
    not `transform` is given. `folded` tells that the model does it all itself.
    """
    if transform is None:
        transform = transforms.stated(net).overridden(mean, None, None, None)
    image = input_shape is not None and len(input_shape) == 4 and input_shape[1] in (1, 3)
    channels = 1 if image and input_shape is not None and input_shape[1] == 1 else 3
    found = {
        "caffe.prototxt": prototxt.name,
        "caffe.prototxt.sha256": sha256(prototxt),
        "caffe.phase": phase,
        "zoo.version": __version__,
        "zoo.channel_order": "GRAY" if channels == 1 else transform.order,
        "zoo.weights": "caffemodel" if weights is not None else f"fillers, seed {seed}",
    }
    if weights is not None:
        found["caffe.weights"] = weights.name
        found["caffe.weights.sha256"] = digest() if digest is not None else sha256(weights)
    if recognised is not None:
        found["zoo.arch"] = recognised.arch
        found["zoo.task"] = "classify" if recognised.classify else "reconstruct"
    if input_shape is not None and len(input_shape) == 4:
        found["zoo.input_size"] = f"{input_shape[2]}x{input_shape[3]}"
    if image:
        found["zoo.resize"] = "bilinear"
    for key, plane in (("zoo.resize_size", transform.resize), ("zoo.crop", transform.crop)):
        if plane is not None:
            found[key] = f"{plane[0]}x{plane[1]}"
    if transform.scale is not None:
        found["zoo.scale"] = f"{transform.scale:.9g}"
    if transform.mean is not None:
        found.update(_mean(transform.mean, channels))
    elif transform.lost is not None:
        found["zoo.mean.file"] = Path(transform.lost).name
    if folded:
        found["zoo.input"] = "uint8 GRAY" if channels == 1 else "uint8 RGB"
    return found


def preprocessing(
    metadata: Mapping[str, str],
    *,
    mean: str | None,
    size: tuple[int, int] | None,
    fixed: tuple[int, int] | None,
) -> Preprocessing:
    """How to feed a model: what the user gave, else what the model says of itself, else the
    paper's habit, saying so. `fixed` is the height and width that the model's input allows.
    """
    from zoo.errors import UsageError

    notes = []
    if "zoo.input" in metadata:
        if mean is not None:
            raise UsageError("the model subtracts its own mean", hint="leave --mean out")
        mean = metadata.get("zoo.mean", "0")
    elif mean is None:
        mean = metadata.get("zoo.mean")
        if mean is not None and "zoo.mean.file" in metadata:
            notes.append(
                f"the mean image {metadata['zoo.mean.file']} stands in as its average colour "
                f"{mean}; give --mean for the image itself"
            )
        if mean is None:
            mean = IMAGENET_MEAN
            notes.append(f"neither --mean nor the model gives a mean; took ImageNet's {mean}")
    if size is not None and fixed is not None and size != fixed:
        raise UsageError(
            f"--size {size[0]}x{size[1]}: the model takes {fixed[0]}x{fixed[1]} only",
            hint="convert it again without --shape, or leave --size out",
        )
    if size is None:
        stated = _plane(metadata.get("zoo.resize_size"))
        if "zoo.input" in metadata:
            size = fixed or stated or _plane(metadata.get("zoo.crop"))
        elif "zoo.crop" in metadata and fixed in (None, _plane(metadata["zoo.crop"])):
            size = stated
        size = size or fixed or input_size(metadata) or (128, 128)
    return Preprocessing(mean, size, tuple(notes))


def untrained(metadata: Mapping[str, str]) -> str | None:
    """A sentence about a model whose weights nobody trained, None of any other."""
    weights = metadata.get("zoo.weights", "")
    if not weights.startswith("fillers"):
        return None
    return f"this network is untrained: its weights were drawn by {weights}"


def sha256(path: Path) -> str:
    """The digest of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_meanwhile(path: Path) -> Callable[[], str]:
    """Begin to take a digest in another thread; call the result to have it."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(sha256, path)
    pool.shutdown(wait=False)
    return future.result


def _mean(spec: str, channels: int) -> dict[str, str]:
    from runtime import read_mean

    average = read_mean(spec, channels).reshape(channels, -1).mean(axis=1)
    found = {"zoo.mean": ",".join(f"{value:.9g}" for value in average)}
    path = Path(spec)
    if path.is_file():
        found["zoo.mean.file"] = path.name
        found["zoo.mean.file.sha256"] = sha256(path)
    return found


def input_size(metadata: Mapping[str, str]) -> tuple[int, int] | None:
    """Height and width that the definition stated, None where the model does not say."""
    return _plane(metadata.get("zoo.input_size"))


def _plane(text: str | None) -> tuple[int, int] | None:
    height, x, width = (text or "").partition("x")
    return (int(height), int(width)) if x and height.isdecimal() and width.isdecimal() else None
