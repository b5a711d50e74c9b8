"""Whole families of published networks, written anew and small: they convert as they are.

Each in its deploy form and, where the family has one, in its train_val form and both phases; ONNX
Runtime in three targets gives what the rebuild in PyTorch gives, in the shapes that were inferred.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

import converters
from converters.graph import Graph
from tests.converters.checker import bind, close, run_onnx, run_torch
from tests.converters.families import classifiers, detectors, others, residual, segmenters
from tests.converters.families.text import data, judged, layer, lmdb, softmax
from tests.converters.forks import build

Shapes = dict[str, tuple[int, ...]]
TOLERANCE = 1e-4


@dataclass
class Case:
    """A definition, in a phase, run on inputs of these shapes."""

    text: str
    feeds: Shapes
    phase: str = "TEST"
    outputs: list[str] | None = None
    options: dict[str, object] = field(default_factory=dict)
    whole: dict[str, float] = field(default_factory=dict)
    """Inputs that hold whole numbers below this."""


CASES: dict[str, Callable[[], Case]] = {}


def case(name: str, make: Callable[[], Case]) -> None:
    assert name not in CASES
    CASES[name] = make


def inputs(**shapes: tuple[int, ...]) -> str:
    return "".join(data(name, shape) for name, shape in shapes.items())


def classifier(
    name: str, body: Callable[[], classifiers.Body], size: int, trained: bool = True
) -> None:
    """deploy: an Input and a Softmax; train_val: LMDBs, loss and accuracy, in both phases."""

    def deploy() -> Case:
        text, scores = body()
        return Case(inputs(data=(10, 3, size, size)) + text + softmax("prob", scores), shape)

    def train_val(phase: str) -> Case:
        text, scores = body()
        return Case(lmdb(size, means=name < "m") + text + judged(scores), shape, phase)

    shape: Shapes = {"data": (2, 3, size, size)}
    case(name, deploy)
    if trained:
        for phase in ("TEST", "TRAIN"):
            case(f"{name} train_val {phase}", functools.partial(train_val, phase))


def simple(name: str, text: Callable[[], str], feeds: Shapes, **more: object) -> None:
    """A definition under Input layers of the feeds' shapes."""

    def deploy() -> Case:
        return Case(inputs(**feeds) + text(), feeds, **more)  # type: ignore[arg-type]

    case(name, deploy)


def train(name: str, text: Callable[[], str], feeds: Shapes, **more: object) -> None:
    """A train_val whose data layers are its own, in both phases."""
    for phase in ("TEST", "TRAIN"):
        case(f"{name} {phase}", lambda phase=phase: Case(text(), feeds, phase, **more))  # type: ignore[misc]


C, R = classifiers, residual
classifier("AlexNet", lambda: C.alexnet(0.06, 16, 5), 67)
classifier("CaffeNet", lambda: C.alexnet(0.06, 16, 5, norm_first=False), 67)
classifier("VGG-16", lambda: C.vgg16(0.05, 16, 5), 32)
classifier("NIN", lambda: C.nin(0.05, 5), 67)
classifier("SqueezeNet", lambda: C.squeezenet(0.1, 5), 47)
classifier("GoogLeNet", lambda: C.googlenet(0.06, 5, final=2), 64, trained=False)
classifier("MobileNet", lambda: C.mobilenet(0.1, 5, "DepthwiseConvolution"), 32, trained=False)
classifier("MobileNet by groups", lambda: C.mobilenet(0.1, 5), 32, trained=False)
classifier("MobileNet v2", lambda: C.mobilenet2(0.1, 5), 32)
classifier("ShuffleNet", lambda: C.shufflenet(3, 12, (1, 2)), 33)
classifier("ResNet", lambda: R.resnet((2, 1, 1), 0.06, 5), 33)
classifier("ResNeXt", lambda: R.resnet((1, 2), 0.1, 5, groups=4, base=128), 33)
classifier("SENet by Axpy", lambda: R.resnet((1, 2), 0.1, 5, gate="axpy"), 33)
classifier("SENet by Scale", lambda: R.resnet((1, 2), 0.1, 5, gate="scale"), 33, trained=False)
classifier("DenseNet", lambda: R.densenet((2, 2), 4, 5), 33)
classifier("DPN", lambda: R.dpn((2, 2), 2, 0.1, 5), 33, trained=False)
classifier("Inception v2", lambda: R.inception2(0.1, 5), 64, trained=False)
classifier("Inception v4", lambda: R.inception4(0.1, 5), 39, trained=False)
classifier("Inception-ResNet", lambda: R.inception4(0.1, 5, residual=True), 39, trained=False)


def googlenet_training(phase: str) -> Case:
    """Its two side classifiers are there for their losses; their scores are outputs too."""
    text, scores = C.googlenet(0.06, 5, final=2, auxiliary=True)
    return Case(lmdb(64) + text + judged(scores), {"data": (2, 3, 64, 64)}, phase)


for _phase in ("TEST", "TRAIN"):
    case(f"GoogLeNet train_val {_phase}", functools.partial(googlenet_training, _phase))
train("R-CNN", lambda: C.rcnn(0.06, 16), {"data": (2, 3, 67, 67)})

S = segmenters
IMAGE: Shapes = {"data": (2, 3, 40, 56)}
simple("FCN-8s", lambda: S.fcn8s(0.03), {"data": (1, 3, 32, 40)})
simple("FCN-8s of two heads", lambda: S.fcn8s(0.03, (5, 3)), {"data": (1, 3, 32, 40)})
simple(
    "FCN-32s of colour and depth",
    lambda: S.fcn32s_color_depth(0.03),
    {"color": (1, 3, 32, 40), "depth": (1, 1, 32, 40)},
)
simple("HED", lambda: S.hed(0.03), {"data": (1, 3, 32, 40)})
simple("DeepLab", lambda: S.deeplab(0.03), {"data": (2, 3, 33, 41)})
simple("DeepLab v2", lambda: S.deeplab(0.03, (6, 12, 18)), {"data": (2, 3, 33, 41)})
simple("PSPNet", lambda: S.pspnet(0.1), {"data": (2, 3, 57, 57)})
simple("SegNet", lambda: S.segnet(0.2), IMAGE)
simple(
    "Bayesian SegNet",
    lambda: S.segnet(0.2, bayesian=True),
    IMAGE,
    options={"lenient": True, "warn": lambda message: None},
)
simple("DeconvNet", lambda: S.deconvnet(0.3), {"data": (2, 3, 24, 24)})
simple("ENet", lambda: S.enet(0.5), {"data": (2, 3, 32, 48)})
simple("U-Net", lambda: S.unet(0.2), {"data": (1, 3, 60, 68)})


def fcn_layers(module: str, kind: str, tops: list[str], settings: str) -> str:
    param = f'module: "{module}" layer: "{kind}" param_str: "{settings}"'
    return layer("Python", "data", [], tops, f"python_param {{ {param} }}")


SEEDED = "{'seed': 1337, 'split': 'trainval', 'tops': ['color', 'depth', 'label']}"
LOSS = layer("SoftmaxWithLoss", "loss", ["score", "label"], more="loss_param { normalize: false }")
train(
    "FCN-8s train",
    lambda: (
        fcn_layers("voc_layers", "SBDDSegDataLayer", ["data", "label"], "{'seed': 1}")
        + S.fcn8s(0.03)
        + LOSS
    ),
    {"data": (1, 3, 32, 40)},
)
train(
    "FCN-8s of two heads train",
    lambda: (
        fcn_layers("siftflow_layers", "SIFTFlowSegDataLayer", ["data", "sem", "geo"], "{'seed': 1}")
        + S.fcn8s(0.03, (5, 3))
        + layer("SoftmaxWithLoss", "loss_sem", ["score_0", "sem"])
        + layer("SoftmaxWithLoss", "loss_geo", ["score_1", "geo"])
    ),
    {"data": (1, 3, 32, 40)},
)
train(
    "FCN-32s of colour and depth train",
    lambda: (
        fcn_layers("nyud_layers", "NYUDSegDataLayer", ["color", "depth", "label"], SEEDED)
        + S.fcn32s_color_depth(0.03)
        + LOSS
    ),
    {"color": (1, 3, 32, 40), "depth": (1, 1, 32, 40)},
)


def listed(kind: str, size: int = 0) -> str:
    crop = f"crop_size: {size}" if size else ""
    return layer(
        kind,
        "data",
        [],
        ["data", "label"],
        more=(f"transform_param {{ mean_value: 104 mean_value: 117 mean_value: 123 {crop} }}"),
    )


train(
    "HED train",
    lambda: (
        listed("ImageLabelmapData")
        + S.hed(0.03)
        + layer("SigmoidCrossEntropyLoss", "loss", ["fuse", "label"])
    ),
    {"data": (1, 3, 32, 40)},
)
train(
    "DeepLab train",
    lambda: (
        listed("ImageSegData", 33)
        + S.deeplab(0.03).rsplit("layer {", 1)[0]
        + S.shrunk_label()
        + layer("SoftmaxWithLoss", "loss", ["fc8", "label_shrink"])
        + layer("SegAccuracy", "accuracy", ["fc8", "label_shrink"])
    ),
    {"data": (1, 3, 33, 33)},
)
DENSE = layer("DenseImageData", "data", [], ["data", "label"])
train(
    "SegNet train",
    lambda: (
        DENSE
        + S.segnet(0.2, test=False).rsplit("layer {", 1)[0]
        + layer("SoftmaxWithLoss", "loss", ["dec1", "label"])
    ),
    IMAGE,
)
train(
    "DeconvNet train",
    lambda: (
        listed("WindowSegData", 24)
        + S.deconvnet(0.3)
        + layer("SoftmaxWithLoss", "loss", ["seg-score", "label"])
        + layer("EltwiseAccuracy", "accuracy", ["seg-score", "label"])
    ),
    {"data": (2, 3, 24, 24)},
)
case(
    "ENet train",
    lambda: Case(
        DENSE + S.enet(0.5, phase="TRAIN") + layer("SoftmaxWithLoss", "loss", ["deconv", "label"]),
        {"data": (1, 3, 32, 48)},
        "TRAIN",
    ),
)

D = detectors
REGIONS: Shapes = {"data": (1, 3, 48, 64), "im_info": (1, 3)}
simple("SSD", lambda: D.ssd(0.05), {"data": (2, 3, 48, 48)})
case(
    "SSD train",
    lambda: Case(D.ANNOTATED + D.ssd(0.05, training=True), {"data": (1, 3, 48, 48)}, "TRAIN"),
)
simple(
    "Faster R-CNN", lambda: D.faster_rcnn(0.05), REGIONS, outputs=["rois", "cls_prob", "bbox_pred"]
)
case(
    "Faster R-CNN train",
    lambda: Case(
        D.images(["data", "im_info", "gt_boxes"]) + D.faster_rcnn(0.05, training=True),
        {**REGIONS, "rois": (7, 5)},
        "TRAIN",
    ),
)
case(
    "Faster R-CNN train RPN",
    lambda: Case(
        D.images(["data", "im_info", "gt_boxes"])
        + D.vgg_trunk(0.05, levels=4).split('layer { name: "pool4"')[0]
        + D.rpn(0.05, "conv4_3", True),
        REGIONS,
        "TRAIN",
    ),
)
case(
    "Fast R-CNN train",
    lambda: Case(D.fast_rcnn(0.05), {"data": (1, 3, 48, 64), "rois": (7, 5)}, "TRAIN"),
)
simple("R-FCN", lambda: D.rfcn(0.05), REGIONS, outputs=["rois", "cls_prob", "boxes"])
case(
    "R-FCN train",
    lambda: Case(
        D.images(["data", "im_info", "gt_boxes"]) + D.rfcn(0.05, training=True),
        {**REGIONS, "rois": (7, 5)},
        "TRAIN",
    ),
)
simple("MTCNN P-Net", lambda: D.mtcnn("p"), {"data": (1, 3, 20, 31)})
simple("MTCNN R-Net", lambda: D.mtcnn("r"), {"data": (3, 3, 24, 24)})
simple("MTCNN O-Net", lambda: D.mtcnn("o"), {"data": (3, 3, 48, 48)})
simple("OpenPose", lambda: D.openpose(0.05, parts=5, limbs=8), {"data": (1, 3, 32, 48)})

O = others  # noqa: E741
simple("siamese", O.siamese, {"data": (3, 1, 28, 28)})
for _phase in ("TEST", "TRAIN"):
    case(
        f"siamese train_val {_phase}",
        lambda phase=_phase: Case(
            O.PAIRS.replace("PHASE", phase) + O.siamese(training=True),
            {"pair_data": (3, 2, 28, 28), "sim": (3,)},
            phase,
            options={"shapes": {"pair_data": ("batch", 2, 28, 28)}},
        ),
    )
simple(
    "siamese loss",
    lambda: O.siamese(training=True),
    {"pair_data": (4, 2, 28, 28), "sim": (4,)},
    outputs=["feat_p", "loss"],
    whole={"sim": 2},
)
simple("autoencoder", O.autoencoder, {"data": (3, 1, 28, 28)})
SENTENCE: Shapes = {"cont_sentence": (4, 2), "input_sentence": (4, 2), "image_features": (2, 9)}
WHOLE = {"cont_sentence": 2, "input_sentence": 20}
simple("LRCN captions", O.lrcn, SENTENCE, whole=WHOLE)
simple(
    "LRCN captions train",
    lambda: O.lrcn(training=True),
    {**SENTENCE, "target_sentence": (4, 2)},
    whole=WHOLE,
    phase="TRAIN",
)
simple(
    "LRCN activity",
    O.activity,
    {"data": (8, 3, 31, 31), "reshape-cm": (4, 2)},
    whole={"reshape-cm": 2},
)
simple("two inputs", O.two_streams, {"data": (2, 3, 12, 13), "vector": (2, 7)})


def liven(graph: Graph, rng: np.random.Generator) -> None:
    """Statistics, slopes and gains as a training leaves them: untrained, they are 0 or 1."""
    for node in graph.nodes:
        if node.type == "BatchNorm":
            node.blobs[0][:] = rng.normal(0, 0.1, node.blobs[0].shape)
            node.blobs[1][:] = rng.uniform(0.5, 2, node.blobs[1].shape)
            node.blobs[2][:] = 1
        elif node.type in ("Scale", "BN", "PReLU") and node.blobs:
            node.blobs[0][:] = rng.uniform(0.5, 1.5, node.blobs[0].shape)
        elif node.type == "Deconvolution":
            node.blobs[0][:] = rng.normal(0, 0.1, node.blobs[0].shape)


def feeds_of(case: Case, graph: Graph, rng: np.random.Generator) -> dict[str, np.ndarray]:
    feeds = {}
    for value in graph.inputs:
        shape = case.feeds[value.name]
        if value.name == "im_info":
            feeds[value.name] = np.array([[48, 64, 1]], np.float32)
        elif value.name == "rois":
            low, size = (
                rng.uniform(0, 30, (shape[0], 2)),
                rng.uniform(4, 17, (shape[0], 2)),
            )
            rows = np.concatenate([np.zeros((shape[0], 1)), low, low + size], 1)
            feeds[value.name] = rows.astype(np.float32)
        elif value.name in case.whole:
            most = int(case.whole[value.name])
            feeds[value.name] = rng.integers(0, most, shape).astype(np.float32)
        else:
            feeds[value.name] = rng.normal(0, 1, shape).astype(np.float32)
    return feeds


@pytest.mark.parametrize("name", CASES)
def test_every_path_gives_the_same(name: str) -> None:
    case = CASES[name]()
    rng = np.random.default_rng(len(name))
    graph = build(case.text, phase=case.phase, outputs=case.outputs, seed=3, **case.options)
    liven(graph, rng)
    feeds = feeds_of(case, graph, rng)
    expected = run_torch(graph, feeds)
    # A deploy is held to all targets; a training only to what is its own.
    targets = converters.FORMS if " T" not in name and " train" not in name else ("cpu",)
    for target in targets:
        found = run_onnx(converters.to_onnx(converters.fold(graph), target=target), feeds)
        sizes: dict[str, int] = {}
        for value, fed in itertools.chain(
            ((v, feeds[v.name]) for v in graph.inputs), zip(graph.outputs, found, strict=True)
        ):
            bind(sizes, value.shape, fed.shape)
        for value, got, wanted in zip(graph.outputs, found, expected, strict=True):
            assert got.shape == wanted.shape, value.name
            assert got.size and np.isfinite(wanted).all(), value.name
            if value.dtype == "int64":
                assert np.array_equal(got, wanted), value.name
            else:
                assert value.name.startswith(("rois", "rpn_rois")) or np.any(wanted), value.name
                close(value.name, got, wanted, TOLERANCE)
