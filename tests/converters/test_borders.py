"""Inputs and outputs by other names, and N×H×W×C: the numbers stay, the clashes are errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import converters
import prototxt
from converters import ConversionError
from prototxt.borders import Borders
from prototxt.errors import FormatError, UsageError
from tests.converters.checker import run_onnx

TUNNEL = Path(__file__).parents[1] / "goldens" / "nets" / "tunnel_v1_4_6_8"
PAIR = """
layer { name: "a" type: "Input" top: "a" top: "b" input_param {
  shape { dim: 1 dim: 2 dim: 3 dim: 4 } } }
layer { name: "s" type: "Eltwise" bottom: "a" bottom: "b" top: "s" }
layer { name: "f" type: "Flatten" bottom: "s" top: "f" }
"""
LIST = """
layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 2 dim: 5 } } }
layer { name: "r" type: "ReLU" bottom: "a" top: "r" }
"""
IMAGES = np.random.default_rng(0).normal(size=(2, 3, 16, 24)).astype(np.float32)


def convert(**how: object) -> converters.Conversion:
    net, weights = TUNNEL / "net.prototxt", TUNNEL / "net.caffemodel"
    return converters.convert(net, weights, **how)  # type: ignore[arg-type]


def convert_text(text: str, **how: object) -> onnx.ModelProto:
    return converters.convert(prototxt.parse_net(text, "n"), **how).to_onnx()  # type: ignore[arg-type]


def names(infos: object) -> list[str]:
    return [info.name for info in infos]  # type: ignore[attr-defined]


def borders(model: onnx.ModelProto) -> Borders:
    return Borders.from_metadata({item.key: item.value for item in model.metadata_props})


def test_names() -> None:
    plain = convert().to_onnx()
    model = convert(
        input_names="image", output_names={"deconv1_2": "picture", "pool2_mask": "mask/2"}
    ).to_onnx()
    assert names(model.graph.input) == ["image"]
    assert names(model.graph.output) == ["picture", "pool1_mask", "mask/2", "pool3_mask"]
    assert borders(model) == Borders(
        {"data": "image"}, {"deconv1_2": "picture", "pool2_mask": "mask/2"}
    )
    pairs = zip(run_onnx(model, {"image": IMAGES}), run_onnx(plain, {"data": IMAGES}), strict=True)
    assert all(np.array_equal(ours, theirs) for ours, theirs in pairs)


def test_names_may_be_exchanged() -> None:
    model = convert(output_names={"pool1_mask": "pool2_mask", "pool2_mask": "pool1_mask"})
    assert names(model.to_onnx().graph.output)[1:3] == ["pool2_mask", "pool1_mask"]


def test_a_part_takes_the_names_that_it_has() -> None:
    conversion = convert(
        split=True,
        input_names={"data": "image", "pool1_mask": "m"},
        output_names={"pool1_mask": "m"},
    )
    encoder, decoder = (conversion.to_onnx(part) for part in ("encoder", "decoder"))
    assert names(encoder.graph.input) == ["image"] and "m" in names(encoder.graph.output)
    assert "m" in names(decoder.graph.input)
    assert borders(decoder) == Borders({"pool1_mask": "m"})


def test_what_cannot_be_renamed() -> None:
    for how, said in (
        ({"input_names": {"image": "x"}}, "no input is called 'image'; the inputs are data"),
        ({"output_names": {"prob": "x"}}, "no output is called 'prob'; the outputs are deconv1_2,"),
        ({"output_names": {"deconv1_2": "conv1_1"}}, "'conv1_1' is the name of another tensor"),
        ({"output_names": {"deconv1_2": "conv1_1.weight"}}, "is the name of another tensor"),
        ({"output_names": {"deconv1_2": "data"}}, "'data' is the name of another tensor"),
        ({"output_names": {"deconv1_2": "x", "pool1_mask": "x"}}, "'x' is the name of another"),
        ({"input_names": {"data": "x"}, "output_names": {"deconv1_2": "x"}}, "'x' is the name of"),
    ):
        with pytest.raises(ConversionError) as failed:
            convert(**how).to_onnx()
        assert said in str(failed.value) and "\n" not in str(failed.value)
    with pytest.raises(UsageError, match="the new name is empty"):
        convert(output_names={"deconv1_2": ""}).to_onnx()
    with pytest.raises(ConversionError, match="the network has 2 inputs, not one; say which"):
        convert_text(PAIR, input_names="x")


def test_a_folded_mean_goes_along() -> None:
    how = prototxt.Preprocessing((1.0, 2.0, 3.0))
    model = convert(preprocessing=how, fold_preprocessing=True, input_names="image").to_onnx()
    assert "image.mean" in names(model.graph.initializer)
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("fold", [True, False])
def test_nhwc(fold: bool) -> None:
    plain = convert(fold=fold).to_onnx()
    outputs = {"deconv1_2": "picture"}
    model = convert(fold=fold, nhwc=True, output_names=outputs).to_onnx()
    dims = [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["batch", "height", "width", 3]
    assert borders(model).nhwc == ("data", "picture")
    turned = np.ascontiguousarray(IMAGES.transpose(0, 2, 3, 1))
    first, *masks = run_onnx(model, {"data": turned})
    expected, *theirs = run_onnx(plain, {"data": IMAGES})
    assert np.array_equal(first.transpose(0, 3, 1, 2), expected)
    # Switches count through a plane: they stay as they are.
    assert all(np.array_equal(a, b) for a, b in zip(masks, theirs, strict=True))


def test_nhwc_turns_images_alone() -> None:
    model = convert_text(PAIR, nhwc=True, open_dims=False)
    assert borders(model).nhwc == ("a", "b")
    x = np.arange(24, dtype=np.float32).reshape(1, 3, 4, 2)
    (flat,) = run_onnx(model, {"a": x, "b": x})
    assert np.array_equal(flat, 2 * x.transpose(0, 3, 1, 2).reshape(1, 24))
    with pytest.raises(ConversionError, match="no input or output is images"):
        convert_text(LIST, nhwc=True)
    with pytest.raises(UsageError, match="fold_preprocessing takes N×H×W×C already"):
        convert(nhwc=True, fold_preprocessing=True)


def test_an_input_that_is_an_output() -> None:
    model = convert_text(PAIR, nhwc=True, outputs=["a", "s"], output_names={"a": "copy"})
    x = np.arange(24, dtype=np.float32).reshape(1, 3, 4, 2)
    copied, doubled = run_onnx(model, {"a": x, "b": x})
    assert names(model.graph.output) == ["copy", "s"]
    assert np.array_equal(copied, x) and np.array_equal(doubled, 2 * x)


def test_metadata_that_nobody_wrote() -> None:
    assert Borders.from_metadata({}) == Borders() and Borders().to_metadata() == {}
    for key, text in (("zoo.names", "[]"), ("zoo.names", "{"), ("zoo.nhwc", "[1]")):
        with pytest.raises(FormatError, match="is not what a conversion writes"):
            Borders.from_metadata({key: text})
