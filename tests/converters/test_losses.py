"""Every loss and its gradient, by Caffe's own loops: numpy = ONNX Runtime = torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import converters
import prototxt
from converters import ConversionError
from tests.converters.checker import bind, close, run_onnx, run_torch
from tests.converters.oracles import losses as oracle

pytestmark = [pytest.mark.oracle, pytest.mark.gradient]

RNG = np.random.default_rng
Arrays = list[np.ndarray]


@dataclass
class Case:
    """One setting of one layer: its bottoms are drawn by `draw` from a seed."""

    type: str
    oracle: Callable[..., oracle.Result]
    draw: Callable[[np.random.Generator], Arrays]
    param: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def net(self, bottoms: Arrays, tops: str = 'top: "y"', param: str | None = None) -> str:
        names = [f"b{i}" for i in range(len(bottoms))]
        text = ['name: "loss"']
        for name, array in zip(names, bottoms, strict=True):
            dims = " ".join(f"dim: {d}" for d in array.shape)
            text.append(
                f'layer {{ name: "{name}" type: "Input" top: "{name}" '
                f"input_param {{ shape {{ {dims} }} }} }}"
            )
        read = " ".join(f'bottom: "{n}"' for n in names)
        own = self.param if param is None else param
        text.append(f'layer {{ name: "loss" type: "{self.type}" {read} {tops} {own} }}')
        return "\n".join(text)


def normal(*shape: int, scale: float = 2.0) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: rng.normal(0, scale, shape)


def labels(classes: int, *shape: int, least: int = 0) -> Callable[..., np.ndarray]:
    return lambda rng: rng.integers(least, classes, shape)


def probabilities(*shape: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Rows that sum to 1, with some numbers far below the 1e-20 of the logarithm."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        found = rng.dirichlet(np.ones(int(np.prod(shape[1:]))), shape[0])
        found[rng.random(found.shape) < 0.2] = 1e-25
        return found.reshape(shape)

    return draw


def draws(*parts: Callable[[np.random.Generator], np.ndarray]) -> Callable[..., Arrays]:
    return lambda rng: [part(rng).astype(np.float32) for part in parts]


def extreme(*shape: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Scores so far apart that some softmax is below what a logarithm is taken of."""
    return lambda rng: rng.choice([-130.0, -3.0, 0.5, 130.0], shape) + rng.normal(size=shape)


def loss_param(text: str) -> str:
    return f"loss_param {{ {text} }}"


SOFTMAX = [
    Case("SoftmaxWithLoss", oracle.softmax_loss, draws(normal(6, 5), labels(5, 6))),
    Case("SoftmaxWithLoss", oracle.softmax_loss, draws(extreme(6, 5), labels(5, 6, 1))),
    *(
        Case(
            "SoftmaxWithLoss",
            oracle.softmax_loss,
            draws(normal(2, 4, 3, 5), labels(4, 2, 1, 3, 5)),
            loss_param(f"ignore_label: 1 normalization: {mode}"),
            {"ignore": 1, "mode": mode},
        )
        for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE")
    ),
    Case(
        "SoftmaxWithLoss",
        oracle.softmax_loss,
        draws(normal(2, 3, 4), labels(4, 2, 3, least=-1)),
        loss_param("ignore_label: -1 normalize: false") + " softmax_param { axis: -1 }",
        {"ignore": -1, "mode": "BATCH_SIZE", "axis": 2},
    ),
    Case(
        "SoftmaxWithLoss",
        oracle.softmax_loss,
        draws(normal(3, 4), lambda rng: np.full(3, 2)),
        loss_param("ignore_label: 2"),
        {"ignore": 2},
    ),
    Case(
        "SoftmaxWithLoss",
        oracle.softmax_loss,
        draws(normal(3, 4, 2, 2), labels(4, 3, 2, 2)),
        loss_param("normalize: false normalization: FULL"),
        {"mode": "FULL"},
    ),
]
SIGMOID = [
    Case(
        "SigmoidCrossEntropyLoss",
        oracle.sigmoid_cross_entropy_loss,
        draws(normal(4, 6, scale=4), lambda rng: rng.random((4, 6))),
    ),
    Case(
        "SigmoidCrossEntropyLoss",
        oracle.sigmoid_cross_entropy_loss,
        draws(lambda rng: np.array([[0.0, -0.0], [90, -90]]), labels(2, 2, 2, 1, 1)),
    ),
    *(
        Case(
            "SigmoidCrossEntropyLoss",
            oracle.sigmoid_cross_entropy_loss,
            draws(normal(2, 3, 4, 5), labels(2, 2, 3, 4, 5, least=-1)),
            loss_param(f"ignore_label: -1 {text}"),
            {"ignore": -1, "mode": mode},
        )
        for text, mode in (
            ("", "BATCH_SIZE"),
            ("normalization: FULL", "FULL"),
            ("normalization: VALID", "VALID"),
            ("normalization: NONE", "NONE"),
            ("normalize: true", "VALID"),
            ("normalize: true normalization: BATCH_SIZE", "BATCH_SIZE"),
        )
    ),
    Case(
        "SigmoidCrossEntropyLoss",
        oracle.sigmoid_cross_entropy_loss,
        draws(normal(3, 4), lambda rng: rng.uniform(-1.5, 1.5, (3, 4))),
        loss_param("ignore_label: 0 normalization: VALID"),
        {"ignore": 0, "mode": "VALID"},
    ),
]
HINGE = [
    Case(
        "HingeLoss",
        oracle.hinge_loss,
        draws(normal(*shape), labels(5, *where)),
        f"hinge_loss_param {{ norm: {norm} }}",
        {"norm": norm},
    )
    for norm in ("L1", "L2")
    for shape, where in (((6, 5), (6,)), ((4, 6, 2, 3), (4, 1, 1, 1)), ((4, 5, 1, 1), (4, 1)))
] + [
    # Margins of exactly 0, where the gradient is 0.
    Case("HingeLoss", oracle.hinge_loss, draws(lambda _: -np.ones((2, 3)), labels(3, 2))),
]
MULTINOMIAL = [
    Case(
        "MultinomialLogisticLoss",
        oracle.multinomial_logistic_loss,
        draws(probabilities(8, 5), labels(5, 8)),
    ),
    Case(
        "MultinomialLogisticLoss",
        oracle.multinomial_logistic_loss,
        draws(probabilities(4, 3, 2, 2), labels(12, 4, 1, 1, 1)),
    ),
]


def matrix(size: int) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: rng.normal(1, 0.7, (1, 1, size, size))


INFOGAIN = [
    Case("InfogainLoss", oracle.infogain_loss, draws(normal(6, 5), labels(5, 6), matrix(5))),
    Case("InfogainLoss", oracle.infogain_loss, draws(extreme(6, 5), labels(5, 6, 1), matrix(5))),
    *(
        Case(
            "InfogainLoss",
            oracle.infogain_loss,
            draws(normal(2, 4, 3, 5), labels(4, 2, 1, 3, 5), matrix(4)),
            loss_param(f"ignore_label: 1 normalization: {mode}"),
            {"ignore": 1, "mode": mode},
        )
        for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE")
    ),
    Case(
        "InfogainLoss",
        oracle.infogain_loss,
        draws(normal(2, 3, 4), labels(4, 2, 3), matrix(4)),
        "infogain_loss_param { axis: -1 }",
        {"axis": 2},
    ),
]
EUCLIDEAN = [
    Case("EuclideanLoss", oracle.euclidean_loss, draws(normal(3, 4), normal(3, 4))),
    Case("EuclideanLoss", oracle.euclidean_loss, draws(normal(3, 4), normal(3, 2, 2, 1))),
    Case("EuclideanLoss", oracle.euclidean_loss, draws(normal(3, 1), normal(3))),
]
CONTRASTIVE = [
    Case(
        "ContrastiveLoss",
        oracle.contrastive_loss,
        draws(normal(9, *tail, scale=0.8), normal(9, *tail, scale=0.8), labels(2, 9)),
        f"contrastive_loss_param {{ margin: {margin} legacy_version: {str(legacy).lower()} }}",
        {"margin": margin, "legacy": legacy},
    )
    for tail in ((3,), (4, 1, 1))
    for margin, legacy in ((1.0, False), (2.5, False), (2.5, True), (4.0, True))
] + [
    # No distance at all: the square root has no gradient there, Caffe's formula has.
    Case(
        "ContrastiveLoss",
        oracle.contrastive_loss,
        draws(lambda _: np.ones((2, 3)), lambda _: np.ones((2, 3)), lambda _: np.array([0, 1])),
    ),
]
SMOOTH_L1 = [
    Case(
        "SmoothL1Loss",
        oracle.smooth_l1_loss,
        draws(
            normal(3, 4, *plane, scale=1.5),
            normal(3, 4, *plane),
            *[normal(3, 4, *plane, scale=1.0)] * weights,
        ),
        f"smooth_l1_loss_param {{ sigma: {sigma} }}",
        {"sigma": sigma},
    )
    for sigma in (1.0, 3.0)
    for weights in (0, 1, 2)
    for plane in ((), (2, 3))
]
CASES = [
    *(SOFTMAX + SIGMOID + HINGE + MULTINOMIAL + INFOGAIN + EUCLIDEAN + CONTRASTIVE + SMOOTH_L1)
]


def case_id(case: Case) -> str:
    return f"{case.type}-{case.param}"


@pytest.fixture(params=range(len(CASES)), ids=lambda i: f"{i}-{case_id(CASES[i])}")
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def build(text: str, path: str = "<text>", **options: Any) -> converters.Graph:
    net = prototxt.parse_net(text, path).select("TEST")
    return converters.build_graph(net, outputs=["y"], **options)


def feeds_of(bottoms: Arrays) -> dict[str, np.ndarray]:
    return {f"b{i}": array for i, array in enumerate(bottoms)}


@pytest.mark.parametrize("seed", [1, 2])
def test_values(case: Case, seed: int) -> None:
    bottoms = case.draw(RNG(seed))
    expected = np.float32(case.oracle(*bottoms, **case.options)[0])
    feeds = feeds_of(bottoms)
    for open_dims in (True, False):
        graph = build(case.net(bottoms), open_dims=open_dims)
        sizes: dict[str, int] = {}
        for value in graph.inputs:
            bind(sizes, value.shape, feeds[value.name].shape)
        assert graph.outputs[0].shape == ()
        for target in converters.FORMS:
            (got,) = run_onnx(converters.to_onnx(graph, target=target), feeds)
            assert got.shape == ()
            close(f"{target}", got, expected)
        close("torch", run_torch(graph, feeds)[0], expected)


@pytest.mark.parametrize("seed", [1, 2])
def test_gradients(case: Case, seed: int) -> None:
    """Autograd's gradient of 0.7 times the loss is what Caffe's Backward_cpu writes."""
    import torch

    bottoms = case.draw(RNG(seed))
    _, expected = case.oracle(*bottoms, **case.options)
    module = converters.to_torch(build(case.net(bottoms))).train()
    tensors = [
        torch.tensor(array, requires_grad=gradient is not None)
        for array, gradient in zip(bottoms, expected, strict=True)
    ]
    (0.7 * module(*tensors)["y"]).backward()
    for index, (tensor, gradient) in enumerate(zip(tensors, expected, strict=True)):
        if gradient is not None:
            assert tensor.grad is not None
            close(f"bottom {index}", tensor.grad.numpy(), 0.7 * gradient)


SOFT = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 6 dim: 5 } } }
layer { name: "l" type: "Input" top: "l" input_param { shape { dim: 6 } } }
layer { name: "p" type: "Softmax" bottom: "x" top: "p" }
layer { name: "loss" type: "InfogainLoss" bottom: "p" bottom: "l" top: "y" PARAM }
"""


@pytest.mark.parametrize("wrapped", [False, True])
def test_infogain_of_2016(tmp_path: Path, wrapped: bool) -> None:
    """What a Softmax wrote is taken as probabilities; the matrix stands beside the prototxt."""
    import torch

    rng = RNG(3)
    x = rng.normal(0, 30, (6, 5)).astype(np.float32)
    truth = rng.integers(0, 5, 6).astype(np.float32)
    rows = rng.normal(1, 0.5, (1, 1, 5, 5)).astype(np.float32)
    prototxt.write_binaryproto(tmp_path / "h.binaryproto", rows)
    text = SOFT.replace("PARAM", 'infogain_loss_param { source: "h.binaryproto" }')
    if wrapped:
        flat = 'layer { name: "f" type: "Flatten" bottom: "p" top: "f" }\nlayer { name: "loss"'
        text = text.replace('layer { name: "loss"', flat).replace('bottom: "p" b', 'bottom: "f" b')
    graph = build(text, str(tmp_path / "net.prototxt"))
    soft = np.stack([oracle.softmax(row) for row in x])
    value, gradients = oracle.infogain_loss_2016(soft, truth, rows)
    feeds = {"x": x, "l": truth}
    for target in converters.FORMS:
        close(target, run_onnx(converters.to_onnx(graph, target=target), feeds)[0], np.array(value))
    close("torch", run_torch(graph, feeds)[0], np.array(value))
    module = converters.to_torch(graph)
    p = torch.tensor(soft.astype(np.float32), requires_grad=True)
    module.loss(p, torch.tensor(truth)).backward()
    assert p.grad is not None and gradients[0] is not None
    close("gradient", p.grad.numpy(), gradients[0])
    assert not graph.notes and module.state_dict() == {}


def test_second_tops() -> None:
    bottoms = INFOGAIN[3].draw(RNG(0))
    text = INFOGAIN[3].net(bottoms, 'top: "y" top: "p"')
    net = prototxt.parse_net(text).select("TEST")
    graph = converters.build_graph(net, outputs=["y", "p"])
    soft = oracle.labelled(*bottoms[:2], 1, None, "VALID", None, 0)[2]
    for found in (run_onnx(converters.to_onnx(graph), feeds_of(bottoms)),
                  run_torch(graph, feeds_of(bottoms))):  # fmt: skip
        assert found[1].shape == bottoms[0].shape
        close("softmax", found[1], soft)


def test_infogain_says_which_version_it_takes() -> None:
    bottoms = INFOGAIN[0].draw(RNG(0))
    (note,) = (n for n in build(INFOGAIN[0].net(bottoms)).notes if "InfogainLoss" in n)
    assert note == (
        "layer loss takes scores, as InfogainLoss does since 2017 (before, it took probabilities)"
    )


def test_refusals(tmp_path: Path) -> None:
    def refused(text: str) -> str:
        with pytest.raises(ConversionError) as caught:
            build(text, str(tmp_path / "net.prototxt"))
        error = caught.value
        said = f"{error.subject}: {error.message}"
        return said + (f"; {error.remedy}" if error.remedy else "")

    def net(case: Case, *shapes: tuple[int, ...], param: str | None = None) -> str:
        return refused(case.net([np.zeros(s) for s in shapes], param=param))

    loss = "layer 'loss' ({}): {}".format
    assert net(EUCLIDEAN[0], (3, 4), (3, 5)) == loss(
        "EuclideanLoss", "its bottoms differ: 3x4 and 3x5"
    )
    assert net(EUCLIDEAN[0], (3, 4), (4, 3)) == loss(
        "EuclideanLoss", "its bottoms differ: 3x4 and 4x3"
    )
    assert net(SOFTMAX[0], (3, 4, 2, 2), (3,)) == loss(
        "SoftmaxWithLoss", "3 labels for 3x4x2x2 scores; one label for each of 3x2x2"
    )
    assert net(SOFTMAX[0], (3, 4), (3,), param="softmax_param { axis: 2 }") == loss(
        "SoftmaxWithLoss", "axis 2 is outside its 3x4 scores"
    )
    for case in (HINGE[0], MULTINOMIAL[0]):
        assert net(case, (3, 4), (3, 4)) == loss(
            case.type, "3x4 labels for 3x4 scores; one label for each image"
        )
    assert net(INFOGAIN[0], (3, 4), (3,), (5, 5)) == loss(
        "InfogainLoss", "an infogain matrix of 25 numbers for 4 classes"
    )
    assert net(INFOGAIN[0], (3, 4), (3,)) == loss(
        "InfogainLoss", "no infogain matrix; give infogain_loss_param.source or a bottom"
    )
    named = 'infogain_loss_param { source: "h" }'
    assert net(INFOGAIN[0], (3, 4), (3,), param=named) == loss(
        "InfogainLoss",
        f"its source 'h' is not there; looked in the current folder and in {tmp_path}",
    )
    old = loss_param("normalize: true")
    assert net(INFOGAIN[0], (3, 4), (3,), (4, 4), param=old) == loss(
        "InfogainLoss", "normalize is not for this layer; use normalization"
    )
    assert refused(SOFT.replace("PARAM", "infogain_loss_param { axis: 1 }")) == loss(
        "InfogainLoss",
        "reads a Softmax, as it did until 2017, with options of later versions; "
        "those take the scores: give it the Softmax's bottom",
    )
    assert net(CONTRASTIVE[0], (3, 4, 2, 2), (3, 4, 2, 2), (3,)) == loss(
        "ContrastiveLoss", "its bottoms are 3x4x2x2, not vectors"
    )
    assert net(CONTRASTIVE[0], (3, 4), (3, 4), (3, 2)) == loss(
        "ContrastiveLoss", "3x2 labels for pairs of 3x4"
    )
    assert net(SMOOTH_L1[0], (3, 4), (3, 4), param="smooth_l1_loss_param { sigma: 0 }") == loss(
        "SmoothL1Loss", "sigma is 0.0, must be above 0"
    )
    assert net(SMOOTH_L1[0], (3, 4), (3, 4), param=loss_param("normalization: FULL")) == loss(
        "SmoothL1Loss",
        "loss_param is not supported; "
        "it is R-FCN's; without it the loss is divided by the number of images",
    )
    accuracy = Case("Accuracy", oracle.softmax_loss, draws(), "accuracy_param { top_k: 5 }")
    assert net(accuracy, (3, 4), (3,)) == loss("Accuracy", "top_k 5 of 4 classes")


@pytest.mark.parametrize("ignore", [None, 2])
@pytest.mark.parametrize("top_k", [1, 2])
def test_accuracy_per_class(ignore: int | None, top_k: int) -> None:
    """Also where a class has no label, over an image, with ties."""
    rng = RNG(4)
    scores = rng.integers(0, 4, (3, 5, 2, 4)).astype(np.float32)
    truth = rng.integers(0, 4, (3, 2, 4)).astype(np.float32)
    option = f"ignore_label: {ignore}" if ignore is not None else ""
    made = Case(
        "Accuracy", oracle.softmax_loss, draws(), f"accuracy_param {{ top_k: {top_k} {option} }}"
    )
    net = prototxt.parse_net(made.net([scores, truth], 'top: "y" top: "c"')).select("TEST")
    graph = converters.build_graph(net, outputs=["y", "c"])
    hits, counts = np.zeros(5), np.zeros(5)
    for n, h, w in np.ndindex(truth.shape):
        label = int(truth[n, h, w])
        if label == ignore:
            continue
        pairs = sorted(((scores[n, c, h, w], c) for c in range(5)), reverse=True)[:top_k]
        hits[label] += label in [c for _, c in pairs]
        counts[label] += 1
    assert counts[4] == 0
    each = np.divide(hits, counts, out=np.zeros(5), where=counts > 0)
    feeds = {"b0": scores, "b1": truth}
    for target in converters.FORMS:
        total, found = run_onnx(converters.to_onnx(graph, target=target), feeds)
        close("all", total, hits.sum() / counts.sum())
        close("each", found, each)
    total, found = run_torch(graph, feeds)
    close("all", total, hits.sum() / counts.sum())
    close("each", found, each)
    assert graph.outputs[1].shape == (5,)
