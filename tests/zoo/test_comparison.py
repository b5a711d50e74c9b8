"""Telling how far two computations lie apart."""

import numpy as np

from zoo.comparison import compare, compare_all, near_ties


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
        "blob 'x' departs, a against b: max abs 0.5, max rel 0.005 at [1, 2]"
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


def test_masks_may_differ_in_one_switch_of_a_hundred_thousand():
    mask = np.zeros((1, 1, 400, 500), np.int64)
    other = mask.astype(np.float32)  # as Caffe stores it
    other[0, 0, 3, 4] = 1
    assert compare("m", ("a", mask), ("b", other)).ok
    other[0, 0, :2, :4] = 1
    found = compare("m", ("a", mask), ("b", other))
    assert not found.ok
    assert found.max_abs == 9
    assert "9 switches differ" in found.sentence()


def test_after_a_flipped_switch_the_mean_decides():
    mask = np.zeros((1, 1, 400, 500), np.int64)
    flipped = mask.copy()
    flipped[0, 0, 0, 0] = 1
    image = np.full((1, 1, 400, 500), 100, np.float32)
    other = image.copy()
    other[0, 0, 0, 0] = 0
    order = ["m", "image", "absent"]
    found = compare_all(
        order, ("a", {"m": mask, "image": image}), ("b", {"m": flipped, "image": other})
    )
    assert [(item.blob, item.ok) for item in found] == [("m", True), ("image", True)]
    alone = compare_all(order, ("a", {"image": image}), ("b", {"image": other}))
    assert not alone[0].ok


def test_a_switch_that_rounding_decides_is_a_near_tie():
    plane = np.array([[[[5.0, 5.0000001], [1, 2]]]], np.float32)
    zero, one, three = (np.full((1, 1, 1, 1), index, np.int64) for index in (0, 1, 3))
    assert near_ties(zero, one, plane)
    assert not near_ties(zero, three, plane)
    assert not near_ties(zero, zero + 4, plane)  # outside the plane
    assert not near_ties(zero, np.zeros((1, 1, 2, 1), np.int64), plane)
