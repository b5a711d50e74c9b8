"""What the layers of a network tell of its purpose."""

from __future__ import annotations

import pytest

import converters
import prototxt

DATA = 'layer { name: "data" type: "Input" top: "data" input_param { shape { %s } } }\n'
IMAGE = DATA % "dim: 1 dim: 3 dim: 8 dim: 8"


def layer(kind: str, bottom: str, top: str, more: str = "") -> str:
    bottoms = " ".join(f'bottom: "{name}"' for name in bottom.split())
    return f'layer {{ name: "{top}" type: "{kind}" {bottoms} top: "{top}" {more} }}\n'


FC = layer("InnerProduct", "data", "fc", "inner_product_param { num_output: 5 }")
CONV = "convolution_param { num_output: %d kernel_size: 1 }"
LABEL = (
    'layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 1 } } }\n'
    + layer("SoftmaxWithLoss", "fc label", "loss")
)


@pytest.mark.parametrize(
    ("layers", "task"),
    [
        (FC, "other"),
        (FC + layer("Softmax", "fc", "prob"), "classify"),
        (FC + layer("Softmax", "fc", "p") + layer("Flatten", "p", "flat"), "classify"),
        (FC + LABEL, "classify"),
        (layer("Convolution", "data", "c", CONV % 7), "segment"),
        (layer("Convolution", "data", "c", CONV % 3), "image-to-image"),
        (layer("Convolution", "data", "c", CONV % 3) + layer("Softmax", "c", "p"), "segment"),
        (
            layer("Convolution", "data", "c", CONV % 5)
            + layer("Pooling", "c", "p", "pooling_param { pool: AVE global_pooling: true }"),
            "classify",
        ),
    ],
)
def test_ends(layers: str, task: str) -> None:
    conversion = converters.convert(prototxt.parse_net(IMAGE + layers))
    assert conversion.metadata["zoo.task"] == task


def test_names_of_classes_make_a_classifier() -> None:
    net = prototxt.parse_net(IMAGE + FC)
    conversion = converters.convert(net, labels=["a", "b", "c", "d", "e"])
    assert conversion.metadata["zoo.task"] == "classify"
    assert conversion.metadata["zoo.labels"] == "a\nb\nc\nd\ne"
    assert converters.convert(net, labels=["a", "b"]).metadata["zoo.task"] == "other"
    with pytest.raises(prototxt.UsageError, match="names 2 classes, but the network has 5"):
        converters.convert(net, labels=["a", "b"], task="classify")


def test_the_papers_networks_rebuild_their_input() -> None:
    from zoo.paper import architectures

    net = prototxt.parse_net(architectures.definition("2_3_4", 16))
    assert converters.convert(net).metadata["zoo.task"] == "reconstruct"


def test_an_input_larger_than_any_image_is_no_images_size() -> None:
    """9000x9000 converts, and says nothing of a size that whoever opens it would refuse."""
    large = DATA % "dim: 1 dim: 1 dim: 9000 dim: 9000"
    net = prototxt.parse_net(large + layer("ReLU", "data", "r"))
    stated = converters.convert(net, open_dims=False).metadata
    assert "zoo.input_size" not in stated
    assert prototxt.Preprocessing.from_metadata(stated).input_size is None
