"""What inputs and outputs tell of a network's purpose."""

from __future__ import annotations

import pytest

from prototxt.tasks import End, recognised, wanted_outputs

IMAGE = [("batch", 3, "height", "width")]


@pytest.mark.parametrize(
    ("outputs", "task", "wanted"),
    [
        ([End("prob", ("batch", 10))], "classify", ("prob",)),
        ([End("prob", ("batch", 10, 1, 1))], "classify", ("prob",)),
        ([End("features", ("batch", 512), scores=False)], "other", ()),
        ([End("age", ("batch", 1))], "other", ()),
        ([End("a", ("batch", 10)), End("b", ("batch", 10))], "classify", ("b",)),
        ([End("a", ("batch", 10)), End("b", ("batch", 20))], "other", ()),
        ([End("found", (1, 1, "rows", 7))], "detect", ("found",)),
        ([End("found", (1, 1, 5, 7), detections=True)], "detect", ("found",)),
        ([End("boxes", (1, 9, 4)), End("scores", (1, 9, 2))], "detect", ("boxes", "scores")),
        ([End("scores", (1, 9, 2)), End("boxes", (1, 9, 4))], "detect", ("boxes", "scores")),
        ([End("score", ("batch", 21, "height", "width"))], "segment", ("score",)),
        ([End("score", ("batch", 3, "h", "w"), scores=True)], "segment", ("score",)),
        ([End("map", ("batch", 21, "ceil(height/8)", "w"))], "other", ()),
        ([End("up", ("batch", 3, "2*height", "2*width"))], "image-to-image", ("up",)),
        ([End("y", ("batch", 1, "height", "width"))], "image-to-image", ("y",)),
        (
            [End("y", ("batch", 3, "height", "width")), End("mask", ("n", 8, "h", "w"), "int64")],
            "image-to-image",
            ("y",),
        ),
    ],
)
def test_ends(outputs: list[End], task: str, wanted: tuple[str, ...]) -> None:
    assert recognised(IMAGE, outputs) == task
    assert wanted_outputs(task, IMAGE, outputs) == wanted


def test_two_images_are_no_image() -> None:
    ends = [End("flow", ("batch", 3, "height", "width"))]
    assert recognised([*IMAGE, *IMAGE], ends) == "other"


def test_a_reconstruction_has_the_inputs_channels() -> None:
    end = End("y", ("batch", 1, "height", "width"))
    assert wanted_outputs("reconstruct", IMAGE, [end]) == ()
    assert wanted_outputs("reconstruct", [("batch", 1, "h", "w")], [end]) == ("y",)
