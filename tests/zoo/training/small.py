"""A small classifier for trainings to try, and its batches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SHAPE = (3, 16, 16)
CLASSES = 2


def batches(size: int) -> np.ndarray:
    """Three of `size` images."""
    return np.random.default_rng(0).normal(0, 5, (3, size, *SHAPE)).astype(np.float32)


def feed_of(images: np.ndarray) -> Callable[[int], dict[str, np.ndarray]]:
    """These batches, again and again; classes take turns."""

    def feed(number: int) -> dict[str, np.ndarray]:
        data = images[number % len(images)]
        return {"data": data, "label": (np.arange(len(data)) % CLASSES).astype(np.float32)}

    return feed


def shapes_of(text: str, size: int) -> dict[str, tuple[int, ...]]:
    """Of the inputs of a definition."""
    return {"data": (size, *SHAPE)} | ({"label": (size,)} if "label" in text else {})


def classifier(between: str, rates: str = "") -> str:
    """Convolution, what is `between` (on the blob "conv"), pooling, inner product, loss.

    `rates` are what the convolution's blobs have (`param`).
    """
    return f"""
input: "data" input: "label"
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" {rates}
  convolution_param {{ num_output: 4 kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}
{between}
layer {{ name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param {{ kernel_size: 3 stride: 2 }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param {{ num_output: {CLASSES} weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""
