"""Measures, against numbers worked out by hand or by the devkit's definition."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.prediction.scoring import Classified, Detected, Segmented, Truth


def test_top_1_and_top_5_and_what_was_taken_for_what() -> None:
    found = Classified(["cat", "dog"])
    found.add([0, 1, 2, 3, 4], 0)
    found.add([0, 1, 2, 3, 4], 1)
    found.add([0, 1, 2, 3, 4], 1)
    found.add([1, 2, 3, 4, 5, 0], 0)
    assert found.measures() == {"top1": 0.25, "top5": 0.75}
    assert found.details() == {
        "confusions": [
            {"truth": "dog", "found": "cat", "images": 2, "of": 2},
            {"truth": "cat", "found": "dog", "images": 1, "of": 2},
        ],
        "confused": 3,
    }


def test_intersection_over_union() -> None:
    """Class 0: 2 of 4 pixels; class 1: 1 of 3; class 2, found and not there, 0; void is nothing."""
    found = Segmented(["none", "cat"])
    truth = np.array([[0, 0, 0, 1], [1, 255, 255, 1]])
    said = np.array([[0, 0, 1, 1], [0, 7, 1, 2]])
    found.add(said, truth)
    assert found.details()["iou"] == {
        "none": pytest.approx(2 / 4),
        "cat": pytest.approx(1 / 4),
        "2": 0.0,
    }
    assert found.measures() == {
        "mean_iou": pytest.approx((1 / 2 + 1 / 4) / 3),
        "pixel_accuracy": pytest.approx(3 / 6),
    }


BOX, FAR = (0.0, 0.0, 9.0, 9.0), (50.0, 50.0, 59.0, 59.0)


def test_average_precision() -> None:
    """Scores .9 right, .8 wrong, .7 right of 3 things: 1/3 at precision 1, 1/3 at 2/3."""
    found = Detected()
    found.add([("cat", 0.9, BOX), ("cat", 0.8, FAR)], [Truth("cat", BOX)])
    found.add([("cat", 0.7, BOX)], [Truth("cat", BOX), Truth("cat", FAR)])
    assert found.measures() == {"map": pytest.approx(1 / 3 + 1 / 3 * 2 / 3)}


def test_the_second_box_of_a_thing_is_wrong_and_difficult_ones_do_not_count() -> None:
    found = Detected()
    found.add([("cat", 0.9, BOX), ("cat", 0.8, BOX)], [Truth("cat", BOX), Truth("cat", FAR)])
    assert found.details() == {"average_precision": {"cat": pytest.approx(0.5)}}
    found = Detected()
    things = [Truth("cat", BOX), Truth("cat", FAR, difficult=True)]
    found.add([("cat", 0.9, FAR), ("cat", 0.8, BOX)], things)
    assert found.measures() == {"map": 1.0}


def test_overlap_counts_the_pixels_of_both_ends() -> None:
    """10x10 pixels against 10x5 of the same: exactly one half, which is enough."""
    found = Detected()
    found.add([("cat", 0.9, (0.0, 0.0, 9.0, 4.0))], [Truth("cat", BOX)])
    assert found.measures() == {"map": 1.0}
    found = Detected()
    found.add([("cat", 0.9, (0.0, 0.0, 9.0, 3.9))], [Truth("cat", BOX)])
    assert found.measures() == {"map": 0.0}


def test_a_class_of_which_nothing_is_there_does_not_count() -> None:
    found = Detected()
    found.add([("dog", 0.9, BOX), ("cat", 0.9, BOX)], [Truth("cat", BOX)])
    assert found.details() == {"average_precision": {"cat": 1.0}}
