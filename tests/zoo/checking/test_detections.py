"""Rows of detections: what is found counts, and its order where scores tell one."""

from dataclasses import replace

import numpy as np
import pytest

import converters
import runtime
from converters.layers.detection import SuppressionParams
from converters.legal_inputs import legal_inputs
from tests.converters.forks import build
from tests.converters.test_fork_networks import NETWORKS
from tests.zoo.checking.spoiling import rows_of
from zoo.checking import probes
from zoo.checking.detections import compare_detections
from zoo.checking.verification import Verifier

BOXES = np.array(
    [
        [0, 1, 0.9, 0.1, 0.1, 0.4, 0.4],
        [0, 1, 0.5, 0.2, 0.2, 0.6, 0.6],
        [0, 1, 0.5, 0.3, 0.5, 0.7, 0.9],
        [0, 2, 0.5, 0.3, 0.5, 0.7, 0.9],
        [1, 1, 0.5, 0.3, 0.5, 0.7, 0.9],
    ],
    np.float32,
)
NOTHING = np.array([[0, *[-1] * 6], [1, *[-1] * 6]], np.float32)


def compared(left, right, tolerance=1e-4):
    blobs = [np.asarray(rows, np.float32).reshape(1, 1, -1, 7) for rows in (left, right)]
    return compare_detections("y", ("a", blobs[0]), ("b", blobs[1]), tolerance)


def changed(row, column, by):
    rows = BOXES.copy()
    rows[row, column] += by
    return rows


def test_no_detection_is_no_detection():
    none = np.zeros((0, 7))
    for left, right in ((NOTHING, none), (none, NOTHING), (NOTHING[:1], NOTHING), (none, none)):
        found = compared(left, right)
        assert (found.ok, found.max_abs, found.at) == (True, 0, ())


def test_no_detection_is_not_a_detection():
    for left, right in ((NOTHING, BOXES[:1]), (BOXES[:1], NOTHING), (BOXES, BOXES[:4])):
        found = compared(left, right)
        assert not found.ok and "against" in found.sentence()
    assert compared(NOTHING, BOXES).sentence() == (
        "blob 'y' departs, a against b: 1x1x0x7 against 1x1x5x7"
    )


def test_equal_scores_have_no_order():
    assert compared(BOXES[[0, 2, 1, 3, 4]], BOXES).ok
    close = BOXES.copy()
    close[1, 2] += 2e-5
    assert compared(close, BOXES[[0, 2, 1, 3, 4]]).ok
    assert compared(BOXES[[0, 2, 1, 3, 4]], close).ok


def test_other_scores_have_one():
    assert not compared(BOXES[[1, 0, 2, 3, 4]], BOXES).ok
    assert not compared(BOXES[[0, 1, 2, 4, 3]], BOXES).ok  # another image


def test_a_row_is_taken_once():
    twice = BOXES[[0, 1, 1, 3, 4]]
    assert not compared(twice, BOXES).ok and not compared(BOXES, twice).ok


@pytest.mark.parametrize("row", range(5))
@pytest.mark.parametrize(
    ("column", "by"), [(0, 1), (1, 1), (2, 1e-3), (3, 2e-4), (4, -2e-4), (5, 2e-4), (6, 0.5)]
)
def test_what_differs_is_found(row, column, by):
    found = compared(changed(row, column, by), BOXES)
    assert not found.ok and found.at[3] in (column, *range(2, 7))


def test_a_box_is_measured_by_boxes_and_a_score_by_scores():
    """A label of 80 must not hide what is off among numbers below 1."""
    far = BOXES.copy()
    far[:, 1] += 80
    spoilt = far.copy()
    spoilt[0, 3] += 1e-3
    found = compared(spoilt, far)
    assert not found.ok and found.at == (0, 0, 0, 3)
    assert found.max_abs == pytest.approx(1e-3, rel=1e-3)
    assert found.max_rel == pytest.approx(1e-3 / 0.9, rel=1e-3)
    assert compared(changed(0, 3, 5e-5), BOXES).ok


def test_labels_are_equal_or_not():
    assert not compared(changed(0, 1, 1), BOXES, tolerance=10).ok


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_equals_itself_alone(value):
    odd = BOXES.copy()
    odd[0, 4] = value
    assert compared(odd, odd).ok
    assert not compared(odd, BOXES).ok and not compared(BOXES, odd).ok


def ssd(**changes):
    """The graph of a small SSD, its layer's parameters changed, and its output's name."""
    text, _, outputs = NETWORKS["ssd"]
    graph = build(text(), outputs=outputs, seed=1, open_dims=False)
    node = next(node for node in graph.nodes if node.type == "DetectionOutput")
    node.params = replace(node.params, **changes)
    return graph, node.outputs[0].name


def test_an_ssd_that_finds_nothing(tmp_path):
    """Its row of -1 agrees with no row, as other programs give it."""
    graph, name = ssd(confidence_threshold=2.0)
    path = tmp_path / "m.onnx"
    path.write_bytes(converters.to_onnx(converters.fold(graph.clone())).SerializeToString())
    verifier = Verifier(graph, runtime.load(path, "cpu"), path, 1e-4)
    shapes = {value.name: value.shape for value in graph.inputs}
    feeds = probes.probe("random", shapes, legal_inputs(graph))
    row = verifier.check("x", feeds, feeds, {name: np.zeros((1, 1, 0, 7), np.float32)})
    assert row.ok and len(row.comparisons) == 3
    row = verifier.check("x", feeds, feeds, {name: BOXES[None, None, :1]})
    assert not row.ok and row.first.blob == name


@pytest.mark.parametrize(
    "changes", [{"confidence_threshold": 0.95}, {"keep_top_k": 2}, {"nms_param": None}]
)
def test_another_threshold_is_found(tmp_path, changes):
    graph, name = ssd()
    if "nms_param" in changes:
        changes = {"nms_param": SuppressionParams(nms_threshold=0.01)}
    rows = rows_of(graph, converters.to_onnx(ssd(**changes)[0]), tmp_path, ["random"])
    assert rows["random"].first.blob == name
