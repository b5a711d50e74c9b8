"""The paper's networks: their definitions, solvers and published figures.

The paper is *Tunnel Effect in CNNs: Image Reconstruction From Max-Switch Locations*, IEEE SPL 2017.

An arch is written `n1_n2_n3`: the channels of the three encoder levels, each two 3×3 convolutions
and one 2×2 max pooling. The decoder mirrors the encoder and receives nothing but the switches: the
only way through, `bias4`, has zero weights. Names are the authors', typos (`reul3_1`) included,
because their trained weights are found by them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from converters.families import rate, tunnel
from converters.families.tunnel import Layer
from prototxt.errors import Argument, Sentence, UsageError
from zoo.hub.index import ENCODERS

ARCHES = (
    "8_8_8",
    "6_12_24",
    "16_16_16",
    "12_24_48",
    "32_32_32",
    "24_48_96",
    "64_64_64",
    "48_96_192",
)
"""The paper's eight, in the order of its Table II."""

SIZE = tunnel.SIZE
"""Height and width of the paper's images."""

_RANDOM = (0.1464, 0.1387, 0.1210, 0.1138, 0.0922, 0.0876, 0.0744, 0.0718)
_PRETRAINED = (0.1545, 0.1464, 0.1156, 0.1206, 0.0950, 0.0915)
PUBLISHED: Mapping[str, Mapping[str, float]] = {
    "random": dict(zip(ARCHES, _RANDOM, strict=True)),
    "pretrained": dict(zip(ARCHES, _PRETRAINED, strict=False)),
}
"""Table II: RMSE with pixels in [0,1], by encoder (left random, or pretrained for classification);
the paper pretrained the first six only."""


def channels(arch: str) -> tuple[int, int, int]:
    """`48_96_192` as numbers; UsageError for anything that is not three positive numbers."""
    match = re.fullmatch(r"([1-9]\d{0,3})_([1-9]\d{0,3})_([1-9]\d{0,3})", arch)
    if match is None:
        raise UsageError(
            f"arch {arch!r} is not of the form n1_n2_n3",
            remedy=f"the paper's are {', '.join(ARCHES)}",
        )
    n1, n2, n3 = (int(n) for n in match.groups())
    return n1, n2, n3


def model_name(arch: str, encoder: str) -> str:
    """What a network is called: by its arch, and by its encoder where that is not as drawn."""
    return arch if encoder == "random" else f"{arch}-{encoder}"


def arch_of(name: str) -> str:
    """The arch in a name that `model_name` gives; UsageError where there is none."""
    arch = re.sub(rf"-({'|'.join(ENCODERS[1:])})$", "", name)
    channels(arch)
    return arch


def has_rate(name: str) -> bool:
    """Whether it is the name of a network that was made for small files: ``16_32_32-rate-2``."""
    return rate.NAME.fullmatch(name) is not None


def layout(arch: str) -> str:
    """``equal`` where all levels have as many channels, else ``doubling``."""
    n1, _, n3 = channels(arch)
    return "equal" if n1 == n3 else "doubling"


def bits_per_pixel(arch: str) -> float:
    """Bits of the code for each pixel and colour channel."""
    import runtime

    return runtime.bits_per_pixel(*channels(arch))


def published(arch: str, pretrained: bool = False) -> float | None:
    """The RMSE of the paper's Table II, None where the paper has no such row."""
    return PUBLISHED["pretrained" if pretrained else "random"].get(arch)


def rmse_of_loss(loss: float, size: int = SIZE) -> float:
    """The RMSE, pixels in [0,1], of `size`×`size` images whose Euclidean loss is `loss`.

    Caffe's is half a sum of squares over an image of 0..255.
    """
    return float((2 * loss / (3 * size * size)) ** 0.5 / 255)


def layers(arch: str, size: int = SIZE, classify: bool = False) -> list[Layer]:
    """The definition as data, less the data layers: encoder, then decoder or classifier."""
    widths = channels(arch)
    if size % 8 or not 8 <= size <= 65536:
        raise UsageError(f"size {size} is not a multiple of 8", remedy="three poolings halve it")
    return tunnel.layers(widths, size, classify)


def definition(arch: str, size: int = SIZE, classify: bool = False) -> str:
    """The text of a network definition in today's syntax, train and test phases in one.

    `size` is the image's height and width, which Caffe's `unpool_size` fixes in the file. With
    `classify` it is the network that pretrains the encoder; that one names no size.
    """
    kind = "classifies" if classify else "reconstructs"
    blocks = [
        f'name: "miniLCLreconstruction"\n# arch {arch}: {kind} {size}x{size} images\n',
        _data("TRAIN", "dataset/ILSVRC2014_DET_train_lmdb", classify),
        _data("TEST", "dataset/ILSVRC2013_DET_val_lmdb_class1", False),
    ]
    blocks += [layer_text(layer) for layer in layers(arch, size, classify)]
    return "\n".join(blocks)


def solver(
    arch: str,
    classify: bool = False,
    net: str | None = None,
    snapshot_prefix: str | None = None,
) -> str:
    """The text of the authors' solver: AdaGrad, rate 0.01, 50,000 iterations of 16 images.

    `net` is the path of the definition as Caffe will look for it, from where it is started.
    """
    channels(arch)
    name = f"{'classify' if classify else 'net'}{arch}"
    return f"""\
net: "{net or f"{name}.prototxt"}"

base_lr: 0.01
lr_policy: "fixed"
weight_decay: 0
type: "AdaGrad"
max_iter: 50000

display: 5
snapshot: 1000
snapshot_prefix: "{snapshot_prefix or f"snapshots/{name}"}"
solver_mode: GPU
"""


def document(
    arch: str, *, size: int | None = None, classify: bool = False, of_solver: bool = False
) -> str:
    """The text of `definition` (128×128 images by default) or `solver`.

    UsageError for a `size` where the file names none.
    """
    if size is not None and (classify or of_solver):
        raise UsageError(
            Sentence(Argument("size"), " has no place in this file"),
            remedy="only a reconstruction net names a size",
        )
    if of_solver:
        return solver(arch, classify)
    return definition(arch, SIZE if size is None else size, classify)


def layer_text(layer: Layer) -> str:
    """A layer as prototxt."""
    lines = [f"# {layer.comment}"] if layer.comment else []
    lines += ["layer {", f'  name: "{layer.name}"', f'  type: "{layer.type}"']
    lines += [f'  bottom: "{blob}"' for blob in layer.bottoms]
    lines += [f'  top: "{blob}"' for blob in layer.tops]
    for multiplier, decay in layer.rates:
        decays = "" if decay is None else f" decay_mult: {decay}"
        lines.append(f"  param {{ lr_mult: {multiplier}{decays} }}")
    if layer.params:
        lines.append(f"  {tunnel.MESSAGES[layer.type]} {{")
        lines += [f"    {name}: {value}" for name, value in layer.params.items()]
        for what, filler in (("weight", layer.weight_filler), ("bias", layer.bias_filler)):
            if filler:
                value = " value: 0" if filler == "constant" else ""
                lines.append(f'    {what}_filler {{ type: "{filler}"{value} }}')
        lines.append("  }")
    return "\n".join([*lines, "}", ""])


def _data(phase: str, source: str, label: bool) -> str:
    return f"""\
layer {{
  name: "data"
  type: "Data"
  top: "data"
{'  top: "label"' + chr(10) if label else ""}\
  include {{ phase: {phase} }}
  transform_param {{
    mean_file: "dataset/ILSVRC2014_DET_train_lmdb/mean.binaryproto"
  }}
  data_param {{
    source: "{source}"
    batch_size: 16
    backend: LMDB
  }}
}}
"""
