"""The definitions of the networks `A-rate-N`, which are made for small files."""

from __future__ import annotations

from converters.families import rate
from converters.families.tunnel import SIZE, Layer
from prototxt.errors import UsageError
from zoo.paper.architectures import layer_text

__all__ = ["RATES", "definition", "layers_of", "network_name", "parsed"]

RATES = (0.0018, 0.0035, 0.0067, 0.013, 0.025, 0.0483)
"""What a squared error of one grey level costs beside a bit for a pixel, by N - 1: those for which
image codecs that learn are usually trained (Bégaint and others, CompressAI, 2020).
"""


def parsed(name: str) -> tuple[tuple[int, int, int], int]:
    """The channels and the rate in a name; UsageError where it is no such name."""
    match = rate.NAME.fullmatch(name)
    if match is None or int(match[4]) > len(RATES):
        raise UsageError(
            f"{name!r} is not of the form n1_n2_n3-rate-N",
            remedy=f"N is 1 (the smallest files) to {len(RATES)}",
        )
    n1, n2, n3, number = map(int, match.groups())
    return (n1, n2, n3), number


def network_name(arch: str, number: int) -> str:
    """What a network is called."""
    return f"{arch}-rate-{number}"


def layers_of(name: str) -> list[Layer]:
    """The layers of a network for 128×128 images."""
    return rate.layers(parsed(name)[0])


def definition(name: str) -> str:
    """The text of its definition."""
    shape = f"input_shape {{ dim: 1 dim: 3 dim: {SIZE} dim: {SIZE} }}"
    head = [f'name: "{name}"', 'input: "data"', shape, ""]
    return "\n".join([*head, *map(layer_text, layers_of(name))])
