"""The controls of the tunnel paper's talk: what the decoder does without this or that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.paper import architectures
from zoo.progress import OnProgress, counted
from zoo.reproduction.inputs import Inputs
from zoo.reproduction.items import SOURCES, Item, Made, Number, Picture
from zoo.reproduction.trainings import Training, trainings

if TYPE_CHECKING:
    from runtime import Model
    from zoo.paper.coding import Coder

__all__ = ["ITEMS"]

TUNNEL = SOURCES["tunnel"]
ARCH = "64_64_64"
"""The network that the controls are shown with."""
SHOWN = 3
JUDGES = 16
"""Photographs that a control is measured over at most."""
SIZES = (64, 128, 256, 512)
FACTOR = 1000.0
"""By how much the features are scaled."""
SHUFFLED: dict[str, tuple[int, ...]] = {
    "as they are": (),
    "level 1 shuffled": (0,),
    "level 2 shuffled": (1,),
    "level 3 shuffled": (2,),
    "all shuffled": (0, 1, 2),
}


def coder_of(inputs: Inputs, name: str = ARCH) -> Coder:
    """A network of the hub, cut at its switches."""
    from zoo.hub import locate
    from zoo.paper import coding

    return coding.open_coder(locate(name, inputs.hub), "cpu")


def judges(
    inputs: Inputs, size: int = architectures.SIZE
) -> tuple[list[tuple[str, np.ndarray]], str]:
    """Photographs, resized: name and H×W×3 uint8 BGR."""
    import runtime

    found, data = inputs.pictures(JUDGES)
    return [(name, runtime.resize(pixels, size, size)) for name, pixels in found], data


def rmse(pictures: Sequence[np.ndarray], images: Sequence[np.ndarray]) -> float:
    """Over all pixels, in [0, 1], of uint8 pictures."""
    squares = [
        np.square((a.astype(np.float64) - b) / 255).mean()
        for a, b in zip(pictures, images, strict=True)
    ]
    return math.sqrt(float(np.mean(squares)))


def shuffled(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask (C×h×w of indices into its plane) with each channel's switches in another order."""
    width = 2 * mask.shape[2]
    corner = 2 * (mask // width % 2) + mask % width % 2
    mixed = rng.permuted(corner.reshape(len(mask), -1), axis=1).reshape(mask.shape)
    return np.asarray(first_places(mask) + mixed // 2 * width + mixed % 2, np.int64)


def switches(inputs: Inputs, on_progress: OnProgress) -> Made:
    """Switches in another order, level by level."""
    import runtime
    from runtime.pictures import png

    images, data = judges(inputs)
    coder = coder_of(inputs)
    rng = np.random.default_rng(inputs.seed)
    step = counted(on_progress, len(images))
    made: dict[str, list[np.ndarray]] = {name: [] for name in SHUFFLED}
    for _, image in images:
        masks = coder.switches(image)
        for name, levels in SHUFFLED.items():
            mixed = [shuffled(m, rng) if n in levels else m for n, m in enumerate(masks)]
            made[name].append(coder.picture(mixed, *image.shape[:2]))
        step()
    originals = [image for _, image in images]
    values = {shuffle_what(name): rmse(made[name], originals) for name in SHUFFLED}
    grid = [
        (name, [image, *(made[kind][place] for kind in SHUFFLED)])
        for place, (name, image) in enumerate(images[:SHOWN])
    ]
    sheet = runtime.labelled_grid(grid, ["original", *SHUFFLED])
    pictures = [Picture(f"{ARCH}: switches in another order within each channel", png(sheet))]
    return Made(data, values, pictures)


def shuffle_what(name: str) -> str:
    """What the number of a way to shuffle is called."""
    return f"RMSE of {ARCH}, switches {name}"


SCALED = f"greatest change of a pixel when the features are multiplied by {FACTOR:g}"


def features(inputs: Inputs, on_progress: OnProgress) -> Made:
    """The features at the bottleneck scaled: a multiplication before the bias layer."""
    import onnx
    from onnx import helper, numpy_helper

    import runtime
    from runtime.onnx_files import read_model
    from runtime.pictures import png
    from zoo.hub import locate
    from zoo.paper.models import open_model

    path = locate(ARCH, inputs.hub)
    model = read_model(path)
    place, bias = next((i, n) for i, n in enumerate(model.graph.node) if n.name == "bias4")
    factor = numpy_helper.from_array(np.asarray(FACTOR, np.float32), "features/factor")
    model.graph.initializer.append(factor)
    louder = helper.make_node("Mul", [bias.input[0], factor.name], ["features/scaled"])
    features = bias.input[0]
    bias.input[0] = louder.output[0]
    model.graph.node.insert(place, louder)
    model.graph.output.append(onnx.ValueInfoProto(name=features))
    opened = open_model(path, "cpu")
    scaled = runtime.load(model.SerializeToString(), "cpu", name=str(path))
    images, data = judges(inputs)
    step = counted(on_progress, len(images))
    output = runtime.image_output(opened.model)
    feeder = runtime.Feeder(opened.model, opened.mean, (architectures.SIZE,) * 2)
    change, greatest, rows = 0.0, 0.0, []
    for name, image in images:
        blob = {opened.model.inputs[0].name: feeder.blob(image)[None]}
        plain = opened.model.run(blob, [output])[output]
        found = scaled.run(blob, [output, features])
        change = max(change, float(np.abs(found[output] - plain).max()))
        greatest = max(greatest, float(np.abs(found[features]).max()))
        rows.append((name, [image, feeder.picture(plain[0]), feeder.picture(found[output][0])]))
        step()
    columns = ["original", "features as they are", f"features times {FACTOR:g}"]
    sheet = runtime.labelled_grid(rows[:SHOWN], columns)
    note = f"the greatest feature was {greatest:.3g} before it was scaled"
    return Made(data, {SCALED: change}, [Picture(f"{ARCH}: features scaled", png(sheet))], [note])


FLOATS = "greatest change of a pixel when a file of switches, and nothing else, is decoded"
INSIDE = "floats in that file"


def floats(inputs: Inputs, on_progress: OnProgress) -> Made:
    """A code without a single float: what a .switches file holds is all that is decoded."""
    import tempfile

    import runtime
    from runtime.codec import read_masks
    from runtime.pictures import png
    from zoo.hub import locate
    from zoo.paper import coding
    from zoo.paper.models import open_model

    path = locate(ARCH, inputs.hub)
    opened, coder = open_model(path, "cpu"), coder_of(inputs)
    images, data = judges(inputs)
    step = counted(on_progress, len(images))
    feeder = runtime.Feeder(opened.model, opened.mean, (architectures.SIZE,) * 2)
    output = runtime.image_output(opened.model)
    change, inside, rows, sizes = 0.0, 0, [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "image.switches"
        for name, image in images:
            written = coding.encode(coder, image, file, raw=True)
            masks = list(read_masks(file))
            inside += sum(mask.dtype.kind == "f" for mask in masks)
            decoded = coding.decode(coder, file)
            blob = feeder.blob(image)[None]
            whole = opened.model.run({opened.model.inputs[0].name: blob}, [output])[output]
            plain = feeder.picture(whole[0])
            change = max(change, float(np.abs(decoded.astype(int) - plain).max()))
            rows.append((name, [image, plain, decoded]))
            sizes.append(written.size)
            step()
    columns = ["original", "the whole network", "decoded from the file"]
    sheet = runtime.labelled_grid(rows[:SHOWN], columns)
    note = f"a file has {sizes[0]:,} bytes for {images[0][1].size:,} values"
    pictures = [Picture(f"{ARCH}: from a file of switches", png(sheet))]
    return Made(data, {FLOATS: change, INSIDE: float(inside)}, pictures, [note])


AVERAGED = "greatest difference between the pictures of two photographs, average pooling"
SWITCHED = "the same with max pooling and its switches"
BOUND = "RMSE that no decoder without switches can be below"


def average(inputs: Inputs, on_progress: OnProgress) -> Made:
    """Average pooling has no switches: every photograph gives the same picture."""
    import converters
    import prototxt
    import runtime
    from runtime.pictures import png
    from zoo.paper import table2 as tables
    from zoo.paper.table2_rows import Row

    arch = "8_8_8"
    text = architectures.definition(arch)
    without = text.replace("pool: MAX", "pool: AVE").replace("unpool: AVE", "unpool: MAX")
    for level in (1, 2, 3):
        for side in ("top", "bottom"):
            without = without.replace(f'  {side}: "pool{level}_mask"\n', "")
    folder = inputs.path("caffemodels")
    weights = None
    if folder is not None:
        weights = tables.caffemodel(folder, Row(arch, "random", 0.0, None))
    images, data = judges(inputs)
    step = counted(on_progress, 2 * len(images))
    mean = runtime.read_mean(str(inputs.path("mean") or runtime.IMAGENET_MEAN))
    made: list[list[np.ndarray]] = []
    for definition in (without, text):
        conversion = converters.convert(
            prototxt.parse_net(definition), weights, seed=inputs.seed, fold=False
        )
        model = runtime.load(conversion.to_onnx().SerializeToString(), "cpu")
        feeder = runtime.Feeder(model, mean, (architectures.SIZE,) * 2)
        output = runtime.image_output(model)
        found = []
        for _, image in images:
            blob = {model.inputs[0].name: feeder.blob(image)[None]}
            found.append(model.run(blob, [output])[output][0])
            step()
        made.append(found)
    coder = coder_of(inputs)
    spread = [float(max(np.abs(one - found[0]).max() for one in found)) for found in made]
    originals = np.stack([image for _, image in images]).astype(np.float64) / 255
    bound = float(np.sqrt(np.square(originals - originals.mean(0)).mean()))
    rows = []
    for name, image in images[:SHOWN]:
        masks = coder.switches(image)
        told = [masks, [first_places(mask) for mask in masks]]
        rows.append((name, [image, *(coder.picture(one, *image.shape[:2]) for one in told)]))
    sheet = runtime.labelled_grid(rows, ["original", "max pooling, switches", "average pooling"])
    about = f"{arch}, {'the authors’ weights' if weights is not None else 'drawn weights'}"
    caption = f"{ARCH}: with its switches, and told as much as average pooling tells"
    values = {AVERAGED: spread[0], SWITCHED: spread[1], BOUND: bound}
    return Made(
        data, values, [Picture(caption, png(sheet))], [f"the first two numbers are of {about}"]
    )


def first_places(mask: np.ndarray) -> np.ndarray:
    """The mask (C×h×w) of unpooling without switches: each value in its window's first place."""
    channels, rows, columns = mask.shape
    first = 4 * np.arange(rows)[:, None] * columns + 2 * np.arange(columns)
    return np.broadcast_to(first, (channels, rows, columns)).astype(np.int64)


def size_what(size: int) -> str:
    """What the number of a size is called."""
    return f"RMSE of {ARCH} at {size}x{size}, trained at 128x128"


def sizes(inputs: Inputs, on_progress: OnProgress) -> Made:
    """Other sizes than that of the training: the network is convolutional."""
    from runtime.pictures import png

    coder = coder_of(inputs)
    step = counted(on_progress, len(SIZES))
    values, pictures, data = {}, [], ""
    for size in SIZES:
        images, data = judges(inputs, size)
        found = [coder.picture(coder.switches(image), size, size) for _, image in images]
        values[size_what(size)] = rmse(found, [image for _, image in images])
        if size > architectures.SIZE:
            pair = np.concatenate([images[0][1], found[0]], axis=1)
            caption = f"{images[0][0]} at {size}x{size}, and from its switches"
            pictures.append(Picture(caption, png(pair)))
        step()
    return Made(data, values, pictures)


def encoders(inputs: Inputs, on_progress: OnProgress) -> Made:
    """Encoders left random, pretrained for classification, and trained for their switches."""
    import runtime
    from runtime.pictures import png
    from zoo.paper.reconstruction import reconstruct

    images, data = judges(inputs)
    here = {}
    if inputs.path("trainings") is not None:
        found = trainings(inputs.paths["trainings"])
        here = {one.card["arch"]: one for one in found if one.card["encoder"] == "pretrained"}
    arches = dict.fromkeys((SIDE_BY_SIDE, *sorted(here)))
    columns = {arch: side_by_side(arch, inputs, here.get(arch)) for arch in arches}
    step = counted(on_progress, sum(map(len, columns.values())))
    values: dict[str, float] = {}
    pictures = []
    for arch, networks in columns.items():
        made = {}
        for name, (model, mean) in networks.items():
            size = (architectures.SIZE,) * 2
            made[name] = [reconstruct(model, pixels, mean, size) for _, pixels in images]
            step()
        cells = [
            [
                (image, name),
                *((one[place].image, f"RMSE {one[place].rmse:.4f}") for one in made.values()),
            ]
            for place, (name, image) in enumerate(images[:SHOWN])
        ]
        sheet = runtime.captioned_grid(cells, ["original", *made])
        pictures.append(Picture(f"{arch}: encoders side by side", png(sheet)))
        for name, results in made.items():
            squares = [one.rmse**2 for one in results]
            values[encoder_what(arch, name)] = math.sqrt(float(np.mean(squares)))
    return Made(data, values, pictures)


def side_by_side(
    arch: str, inputs: Inputs, here: Training | None
) -> dict[str, tuple[Model, np.ndarray]]:
    """The networks of an arch that are at hand, by the name of their encoder; what they subtract.

    `here` is one whose encoder was pretrained by `zoo train`.
    """
    import runtime
    from zoo.errors import HubError
    from zoo.hub import locate
    from zoo.paper import table2
    from zoo.paper.models import open_model
    from zoo.paper.table2_rows import Row

    folder = inputs.path("caffemodels")
    mean = runtime.read_mean(str(inputs.path("mean") or runtime.IMAGENET_MEAN))
    found: dict[str, tuple[Model, np.ndarray]] = {}
    for encoder in ("random", "pretrained"):
        row = Row(arch, encoder, 0.0, None)
        path = table2.caffemodel(folder, row) if folder is not None else None
        if path is not None:
            found[f"authors', {encoder}"] = runtime.load(table2.converted(row, path), "cpu"), mean
    if here is not None:
        opened = open_model(here.model, "cpu", mean=str(here.mean))
        found[PRETRAINED_HERE] = opened.model, opened.mean
    for encoder in ("random", "learned"):
        try:
            opened = open_model(locate(architectures.model_name(arch, encoder), inputs.hub), "cpu")
        except HubError:
            continue
        found[f"ours, {encoder}"] = opened.model, opened.mean
    return found


SIDE_BY_SIDE = "16_16_16"
PRETRAINED_HERE = "pretrained here"
ENCODERS = ("authors', random", "authors', pretrained", "ours, random", "ours, learned")


def encoder_what(arch: str, name: str) -> str:
    """What the number of an encoder is called."""
    return f"RMSE of {arch}, {name}"


ITEMS = [
    Item(
        "tunnel-talk-switches",
        TUNNEL,
        "talk: switches shuffled",
        "the same switches in another order",
        "No published number is at hand. Most of the picture is in the first level's switches, "
        "which are most of the code.",
        switches,
        [Number(shuffle_what(name)) for name in SHUFFLED],
        uses=("photographs",),
    ),
    Item(
        "tunnel-talk-features",
        TUNNEL,
        "talk: features scaled",
        "no feature value reaches the decoder",
        "The features at the bottleneck are multiplied in the model's graph, before the layer "
        "whose weights are zero.",
        features,
        [Number(SCALED, 0.0, "by", 0.0)],
        uses=("photographs",),
    ),
    Item(
        "tunnel-talk-floats",
        TUNNEL,
        "talk: a code of 0 floats",
        "switches written to a file, and decoded from it alone",
        "The file is this project's; uint8 pictures are compared.",
        floats,
        [Number(FLOATS, 0.0, "by", 0.0, 0), Number(INSIDE, 0.0, "by", 0.0, 0)],
        uses=("photographs",),
    ),
    Item(
        "tunnel-talk-average",
        TUNNEL,
        "talk: average pooling",
        "without switches every photograph gives the same picture",
        "The decoder is not trained again for average pooling: whatever it learns, it is told "
        "the same of every photograph. The last number is that of the best single picture.",
        average,
        [Number(AVERAGED, 0.0, "by", 0.0), Number(SWITCHED, digits=1), Number(BOUND)],
        uses=("photographs", "caffemodels", "mean"),
    ),
    Item(
        "tunnel-talk-sizes",
        TUNNEL,
        "talk: other sizes",
        "one network at several sizes",
        "The published picture is of 1024x1024 pixels, by 48_96_192 with a definition of its own; "
        "here sizes are open.",
        sizes,
        [Number(size_what(size)) for size in SIZES],
        uses=("photographs",),
    ),
    Item(
        "tunnel-talk-encoders",
        TUNNEL,
        "talk: encoders",
        "random, pretrained, learned, side by side",
        "Learned encoders are ours; the paper has random and pretrained ones. Where networks are "
        "given whose encoders `zoo train` pretrained, there is a picture of each.",
        encoders,
        [Number(encoder_what(SIDE_BY_SIDE, name)) for name in ENCODERS],
        uses=("photographs", "caffemodels", "mean", "trainings"),
    ),
]
