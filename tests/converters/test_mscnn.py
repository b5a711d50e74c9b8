"""MS-CNN's proposals and pooling against their source in plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.converters.forks import agree, build, inputs, layer, refused
from tests.converters.oracles.mscnn import box_output, decode_bbox, roi_align, roi_pool

pytestmark = pytest.mark.oracle

FIELDS = [(24, 20), (40, 60)]
RATES = [8, 16]


def fields(count: int = 2) -> str:
    return " ".join(
        f"field_w: {w} field_h: {h} downsample_rate: {r}"
        for (w, h), r in list(zip(FIELDS, RATES, strict=True))[:count]
    )


def network(feeds: dict[str, np.ndarray], params: str, tops: str = "y s", more: str = "") -> str:
    shapes = {k: (1, v.shape[1], 2, 2) for k, v in feeds.items()}
    text = f"box_output_param {{ {params} }} {more}"
    return inputs(**shapes) + layer("BoxOutput", " ".join(feeds), text, tops)


CASES: list[tuple[str, dict[str, Any]]] = [
    ("fg_thr: 0.1 iou_thr: 0.3", {"least": 0.1, "limit": 0.3}),
    (
        "fg_thr: -1 iou_thr: 0.65 nms_type: 'IOU' max_nms_num: 12 max_post_nms_num: 5 "
        "min_size: 18 field_whr: 3 field_xyr: 4",
        {
            "least": -1.0,
            "limit": 0.65,
            "before": 12,
            "after": 5,
            "min_size": 18.0,
            "whr": 3.0,
            "xyr": 4.0,
        },
    ),
    ("fg_thr: 99", {"least": 99.0, "limit": 0.5}),
]


@pytest.mark.parametrize(("params", "options"), CASES)
@pytest.mark.parametrize(("images", "channels"), [(1, 6), (3, 8)])
def test_box_output(params: str, options: dict[str, Any], images: int, channels: int) -> None:
    rng = np.random.default_rng(images)
    feeds = {
        "a": rng.normal(size=(images, channels, 5, 6)).astype(np.float32),
        "b": rng.normal(size=(images, channels, 3, 3)).astype(np.float32),
    }
    own = {k: ("batch", channels, f"{k}_h", f"{k}_w") for k in feeds}
    rois, scored = box_output(list(feeds.values()), FIELDS, RATES, **options)
    text = network(feeds, f"{params} {fields()}")
    agree(text, feeds, {"y": rois, "s": scored}, shapes=own)


def test_box_output_normalized() -> None:
    """Offsets are scaled and moved back first; of equal scores the last is first."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(2, 7, 4, 5)).astype(np.float32)
    x[:, :3] = np.round(x[:, :3])
    mean, std = [0.1, -0.1, 0.05, 0.0], [0.1, 0.1, 0.2, 0.2]
    reg = " ".join(f"bbox_mean: {m} bbox_std: {s}" for m, s in zip(mean, std, strict=True))
    text = network({"x": x}, fields(1), "y", f"bbox_reg_param {{ {reg} }}")
    rois, _ = box_output([x], FIELDS[:1], RATES[:1], least=0.0, limit=0.5, mean=mean, std=std)
    agree(text, {"x": x}, {"y": rois})


def test_box_output_refused() -> None:
    feeds = {"x": np.zeros((1, 6, 2, 2), np.float32)}
    refused(network(feeds, "field_w: 4 field_h: 4"), "1 bottoms need 1 downsample_rate above 0")
    refused(network(feeds, f"{fields(1)} nms_type: 'IOMU'"), "nms_type IOMU is not supported")
    refused(network(feeds, f"{fields(1)} iou_thr: 2"), "iou_thr must be from 0 to 1")
    refused(network(feeds, f"{fields(1)} field_xyr: 0"), "field_whr and field_xyr must be above 0")
    flat = {"x": np.zeros((1, 5, 2, 2), np.float32)}
    refused(network(flat, fields(1)), "at least 2 classes, not ")
    more = "bbox_reg_param { bbox_mean: 0 bbox_std: 1 }"
    refused(network(feeds, fields(1), more=more), "needs 4 bbox_mean and 4 bbox_std")


@pytest.mark.parametrize("scaled", [False, True])
def test_decode_bbox(scaled: bool) -> None:
    rng = np.random.default_rng(2)
    regions = np.concatenate([[[0.0], [1], [0]], rng.uniform(0, 50, (3, 2))], 1)
    regions = np.concatenate([regions, regions[:, 1:] + rng.uniform(0, 40, (3, 2))], 1)
    feeds = {
        "d": rng.normal(size=(3, 8)).astype(np.float32),
        "r": regions.astype(np.float32)[:, :, None, None],
    }
    mean, std = ([0.1, 0.0, -0.1, 0.2], [0.1, 0.1, 0.2, 0.2]) if scaled else ([0.0] * 4, [1.0] * 4)
    reg = " ".join(f"bbox_mean: {m} bbox_std: {s}" for m, s in zip(mean, std, strict=True))
    params = f"bbox_reg_param {{ {reg} }}" if scaled else "decode_bbox_param { gt_iou_thr: .9 }"
    text = inputs(d=(1, 8), r=(1, 5, 1, 1)) + layer("DecodeBBox", "d r", params)
    own = {"d": ("count", 8), "r": ("count", 5, 1, 1)}
    agree(text, feeds, {"y": decode_bbox(feeds["d"], feeds["r"], mean, std)}, shapes=own)


def test_decode_bbox_refused() -> None:
    text = inputs(d=(1, 8), r=(1, 5)) + layer("DecodeBBox", "d r")
    refused(text, "screens its boxes while training; use phase='test'", phase="TRAIN")
    text = inputs(d=(1, 4), r=(1, 5)) + layer("DecodeBBox", "d r")
    refused(text, "needs Rx8 offsets and Rx5 regions, not ")


def pooled(kind: str, pad: float) -> tuple[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    low = rng.uniform(-10, 60, (9, 2))
    corners = np.concatenate([low, low + rng.uniform(0, 60, (9, 2))], 1)
    corners[1] = 5, 5, 1, 1  # turned inside out
    corners[2] = 200, 10, 300, 40  # outside
    image = np.arange(9)[:, None] % 2
    feeds = {
        "x": rng.normal(size=(2, 3, 7, 10)).astype(np.float32),
        "r": np.concatenate([image, corners], 1).astype(np.float32),
    }
    params = f"pooled_h: 3 pooled_w: 2 spatial_scale: 0.125 pad_ratio: {pad}"
    text = inputs(x=(1, 3, 5, 5), r=(1, 5)) + layer(
        kind, "x r", f"roi_pooling_param {{ {params} }}"
    )
    return text, feeds


@pytest.mark.parametrize("pad", [0.0, 0.25])
def test_roi_align(pad: float) -> None:
    text, feeds = pooled("ROIAlign", pad)
    agree(text, feeds, {"y": roi_align(feeds["x"], feeds["r"], (3, 2), 0.125, pad)})


def test_roi_pooling_padded() -> None:
    text, feeds = pooled("ROIPooling", 0.3)
    agree(text, feeds, {"y": roi_pool(feeds["x"], feeds["r"], (3, 2), 0.125, 0.3)})


def test_roi_align_refused() -> None:
    text = inputs(x=(1, 3, 5, 5), r=(1, 5)) + layer("ROIAlign", "x r")
    refused(text, "pooled_h and pooled_w must be above 0")


TRAINED = """
layer { name: "data" type: "ImageGtData" top: "data" top: "label" top: "gt"
  image_gt_data_param { resize_width: 96 resize_height: 80 crop_width: 64 } }
layer { name: "map" type: "Convolution" bottom: "data" top: "map"
  convolution_param { num_output: 6 kernel_size: 8 stride: 8 } }
layer { name: "loss" type: "DetectionLoss" bottom: "map" bottom: "label" top: "loss" }
layer { name: "r" type: "DetectionAccuracy" bottom: "map" bottom: "label" top: "r" top: "i" }
layer { name: "boxes" type: "BoxOutput" bottom: "map" top: "boxes"
  box_output_param { field_w: 16 field_h: 16 downsample_rate: 8 } }
layer { name: "draw" type: "ProposalTarget" bottom: "boxes" bottom: "gt"
  top: "rois" top: "labels" top: "targets" }
layer { name: "pool" type: "ROIPooling" bottom: "map" bottom: "rois" top: "pool"
  roi_pooling_param { pooled_w: 2 pooled_h: 2 spatial_scale: 0.125 } }
"""


def test_what_trains_is_cut() -> None:
    """The sampler's tops are inputs, losses and metrics are gone, the size is the data layer's."""
    graph = build(TRAINED)
    sizes = {v.name: v.nominal[1:] for v in graph.inputs}
    assert sizes == {"data": (3, 80, 64), "rois": (5,)}
    assert [v.name for v in graph.outputs] == ["boxes", "pool"]
