"""What SSD, Faster R-CNN and R-FCN have for training alone: losses, sampling, annotated data."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from prototxt.errors import Argument, Sentence
from prototxt.net import LayerDefinition
from prototxt.schema import UInt, decode
from prototxt.text import Message

from ..graph import Node, P, Shape
from ..layer_type import NoParams
from ..registry import register
from .inputs import DataLayer, DataParams, Source, TransformParams
from .losses import Loss


class TrainingOnly(Loss[NoParams]):
    """Pruned from an inference graph; an error where it is asked for, since nothing computes it."""

    bottoms = (1, None)
    tops = (1, None)
    loss_weight: ClassVar[float] = 0.0

    def read(self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]) -> NoParams:
        return NoParams()

    def shapes(self, node: Node[NoParams]) -> list[Shape]:
        raise node.error(
            "is for training alone and is not converted",
            Sentence(
                "leave it out of ", Argument("outputs"), "; the layers before it are converted"
            ),
        )


@register("MultiBoxLoss", message="multibox_loss_param")
class MultiBoxLoss(TrainingOnly):
    """SSD's loss: matching, hard negatives, location and confidence (multibox_loss_layer.cpp)."""

    fork = "SSD (weiliu89/caffe)"
    loss_weight = 1.0


@register("DetectionEvaluate", message="detection_evaluate_param")
class DetectionEvaluate(TrainingOnly):
    """Compares SSD's detections with annotations (detection_evaluate_layer.cpp)."""

    fork = "SSD (weiliu89/caffe)"


@register("SmoothL1LossOHEM", message="smooth_l1_loss_param")
class SmoothL1LossOHEM(TrainingOnly):
    """Smooth L1 for each box, to choose the hard ones by (smooth_l1_loss_ohem_layer.cpp)."""

    fork = "R-FCN (daijifeng001/caffe-rfcn)"


@register("SoftmaxWithLossOHEM", message="softmax_param")
class SoftmaxWithLossOHEM(TrainingOnly):
    """Cross entropy of each box, to choose the hard ones by (softmax_loss_ohem_layer.cpp)."""

    fork = "R-FCN (daijifeng001/caffe-rfcn)"


@register("BoxAnnotatorOHEM", message="box_annotator_ohem_param")
class BoxAnnotatorOHEM(TrainingOnly):
    """Keeps the boxes of the greatest loss (box_annotator_ohem_layer.cpp)."""

    fork = "R-FCN (daijifeng001/caffe-rfcn)"


class ResizeMode(enum.Enum):
    """ResizeParameter.Resize_mode: whether an image keeps its proportions."""

    WARP = 1
    FIT_SMALL_SIZE = 2
    FIT_LARGE_SIZE_AND_PAD = 3


class PadMode(enum.Enum):
    """ResizeParameter.Pad_mode: what stands beside an image that keeps them."""

    CONSTANT = 1
    MIRRORED = 2
    REPEAT_NEAREST = 3


class InterpMode(enum.Enum):
    """ResizeParameter.Interp_mode: by which filter an image is resized."""

    LINEAR = 1
    AREA = 2
    NEAREST = 3
    CUBIC = 4
    LANCZOS4 = 5


@dataclass
class ResizeParams:
    """ResizeParameter."""

    prob: float = 1.0
    resize_mode: ResizeMode = ResizeMode.WARP
    height: UInt = 0
    width: UInt = 0
    height_scale: UInt = 0
    width_scale: UInt = 0
    pad_mode: PadMode = PadMode.CONSTANT
    pad_value: list[float] = field(default_factory=list)
    interp_mode: list[InterpMode] = field(default_factory=list)


@dataclass
class SsdTransformParams(TransformParams):
    """TransformationParameter of SSD."""

    crop_h: UInt = 0
    crop_w: UInt = 0
    resize_param: ResizeParams = field(default_factory=ResizeParams)
    noise_param: Message | None = None
    distort_param: Message | None = None
    expand_param: Message | None = None
    emit_constraint: Message | None = None


class Annotation(enum.Enum):
    """AnnotatedDatum.AnnotationType: what a label holds."""

    BBOX = 0


@dataclass
class AnnotatedDataParams:
    """AnnotatedDataParameter, with what MobileNet-YOLO added to it."""

    batch_sampler: list[Message] = field(default_factory=list)
    label_map_file: str = ""
    anno_type: Annotation | None = None
    yolo_data_type: int = 0
    yolo_data_jitter: float = 0.3
    train_diffcult: bool = True
    single_class: bool = True
    seg_scales: int = 8
    seg_resize_width: int = 0
    seg_resize_height: int = 0
    difficult_label_warmup: bool = False


class AnnotatedSource(Source[P]):
    """Cut, else resized to the height and width that are stated (data_transformer.cpp)."""

    transform: SsdTransformParams

    def stated_size(self) -> tuple[int, int] | None:
        transform = self.transform
        if transform.crop_h and transform.crop_w:
            return transform.crop_h, transform.crop_w
        cut, resize = super().stated_size(), transform.resize_param
        if cut is not None or not (resize.height and resize.width):
            return cut
        # FIT_SMALL_SIZE keeps each image's own proportions.
        fits = resize.resize_mode is ResizeMode.FIT_SMALL_SIZE
        return None if fits else (resize.height, resize.width)


@register("AnnotatedData", message="data_param")
class AnnotatedData(DataLayer[AnnotatedSource[DataParams]]):
    """Images of an LMDB with boxes as labels (annotated_data_layer.cpp)."""

    fork = "SSD (weiliu89/caffe)"
    Params = DataParams
    source = AnnotatedSource
    transform = SsdTransformParams
    plain_transform = True

    def messages(self) -> tuple[str, ...]:
        return (*super().messages(), "annotated_data_param")

    def read(
        self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]
    ) -> AnnotatedSource[DataParams]:
        name = "annotated_data_param"
        decode(layer.param(name), AnnotatedDataParams, name=name, lenient=lenient, warn=warn)
        return super().read(layer, lenient, warn)

    def top_shape(self, params: AnnotatedSource[DataParams], index: int) -> tuple[int, ...] | None:
        return None
