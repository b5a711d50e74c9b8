"""Data layers of forks and of published Python code: images, with labels or regions beside them."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from prototxt.net import LayerDefinition

from ..graph import Node
from ..layer_type import NoParams
from ..registry import register
from .inputs import DataLayer, ImageDataParams, InputLayer, S, Source, TransformParams
from .python import PythonParams, mapping


class LabelType(enum.Enum):
    """ImageDataParameter.LabelType: whether a label is an image."""

    NONE = 0
    IMAGE = 1
    PIXEL = 2


@dataclass
class LabelledImageParams(ImageDataParams):
    """ImageDataParameter of DeepLab and DeconvNet, whose labels are images too."""

    label_type: LabelType = LabelType.IMAGE


@dataclass
class ScaledTransformParams(TransformParams):
    """TransformationParameter with DeepLab's scales to draw from."""

    scale_factors: list[float] = field(default_factory=list)


class LabelledImages(DataLayer[Source[LabelledImageParams]]):
    """Images and images of labels, named in a list; a third top is their size."""

    Params = LabelledImageParams
    transform = ScaledTransformParams

    def top_shape(self, params: Source[LabelledImageParams], index: int) -> tuple[int, ...] | None:
        plane = params.stated_size()
        return (1, 1, *plane) if index == 1 and plane else (1, 2) if index == 2 else None


@register("ImageSegData", message="image_data_param")
class ImageSegData(LabelledImages):
    """DeepLab's, and DeconvNet's IMAGE_SEG_DATA (image_seg_data_layer.cpp)."""

    fork = "DeepLab (gpapan/caffe)"


@register("WindowSegData", message="image_data_param")
class WindowSegData(LabelledImages):
    """Windows of images, cut by a list (window_seg_data_layer.cpp)."""

    fork = "DeconvNet (HyeonwooNoh/caffe)"


@register("ImageLabelmapData", message="image_data_param")
class ImageLabelmapData(LabelledImages):
    """Images and their edges (image_labelmap_data_layer.cpp)."""

    fork = "HED (s9xie/hed)"


@dataclass
class PythonSource(Source[PythonParams]):
    """A Python layer that brings images in: what each of its tops holds."""

    tops: tuple[str, ...] = ()

    def channels(self, index: int = 0) -> int | None:
        held = self.tops[index] if index < len(self.tops) else ""
        return {"color": 3, "hha": 3, "depth": 1}.get(held)


@register(
    "Python:voc_layers.VOCSegDataLayer",
    "Python:voc_layers.SBDDSegDataLayer",
    "Python:pascalcontext_layers.PASCALContextSegDataLayer",
    message="python_param",
)
class PythonImages(DataLayer[PythonSource]):
    """Images as they come, each of its own size; labels beside them."""

    Params = PythonParams
    source = PythonSource
    fork = "FCN (shelhamer/fcn.berkeleyvision.org)"
    held: ClassVar[tuple[str, ...]] = ("color", "label")

    def read(
        self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]
    ) -> PythonSource:
        source = super().read(layer, lenient, warn)
        source.tops = self.tops_of(layer, source.own)
        return source

    def tops_of(self, layer: LayerDefinition, params: PythonParams) -> tuple[str, ...]:
        return self.held

    def top_shape(self, params: PythonSource, index: int) -> tuple[int, ...] | None:
        return None


@register("Python:siftflow_layers.SIFTFlowSegDataLayer", message="python_param")
class SIFTFlowSegData(PythonImages):
    """SIFT Flow's images, all 256×256, with two kinds of labels (siftflow_layers.py)."""

    held = ("color", "sem", "geo")

    def top_shape(self, params: PythonSource, index: int) -> tuple[int, ...] | None:
        return (1, 1 if index else 3, 256, 256)


@register("Python:nyud_layers.NYUDSegDataLayer", message="python_param")
class NYUDSegData(PythonImages):
    """NYUDv2's images as `tops` of param_str says: color, depth, hha, label (nyud_layers.py)."""

    def tops_of(self, layer: LayerDefinition, params: PythonParams) -> tuple[str, ...]:
        try:
            return tuple(map(str, mapping(params.param_str).get("tops", ())))
        except ValueError:
            return ()


@register("Python:roi_data_layer.layer.RoIDataLayer", message="python_param")
class RoIData(PythonImages):
    """Images whose shorter side is 600, with regions or with boxes (roi_data_layer/layer.py).

    Three tops are data, im_info, gt_boxes (to train a region proposal network) unless one is called
    rois; else data and rois come first, and labels and targets follow.
    """

    fork = "Faster R-CNN (rbgirshick/py-faster-rcnn)"

    def tops_of(self, layer: LayerDefinition, params: PythonParams) -> tuple[str, ...]:
        found = len(layer.tops) == 3 and "rois" not in layer.tops
        return ("data", "im_info", "gt_boxes") if found else ("data", "rois")

    def top_shape(self, params: PythonSource, index: int) -> tuple[int, ...] | None:
        shapes: dict[str, tuple[int, ...]] = {
            "data": (1, 3, 600, 1000),
            "im_info": (1, 3),
            "gt_boxes": (1, 4),
            "rois": (1, 5),
        }
        return shapes[params.tops[index]] if index < len(params.tops) else None


class Drawing(InputLayer[S]):
    """Draws examples at random with the ground truth in hand: the network is cut here.

    What it would draw are inputs of the converted network, and what it draws from are outputs.
    """

    bottoms: ClassVar[tuple[int, int | None]] = (1, None)

    def shapes(self, node: Node[S]) -> list[tuple[int | str, ...]]:
        raise node.error("is for training alone and is not converted")


class Sampler(Drawing[Source[NoParams]]):
    """What draws and states nothing of its tops in its own message."""

    fork = "Faster R-CNN (rbgirshick/py-faster-rcnn)"

    def read(
        self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]
    ) -> Source[NoParams]:
        return Source(NoParams(), TransformParams())


@register("Python:rpn.anchor_target_layer.AnchorTargetLayer", message="python_param")
class AnchorTarget(Sampler):
    """Labels and targets for anchors, for the losses alone (rpn/anchor_target_layer.py)."""


@register("Python:rpn.proposal_target_layer.ProposalTargetLayer", message="python_param")
class ProposalTarget(Sampler):
    """A sample of proposals, R×5, with labels and targets (rpn/proposal_target_layer.py)."""

    def top_shape(self, params: Source[NoParams], index: int) -> tuple[int, ...] | None:
        return None if index else (1, 5)
