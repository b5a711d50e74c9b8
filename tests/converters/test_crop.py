"""Crop of V1 files, whose offset follows from the network: FCN's published ones are the oracle."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.forks import agree, build, inputs, layer, refused

pytestmark = pytest.mark.oracle

POOL = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"


def old(text: str) -> str:
    """A definition in V1 syntax."""
    types = {"Convolution": "CONVOLUTION", "Deconvolution": "DECONVOLUTION", "Pooling": "POOLING"}
    types |= {"Crop": "CROP", "Eltwise": "ELTWISE", "ReLU": "RELU"}
    for new, name in types.items():
        text = text.replace(f'type: "{new}"', f"type: {name}")
    return text.replace("layer {", "layers {")


def conv(bottom: str, top: str, kernel: int, pad: int = 0, stride: int = 1) -> str:
    params = f"num_output: 1 kernel_size: {kernel} pad: {pad} stride: {stride}"
    return layer("Convolution", bottom, f"convolution_param {{ {params} }}", top, top)


def deconv(bottom: str, top: str, kernel: int, stride: int) -> str:
    params = f"num_output: 1 kernel_size: {kernel} stride: {stride} weight_filler {{ value: 1 }}"
    return layer("Deconvolution", bottom, f"convolution_param {{ {params} }}", top, top)


def fcn8s() -> str:
    """FCN-8s but for its channels, and for convolutions that change no coordinates."""
    text, bottom = conv("x", "conv1", 3, 100), "conv1"
    for stage in range(1, 6):
        if stage > 1:
            text += conv(bottom, f"conv{stage}", 3, 1)
        text += layer("ReLU", f"conv{stage}", tops=f"conv{stage}", name=f"relu{stage}")
        text += layer("Pooling", f"conv{stage}", POOL, f"pool{stage}", f"pool{stage}")
        bottom = f"pool{stage}"
    text += conv("pool5", "fc6", 7) + conv("fc6", "fc7", 1) + deconv("fc7", "upscore2", 4, 2)
    text += conv("pool4", "score4", 1) + layer("Crop", "score4 upscore2", "", "crop4", "crop4")
    text += layer("Eltwise", "upscore2 crop4", "", "fuse4", "fuse4") + deconv("fuse4", "up4", 4, 2)
    text += conv("pool3", "score3", 1) + layer("Crop", "score3 up4", "", "crop3", "crop3")
    text += layer("Eltwise", "up4 crop3", "", "fuse3", "fuse3") + deconv("fuse3", "up8", 16, 8)
    return text + layer("Crop", "up8 x", "", "score", "score")


def header(height: int, width: int) -> str:
    return f'input: "x" input_dim: 1 input_dim: 1 input_dim: {height} input_dim: {width}\n'


def offsets(text: str) -> dict[str, list[int]]:
    from converters.registry import find

    kind = find("AlignedCrop")
    assert kind is not None
    crops = [n for n in build(text).nodes if n.type == "AlignedCrop"]
    return {n.name: kind.offsets(n)[1] for n in crops}  # type: ignore[attr-defined]


def test_fcn8s_has_its_published_offsets() -> None:
    """5, 9 and 31, as its authors wrote them down once Crop took an offset."""
    text = header(64, 96) + old(fcn8s())
    assert offsets(text) == {"crop4": [5, 5], "crop3": [9, 9], "score": [31, 31]}
    assert build(text).outputs[0].nominal == (1, 1, 64, 96)


def test_the_numbers() -> None:
    """A deconvolution larger than its input, cut to where the input lies."""
    x = np.random.default_rng(0).normal(size=(2, 1, 6, 9)).astype(np.float32)
    text = header(6, 9) + old(deconv("x", "up", 5, 1) + layer("Crop", "up x", "", "y", "crop"))
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (4, 4), (4, 4)))
    up = sum(padded[:, :, i : i + 10, j : j + 13] for i in range(5) for j in range(5))
    agree(text, {"x": x}, {"y": up[:, :, 2:8, 2:11].astype(np.float32)})


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (
            conv("x", "a", 3, 2, 2) + layer("Crop", "a x", "", "y"),
            "a step in its first bottom is 2 in its second",
        ),
        (
            deconv("x", "a", 4, 1) + layer("Crop", "a x", "", "y"),
            "would be 1.5, not a whole number",
        ),
        (conv("x", "a", 3) + layer("Crop", "a x", "", "y"), "would be -1, not a whole number"),
        (
            layer("Crop", "x x", "crop_param { offset: 1 }", "y"),
            "V1 syntax has no crop_param; write `layer`",
        ),
        (
            layer("InnerProduct", "x", "inner_product_param { num_output: 2 }", "i", "i").replace(
                '"InnerProduct"', "INNER_PRODUCT"
            )
            + layer(
                "Reshape", "i", "reshape_param { shape { dim: 0 dim: 1 dim: 1 dim: 2 } }", "r", "r"
            ).replace('"Reshape"', "RESHAPE")
            + layer("Crop", "r x", "", "y"),
            r"layer 'r' \(Reshape\): has no coordinates to align a Crop by; state its offset in V2",
        ),
    ],
)
def test_what_cannot_be_aligned(body: str, match: str) -> None:
    refused(header(8, 8) + old(body), match)


def test_bottoms_that_are_not_connected() -> None:
    text = 'input: "x" input: "z" ' + "input_dim: 1 input_dim: 1 input_dim: 8 input_dim: 8 " * 2
    refused(text + old(layer("Crop", "x z", "", "y")), "no layer in common to align them by")


def test_todays_crop_says_where_an_old_definition_would_cut() -> None:
    text = inputs(x=(1, 1, 8, 8)) + deconv("x", "up", 5, 1)
    graph = build(text + layer("Crop", "up x", "", "y"))
    (note,) = [n for n in graph.notes if "Crop" in n]
    assert note.startswith("n:3:1: layer 'l' (Crop): cuts at offset 0")
    assert "align at 2, 2, which the first FCN forks would take" in note
    stated = build(text + layer("Crop", "up x", "crop_param { offset: 2 }", "y"))
    assert not [n for n in stated.notes if "Crop" in n]
