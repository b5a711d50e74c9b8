"""Data layers of forks and of Python, and where training samples by the ground truth."""

from __future__ import annotations

import pytest

from tests.converters.forks import build, inputs, layer, refused

OPEN = ("batch", 3, "height", "width")


def python(name: str, settings: str = "") -> str:
    module, _, kind = name.rpartition(".")
    text = f'module: "{module}" layer: "{kind}"'
    return f"python_param {{ {text}" + (f' param_str: "{settings}" }}' if settings else " }")


def conv(bottom: str = "data", count: int = 4) -> str:
    param = f"convolution_param {{ num_output: {count} kernel_size: 3 pad: 1 }}"
    return layer("Convolution", bottom, param, "c", "c")


@pytest.mark.parametrize(
    ("name", "kind", "settings", "shape"),
    [
        ("Python", "voc_layers.VOCSegDataLayer", "{'seed': 1337}", OPEN),
        ("Python", "voc_layers.SBDDSegDataLayer", "", OPEN),
        ("Python", "pascalcontext_layers.PASCALContextSegDataLayer", "", OPEN),
        ("Python", "nyud_layers.NYUDSegDataLayer", "{'tops': ['hha', 'label']}", OPEN),
        ("Python", "nyud_layers.NYUDSegDataLayer", "{'tops': ['depth', 'label']}", (*OPEN[:1], 1, *OPEN[2:])),  # noqa: E501
        ("Python", "siftflow_layers.SIFTFlowSegDataLayer", "", OPEN),
        ("ImageLabelmapData", "", "transform_param { mean_value: 1 mean_value: 2 mean_value: 3 }", OPEN),  # noqa: E501
        ("ImageSegData", "", "image_data_param { label_type: PIXEL }", OPEN),
        ("WindowSegData", "", "transform_param { crop_size: 32 scale_factors: .5 }", OPEN),
    ],
)  # fmt: skip
def test_images_and_labels(
    name: str, kind: str, settings: str, shape: tuple[int | str, ...]
) -> None:
    more = python(kind, settings) if kind else settings
    text = layer(name, "", more, "data label") + conv()
    text += layer("SoftmaxWithLoss", "c label", tops="loss", name="s")
    graph = build(text)
    assert [(v.name, v.shape) for v in graph.inputs] == [("data", shape)]
    assert graph.outputs[0].shape == (shape[0], 4, *shape[2:])


def test_sift_flow_has_one_size() -> None:
    text = layer("Python", "", python("siftflow_layers.SIFTFlowSegDataLayer"), "data sem geo")
    assert build(text + conv(), open_dims=False).inputs[0].shape == (1, 3, 256, 256)


def test_several_images_beside_each_other() -> None:
    """NYUDv2's colour and depth, as FCN concatenates them."""
    tops = "{'tops': ['color', 'depth', 'label']}"
    text = layer("Python", "", python("nyud_layers.NYUDSegDataLayer", tops), "color depth label")
    text += layer("Concat", "color depth", tops="data", name="both") + conv()
    graph = build(text)
    assert [v.shape[1] for v in graph.inputs] == [3, 1]
    assert graph.nodes[1].blobs[0].shape == (4, 4, 3, 3)
    unread = text.replace("{'tops'", "{'bottoms'")
    refused(unread, "nothing fixes the shape of 'color'")


@pytest.mark.parametrize("settings", ["{'a': open('x')}", "{1}"])
def test_what_cannot_be_read_says_nothing(settings: str) -> None:
    text = layer("Python", "", python("nyud_layers.NYUDSegDataLayer", settings), "data label")
    refused(text + conv(), "nothing fixes the shape of 'data'")


def test_the_old_names_of_deconvnet() -> None:
    """V1 syntax: IMAGE_SEG_DATA, and an accuracy that goes with the losses."""
    text = """
    layers { name: "d" type: IMAGE_SEG_DATA top: "data" top: "label"
      transform_param { crop_size: 8 mean_value: 1 mean_value: 2 mean_value: 3 } }
    layers { name: "r" type: RELU bottom: "data" top: "r" }
    layers { name: "a" type: ELTWISE_ACCURACY bottom: "r" bottom: "label" top: "a" }
    """
    assert [v.name for v in build(text).outputs] == ["r"]
    refused(text, "unknown layer type: 'a' .EltwiseAccuracy.", outputs=["a"])


SCORES = layer(
    "Convolution", "data", "convolution_param { num_output: 6 kernel_size: 1 }", "s", "s"
)
DATA = layer(
    "Python", "", python("roi_data_layer.layer.RoIDataLayer"), "data im_info gt_boxes", "d"
)
ANCHORS = layer(
    "Python",
    "s gt_boxes im_info data",
    python("rpn.anchor_target_layer.AnchorTargetLayer", "'feat_stride': 16"),
    "labels targets inside outside",
    "rpn-data",
)


def test_labels_of_anchors_leave_with_the_losses() -> None:
    text = DATA + SCORES + ANCHORS + layer("SoftmaxWithLoss", "s labels", tops="loss", name="loss")
    graph = build(text, phase="TRAIN")
    assert [v.name for v in graph.inputs] == ["data"]
    assert [v.name for v in graph.outputs] == ["s"]
    assert build(text, open_dims=False).inputs[0].shape == (1, 3, 600, 1000)
    refused(text, "nothing fixes the shape of 'labels'", outputs=["loss"])


def test_a_sample_of_proposals_is_an_input() -> None:
    kind = python("rpn.proposal_target_layer.ProposalTargetLayer", "'num_classes': 2")
    text = DATA + SCORES + layer("Sigmoid", "s", tops="p", name="p")
    text += layer("Python", "p gt_boxes", kind, "rois labels t i o", "roi-data")
    roi = "roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 1 }"
    text += layer("ROIPooling", "s rois", roi, "r", "roi")
    text += layer("SoftmaxWithLoss", "r labels", tops="loss", name="loss")
    graph = build(text, phase="TRAIN")
    assert [(v.name, v.shape) for v in graph.inputs] == [
        ("data", ("batch", 3, "height", "width")),
        ("rois", ("rois_count", 5)),
    ]
    assert [v.name for v in graph.outputs] == ["p", "r"]
    assert graph.notes[0] == "rois: layer roi-data samples in training, here inputs"


def test_fast_rcnn_reads_regions_with_its_images() -> None:
    text = layer(
        "Python", "", python("roi_data_layer.layer.RoIDataLayer"), "data rois labels t i o"
    )
    roi = "roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 1 }"
    graph = build(text + layer("ROIPooling", "data rois", roi, "r", "roi"))
    assert [v.shape for v in graph.inputs] == [OPEN, ("rois_count", 5)]


def test_what_is_made_of_losses_is_no_output() -> None:
    """As R-FCN adds the losses of each region to choose the hard ones."""
    text = inputs(x=(2, 3), label=(2,)) + layer("ReLU", "x", tops="r", name="r")
    for name in "ab":
        text += layer("SoftmaxWithLossOHEM", "r label", tops=f"loss_{name}", name=name)
    text += layer("Eltwise", "loss_a loss_b", tops="sum", name="sum")
    text += layer("BoxAnnotatorOHEM", "sum label", tops="hard", name="hard")
    assert [v.name for v in build(text).outputs] == ["r"]
    refused(text, "SoftmaxWithLossOHEM.: is for training alone", outputs=["sum"])


def test_what_is_made_of_labels_is_no_output() -> None:
    """As DeepLab shrinks them before the loss; where no loss reads it, it was asked for."""
    shrink = layer("Interp", "label", "interp_param { shrink_factor: 8 }", "small", "shrink")
    text = layer("ImageSegData", "", "transform_param { crop_size: 17 }", "data label") + conv()
    loss = layer("SoftmaxWithLoss", "c small", tops="loss", name="loss")
    assert [v.name for v in build(text + shrink + loss).outputs] == ["c"]
    assert [v.name for v in build(text + shrink).outputs] == ["c", "small"]


def test_what_is_written_to_a_file_is_an_output() -> None:
    """As DeepLab's test.prototxt ends, in MatWrite; what Silence reads is none."""
    text = (
        layer("ImageSegData", "", "transform_param { crop_size: 17 }", "data label size") + conv()
    )
    text += layer("ReLU", "c", tops="r", name="r") + layer("Sigmoid", "c", tops="s", name="s")
    text += layer("MatWrite", "r", 'mat_write_param { prefix: "fc8" }', "", "write")
    text += layer("Silence", "s label size", tops="", name="silence")
    assert [v.name for v in build(text).outputs] == ["r"]
    assert [v.name for v in build(text.replace("MatWrite", "HDF5Output")).outputs] == ["r"]


def test_both_columns_of_a_pair_are_outputs() -> None:
    fc = "inner_product_param { num_output: 2 }"
    text = layer("HDF5Data", "", tops="one two same", name="pair")
    text += layer("InnerProduct", "one", fc, "a", "a") + layer("InnerProduct", "two", fc, "b", "b")
    text += layer("ContrastiveLoss", "a b same", tops="loss", name="loss")
    shapes = {"one": (1, 3), "two": (1, 3)}
    assert [v.name for v in build(text, shapes=shapes).outputs] == ["a", "b"]
