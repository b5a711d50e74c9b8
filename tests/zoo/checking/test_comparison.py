"""Telling how far two computations lie apart."""

from dataclasses import replace

import numpy as np

from zoo.checking.comparison import compare, near_ties
from zoo.checking.detections import compare_all


def test_equal_blobs_agree():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = compare("x", ("a", x), ("b", x.copy()))
    assert (found.ok, found.max_abs, found.at) == (True, 0.0, ())


def test_the_worst_place_is_named():
    x = np.zeros((2, 3), np.float32)
    y = x.copy()
    x[0, 1], y[1, 2] = 100, 0.5
    y[0, 1] = 100
    found = compare("x", ("a", x), ("b", y))
    assert not found.ok
    assert found.at == (1, 2)
    assert found.max_abs == 0.5
    assert found.max_rel == 0.005
    assert found.sentence() == (
        "blob 'x' departs, a against b: max abs 0.5, max rel 0.005 at [1, 2] (0 against 0.5)"
    )


def test_the_tolerance_is_relative_to_the_largest_magnitude():
    x = np.array([1000.0, 0.0], np.float32)
    y = np.array([1000.0, 0.05], np.float32)
    assert compare("x", ("a", x), ("b", y), 1e-4).ok
    assert not compare("x", ("a", x), ("b", y), 1e-5).ok


def test_nan_equals_nan_and_nothing_else():
    nan = np.array([np.nan, np.inf], np.float32)
    assert compare("x", ("a", nan), ("b", nan.copy())).ok
    assert not compare("x", ("a", nan), ("b", np.array([1, np.inf], np.float32))).ok
    assert not compare("x", ("a", nan), ("b", np.array([np.nan, 1], np.float32))).ok


def test_zeros_against_something_depart():
    zero = np.zeros(3, np.float32)
    assert not compare("x", ("a", zero + 1e-3), ("b", zero)).ok


def test_shapes_must_be_equal():
    assert not compare("x", ("a", np.zeros((1, 2))), ("b", np.zeros((2, 1)))).ok


def test_masks_must_be_equal_to_the_last_switch():
    mask = np.zeros((1, 1, 400, 500), np.int64)
    other = mask.astype(np.float32)  # as Caffe stores it
    assert compare("m", ("a", mask), ("b", other)).ok
    other[0, 0, 3, 4] = 1
    found = compare("m", ("a", mask), ("b", other))
    assert not found.ok
    assert (found.max_abs, found.at, found.values) == (1, (0, 0, 3, 4), (0, 1))
    assert "1 switches differ (0.001%), the first at [0, 0, 3, 4] (0 against 1)" in found.sentence()


def test_shapes_and_place_and_input_are_told():
    found = compare("x", ("a", np.zeros((2, 3))), ("b", np.zeros(2)))
    assert found.sentence() == "blob 'x' departs, a against b: 2x3 against 2"
    told = replace(found, input="ties", layer="'c' (Convolution), net.prototxt:7")
    assert told.sentence() == (
        "blob 'x' departs, a against b, on ties: 2x3 against 2; "
        "layer 'c' (Convolution), net.prototxt:7"
    )


def test_every_blob_that_both_have_is_compared_in_the_networks_order():
    one, two = np.zeros(2), np.ones(2)
    found = compare_all(
        ["m", "n", "absent"], ("a", {"n": one, "m": one, "o": one}), ("b", {"m": two, "n": one})
    )
    assert [(item.blob, item.ok) for item in found] == [("m", False), ("n", True)]


def test_a_switch_that_rounding_decides_is_a_near_tie():
    plane = np.array([[[[5.0, 5.000001], [1, 2]]]], np.float32)
    zero, one, three = (np.full((1, 1, 1, 1), index, np.int64) for index in (0, 1, 3))
    assert near_ties(zero, one, plane)
    assert not near_ties(zero, three, plane)
    equal = np.full((1, 1, 2, 2), 5, np.float32)  # a rule decides here, not rounding
    assert near_ties(zero, zero, equal)
    assert not near_ties(zero, one, equal)
    assert not near_ties(zero, zero + 4, plane)  # outside the plane
    assert not near_ties(zero, np.zeros((1, 1, 2, 1), np.int64), plane)
