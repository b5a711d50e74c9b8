"""Bottoms of any number of axes: every layer takes them or says in one line that it does not."""

from __future__ import annotations

import pytest

import converters
import prototxt
from prototxt.errors import ZooError

SHAPES = {
    "scalar": (),
    "vector": (3,),
    "matrix": (2, 3),
    "three axes": (2, 3, 4),
    "images": (2, 3, 8, 8),
    "one value": (1, 1, 1, 1),
    "five axes": (2, 3, 4, 6, 6),
}

OURS = [info.type for info in converters.layer_types()]
"""As pytest collects: later other tests register layers of their own."""


def definition(kind: str, shape: tuple[int, ...], bottoms: int) -> str:
    """One layer of that type on so many inputs of one shape."""
    dims = " ".join(f"dim: {size}" for size in shape)
    inputs = "".join(
        f"layer {{ name: 'i{n}' type: 'Input' top: 'b{n}' input_param {{ shape {{ {dims} }} }} }}\n"
        for n in range(bottoms)
    )
    read = " ".join(f"bottom: 'b{n}'" for n in range(bottoms))
    kind, _, python = kind.partition(":")
    module, _, name = python.rpartition(".")
    more = f"python_param {{ module: '{module}' layer: '{name}' }}" if python else ""
    return f"{inputs}layer {{ name: 'x' type: '{kind}' {read} top: 't' {more} }}"


@pytest.mark.parametrize("rank", SHAPES)
def test_bottoms_of_any_rank(rank: str) -> None:
    taken = 0
    for kind in OURS:
        for bottoms in (1, 2, 3):
            text = definition(kind, SHAPES[rank], bottoms)
            try:
                conversion = converters.convert(prototxt.parse_net(text, kind))
                conversion.to_onnx()
                conversion.to_torch()
                taken += 1
            except ZooError as error:
                assert "\n" not in str(error)
    assert taken > 20
