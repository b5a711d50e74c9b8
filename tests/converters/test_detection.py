"""DetectionOutput, the losses of detectors and AnnotatedData."""

from __future__ import annotations

import numpy as np
import pytest

from converters.graph import Graph
from tests.converters.forks import agree, build, inputs, layer, refused
from tests.converters.oracles.detection import detect

pytestmark = pytest.mark.oracle


def predictions(
    seed: int, images: int, count: int, classes: int, sets: int
) -> dict[str, np.ndarray]:
    """Locations, scores (a softmax's) and priors that overlap much."""
    rng = np.random.default_rng(seed)
    centre, size = rng.uniform(0.2, 0.8, (count, 2)), rng.uniform(0.1, 0.5, (count, 2))
    corners = np.concatenate([centre - size / 2, centre + size / 2], 1)
    variance = np.broadcast_to([0.1, 0.1, 0.2, 0.2], corners.shape)
    scores = np.exp(rng.normal(size=(images, count, classes)) * 2)
    return {
        "loc": rng.normal(size=(images, count * sets * 4)).astype(np.float32),
        "conf": (scores / scores.sum(2, keepdims=True)).reshape(images, -1).astype(np.float32),
        "prior": np.stack([corners.ravel(), variance.ravel()])[None].astype(np.float32),
    }


def network(feeds: dict[str, np.ndarray], params: str) -> str:
    shapes = {k: (1, *v.shape[1:]) for k, v in feeds.items()}
    return inputs(**shapes) + layer(
        "DetectionOutput", "loc conf prior", f"detection_output_param {{ {params} }}"
    )


def detects(feeds: dict[str, np.ndarray], params: str, y: np.ndarray) -> Graph:
    """The batch open, but for the priors, which all images share."""
    shapes = {k: (v.shape[0] if k == "prior" else "batch", *v.shape[1:]) for k, v in feeds.items()}
    return agree(network(feeds, params), feeds, {"y": y}, shapes=shapes)


CASES = [
    ("num_classes: 4 save_output_param { output_directory: 'results' }", {}),
    (
        "num_classes: 4 share_location: true background_label_id: 0 code_type: CENTER_SIZE "
        "nms_param { nms_threshold: .45 top_k: 20 } keep_top_k: 15 confidence_threshold: .1",
        {"code": "CENTER_SIZE", "limit": 0.45, "top_k": 20, "keep_top_k": 15, "least": 0.1},
    ),
    (
        "num_classes: 4 share_location: false code_type: CENTER_SIZE background_label_id: 2 "
        "nms_param { nms_threshold: .2 } keep_top_k: 9",
        {"code": "CENTER_SIZE", "share": False, "background": 2, "limit": 0.2, "keep_top_k": 9},
    ),
    (
        "num_classes: 4 background_label_id: -1 code_type: CORNER_SIZE "
        "nms_param { nms_threshold: .1 top_k: 7 } variance_encoded_in_target: true",
        {"code": "CORNER_SIZE", "background": -1, "limit": 0.1, "top_k": 7, "encoded": True},
    ),
    (
        "num_classes: 4 share_location: false background_label_id: -1 confidence_threshold: .3 "
        "nms_param { nms_threshold: 0 } keep_top_k: 1000",
        {"share": False, "background": -1, "least": 0.3, "limit": 0.0, "keep_top_k": 1000},
    ),
    (
        "num_classes: 4 code_type: CENTER_SIZE variance_encoded_in_target: true "
        "nms_param { nms_threshold: .5 eta: .9 } keep_top_k: 1 confidence_threshold: .05",
        {"code": "CENTER_SIZE", "encoded": True, "limit": 0.5, "keep_top_k": 1, "least": 0.05},
    ),
]


@pytest.mark.parametrize(("params", "options"), CASES)
@pytest.mark.parametrize(("images", "count"), [(1, 12), (3, 60)])
def test_detection_output(params: str, options: dict, images: int, count: int) -> None:
    sets = 1 if options.get("share", True) else 4
    feeds = predictions(images, images, count, 4, sets)
    if options.get("encoded"):
        feeds["loc"] *= 0.1
    y = detect(feeds["loc"], feeds["conf"], feeds["prior"], classes=4, **options)
    assert 0 < y.shape[2] < images * count * 4, "the case suppresses nothing, or everything"
    graph = detects(feeds, params, y)
    assert graph.outputs[0].shape == (1, 1, "l_rows", 7)


def test_boxes_turned_inside_out_overlap_nothing() -> None:
    """CORNER offsets can exchange a box's sides; ONNX' own suppression would turn it back."""
    feeds = predictions(7, 2, 40, 3, 1)
    feeds["loc"] *= 5
    prior = feeds["prior"].reshape(2, -1, 4)
    boxes = prior[0] + prior[1] * feeds["loc"].reshape(2, -1, 4)
    inverted = (boxes[..., 2:] < boxes[..., :2]).any(-1)
    assert inverted.any() and not inverted.all()
    y = detect(feeds["loc"], feeds["conf"], feeds["prior"], classes=3, limit=0.2)
    detects(feeds, "num_classes: 3 nms_param { nms_threshold: .2 }", y)


def test_drawing_changes_no_row() -> None:
    feeds = predictions(0, 1, 10, 4, 1)
    y = detect(feeds["loc"], feeds["conf"], feeds["prior"], classes=4)
    graph = detects(feeds, "num_classes: 4 visualize: true", y)
    assert graph.notes[0] == "layer 'l': visualize is passed over: it draws, and changes no row"


@pytest.mark.parametrize("keep", ["", "keep_top_k: 3"])
def test_nothing_found(keep: str) -> None:
    feeds = predictions(8, 3, 10, 4, 1)
    y = detect(feeds["loc"], feeds["conf"], feeds["prior"], classes=4, least=0.999)
    assert y[0, 0].tolist() == [[i, -1, -1, -1, -1, -1, -1] for i in range(3)]
    detects(feeds, f"num_classes: 4 confidence_threshold: .999 {keep}", y)


def test_negative_scores_count_where_there_is_no_threshold() -> None:
    feeds = predictions(9, 2, 20, 3, 1)
    feeds["conf"] = feeds["conf"] - 2
    y = detect(feeds["loc"], feeds["conf"], feeds["prior"], classes=3, keep_top_k=11)
    assert (y[..., 2] < 0).all()
    detects(feeds, "num_classes: 3 keep_top_k: 11", y)


def test_equal_scores_come_in_the_order_of_the_priors() -> None:
    feeds = predictions(10, 2, 30, 3, 1)
    feeds["conf"] = np.round(feeds["conf"] * 4) / 4
    y = detect(feeds["loc"], feeds["conf"], feeds["prior"], classes=3, top_k=12)
    detects(feeds, "num_classes: 3 nms_param { top_k: 12 }", y)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ("", "num_classes is missing"),
        ("num_classes: 1", "leaves no class besides the background"),
        ("num_classes: 5", r"10 priors need 50 scores, not 40"),
        ("num_classes: 4 share_location: false", "10 priors need 160 locations, not 40"),
        ("num_classes: 4 nms_param { nms_threshold: .7 eta: .9 }", "eta below 1"),
        ("num_classes: 4 nms_param { nms_threshold: -1 }", "must not be negative"),
        ("num_classes: 4 keep_top_k: 0", "keeps nothing"),
        ("num_classes: 4 code_type: CENTRE", "must be one of CORNER, CENTER_SIZE, CORNER_SIZE"),
    ],
)
def test_detection_output_refuses(params: str, match: str) -> None:
    refused(network(predictions(0, 1, 10, 4, 1), params), match)


SAMPLERS = (
    "batch_sampler { max_sample: 1 max_trials: 1 } label_map_file: 'labels' anno_type: BBOX "
    "yolo_data_type: 1"
)
TRANSFORM = "mean_value: 104 mean_value: 117 mean_value: 123 distort_param { hue_prob: .5 } "


@pytest.mark.parametrize(
    ("transform", "plane"),
    [
        (
            "resize_param { prob: 1 resize_mode: WARP height: 20 width: 30 interp_mode: AREA }",
            (20, 30),
        ),
        ("resize_param { height: 20 width: 30 } crop_h: 12 crop_w: 16", (12, 16)),
        ("resize_param { height: 20 width: 30 } crop_size: 14", (14, 14)),
        ("resize_param { resize_mode: FIT_SMALL_SIZE height: 20 width: 30 }", None),
        ("", None),
    ],
)
def test_annotated_data(transform: str, plane: tuple[int, int] | None) -> None:
    """A training network of SSD: data and loss leave, what lies between is converted."""
    params = (
        f"data_param {{ source: 'db' batch_size: 8 }} transform_param {{ {TRANSFORM}{transform} }}"
    )
    text = layer(
        "AnnotatedData", "", f"{params} annotated_data_param {{ {SAMPLERS} }}", "data label"
    )
    text += layer(
        "Convolution", "data", "convolution_param { num_output: 4 kernel_size: 3 }", "c", "c"
    )
    text += layer("PriorBox", "c data", "prior_box_param { min_size: 4 }", "prior", "p")
    loss = "multibox_loss_param { num_classes: 2 } loss_param { normalization: VALID }"
    text += layer("MultiBoxLoss", "c c prior label", loss, "loss", "m")
    if plane is None:
        refused(text, "nothing fixes the height and width of 'data'")
        return
    graph = build(text)
    assert [(v.name, v.shape[1:]) for v in graph.inputs] == [("data", (3, *plane))]
    assert [v.name for v in graph.outputs] == ["prior"]


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("MultiBoxLoss", "multibox_loss_param { num_classes: 2 } loss_param { normalize: true }"),
        ("SmoothL1LossOHEM", "loss_param { normalization: PRE_FIXED }"),
        ("SoftmaxWithLossOHEM", "softmax_param { axis: 1 } loss_param { }"),
        ("BoxAnnotatorOHEM", "box_annotator_ohem_param { roi_per_img: 128 }"),
        ("DetectionEvaluate", "detection_evaluate_param { num_classes: 21 }"),
    ],
)
def test_what_training_alone_needs_is_pruned(kind: str, params: str) -> None:
    text = inputs(x=(1, 3, 8, 8), t=(1, 3, 8, 8)) + layer("ReLU", "x", tops="r", name="relu")
    text += layer(kind, "r t", params, "loss")
    assert [v.name for v in build(text).outputs] == ["r"]
    match = rf"layer 'l' \({kind}\): is for training alone and is not converted; leave it out"
    refused(text, match, outputs=["loss"])


def test_raw_stops_before_detections() -> None:
    """`raw` gives out what the detector reads, but for the network's own inputs."""
    feeds = predictions(0, 1, 12, 4, 1)
    text = inputs(x=(1, 3, 4, 4), loc=(1, 48), prior=feeds["prior"].shape)
    text += layer(
        "Convolution", "x", "convolution_param { num_output: 3 kernel_size: 1 }", "c", "conv"
    )
    text += layer("Flatten", "c", "", "conf", "flat")
    text += layer("ReLU", "c", "", "other", "relu")
    text += layer("DetectionOutput", "loc conf prior", "detection_output_param { num_classes: 4 }")
    assert [v.name for v in build(text).outputs] == ["other", "y"]
    graph = build(text, raw=True)
    assert [v.name for v in graph.outputs] == ["other", "conf"]
    assert [v.name for v in graph.inputs] == ["x"]
    text = inputs(x=(1, 3, 4, 4)) + layer("ReLU", "x")
    refused(text, "n: no layer makes detections", raw=True)
    text = inputs(loc=(1, 48)) + layer("DetectionOutput", "loc conf loc")
    refused(text, "bottom 'conf' is not there", raw=True)
