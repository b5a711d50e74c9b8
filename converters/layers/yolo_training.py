"""What MobileNet-YOLO and Intel's Caffe have for the training and testing of YOLO alone."""

from __future__ import annotations

from ..registry import register
from .detector_training import TrainingOnly

FORK = "MobileNet-YOLO (eric612/MobileNet-YOLO)"


@register("RegionLoss", message="region_loss_param")
class RegionLoss(TrainingOnly):
    """YOLO 2's loss (region_loss_layer.cpp)."""

    fork = FORK
    loss_weight = 1.0


@register("Yolov3", message="yolov3_param")
class Yolov3(TrainingOnly):
    """YOLO 3's loss (yolov3_layer.cpp)."""

    fork = FORK
    loss_weight = 1.0


@register("GaussianYolov3", message="yolov3_param")
class GaussianYolov3(TrainingOnly):
    """YOLO 3's loss with a variance for each corner (gaussian_yolov3_layer.cpp)."""

    fork = FORK
    loss_weight = 1.0


@register("YoloSeg", message="yolo_seg_param")
class YoloSeg(TrainingOnly):
    """The loss of segmentation beside YOLO's (yolo_seg.cpp)."""

    fork = FORK
    loss_weight = 1.0


@register("SegmentationEvaluate", message="segmentation_evaluate_param")
class SegmentationEvaluate(TrainingOnly):
    """Compares a segmentation with its labels (segmentation_evaluate_layer.cpp)."""

    fork = FORK


@register("EvalDetection", message="eval_detection_param")
class EvalDetection(TrainingOnly):
    """Compares YOLO's boxes with annotations (eval_detection_layer.cpp)."""

    fork = "Intel Caffe (intel/caffe)"
