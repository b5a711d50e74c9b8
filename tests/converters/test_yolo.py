"""The detectors of MobileNet-YOLO against their source in plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.forks import agree, inputs, layer, refused
from tests.converters.oracles.yolo import yolo2, yolo3

pytestmark = pytest.mark.oracle

BIASES = [1.5, 1.0, 3.0, 4.0, 5.0, 2.0, 2.5, 6.0, 7.0, 3.5, 4.5, 4.0]


def listed(name: str, numbers: list) -> str:
    return " ".join(f"{name}: {n}" for n in numbers)


def maps(seed: int, *shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {f"m{i}": rng.normal(size=s).astype(np.float32) for i, s in enumerate(shapes)}


def network(kind: str, feeds: dict[str, np.ndarray], message: str, params: str) -> str:
    shapes = {k: (1, v.shape[1], 2, 2) for k, v in feeds.items()}
    return inputs(**shapes) + layer(kind, " ".join(feeds), f"{message} {{ {params} }}")


@pytest.mark.parametrize(
    ("seed", "shapes", "least", "limit"),
    [
        (1, [(1, 24, 5, 5)], 0.1, 0.45),
        (2, [(1, 24, 3, 3), (1, 24, 6, 6), (1, 24, 2, 2)], 0.2, 0.3),
        (3, [(2, 24, 4, 4)], 0.25, 0.2),
        (4, [(3, 24, 4, 4)], 0.999, 0.45),
    ],
)
def test_yolo2(seed: int, shapes: list, least: float, limit: float) -> None:
    feeds = maps(seed, *shapes)
    params = f"num_classes: 3 num_box: 3 confidence_threshold: {least} nms_threshold: {limit} "
    text = network(
        "YoloDetectionOutput",
        feeds,
        "yolo_detection_output_param",
        params + listed("biases", BIASES) + " side: 13 coords: 4 label_map_file: 'x'",
    )
    y = yolo2(list(feeds.values()), 3, 3, BIASES, least, limit)
    assert (y[0, 0, 0, 1] == -1) == (least > 0.9)
    own = {k: ("batch", 24, f"{k}_h", f"{k}_w") for k in feeds}
    agree(text, feeds, {"y": y}, shapes=own)


@pytest.mark.parametrize(
    ("seed", "shapes", "least", "limit"),
    [
        (1, [(1, 21, 5, 7)], 0.3, 0.45),
        (2, [(1, 21, 3, 4), (1, 21, 6, 8)], 0.35, 0.3),
        (3, [(2, 21, 3, 3), (2, 21, 4, 4)], 0.4, 0.9),
        (4, [(2, 21, 3, 4), (2, 21, 6, 8)], 0.999, 0.45),
    ],
)
def test_yolo3(seed: int, shapes: list, least: float, limit: float) -> None:
    feeds, mask = maps(seed, *shapes), [3, 4, 5, 0, 1, 2][: 3 * len(shapes)]
    biases, scales = [n * 20 for n in BIASES], [32, 16][: len(shapes)]
    params = f"num_classes: 2 num_box: 3 confidence_threshold: {least} nms_threshold: {limit} "
    text = network(
        "Yolov3DetectionOutput",
        feeds,
        "yolov3_detection_output_param",
        params
        + f"mask_group_num: {len(shapes)} {listed('mask', mask)} {listed('biases', biases)} "
        + listed("anchors_scale", scales),
    )
    y = yolo3(list(feeds.values()), 2, 3, biases, scales, mask, least, limit)
    own = {k: ("batch", 21, f"{k}_h", f"{k}_w") for k in feeds}
    agree(text, feeds, {"y": y}, shapes=own)


def test_equal_overlap_is_suppressed() -> None:
    """As much overlap as the threshold is too much: two classes of one box are one detection."""
    x = np.zeros((1, 7, 1, 1), np.float32)
    x[0, 4:, 0, 0] = 3, 2, 1
    params = (
        "num_classes: 2 num_box: 1 nms_threshold: 1 mask_group_num: 1 mask: 0 biases: 16 "
        "biases: 16 anchors_scale: 32 confidence_threshold: .1"
    )
    text = network("Yolov3DetectionOutput", {"x": x}, "yolov3_detection_output_param", params)
    y = yolo3([x], 2, 1, [16, 16], [32], [0], 0.1, 1.0)
    assert y.shape == (1, 1, 1, 7)
    agree(text, {"x": x}, {"y": y})


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ("num_box: 3", "num_classes is missing or 0"),
        ("num_classes: 2 nms_threshold: 0", "nms_threshold must be above 0 and at most 1"),
        ("num_classes: 2", "has 1 bottoms and mask_group_num 2"),
        ("num_classes: 2 mask_group_num: 1", "1 bottoms need 1 anchors_scale above 0"),
        ("num_classes: 2 mask_group_num: 1 anchors_scale: 8 mask: 1", "need a mask of 3 numbers"),
        (
            "num_classes: 2 mask_group_num: 1 anchors_scale: 8 mask: 0 num_box: 1 biases: 4",
            "mask 0 names an anchor beyond the biases",
        ),
        ("num_classes: 2 gaussian_box: true", "gaussian_box is not supported"),
        (
            "num_classes: 3 num_box: 1 mask_group_num: 1 anchors_scale: 8 mask: 0 biases: 4 "
            "biases: 4",
            "1 boxes of 5 numbers and 3 classes need 8 channels, not 21",
        ),
    ],
)
def test_refused(params: str, match: str) -> None:
    feeds = maps(0, (1, 21, 2, 2))
    refused(network("Yolov3DetectionOutput", feeds, "yolov3_detection_output_param", params), match)


def test_yolo2_refused() -> None:
    def text(shape: tuple[int, ...], params: str) -> str:
        params = f"yolo_detection_output_param {{ num_classes: 2 {params} }}"
        return inputs(x=shape) + layer("YoloDetectionOutput", "x", params)

    refused(text((1, 35, 2, 2), ""), "5 boxes need 10 biases, not 0")
    biases = listed("biases", BIASES)
    refused(text((1, 35, 2, 3), biases), "needs square maps, not 1x35x2x3", open_dims=False)
    refused(text((1, 35), biases), "needs 4-D maps, not 1x35")
