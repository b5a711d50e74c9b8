"""Local against loops in numpy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.forks import agree, build, inputs, layer, refused

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "biased"),
    [(3, 1, 0, True), (2, 2, 1, False), (3, 2, 2, True), (1, 1, 0, True), (5, 1, 0, False)],
)
def test_local(kernel: int, stride: int, pad: int, biased: bool) -> None:
    rng = np.random.default_rng(kernel)
    x = rng.normal(size=(2, 3, 5, 8)).astype(np.float32)
    high, wide = ((s + 2 * pad - kernel) // stride + 1 for s in (5, 8))
    weight = rng.normal(size=(4, 1, 3 * kernel**2, high * wide)).astype(np.float32)
    bias = rng.normal(size=(1, 1, 4, high * wide)).astype(np.float32)
    y = np.zeros((2, 4, high, wide))
    for image, m, row, column in np.ndindex(*y.shape):
        place = row * wide + column
        total = float(bias[0, 0, m, place]) if biased else 0.0
        for c, i, j in np.ndindex(3, kernel, kernel):
            r, q = row * stride - pad + i, column * stride - pad + j
            if 0 <= r < 5 and 0 <= q < 8:
                w = weight[m, 0, (c * kernel + i) * kernel + j, place]
                total += float(w) * float(x[image, c, r, q])
        y[image, m, row, column] = total
    stated = f"num_output: 4 kernel_size: {kernel} stride: {stride} pad: {pad}"
    stated += "" if biased else " bias_term: false"
    text = inputs(x=(1, 3, 5, 8)) + layer("Local", "x", f"local_param {{ {stated} }}")
    assert build(text).outputs[0].shape == ("batch", 4, high, wide)
    agree(
        text, {"x": x}, {"y": y.astype(np.float32)}, {"l": [weight, bias] if biased else [weight]}
    )


@pytest.mark.parametrize(
    ("stated", "match"),
    [
        ("num_output: 4", "num_output, kernel_size and stride must be above 0"),
        ("kernel_size: 3", "must be above 0"),
        ("num_output: 4 kernel_size: 6 pad: 1", "kernel 6 is larger than its 5x8 input"),
    ],
)
def test_local_refuses(stated: str, match: str) -> None:
    text = inputs(x=(1, 3, 5, 8)) + layer("Local", "x", f"local_param {{ {stated} }}")
    refused(text, match, open_dims=False)
