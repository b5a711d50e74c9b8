"""Whole published networks in numpy, of the few layer types that they are made of.

Written from the layers' own sources: BVLC Caffe's, crop_center_layer.cpp (lltcggie/caffe, commit
98f9aea), axpy_layer.cpp (hujie-frank/SENet) and demosaicnet/layers.py (mgharbi/demosaicnet_caffe,
commit 7206738). Sums in float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prototxt.net import LayerDefinition, NetDefinition
from prototxt.text import Scalar

Arrays = dict[str, np.ndarray]


def run(net: NetDefinition, weights: Mapping[str, Sequence[np.ndarray]], feeds: Arrays) -> Arrays:
    """Every blob, by name; the last writing of each."""
    blobs = {name: array.astype(np.float64) for name, array in feeds.items()}
    for layer in net.layers:
        kind = layer.type
        if kind == "Python":
            kind = number(layer, "python_param", "layer", "")
        if kind == "Input":
            continue
        bottoms = [blobs[name] for name in layer.bottoms]
        own = [w.astype(np.float64) for w in weights.get(layer.name, [])]
        tops = globals()[kind.lower()](layer, bottoms, own)
        blobs.update(zip(layer.tops, tops if isinstance(tops, list) else [tops], strict=True))
    return blobs


def number(layer: LayerDefinition, message: str, name: str, default: Any) -> Any:
    """The last value of a field, as its default's type."""
    param = layer.param(message)
    found = param.last(name) if param is not None else None
    if found is None or not isinstance(found.value, Scalar):
        return default
    return type(default)(found.value.text)


def windows(x: np.ndarray, size: int, stride: int) -> np.ndarray:
    """N×C×h×w×size×size."""
    found = np.lib.stride_tricks.sliding_window_view(x, (size, size), (2, 3))
    return found[:, :, ::stride, ::stride]


def convolution(
    layer: LayerDefinition, bottoms: list[np.ndarray], own: list[np.ndarray]
) -> np.ndarray:
    x, weight = bottoms[0], own[0]
    pad = number(layer, "convolution_param", "pad", 0)
    stride = number(layer, "convolution_param", "stride", 1)
    groups = number(layer, "convolution_param", "group", 1)
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    parts = [
        np.einsum("nchwij,ocij->nohw", windows(part, weight.shape[2], stride), w, optimize=True)
        for part, w in zip(np.split(x, groups, 1), np.split(weight, groups), strict=True)
    ]
    y = np.concatenate(parts, 1)
    return y + own[1].reshape(1, -1, 1, 1) if len(own) > 1 else y


def deconvolution(
    layer: LayerDefinition, bottoms: list[np.ndarray], own: list[np.ndarray]
) -> np.ndarray:
    x, weight = bottoms[0], own[0]
    pad = number(layer, "convolution_param", "pad", 0)
    stride = number(layer, "convolution_param", "stride", 1)
    groups = number(layer, "convolution_param", "group", 1)
    size = weight.shape[2]
    n, _, height, width = x.shape
    outputs = []
    for part, w in zip(np.split(x, groups, 1), np.split(weight, groups), strict=True):
        y = np.zeros((n, w.shape[1], (height - 1) * stride + size, (width - 1) * stride + size))
        for i, j in np.ndindex(size, size):
            spread = np.einsum("nchw,co->nohw", part, w[:, :, i, j])
            rows = np.s_[i : i + (height - 1) * stride + 1 : stride]
            columns = np.s_[j : j + (width - 1) * stride + 1 : stride]
            y[:, :, rows, columns] += spread
        outputs.append(y[:, :, pad : y.shape[2] - pad, pad : y.shape[3] - pad])
    y = np.concatenate(outputs, 1)
    return y + own[1].reshape(1, -1, 1, 1) if len(own) > 1 else y


def relu(layer: LayerDefinition, bottoms: list[np.ndarray], own: list[np.ndarray]) -> np.ndarray:
    x = bottoms[0]
    return np.where(x > 0, x, x * number(layer, "relu_param", "negative_slope", 0.0))


def sigmoid(layer: LayerDefinition, bottoms: list[np.ndarray], own: list[np.ndarray]) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-bottoms[0])))


def pooling(layer: LayerDefinition, bottoms: list[np.ndarray], own: list[np.ndarray]) -> np.ndarray:
    assert number(layer, "pooling_param", "global_pooling", "") == "true"
    return np.asarray(bottoms[0].mean((2, 3), keepdims=True))


def innerproduct(
    layer: LayerDefinition, bottoms: list[np.ndarray], own: list[np.ndarray]
) -> np.ndarray:
    return np.asarray(bottoms[0].reshape(len(bottoms[0]), -1) @ own[0].T + own[1])


def axpy(layer: LayerDefinition, bottoms: list[np.ndarray], own: list[np.ndarray]) -> np.ndarray:
    factor, x, y = bottoms
    return factor.reshape(*x.shape[:2], 1, 1) * x + y


def eltwise(layer: LayerDefinition, bottoms: list[np.ndarray], own: list[np.ndarray]) -> np.ndarray:
    operation = number(layer, "eltwise_param", "operation", "SUM")
    return np.asarray({"SUM": np.add, "PROD": np.multiply}[operation](*bottoms))


def concat(layer: LayerDefinition, bottoms: list[np.ndarray], own: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(bottoms, 1)


def slice(  # named as its layer type
    layer: LayerDefinition, bottoms: list[np.ndarray], own: list[np.ndarray]
) -> list[np.ndarray]:
    param = layer.param("slice_param")
    points = [int(f.value.text) for f in param.all("slice_point")] if param is not None else []  # type: ignore[union-attr]
    return np.split(bottoms[0], points or len(layer.tops), 1)


def cropcenter(
    layer: LayerDefinition, bottoms: list[np.ndarray], own: list[np.ndarray]
) -> np.ndarray:
    x, param = bottoms[0], layer.param("crop_center_param")
    assert param is not None
    for axis, field in enumerate(param.all("crop_size")):
        size = int(field.value.text)  # type: ignore[union-attr]
        x = np.take(x, range(size, x.shape[axis] - size), axis)
    return x


def croplikelayer(
    layer: LayerDefinition, bottoms: list[np.ndarray], own: list[np.ndarray]
) -> np.ndarray:
    x, like = bottoms
    top, left = ((a - b) // 2 for a, b in zip(x.shape[2:], like.shape[2:], strict=True))
    return x[:, :, top : top + like.shape[2], left : left + like.shape[3]]
