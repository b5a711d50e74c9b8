"""Receptive fields: against what really changes a neuron, found by gradients."""

import numpy as np
import pytest

import converters
import prototxt
from zoo.reversed.receptive import receptive_field

HEAD = 'name: "r" input: "data" input_shape { dim: 1 dim: 3 dim: 40 dim: 36 }\n'


def layer(name: str, kind: str, bottoms: str, rest: str = "") -> str:
    read = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
    return f'layer {{ name: "{name}" type: "{kind}" {read} top: "{name}" {rest} }}\n'


def conv(name: str, bottom: str, rest: str) -> str:
    filler = 'weight_filler { type: "xavier" }'
    return layer(
        name, "Convolution", bottom, f"convolution_param {{ num_output: 4 {rest} {filler} }}"
    )


def pool(name: str, bottom: str, rest: str) -> str:
    return layer(name, "Pooling", bottom, f"pooling_param {{ pool: AVE {rest} }}")


CHAIN = (
    conv("a", "data", "kernel_h: 5 kernel_w: 3 stride: 2 pad: 1")
    + layer("s", "Power", "a", "power_param { scale: 2 }")
    + pool("p", "s", "kernel_size: 3 stride: 2")
    + conv("b", "p", "kernel_size: 3 dilation: 2")
)
BRANCHES = (
    conv("a", "data", "kernel_size: 3 stride: 2 pad: 1")
    + conv("one", "a", "kernel_size: 1")
    + conv("five", "a", "kernel_size: 5 pad: 2")
    + layer("cat", "Concat", "one five")
    + conv("wide", "a", "kernel_size: 1").replace("num_output: 4", "num_output: 8")
    + layer("b", "Eltwise", "cat wide")
)


@pytest.mark.parametrize("text", [CHAIN, BRANCHES])
@pytest.mark.parametrize("place", [(1, 2, 1), (0, 0, 0)])
def test_it_is_what_changes_the_neuron(text: str, place: tuple[int, ...]) -> None:
    import torch

    graph = converters.build_graph(prototxt.parse_net(HEAD + text).select("TEST"), seed=1)
    image = torch.ones(1, 3, 40, 36, requires_grad=True)
    # All channels, as of a Concat each has a branch of its own.
    converters.to_torch(graph).eval()(image)["b"][0, :, place[1], place[2]].sum().backward()
    rows, columns = (np.flatnonzero(image.grad[0].abs().sum((0, axis)).numpy()) for axis in (2, 1))
    found = receptive_field(graph, "b", place)
    assert found is not None
    for span, seen, size in zip(found, (rows, columns), (40, 36), strict=True):
        assert (max(0, span.start), min(span.stop, size)) == (seen[0], seen[-1] + 1)


def test_below_an_inner_product_it_is_all() -> None:
    text = CHAIN + layer(
        "ip",
        "InnerProduct",
        "b",
        'inner_product_param { num_output: 2 weight_filler { type: "xavier" } }',
    )
    graph = converters.build_graph(prototxt.parse_net(HEAD + text).select("TEST"), seed=1)
    assert receptive_field(graph, "ip", (1,)) is None
    assert receptive_field(graph, "p", (1, 0, 0)) is not None
    assert receptive_field(graph, "data", (2, 7, 5)) == ((7, 8), (5, 6))
