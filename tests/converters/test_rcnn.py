"""Pooling of regions and proposals of Fast R-CNN, Faster R-CNN and R-FCN."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.forks import agree, build, inputs, layer, refused
from tests.converters.oracles.rcnn import psroi_pooling, roi_pooling

pytestmark = pytest.mark.oracle


def regions(seed: int, images: int, count: int, size: float) -> np.ndarray:
    """Rows of image, x1, y1, x2, y2; some halves, some beyond the image, some inside out."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-0.15 * size, 1.1 * size, (count, 2, 2))
    corners.sort(1)
    corners[::7] = corners[::7, ::-1]
    corners[::3] = np.round(corners[::3] * 2) / 2
    return np.concatenate(
        [rng.integers(0, images, (count, 1)), corners.reshape(count, 4)], 1
    ).astype(np.float32)


@pytest.mark.parametrize(
    ("images", "count", "size", "scale", "rank"),
    [
        (1, 20, (7, 7), 0.0625, 2),
        (3, 30, (6, 3), 0.125, 4),
        (2, 12, (1, 1), 0.0625, 2),
        (2, 25, (2, 5), 0.1, 2),
    ],
)
def test_roi_pooling(
    images: int, count: int, size: tuple[int, int], scale: float, rank: int
) -> None:
    x = np.random.default_rng(0).normal(size=(images, 3, 12, 17)).astype(np.float32) - 1
    rois = regions(1, images, count, 12 / scale).reshape(count, 5, *[1] * (rank - 2))
    y = roi_pooling(x, rois, size, scale)
    assert (y == 0).any() or size == (1, 1), "no bin is empty"
    params = (
        f"roi_pooling_param {{ pooled_h: {size[0]} pooled_w: {size[1]} spatial_scale: {scale} }}"
    )
    text = inputs(x=(1, 3, 10, 10), rois=(1, *rois.shape[1:])) + layer(
        "ROIPooling", "x rois", params
    )
    graph = build(text)
    assert graph.outputs[0].shape == ("rois_count", 3, *size)
    agree(text, {"x": x, "rois": rois}, {"y": y})


@pytest.mark.parametrize(
    ("images", "count", "dim", "size", "scale"),
    [(1, 20, 3, 7, 0.0625), (3, 25, 2, 3, 0.125), (2, 10, 4, 1, 0.1), (1, 30, 1, 2, 0.3)],
)
def test_psroi_pooling(images: int, count: int, dim: int, size: int, scale: float) -> None:
    x = np.random.default_rng(2).normal(size=(images, dim * size**2, 12, 17)).astype(np.float32) + 1
    rois = regions(3, images, count, 12 / scale)
    y = psroi_pooling(x, rois, dim, size, scale)
    assert (y == 0).any() or size < 3, "no bin is empty"
    params = f"spatial_scale: {scale} output_dim: {dim} group_size: {size}"
    text = inputs(x=(1, dim * size**2, 10, 10), rois=(1, 5))
    text += layer("PSROIPooling", "x rois", f"psroi_pooling_param {{ {params} }}")
    assert build(text).outputs[0].shape == ("rois_count", dim, size, size)
    agree(text, {"x": x, "rois": rois}, {"y": y})


@pytest.mark.parametrize(
    ("kind", "rois", "params", "match"),
    [
        ("ROIPooling", (1, 5), "", "pooled_h and pooled_w must be above 0"),
        ("ROIPooling", (1, 4), "roi_pooling_param { pooled_h: 1 pooled_w: 1 }", "Rx5 regions, not"),
        ("PSROIPooling", (1, 5), "", "give spatial_scale, output_dim and group_size"),
        (
            "PSROIPooling",
            (1, 5),
            "psroi_pooling_param { spatial_scale: 1 output_dim: 2 group_size: 3 }",
            r"needs 18 channels \(output_dim x group_size\^2\), not 9",
        ),
    ],
)
def test_region_pooling_refuses(kind: str, rois: tuple[int, ...], params: str, match: str) -> None:
    refused(inputs(x=(1, 9, 8, 8), rois=rois) + layer(kind, "x rois", params), match)
