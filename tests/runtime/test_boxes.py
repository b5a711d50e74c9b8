"""The anchors of Ultra-Light-Fast-Generic-Face-Detector, whose definition does not hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import converters
import runtime
from prototxt.preprocessing import Preprocessing
from runtime.boxes import decoded, ultraface_priors


def test_as_many_as_the_network_has() -> None:
    assert len(ultraface_priors((240, 320))) == 4420
    assert len(ultraface_priors((480, 640))) == 17640


def test_a_box_of_zeros_is_its_prior() -> None:
    priors = ultraface_priors((240, 320))
    # The first of the last plane, stride 64: its centre, and 128 pixels a side.
    place = 4420 - 5 * 4 * 3
    np.testing.assert_allclose(priors[place], [32 / 320, 32 / 240, 128 / 320, 128 / 240])
    corners = decoded(np.zeros((4420, 4)), priors)[place]
    np.testing.assert_allclose(corners, [-32 / 320, -32 / 240, 96 / 320, 96 / 240])


def test_the_face_of_a_photograph(shared: Path) -> None:
    """The astronaut's lies between 180 and 270 columns, 60 and 175 rows."""
    folder = shared / "caffe" / "trained" / "rfb"
    how = Preprocessing("127", scale=1 / 128, channel_order="RGB")
    made = converters.convert(folder / "net.prototxt", folder / "net.caffemodel", preprocessing=how)
    model = runtime.load(made.to_onnx().SerializeToString(), "cpu")
    image = dict(runtime.sample_images())["astronaut"]
    found = runtime.Predictor(model, labels=["background", "face"]).predict(image)
    assert isinstance(found, runtime.Boxes)
    assert [box.guess.label for box in found.boxes] == ["face"]
    assert found.boxes[0].corners == pytest.approx((179, 63, 269, 173), abs=5)
