"""What published definitions leave unsaid: sizes, phases, types and fields that nobody knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import converters
import prototxt
from converters import ConversionError
from converters.conversion import Conversion
from tests.converters.forks import layer

CONV = layer("Convolution", "data", "convolution_param { num_output: 2 kernel_size: 3 }", "c", "c")
FLAT = layer("InnerProduct", "c", "inner_product_param { num_output: 4 }", "f", "f")


def data(kind: str = "Data", message: str = "data_param { source: 'x' batch_size: 4 }") -> str:
    return f"layer {{ name: 'd' type: '{kind}' top: 'data' top: 'label' {message} }}\n"


def convert(text: str, **how: object) -> Conversion:
    return converters.convert(prototxt.parse_net(text, "n"), **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "shape", "whose"),
    [
        ("examples/cifar10/cifar10_train_lmdb", (3, 32, 32), "CIFAR's"),
        ("examples/mnist/mnist_train_lmdb", (1, 28, 28), "MNIST's"),
        ("mine", (3, 224, 224), "that of photographs"),
    ],
)
def test_a_size_that_nothing_fixes_is_assumed_and_told(
    source: str, shape: tuple[int, ...], whose: str
) -> None:
    found = convert(data(message=f"data_param {{ source: '{source}' }}") + CONV + FLAT)
    assert found.graph.inputs[0].shape == ("batch", *shape)
    shown = "x".join(map(str, shape))
    assert found.notes[0] == (
        f"input data {shown}: size assumed to be {whose}, as nothing fixes it; channels assumed to "
        f"be {whose}; give shapes={{'data': {(1, *shape)}}} for another"
    )


@pytest.mark.parametrize(
    "inputs",
    [
        "input: 'data'",
        "input: 'data' input: 'z'",
        "layer { type: 'Input' top: 'data' }",
        "layer { type: 'DummyData' top: 'data' top: 'z' }",
    ],
)
def test_an_input_without_a_shape_is_as_a_data_layer(inputs: str) -> None:
    """Caffe reads it too: whoever runs the network is to reshape the blob."""
    assert convert(inputs + CONV).graph.inputs[0].shape == ("batch", 3, "height", "width")
    assert convert(inputs + CONV + FLAT).graph.inputs[0].shape == ("batch", 3, 224, 224)
    known = convert(inputs + CONV + FLAT, shapes={"data": (2, 1, 9, 8)})
    assert known.graph.inputs[0].shape == (2, 1, 9, 8)


def test_a_size_stays_open_where_the_network_does_with_any() -> None:
    found = convert(data() + CONV)
    assert found.graph.inputs[0].shape == ("batch", 3, "height", "width")
    assert "nothing fixes height and width" in found.notes[0]


def test_pairs_of_images_are_channels_of_one() -> None:
    text = data(message="data_param { source: 'mnist_siamese' }")
    text += layer("Slice", "data", "slice_param { slice_point: 1 }", "a b", "s")
    text += layer("InnerProduct", "a", "inner_product_param { num_output: 4 }", "f", "f")
    text += layer("InnerProduct", "b", "inner_product_param { num_output: 4 }", "g", "g")
    assert convert(text).graph.inputs[0].shape == ("batch", 2, 28, 28)


def test_a_data_layer_of_any_name_brings_inputs() -> None:
    found = convert(data("ClipsOfMine", "clips_param { frames: 3 }") + CONV)
    assert [value.name for value in found.graph.inputs] == ["data"]


def test_fields_of_data_layers_are_passed_over_with_a_note() -> None:
    text = data(message="data_param { source: 'x' shuffle: true } transform_param { blur: 2 }")
    notes = convert(text + CONV).notes
    assert (
        notes[0]
        == "n:1:82: unknown field 'shuffle' in data_param; passed over, as it brings data in"
    )
    assert "unknown field 'blur' in transform_param; passed over" in notes[1]


def test_fields_of_the_network_are_passed_over_with_a_note() -> None:
    found = convert("bn_stats_batch_size: 32\n" + data() + CONV)
    assert found.notes[0] == "n:1:1: field 'bn_stats_batch_size' of the network is passed over"
    with pytest.raises(prototxt.FormatError, match="unknown field 'layr' in a network; did you"):
        convert("layr { }\n" + CONV)


def test_an_unknown_field_of_a_layer_that_computes_is_refused() -> None:
    with pytest.raises(prototxt.FormatError, match="unknown field 'num_outputs'"):
        convert(data() + CONV.replace("num_output:", "num_outputs:"))


def test_train_layers_stand_in_where_the_test_phase_has_no_data() -> None:
    text = data(message="include { phase: TRAIN } data_param { source: 'cifar' }") + CONV
    text += layer("Dropout", "c", "dropout_param { dropout_ratio: .5 }", "c", "drop") + FLAT
    found = convert(text)
    assert found.notes[0] == (
        "no layer of the TEST phase writes 'data': its TRAIN layers, run as at test"
    )
    assert {node.phase for node in found.graph.nodes} == {"TEST"}
    assert "Dropout" not in {node.type for node in found.parts["whole"].nodes}
    # Whoever asks for a phase gets it.
    with pytest.raises(ConversionError, match="bottom 'data' is not there"):
        convert(text, phase="test")
    assert convert(text, phase="train").graph.inputs[0].name == "data"


def test_what_is_silenced_is_given_out_where_nothing_else_is() -> None:
    text = "input: 'data' input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }\n" + CONV
    text += "layer { name: 's' type: 'Silence' bottom: 'c' }"
    assert [value.name for value in convert(text).graph.outputs] == ["c"]


def test_a_placeholder_of_a_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(prototxt.FormatError) as caught:
        convert("input: 'data' input_dim: {height}\n" + CONV)
    assert str(caught.value) == (
        "n:1:33: expected ':' or '{' after 'height', found '}'; if {height} is a template's "
        "placeholder, fill it in"
    )


def test_batches_are_of_as_many_images_as_a_slice_cuts_them_into() -> None:
    """As mvcnn pools over twelve views of one object."""
    text = (
        data()
        + CONV
        + layer("Slice", "c", "slice_param { axis: 0 slice_point: 1 slice_point: 2 }", "u v w", "s")
    )
    text += layer("Eltwise", "u v w", "eltwise_param { operation: MAX }", "m", "m") + layer(
        "InnerProduct", "m", "inner_product_param { num_output: 4 }", "f", "f"
    )
    found = convert(text)
    assert found.graph.inputs[0].shape == (3, 3, 224, 224)
    assert found.notes[0] == "input data: batches of 3, as layer s has"


def test_what_a_reshape_takes_fixes_a_second_top_and_the_batch() -> None:
    """As LRCN's clip markers, and its frames of several films at once."""
    text = "layer { name: 'd' type: 'Python' top: 'data' top: 'label' top: 'marks' python_param { "
    text += "module: 'm' layer: 'Films' } }\n" + CONV + FLAT
    text += layer("Reshape", "f", "reshape_param { shape { dim: 5 dim: 2 dim: 4 } }", "r", "r")
    text += layer("Reshape", "marks", "reshape_param { shape { dim: 5 dim: 2 } }", "q", "q")
    text += layer("LSTM", "r q", "recurrent_param { num_output: 3 }", "l", "l")
    found = convert(text)
    shapes = {value.name: value.shape for value in found.graph.inputs}
    assert shapes == {"data": (10, 3, 224, 224), "marks": (10,)}
    assert found.notes[:2] == [
        "input marks 10: as layer q takes it",
        "input data: batches of 10, as layer r has",
    ]


HALVED = (
    layer("Pooling", "data", "pooling_param { kernel_size: 2 stride: 2 }", "p", "p")
    + layer(
        "Deconvolution",
        "p",
        "convolution_param { num_output: 3 kernel_size: 2 stride: 2 }",
        "u",
        "u",
    )
    + layer("Eltwise", "data u", "", "e", "e")
)


def test_a_stated_size_that_does_not_fit_gives_way_to_one_that_does() -> None:
    text = "input: 'data' input_shape { dim: 1 dim: 3 dim: 97 dim: 130 }\n"
    found = convert(text + HALVED)
    assert found.notes[0] == (
        "input data 3x128x160: 97x130 does not fit the network; the next multiple of 32 does; "
        "give shapes={'data': (1, 3, 128, 160)} for another"
    )
    with pytest.raises(ConversionError, match="its bottoms differ: 1x3x97x130 and 1x3x98x130"):
        convert(text + HALVED, shapes={"data": (1, 3, 97, 130)})
    with pytest.raises(ConversionError, match="its bottoms differ: 1x3x9x9 and 1x3x10x10"):
        convert("input: 'data' input_shape { dim: 1 dim: 3 dim: 9 dim: 9 }\n" + HALVED)


def test_the_command_takes_train_layers_where_the_test_phase_has_no_data(
    zoo: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "n.prototxt"
    path.write_text(data().replace("type:", "include { phase: TRAIN } type:") + CONV)
    run = zoo("convert", path, "-o", tmp_path / "n.onnx", "--json")
    assert "no layer of the TEST phase writes 'data'" in run.json["notes"][0]
    assert zoo("verify", path, tmp_path / "n.onnx").status == 0
    run = zoo("convert", path, "-o", tmp_path / "n.onnx", "--phase", "test")
    assert run.status == 1 and "no layer of this phase writes it" in run.err


def test_inspect_shows_train_layers_where_the_test_phase_has_no_data(
    zoo: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "n.prototxt"
    path.write_text(data().replace("type:", "include { phase: TRAIN } type:") + CONV)
    found = zoo("inspect", path, "--json").json
    assert found["outputs"] and "its TRAIN layers" in found["notes"][0]
    assert "outputs" not in zoo("inspect", path, "--json", "--phase", "test").json


def test_train_layers_that_stand_in_stop_before_detections_too() -> None:
    text = data(message="data_param { source: 'x' } transform_param { crop_size: 16 }")
    text = text.replace("type:", "include { phase: TRAIN } type:") + CONV.replace(
        "num_output: 2", "num_output: 7"
    )
    params = "num_classes: 2 num_box: 1 mask_group_num: 1 mask: 0 "
    params += "biases: 16 biases: 16 anchors_scale: 32"
    params = f"yolov3_detection_output_param {{ {params} }}"
    text += layer("Yolov3DetectionOutput", "c", params, "y", "y")
    assert [value.name for value in convert(text).graph.outputs] == ["y"]
    assert [value.name for value in convert(text, raw=True).graph.outputs] == ["c"]
