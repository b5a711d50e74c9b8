"""What the losses send back: autograd's gradient is Caffe's Backward_cpu, written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import converters
import prototxt

pytestmark = pytest.mark.gradient

RNG = np.random.default_rng(0)
SCORES = RNG.normal(0, 2, (6, 5)).astype(np.float32)
LABELS = np.array([0, 4, 2, 2, 1, 3], np.float32)
CHANCES = np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True)
HOT = np.eye(5)[LABELS.astype(int)]
MATRIX = RNG.uniform(0, 1, (5, 5)).astype(np.float32)


def net(type_: str, shapes: list[tuple[int, ...]], params: str = "") -> converters.Graph:
    lines = []
    for name, shape in zip("xlh", shapes, strict=False):
        dims = " ".join(f"dim: {n}" for n in shape)
        lines.append(
            f'layer {{ name: "{name}" type: "Input" top: "{name}" '
            f"input_param {{ shape {{ {dims} }} }} }}"
        )
    bottoms = " ".join(f'bottom: "{name}"' for name in "xlh"[: len(shapes)])
    lines.append(f'layer {{ name: "loss" type: "{type_}" {bottoms} top: "y" {params} }}')
    return converters.build_graph(prototxt.parse_net("\n".join(lines)).select("TRAIN"))


def gradients(graph: converters.Graph, *arrays: np.ndarray) -> list[np.ndarray]:
    """Of the loss with respect to each bottom (zeros where none flows)."""
    tensors = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    converters.to_torch(graph)(*tensors)["y"].backward()
    return [np.zeros(t.shape) if t.grad is None else t.grad.numpy() for t in tensors]


def check(graph: converters.Graph, arrays: list[np.ndarray], *expected: np.ndarray) -> None:
    found = gradients(graph, *arrays)
    for ours, caffes in zip(found, expected, strict=False):
        assert np.allclose(ours, caffes, rtol=1e-5, atol=1e-6 * np.abs(caffes).max())


def test_euclidean():
    target = RNG.normal(0, 1, (6, 5)).astype(np.float32)
    difference = (SCORES - target) / 6
    check(net("EuclideanLoss", [(6, 5), (6, 5)]), [SCORES, target], difference, -difference)


def test_softmax():
    check(net("SoftmaxWithLoss", [(6, 5), (6,)]), [SCORES, LABELS], (CHANCES - HOT) / 6)


def test_softmax_that_ignores_a_label():
    expected = (CHANCES - HOT) / 4 * (LABELS != 2)[:, None]
    params = "loss_param { ignore_label: 2 }"
    check(net("SoftmaxWithLoss", [(6, 5), (6,)], params), [SCORES, LABELS], expected)


def test_softmax_of_a_hopeless_score():
    """The loss has a floor; the gradient has none."""
    scores = np.array([[200, 0, 0, 0, 0]], np.float32)
    label = np.array([1], np.float32)
    expected = np.array([[1, -1, 0, 0, 0]])
    check(net("SoftmaxWithLoss", [(1, 5), (1,)]), [scores, label], expected)


@pytest.mark.parametrize(
    ("params", "divisor"),
    [
        ("", 6),
        ("loss_param { normalize: true }", 30),
        ("loss_param { normalization: FULL }", 30),
        ("loss_param { normalization: NONE }", 1),
        ("loss_param { normalization: BATCH_SIZE }", 6),
    ],
)
def test_sigmoid_cross_entropy(params, divisor):
    targets = RNG.integers(0, 2, (6, 5)).astype(np.float32)
    expected = (1 / (1 + np.exp(-SCORES)) - targets) / divisor
    check(net("SigmoidCrossEntropyLoss", [(6, 5), (6, 5)], params), [SCORES, targets], expected)


def test_sigmoid_cross_entropy_that_ignores_a_target():
    targets = RNG.integers(0, 3, (6, 5)).astype(np.float32)
    kept = targets != 2
    params = "loss_param { ignore_label: 2 normalization: VALID }"
    expected = (1 / (1 + np.exp(-SCORES)) - targets) * kept / kept.sum()
    check(net("SigmoidCrossEntropyLoss", [(6, 5), (6, 5)], params), [SCORES, targets], expected)


@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_hinge(norm):
    sign = np.where(HOT > 0, -1, 1)
    margin = np.maximum(0, 1 + sign * SCORES)
    slope = np.sign(margin) if norm == "L1" else 2 * margin
    params = f"hinge_loss_param {{ norm: {norm} }}"
    check(net("HingeLoss", [(6, 5), (6,)], params), [SCORES, LABELS], sign * slope / 6)


def test_multinomial_logistic():
    expected = -HOT / CHANCES / 6
    check(net("MultinomialLogisticLoss", [(6, 5), (6,)]), [CHANCES, LABELS], expected)


def test_infogain_of_scores():
    """sum_rows_H * softmax - H, at the label's row."""
    rows = MATRIX[LABELS.astype(int)]
    expected = (CHANCES * rows.sum(1, keepdims=True) - rows) / 6
    check(net("InfogainLoss", [(6, 5), (6,), (5, 5)]), [SCORES, LABELS, MATRIX], expected)


def pairs(distance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    first = RNG.normal(0, distance, (6, 4)).astype(np.float32)
    return first, np.zeros((6, 4), np.float32), np.array([1, 0, 0, 1, 0, 0], np.float32)


@pytest.mark.parametrize("distance", [0.2, 1.0])
@pytest.mark.parametrize("legacy", [False, True])
def test_contrastive(distance, legacy):
    first, second, labels = pairs(distance)
    difference = first - second
    squared = (difference**2).sum(1)
    root = np.sqrt(squared)
    if legacy:
        factor = np.where(2 - squared > 0, -1.0, 0.0)
    else:
        factor = np.where(2 - root > 0, -(2 - root) / (root + 1e-4), 0.0)
    expected = np.where(labels > 0, 1, factor)[:, None] * difference / 6
    params = f"contrastive_loss_param {{ margin: 2 legacy_version: {str(legacy).lower()} }}"
    graph = net("ContrastiveLoss", [(6, 4), (6, 4), (6,)], params)
    check(graph, [first, second, labels], expected, -expected)


def test_contrastive_of_equal_vectors_is_finite():
    equal = np.ones((2, 3), np.float32)
    graph = net("ContrastiveLoss", [(2, 3), (2, 3), (2,)])
    found = gradients(graph, equal, equal, np.zeros(2, np.float32))
    assert np.array_equal(found[0], np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("type_", "shapes", "message"),
    [
        ("InfogainLoss", [(6, 5), (6,)], "no infogain matrix"),
        ("InfogainLoss", [(6, 5, 2, 2), (6,), (5, 5)], "labels for 6x5x2x2 scores"),
        ("ContrastiveLoss", [(6, 5, 2, 2), (6, 5, 2, 2), (6,)], "not vectors"),
        ("SigmoidCrossEntropyLoss", [(6, 5), (6, 4)], "its bottoms differ"),
    ],
)
def test_refusals(type_, shapes, message):
    with pytest.raises(converters.ConversionError, match=message):
        net(type_, shapes)
