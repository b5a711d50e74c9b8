"""Detectors, keypoints and faces."""

from __future__ import annotations

from .classifiers import thin
from .segmenters import vgg_trunk
from .text import concat, conv, dropout, eltwise, fc, layer, pool, relu, softmax

PERMUTE = "permute_param { order: 0 order: 2 order: 3 order: 1 }"


def ssd(width: float = 1.0, classes: int = 5, training: bool = False) -> str:
    """SSD (Liu et al. 2016): Normalize, priors of two maps, detections or MultiBoxLoss."""
    text = vgg_trunk(width, levels=3)
    text += layer("Normalize", "n3", "conv3_3", more=(
        "norm_param { across_spatial: false scale_filler { type: 'constant' value: 20 } "
        "channel_shared: false }"
    ))  # fmt: skip
    text += conv("fc6", "pool3", thin(256, width), pad=6, dilation=6) + relu("fc6")
    for source, size in (("n3", 8), ("fc6", 20)):
        for what, count in (("loc", 16), ("conf", 4 * classes)):
            name = f"{source}_mbox_{what}"
            text += conv(name, source, count, pad=1)
            text += layer("Permute", f"{name}_perm", name, more=PERMUTE)
            text += layer(
                "Flatten", f"{name}_flat", f"{name}_perm", more="flatten_param { axis: 1 }"
            )
        boxes = f"min_size: {size} max_size: {2 * size} aspect_ratio: 2 flip: true clip: false"
        boxes += " variance: .1 variance: .1 variance: .2 variance: .2 offset: .5"
        text += layer(
            "PriorBox", f"{source}_prior", [source, "data"], more=f"prior_box_param {{ {boxes} }}"
        )
    for what in ("loc", "conf"):
        text += concat(f"mbox_{what}", *(f"{s}_mbox_{what}_flat" for s in ("n3", "fc6")))
    text += layer("Concat", "priors", ["n3_prior", "fc6_prior"], more="concat_param { axis: 2 }")
    if training:
        more = f"multibox_loss_param {{ num_classes: {classes} share_location: true }}"
        return text + layer(
            "MultiBoxLoss", "mbox_loss", ["mbox_loc", "mbox_conf", "priors", "label"], more=more
        )
    shape = f"reshape_param {{ shape {{ dim: 0 dim: -1 dim: {classes} }} }}"
    text += layer("Reshape", "conf_reshape", "mbox_conf", more=shape)
    text += layer("Softmax", "conf_softmax", "conf_reshape", more="softmax_param { axis: 2 }")
    text += layer("Flatten", "conf_flat", "conf_softmax", more="flatten_param { axis: 1 }")
    out = f"num_classes: {classes} share_location: true background_label_id: 0 keep_top_k: 20 "
    out += "nms_param { nms_threshold: .45 top_k: 40 } code_type: CENTER_SIZE"
    return text + layer(
        "DetectionOutput", "detection_out", ["mbox_loc", "conf_flat", "priors"],
        more=f"detection_output_param {{ {out} confidence_threshold: .01 }}",
    )  # fmt: skip


ANNOTATED = """layer { name: "data" type: "AnnotatedData" top: "data" top: "label"
  transform_param { mean_value: 104 mean_value: 117 mean_value: 123
    resize_param { prob: 1 resize_mode: WARP height: 48 width: 48 interp_mode: LINEAR }
    emit_constraint { emit_type: CENTER } }
  data_param { source: "trainval_lmdb" batch_size: 32 backend: LMDB }
  annotated_data_param { batch_sampler { max_sample: 1 max_trials: 1 } label_map_file: "l" } }
"""


def python(
    name: str, bottoms: list[str], tops: list[str], module: str, kind: str, more: str
) -> str:
    param = f'python_param {{ module: "{module}" layer: "{kind}" param_str: "{more}" }}'
    return layer("Python", name, bottoms, tops, param)


def rpn(width: float, source: str, training: bool) -> str:
    """A region proposal network, with its losses in training."""
    text = conv("rpn", source, thin(512, width), pad=1) + relu("rpn")
    text += conv("rpn_cls_score", "rpn", 18, 1) + conv("rpn_bbox_pred", "rpn", 36, 1)
    shape = "reshape_param {{ shape {{ dim: 0 dim: {} dim: -1 dim: 0 }} }}"
    text += layer("Reshape", "rpn_cls_score_reshape", "rpn_cls_score", more=shape.format(2))
    if training:
        text += python(
            "rpn-data", ["rpn_cls_score", "gt_boxes", "im_info", "data"],
            ["rpn_labels", "rpn_bbox_targets", "rpn_inside", "rpn_outside"],
            "rpn.anchor_target_layer", "AnchorTargetLayer", "'feat_stride': 8",
        )  # fmt: skip
        ignored = "loss_param { ignore_label: -1 normalize: true }"
        text += layer(
            "SoftmaxWithLoss", "rpn_loss_cls", ["rpn_cls_score_reshape", "rpn_labels"], more=ignored
        )
        text += layer(
            "SmoothL1Loss", "rpn_loss_bbox",
            ["rpn_bbox_pred", "rpn_bbox_targets", "rpn_inside", "rpn_outside"],
            more="smooth_l1_loss_param { sigma: 3.0 }",
        )  # fmt: skip
    text += softmax("rpn_cls_prob", "rpn_cls_score_reshape")
    text += layer("Reshape", "rpn_cls_prob_reshape", "rpn_cls_prob", more=shape.format(18))
    return text + python(
        "proposal", ["rpn_cls_prob_reshape", "rpn_bbox_pred", "im_info"],
        ["rpn_rois" if training else "rois"], "rpn.proposal_layer", "ProposalLayer",
        "'feat_stride': 8",
    )  # fmt: skip


def images(tops: list[str]) -> str:
    return python(
        "input-data", [], tops, "roi_data_layer.layer", "RoIDataLayer", "'num_classes': 5"
    )


def sampled() -> str:
    """The regions of a training, drawn with the ground truth."""
    tops = ["rois", "labels", "bbox_targets", "bbox_inside_weights", "bbox_outside_weights"]
    where = "rpn.proposal_target_layer", "ProposalTargetLayer"
    return python("roi-data", ["rpn_rois", "gt_boxes"], tops, *where, "'num_classes': 5")


def faster_rcnn(width: float = 1.0, classes: int = 5, training: bool = False) -> str:
    """Faster R-CNN (Ren et al. 2015), trained end to end with `training`."""
    text = vgg_trunk(width, levels=4)
    text = text[: text.index('layer { name: "pool4"')] + rpn(width, "conv4_3", training)
    text += sampled() if training else ""
    return text + region_head(width, classes, training)


def region_head(width: float, classes: int, training: bool) -> str:
    """What Fast R-CNN makes of each region."""
    roi = "roi_pooling_param { pooled_w: 3 pooled_h: 3 spatial_scale: 0.125 }"
    text = layer("ROIPooling", "pool5", ["conv4_3", "rois"], more=roi)
    text += fc("fc6", "pool5", thin(512, width)) + relu("fc6") + dropout("fc6")
    text += fc("cls_score", "fc6", classes) + fc("bbox_pred", "fc6", 4 * classes)
    if not training:
        return text + softmax("cls_prob", "cls_score")
    text += layer("SoftmaxWithLoss", "loss_cls", ["cls_score", "labels"])
    return text + layer(
        "SmoothL1Loss", "loss_bbox",
        ["bbox_pred", "bbox_targets", "bbox_inside_weights", "bbox_outside_weights"],
    )  # fmt: skip


def fast_rcnn(width: float = 1.0, classes: int = 5) -> str:
    """Fast R-CNN's part of the alternating training: regions come with the images."""
    tops = ["data", "rois", "labels", "bbox_targets", "bbox_inside_weights", "bbox_outside_weights"]
    text = vgg_trunk(width, levels=4)
    return (
        images(tops)
        + text[: text.index('layer { name: "pool4"')]
        + region_head(width, classes, True)
    )


def rfcn(width: float = 1.0, classes: int = 5, training: bool = False) -> str:
    """R-FCN (Dai et al. 2016): maps by place, pooled by place, voted; OHEM in training."""
    text = vgg_trunk(width, levels=4)
    text = text[: text.index('layer { name: "pool4"')] + rpn(width, "conv4_3", training)
    text += sampled() if training else ""
    text += conv("conv_new", "conv4_3", thin(256, width), 1) + relu("conv_new")
    for what, count in (("cls", classes), ("bbox", 8)):
        text += conv(f"rfcn_{what}", "conv_new", 9 * count, 1)
        pooled = f"spatial_scale: .125 output_dim: {count} group_size: 3"
        text += layer(
            "PSROIPooling", f"ps_{what}", [f"rfcn_{what}", "rois"],
            more=f"psroi_pooling_param {{ {pooled} }}",
        )  # fmt: skip
        name = "cls_score" if what == "cls" else "bbox_pred"
        text += pool(name, f"ps_{what}", "AVE", 3, stride=3)
    if not training:
        text += softmax("cls_prob_pre", "cls_score")
        for name, source, count in (
            ("cls_prob", "cls_prob_pre", classes),
            ("boxes", "bbox_pred", 8),
        ):
            shape = f"reshape_param {{ shape {{ dim: -1 dim: {count} }} }}"
            text += layer("Reshape", name, source, more=shape)
        return text
    tops = ["temp_loss", "temp_prob", "per_roi_loss_cls"]
    text += layer("SoftmaxWithLossOHEM", "per_roi_cls", ["cls_score", "labels"], tops)
    text += layer(
        "SmoothL1LossOHEM", "per_roi_bbox", ["bbox_pred", "bbox_targets", "bbox_inside_weights"],
        ["temp_box", "per_roi_loss_bbox"],
    )  # fmt: skip
    text += layer("Silence", "silent", ["temp_loss", "temp_prob", "temp_box"], [])
    text += eltwise("per_roi_loss", "per_roi_loss_cls", "per_roi_loss_bbox")
    text += layer(
        "BoxAnnotatorOHEM", "annotator", ["rois", "per_roi_loss", "labels", "bbox_inside_weights"],
        ["labels_ohem", "weights_ohem"], "box_annotator_ohem_param { roi_per_img: 128 }",
    )  # fmt: skip
    more = "loss_param { ignore_label: -1 }"
    return text + layer("SoftmaxWithLoss", "loss", ["cls_score", "labels_ohem"], more=more)


def prelu(blob: str) -> str:
    return layer("PReLU", f"{blob}_prelu", blob, blob)


def mtcnn(net: str) -> str:
    """MTCNN's P-Net (any size), R-Net and O-Net (Zhang et al. 2016)."""
    stages = {
        "p": ((10, 3, 2, 2), (16, 3, 0, 0), (32, 3, 0, 0)),
        "r": ((28, 3, 3, 2), (48, 3, 3, 2), (64, 2, 0, 0)),
        "o": ((32, 3, 3, 2), (64, 3, 3, 2), (64, 3, 2, 2), (128, 2, 0, 0)),
    }[net]
    text, bottom = "", "data"
    for number, (channels, kernel, window, stride) in enumerate(stages, 1):
        name = f"conv{number}"
        text += conv(name, bottom, channels, kernel) + prelu(name)
        bottom = name
        if window:
            text += pool(f"pool{number}", name, kernel=window, stride=stride)
            bottom = f"pool{number}"
    if net == "p":
        text += conv("score", bottom, 2, 1) + conv("box", bottom, 4, 1)
        return text + softmax("prob", "score")
    text += fc("fc", bottom, 128 if net == "r" else 256)
    if net == "o":
        text += layer("Dropout", "drop", "fc", "fc", "dropout_param { dropout_ratio: .25 }")
    text += prelu("fc") + fc("score", "fc", 2) + fc("box", "fc", 4)
    text += fc("landmarks", "fc", 10) if net == "o" else ""
    return text + softmax("prob", "score")


def openpose(width: float = 1.0, stages: int = 3, parts: int = 19, limbs: int = 38) -> str:
    """OpenPose (Cao et al. 2017): two branches in stages, each fed both."""
    text = vgg_trunk(width, levels=3)
    text += conv("features", "pool3", thin(128, width), pad=1) + relu("features")
    bottom = "features"
    for stage in range(1, stages + 1):
        kernel, ends = (3, []) if stage == 1 else (7, [])
        for branch, count in (("L1", limbs), ("L2", parts)):
            source = bottom
            for place in range(1, 4):
                name = f"conv{place}_stage{stage}_{branch}"
                last = place == 3
                text += conv(
                    name, source, count if last else thin(128, width), 1 if last else kernel,
                    pad=0 if last else kernel // 2,
                )  # fmt: skip
                text += "" if last else relu(name)
                source = name
            ends.append(source)
        bottom = f"concat_stage{stage}"
        text += concat(bottom, *ends, *(["features"] if stage < stages else []))
    return text
