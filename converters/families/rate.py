"""Networks made for small files, layer by layer, and how they are recognised: `A-rate-N`.

The encoder is that of the paper's arch A = n1_n2_n3, convolutions and max pooling, but for two
things. No ReLU stands before the last pooling, so that no window has a tie of zeros. And a pattern
that repeats every 8 pixels is added to the image: without it every place of a window answers to a
flat area alike, and its switches cannot tell how bright it is; by the pattern each place of a
window may answer to something else. The pattern is a deconvolution of ones, that is of a layer
with zero weights, the paper's own means of making a constant.

The code is the switches of the third level alone. The decoder unpools ones by them, and has
residual blocks of `WIDTH` channels at an eighth of the image's size, then three deconvolutions of
stride 2 (the levels that are left out), between them one residual block each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from prototxt.net import NetDefinition

from . import KnownNetwork
from .tunnel import SIZE, Layer, same_layers

__all__ = ["BLOCKS", "NAME", "PERIOD", "WIDTH", "layers", "recognise"]

NAME = re.compile(r"([1-9]\d{0,3})_([1-9]\d{0,3})_([1-9]\d{0,3})-rate-([1-9]\d?)")
"""Of a network: the channels of the encoder's levels, and its rate."""
PERIOD = 8
"""Of the pattern, in pixels: that of the switches."""
WIDTH = 96
BLOCKS = 3
"""Residual blocks at an eighth of the image's size."""


Params = dict[str, int | str]


def recognise(net: NetDefinition) -> KnownNetwork | None:
    """Which of these a definition is that says so by its name; None where it is none."""
    match = NAME.fullmatch(net.name or "")
    if match is None:
        return None
    n1, n2, n3, _ = map(int, match.groups())
    if not same_layers(net, layers((n1, n2, n3))):
        return None
    return KnownNetwork("", "reconstruct", SIZE, f"the network {match[0]}", match[0])


def layers(widths: tuple[int, int, int], size: int = SIZE) -> list[Layer]:
    """A network of these channels for size×size images, a multiple of 8."""
    return [*_encoder(widths), *_decoder(widths, size)]


def _encoder(widths: tuple[int, int, int]) -> Iterator[Layer]:
    constant: Params = {"num_output": 1, "kernel_size": PERIOD, "stride": PERIOD}
    yield Layer("one", "Convolution", ("data",), ("one",), constant, "constant", "constant")
    tile: Params = {"num_output": 3, "kernel_size": PERIOD, "stride": PERIOD, "bias_term": "false"}
    yield Layer("pattern", "Deconvolution", ("one",), ("pattern",), tile, "xavier")
    yield _sum("patterned", "data", "pattern")
    bottom = "patterned"
    for level, width in enumerate(widths, 1):
        for half in (1, 2):
            name = f"conv{level}_{half}"
            yield _convolution(name, bottom, width)
            if (level, half) != (3, 2):
                yield _relu(name)
            bottom = name
        tops = (f"pool{level}", "pool3_mask")[: 2 if level == 3 else 1]
        how: Params = {"pool": "MAX", "kernel_size": 2, "stride": 2}
        yield Layer(f"pool{level}", "Pooling", (bottom,), tops, how)
        bottom = f"pool{level}"


def _decoder(widths: tuple[int, int, int], size: int) -> Iterator[Layer]:
    ones: Params = {"num_output": widths[2], "kernel_size": 1}
    yield Layer("bias4", "Convolution", ("pool3",), ("bias4",), ones, "constant", "constant")
    unpool: Params = {"unpool": "MAX", "kernel_size": 2, "stride": 2, "unpool_size": size >> 2}
    yield Layer("unpool3", "Unpooling", ("bias4", "pool3_mask"), ("unpool3",), unpool)
    # As many switches as before lie on twice the sides: back to theirs.
    yield _convolution("gather", "unpool3", WIDTH, pad=2, kernel_size=6, stride=2)
    yield _relu("gather")
    bottom = "gather"
    for number in range(1, BLOCKS + 1):
        block = tuple(_block(f"block3_{number}", bottom, WIDTH))
        yield from block
        bottom = block[-1].tops[0]
    yield _relu(bottom)
    for level, width in ((2, WIDTH // 2), (1, WIDTH // 4)):
        yield _up(f"up{level}", bottom, width)
        yield _relu(f"up{level}")
        block = tuple(_block(f"block{level}_1", f"up{level}", width))
        yield from block
        bottom = block[-1].tops[0]
        yield _relu(bottom)
    yield _up("image", bottom, 3)


def _block(name: str, bottom: str, width: int) -> Iterator[Layer]:
    """Two convolutions, whose sum with what they read is `name`."""
    yield _convolution(f"{name}a", bottom, width)
    yield _relu(f"{name}a")
    yield _convolution(f"{name}b", f"{name}a", width)
    yield _sum(name, bottom, f"{name}b")


def _convolution(
    name: str, bottom: str, width: int, pad: int = 1, kernel_size: int = 3, stride: int = 1
) -> Layer:
    params: Params = {"num_output": width, "pad": pad, "kernel_size": kernel_size}
    if stride > 1:
        params["stride"] = stride
    return Layer(name, "Convolution", (bottom,), (name,), params, "xavier", "constant")


def _up(name: str, bottom: str, width: int) -> Layer:
    params = {"num_output": width, "pad": 1, "kernel_size": 4, "stride": 2}
    return Layer(name, "Deconvolution", (bottom,), (name,), params, "xavier", "constant")


def _relu(blob: str) -> Layer:
    return Layer(f"relu_{blob}", "ReLU", (blob,), (blob,))


def _sum(name: str, *bottoms: str) -> Layer:
    return Layer(name, "Eltwise", bottoms, (name,), {"operation": "SUM"})
