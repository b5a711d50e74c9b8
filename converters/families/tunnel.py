"""The paper's networks, layer by layer, and how they are recognised.

It is *Tunnel Effect in CNNs: Image Reconstruction From Max-Switch Locations* (IEEE SPL 2017).
Three encoder levels of n1, n2 and n3 channels, each two 3×3 convolutions and one 2×2 max pooling.
The decoder mirrors the encoder and receives nothing but the switches: the only way through,
`bias4`, has zero weights. Names are the authors', typos (`reul3_1`) included, because their trained
weights are found by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prototxt.net import LayerDefinition, NetDefinition
from prototxt.text import Message

from . import KnownNetwork

__all__ = ["MESSAGES", "SIZE", "Layer", "layers", "recognise", "same_layers"]

SIZE = 128
"""Height and width of the paper's images."""


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


def layers(widths: tuple[int, int, int], size: int = SIZE, classify: bool = False) -> list[Layer]:
    """A network of these channels for size×size images, a multiple of 8, less the data layers.

    First the encoder, then decoder or classifier.
    """
    result = list(_encoder(widths, size, trained=classify))
    result += _classifier() if classify else _decoder(widths, size)
    return result


def recognise(net: NetDefinition) -> KnownNetwork | None:
    """Which of the paper's structures a definition is, whatever feeds it; None where it is none.

    Layers, names, blobs and sizes must be equal. Data, loss and silence layers, fillers, learning
    rates and the network's name may differ.
    """
    core = [layer for layer in net.layers if not _beside_the_point(layer.type)]
    by_name = {layer.name: layer for layer in core}
    stated = [_number(by_name.get(f"conv{level}_1"), "num_output") for level in (1, 2, 3)]
    n1, n2, n3 = (width if width is not None and 0 < width < 10_000 else 0 for width in stated)
    if not (n1 and n2 and n3):
        return None
    classify = "fc4" in by_name
    size = SIZE if classify else _number(by_name.get("unpool1"), "unpool_size")
    if size is None or size % 8 or not 8 <= size <= 65536:
        return None
    if not same_layers(net, layers((n1, n2, n3), size, classify)):
        return None
    arch, kind = f"{n1}_{n2}_{n3}", "classify" if classify else "net"
    task = "classify" if classify else "reconstruct"
    return KnownNetwork(arch, task, size, f"the paper's {kind}{arch}")


def same_layers(net: NetDefinition, expected: Iterable[Layer]) -> bool:
    """Whether a definition has these layers, names, blobs and sizes.

    Data, loss and silence layers, fillers and learning rates may differ.
    """
    ours = [_shape_of_ours(layer) for layer in expected if not _beside_the_point(layer.type)]
    theirs = [_shape_of(layer) for layer in net.layers if not _beside_the_point(layer.type)]
    return ours == theirs


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


MESSAGES = {
    "Convolution": "convolution_param",
    "Deconvolution": "convolution_param",
    "Eltwise": "eltwise_param",
    "InnerProduct": "inner_product_param",
    "Pooling": "pooling_param",
    "Unpooling": "unpooling_param",
}


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
    name = MESSAGES.get(layer.type)
    return layer.param(name) if name else None


def _number(layer: LayerDefinition | None, name: str) -> int | None:
    message = _message(layer) if layer is not None else None
    item = message.last(name) if message is not None else None
    value = getattr(item.value, "text", "") if item is not None else ""
    return int(value) if value.isdecimal() else None
