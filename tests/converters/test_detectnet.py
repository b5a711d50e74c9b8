"""DetectNet's clustering against its source in plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.forks import agree, build, inputs, layer, refused
from tests.converters.oracles.detectnet import cluster

pytestmark = pytest.mark.oracle

MODULE = "caffe.layers.detectnet.clustering"


def python(name: str, param: str = "", module: str = MODULE) -> str:
    return f'python_param {{ module: "{module}" layer: "{name}" param_str: "{param}" }}'


def scene(seed: int, images: int, classes: int) -> dict[str, np.ndarray]:
    """Cells that mean a few boxes, one within another among them, and some noise."""
    rng = np.random.default_rng(seed)
    rows, columns, stride = 6, 8, 16
    coverage = np.zeros((images, classes, rows, columns), np.float32)
    corners = np.zeros((images, 4, rows, columns), np.float32)
    boxes = np.array([[5, 5, 60, 70], [10, 12, 50, 55], [70, 20, 120, 90], [66, 60, 120, 75]])
    for image in range(images):
        for row in range(rows):
            for column in range(columns):
                box = boxes[rng.integers(len(boxes))] + rng.normal(size=4) * 1.5
                offset = [column * stride, row * stride] * 2
                corners[image, :, row, column] = box - offset
                coverage[image, :, row, column] = rng.uniform(0, 1, classes)
    return {"c": coverage, "b": corners}


@pytest.mark.parametrize(
    "param", ["128, 96, 16, 0.3, 1, 0.2, 12, {}", "112,160,16,0.2,3,0.05,22,{}"]
)
@pytest.mark.parametrize(("images", "classes"), [(1, 1), (3, 2)])
def test_cluster(param: str, images: int, classes: int) -> None:
    feeds = scene(images, images, classes)
    said = param.format(classes)
    tops = [f"y{i}" for i in range(classes)]
    text = inputs(c=(1, classes, 6, 8), b=(1, 4, 6, 8))
    text += layer("Python", "c b", python("ClusterDetections", said), " ".join(tops))
    n = said.split(",")
    expected = cluster(
        feeds["c"],
        feeds["b"],
        size=(int(n[0]), int(n[1])),
        stride=int(n[2]),
        least=float(n[3]),
        threshold=int(n[4]),
        eps=float(n[5]),
        min_height=int(n[6]),
    )
    assert any(top.any() for top in expected)
    own = {"c": ("batch", classes, "high", "wide"), "b": ("batch", 4, "high", "wide")}
    agree(text, feeds, dict(zip(tops, expected, strict=True)), shapes=own)


def test_nothing_found() -> None:
    feeds = scene(0, 2, 1)
    text = inputs(c=(1, 1, 6, 8), b=(1, 4, 6, 8))
    text += layer("Python", "c b", python("ClusterDetections", "128,96,16,2,3,0.02,22"))
    own = {"c": ("batch", 1, 6, 8), "b": ("batch", 4, 6, 8)}
    agree(text, feeds, {"y": np.zeros((2, 50, 5), np.float32)}, shapes=own)


@pytest.mark.parametrize(
    ("param", "match"),
    [
        ("128,96,16", "param_str is not understood: '128,96,16'"),
        ("100,96,16,.5,3,.02,22", "100x96 is no multiple of the stride 16"),
        ("128,96,16,.5,0,.02,22", "needs thresholds of at least 1"),
        ("128,96,16,.5,3,.02,22,2", "has 1 tops for 2 classes"),
    ],
)
def test_refused(param: str, match: str) -> None:
    text = inputs(c=(1, 1, 6, 8), b=(1, 4, 6, 8))
    refused(
        text + layer("Python", "c b", python("ClusterDetections", param)), match, open_dims=False
    )


def test_what_trains_is_cut() -> None:
    """The changed image is the input; labels, scores and precision are gone."""
    text = 'layer { name: "d" type: "Data" top: "d" } layer { name: "l" type: "Data" top: "l" }'
    text += layer(
        "DetectNetTransformation",
        "d l",
        "detectnet_groundtruth_param { stride: 16 image_size_x: 128 image_size_y: 96 "
        "object_class: { src: 1 dst: 0 } } detectnet_augmentation_param { crop_prob: 1 }",
        "image labels",
        "change",
    )
    text += layer(
        "Convolution",
        "image",
        "convolution_param { num_output: 5 kernel_size: 16 stride: 16 }",
        "f",
        "f",
    )
    text += layer("Slice", "f", "slice_param { slice_point: 1 }", "c b", "cut")
    param = "128,96,16,.5,3,.02,22"
    text += layer("Python", "c b", python("ClusterDetections", param), "found", "cluster")
    text += layer("Python", "labels labels", python("ClusterGroundtruth"), "true", "truth")
    text += layer(
        "Python",
        "true found",
        python("ScoreDetections", "", "caffe.layers.detectnet.mean_ap"),
        "scored",
        "score",
    )
    text += layer(
        "Python", "scored", python("mAP", "", "caffe.layers.detectnet.mean_ap"), "mAP p r", "map"
    )
    graph = build(text)
    assert [(v.name, v.nominal) for v in graph.inputs] == [("image", (1, 3, 96, 128))]
    assert [v.name for v in graph.outputs] == ["found"]
    assert [v.name for v in build(text, raw=True).outputs] == ["c", "b"]


def test_masks_of_labels_are_left_out() -> None:
    """What a loss compares is given out as the network predicts it, before labels mask it."""
    text = 'layer { name: "d" type: "Data" top: "d" top: "label" }'
    conv = "convolution_param { num_output: 3 kernel_size: 1 }"
    text += layer("Convolution", "d", conv, "f", "f")
    text += layer("Concat", "label label label", "concat_param { axis: 0 }", "mask", "mask")
    text += layer("Eltwise", "f mask", "eltwise_param { operation: PROD }", "m", "m")
    text += layer("Power", "m", "power_param { scale: 2 }", "n", "n")
    text += layer("EuclideanLoss", "n label", "", "loss", "loss")
    assert [v.name for v in build(text, shapes={"d": (1, 3, 8, 8)}).outputs] == ["f"]
