"""What MS-CNN has for training alone: images with boxes, a sampler, losses and metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from prototxt.schema import UInt

from ..registry import register
from .detector_training import TrainingOnly
from .inputs import DataLayer, Source
from .mscnn import FORK
from .photographs import Sampler


@dataclass
class ImageGtDataParams:
    """ImageGtDataParameter."""

    source: str = ""
    scale: float = 1.0
    mean_file: str = ""
    batch_size: UInt = 0
    mirror: bool = False
    downsample_rate: list[UInt] = field(default_factory=list)
    coord_num: UInt = 4
    field_h: list[UInt] = field(default_factory=list)
    field_w: list[UInt] = field(default_factory=list)
    fg_threshold: float = 0.5
    resize_width: UInt = 0
    resize_height: UInt = 0
    crop_width: UInt = 0
    crop_height: UInt = 0
    do_multiple_scale: bool = False
    min_scale: UInt = 0
    max_scale: UInt = 0
    min_whaspect: float = 0.0
    max_whaspect: float = 0.0
    min_gt_width: float = 0.0
    min_gt_height: float = 0.0
    shuffle: bool = False
    output_gt_boxes: bool = False
    fg_img_multiple: UInt = 1
    cache_images: bool = False
    root_folder: str = ""


class BoxedImages(Source[ImageGtDataParams]):
    """Resized, then cut, where sizes are stated (image_gt_data_layer.cpp)."""

    def stated_size(self) -> tuple[int, int] | None:
        p = self.own
        size = p.crop_height or p.resize_height, p.crop_width or p.resize_width
        return size if all(size) else None


@register("ImageGtData", message="image_gt_data_param")
class ImageGtData(DataLayer[BoxedImages]):
    """Images named in a list, with labels for each detection map and, if asked, the boxes."""

    fork = FORK
    Params = ImageGtDataParams
    source = BoxedImages

    def usual_channels(self, params: BoxedImages, index: int) -> int | None:
        return 3 if not index else None

    def top_shape(self, params: BoxedImages, index: int) -> tuple[int, ...] | None:
        plane = params.stated_size()
        return (1,) if index else (1, 3, *plane) if plane else None


@register("ProposalTarget", message="proposal_target_param")
class ProposalTarget(Sampler):
    """A sample of proposals, R×5, with labels and targets (proposal_target_layer.cpp)."""

    fork = FORK

    def messages(self) -> tuple[str, ...]:
        return ("proposal_target_param", "bbox_reg_param")

    def top_shape(self, params: Any, index: int) -> tuple[int, ...] | None:
        return None if index else (1, 5)


@register("DetectionLoss", message="detection_loss_param")
class DetectionLoss(TrainingOnly):
    """Classes and boxes of a detection map against their labels (detection_loss_layer.cpp)."""

    fork = FORK
    loss_weight = 1.0


@register("DetectionAccuracy", message="detection_accuracy_param")
class DetectionAccuracy(TrainingOnly):
    """How right a detection map is (detection_accuracy_layer.cpp)."""

    fork = FORK


@register("BBoxAccuracy", message="bbox_reg_param")
class BBoxAccuracy(TrainingOnly):
    """How well predicted boxes cover the true ones (bbox_accuracy_layer.cpp)."""

    fork = FORK
