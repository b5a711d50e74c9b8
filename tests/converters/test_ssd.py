"""SSD's Permute, Normalize and PriorBox against oracles in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.forks import agree, build, inputs, layer, refused


def draw(seed: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * 4).astype(np.float32)


@pytest.mark.parametrize(
    ("given", "order"),
    [
        ((), (0, 1, 2, 3)),
        ((0, 2, 3, 1), (0, 2, 3, 1)),
        ((2,), (2, 0, 1, 3)),
        ((3, 1), (3, 1, 0, 2)),
    ],
)
def test_permute(given: tuple[int, ...], order: tuple[int, ...]) -> None:
    x = draw(0, 2, 3, 4, 5)
    y = np.empty([x.shape[i] for i in order], np.float32)
    for index in np.ndindex(*y.shape):
        source = [0] * 4
        for place, axis in zip(index, order, strict=True):
            source[axis] = place
        y[index] = x[tuple(source)]
    stated = "permute_param { " + " ".join(f"order: {i}" for i in given) + " }"
    agree(inputs(x=(1, 3, 8, 9)) + layer("Permute", "x", stated), {"x": x}, {"y": y})


@pytest.mark.parametrize(
    ("order", "match"),
    [("order: 4", "names an axis that its 4-D input"), ("order: 1 order: 1", "an axis twice")],
)
def test_permute_refuses(order: str, match: str) -> None:
    refused(inputs(x=(1, 3, 8, 9)) + layer("Permute", "x", f"permute_param {{ {order} }}"), match)


@pytest.mark.parametrize("across", [None, True, False])
@pytest.mark.parametrize("shared", [None, True, False])
@pytest.mark.parametrize("eps", [None, 0.5])
def test_normalize(across: bool | None, shared: bool | None, eps: float | None) -> None:
    x = draw(1, 2, 3, 4, 5)
    x[:, :, 0, 0] = 0  # divided by sqrt(eps) alone
    scale = draw(2, *(() if shared is not False else (3,)))
    y = np.empty(x.shape)
    for n, row, column in np.ndindex(2, 4, 5):
        part = (
            x[n].astype(np.float64) if across is not False else x[n, :, row, column].astype(float)
        )
        norm = np.sqrt((part**2).sum() + (eps or 1e-10))
        y[n, :, row, column] = x[n, :, row, column] / norm * scale
    fields = {"across_spatial": across, "channel_shared": shared, "eps": eps}
    stated = " ".join(f"{k}: {str(v).lower()}" for k, v in fields.items() if v is not None)
    text = inputs(x=(1, 3, 8, 9)) + layer("Normalize", "x", f"norm_param {{ {stated} }}")
    agree(text, {"x": x}, {"y": y.astype(np.float32)}, {"l": [scale]})


def test_normalize_starts_at_one_or_by_its_filler() -> None:
    text = inputs(x=(1, 3, 8, 9)) + layer("Normalize", "x", "norm_param { channel_shared: false }")
    assert build(text).nodes[0].blobs[0].tolist() == [1, 1, 1]
    stated = 'norm_param { scale_filler { type: "constant" value: 20 } }'
    assert build(inputs(x=(1, 3, 8, 9)) + layer("Normalize", "x", stated)).nodes[0].blobs[0] == 20
