"""The networks of the paper *Tunnel Effect in CNNs: Image Reconstruction From Max-Switch
Locations* (IEEE SPL 2017): their definitions, solvers and published figures.

An arch is written `n1_n2_n3`: the channels of the three encoder levels, each two 3×3 convolutions
and one 2×2 max pooling. The decoder mirrors the encoder and receives nothing but the switches: the
only way through, `bias4`, has zero weights. Names are the authors', typos (`reul3_1`) included,
because their trained weights are found by them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zoo.errors import UsageError
from zoo.hub.index import ENCODERS

if TYPE_CHECKING:
    from prototxt.net import LayerDefinition, NetDefinition
    from prototxt.text import Message

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

SIZE = 128
"""Height and width of the paper's images."""

_RANDOM = (0.1464, 0.1387, 0.1210, 0.1138, 0.0922, 0.0876, 0.0744, 0.0718)
_PRETRAINED = (0.1545, 0.1464, 0.1156, 0.1206, 0.0950, 0.0915)
PUBLISHED: Mapping[str, Mapping[str, float]] = {
    "random": dict(zip(ARCHES, _RANDOM, strict=True)),
    "pretrained": dict(zip(ARCHES, _PRETRAINED, strict=False)),
}
"""Table II: RMSE with pixels in [0,1], by encoder (left random, or pretrained for classification);
the paper pretrained the first six only."""


@dataclass(frozen=True)
class Recognised:
    """What `recognise` found: the arch, whether it is the classifier, the image size."""

    arch: str
    classify: bool
    size: int


@dataclass(frozen=True)
class Layer:
    """One layer of a definition; `params` are the fields of its parameter message."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    params: Mapping[str, int | str] = field(default_factory=dict)
    weight_filler: str = ""
    bias_filler: str = ""
    rates: tuple[tuple[int, int | None], ...] = ()
    """(lr_mult, decay_mult) of weights and bias; None leaves decay_mult at Caffe's default, 1."""
    comment: str = ""


def channels(arch: str) -> tuple[int, int, int]:
    """`48_96_192` as numbers; UsageError for anything that is not three positive numbers."""
    match = re.fullmatch(r"([1-9]\d{0,3})_([1-9]\d{0,3})_([1-9]\d{0,3})", arch)
    if match is None:
        raise UsageError(
            f"arch {arch!r} is not of the form n1_n2_n3",
            hint=f"the paper's are {', '.join(ARCHES)}",
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


def bits_per_pixel(arch: str) -> float:
    """Bits of the code for each pixel and colour channel."""
    import runtime

    return runtime.bits_per_pixel(*channels(arch))


def published(arch: str, pretrained: bool = False) -> float | None:
    """The RMSE of the paper's Table II, None where the paper has no such row."""
    return PUBLISHED["pretrained" if pretrained else "random"].get(arch)


def layers(arch: str, size: int = SIZE, classify: bool = False) -> list[Layer]:
    """The definition as data, less the data layers: encoder, then decoder or classifier."""
    n1, n2, n3 = channels(arch)
    if size % 8 or not 8 <= size <= 65536:
        raise UsageError(f"size {size} is not a multiple of 8", hint="three poolings halve it")
    result = list(_encoder((n1, n2, n3), size, trained=classify))
    result += _classifier() if classify else _decoder((n1, n2, n3), size)
    return result


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
    blocks += [_text(layer) for layer in layers(arch, size, classify)]
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


def recognise(net: NetDefinition) -> Recognised | None:
    """Which of the paper's structures a definition is, whatever feeds it; None where it is none.

    Layers, names, blobs and sizes must be equal. Data, loss and silence layers, fillers, learning
    rates and the network's name may differ.
    """
    core = [layer for layer in net.layers if not _beside_the_point(layer.type)]
    by_name = {layer.name: layer for layer in core}
    widths = [_number(by_name.get(f"conv{level}_1"), "num_output") for level in (1, 2, 3)]
    if not all(width is not None and 0 < width < 10_000 for width in widths):
        return None
    arch = "_".join(str(width) for width in widths)
    classify = "fc4" in by_name
    size = SIZE if classify else _number(by_name.get("unpool1"), "unpool_size")
    if size is None or size % 8 or not 8 <= size <= 65536:
        return None
    expected = [
        layer for layer in layers(arch, size, classify) if not _beside_the_point(layer.type)
    ]
    same = len(core) == len(expected) and all(
        _shape_of_ours(ours) == _shape_of(theirs)
        for ours, theirs in zip(expected, core, strict=True)
    )
    return Recognised(arch, classify, size) if same else None


def _encoder(widths: tuple[int, int, int], size: int, trained: bool) -> Iterator[Layer]:
    # The reconstruction leaves the encoder as it was drawn (or pretrained): rates of zero.
    rates = ((1, 0), (2, 0)) if trained else ((0, 0), (0, 0))
    bottom = "data"
    for level, width in enumerate(widths, 1):
        for half in (1, 2):
            name = f"conv{level}_{half}"
            comment = f"{size >> level - 1}x{size >> level - 1}" if half == 1 else ""
            yield _convolution("Convolution", name, bottom, width, rates, comment)
            yield _relu(f"{_relu_word(level)}{level}_{half}", name)
            bottom = name
        pool = f"pool{level}"
        yield Layer(
            pool,
            "Pooling",
            (bottom,),
            (pool, f"{pool}_mask"),
            {"pool": "MAX", "kernel_size": 2, "stride": 2},
        )
        bottom = pool


def _decoder(widths: tuple[int, int, int], size: int) -> Iterator[Layer]:
    n1, n2, n3 = widths
    yield Layer(
        "bias4",
        "Convolution",
        ("pool3",),
        ("bias4",),
        {"num_output": n3, "pad": 0, "kernel_size": 1},
        "constant",
        "xavier",
        ((0, 0), (2, 0)),
        "the tunnel: zero weights, so that only a constant for each channel passes",
    )
    rates = ((1, None), (2, None))
    bottom = "bias4"
    for level, outputs in ((3, (n3, n2)), (2, (n2, n1)), (1, (n1, 3))):
        plane = size >> level - 1
        unpool = f"unpool{level}"
        yield Layer(
            unpool,
            "Unpooling",
            (bottom, f"pool{level}_mask"),
            (unpool,),
            {"unpool": "MAX", "kernel_size": 2, "stride": 2, "unpool_size": plane},
            comment=f"{plane}x{plane}",
        )
        bottom = unpool
        for half, width in enumerate(outputs, 1):
            name = f"deconv{level}_{half}"
            yield _convolution("Deconvolution", name, bottom, width, rates)
            if name != "deconv1_2":
                yield _relu(f"de{_relu_word(level)}{level}_{half}", name)
            bottom = name
    yield Layer("L2_loss", "EuclideanLoss", ("deconv1_2", "data"), ("L2_loss",))


def _classifier() -> Iterator[Layer]:
    bottom = "pool3"
    for number, width in ((4, 1024), (5, 1024), (6, 200)):
        name = f"fc{number}"
        yield Layer(
            name,
            "InnerProduct",
            (bottom,),
            (name,),
            {"num_output": width},
            "xavier",
            "constant",
            ((1, 0), (2, 0)),
        )
        if number < 6:
            yield _relu(f"reul{number}", name)
        bottom = name
    yield Layer("prob", "SoftmaxWithLoss", ("fc6", "label"), ("prob",))
    for level in (1, 2, 3):
        yield Layer(f"silence{level}", "Silence", (f"pool{level}_mask",), ())


def _convolution(
    kind: str,
    name: str,
    bottom: str,
    width: int,
    rates: tuple[tuple[int, int | None], ...],
    comment: str = "",
) -> Layer:
    params = {"num_output": width, "pad": 1, "kernel_size": 3}
    return Layer(name, kind, (bottom,), (name,), params, "xavier", "constant", rates, comment)


def _relu(name: str, blob: str) -> Layer:
    return Layer(name, "ReLU", (blob,), (blob,))


def _relu_word(level: int) -> str:
    return "reul" if level == 3 else "relu"  # the authors' typo


_MESSAGES = {
    "Convolution": "convolution_param",
    "Deconvolution": "convolution_param",
    "InnerProduct": "inner_product_param",
    "Pooling": "pooling_param",
    "Unpooling": "unpooling_param",
}


def _text(layer: Layer) -> str:
    lines = [f"# {layer.comment}"] if layer.comment else []
    lines += ["layer {", f'  name: "{layer.name}"', f'  type: "{layer.type}"']
    lines += [f'  bottom: "{blob}"' for blob in layer.bottoms]
    lines += [f'  top: "{blob}"' for blob in layer.tops]
    for rate, decay in layer.rates:
        decays = "" if decay is None else f" decay_mult: {decay}"
        lines.append(f"  param {{ lr_mult: {rate}{decays} }}")
    if layer.params:
        lines.append(f"  {_MESSAGES[layer.type]} {{")
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


def _beside_the_point(kind: str) -> bool:
    return kind.endswith(("Data", "Loss")) or kind in ("Input", "Silence", "Softmax", "Accuracy")


# What a field that is left out means, so that a definition which spells it out is the same one.
_DEFAULTS = {"pad": 0, "stride": 1, "group": 1, "dilation": 1, "bias_term": "true", "axis": 1}

_Structure = tuple[str, str, tuple[str, ...], tuple[str, ...], frozenset[tuple[str, str]]]


def _shape_of_ours(layer: Layer) -> _Structure:
    params = frozenset(
        (name, str(value)) for name, value in layer.params.items() if _DEFAULTS.get(name) != value
    )
    return layer.name, layer.type, layer.bottoms, layer.tops, params


def _shape_of(layer: LayerDefinition) -> _Structure:
    message = _message(layer)
    params = frozenset(
        (item.name, getattr(item.value, "text", "a message"))
        for item in (message.fields if message is not None else [])
        if not item.name.endswith("_filler")
        and str(_DEFAULTS.get(item.name)) != getattr(item.value, "text", None)
    )
    return layer.name, layer.type, tuple(layer.bottoms), tuple(layer.tops), params


def _message(layer: LayerDefinition) -> Message | None:
    name = _MESSAGES.get(layer.type)
    return layer.param(name) if name else None


def _number(layer: LayerDefinition | None, name: str) -> int | None:
    message = _message(layer) if layer is not None else None
    item = message.last(name) if message is not None else None
    value = getattr(item.value, "text", "") if item is not None else ""
    return int(value) if value.isdecimal() else None
