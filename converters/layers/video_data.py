"""Layers that read films: of C3D, of temporal segment networks, and SSD's of a camera."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from prototxt.net import LayerDefinition
from prototxt.schema import UInt, decode

from ..registry import register
from .detector_training import AnnotatedSource, SsdTransformParams
from .inputs import DataLayer, DataParams, ImageDataParams, Source
from .video import FORK as C3D

USUAL_FRAMES = 16
"""The length of C3D's clips, where a layer takes it from its files."""


class Modality(enum.Enum):
    """What each frame is: colours, or a flow of two channels."""

    RGB = 0
    FLOW = 1


class VideoType(enum.Enum):
    """Where SSD's layer has its pictures from."""

    WEBCAM = 0
    VIDEO = 1


@dataclass
class VideoDataParams:
    """VideoDataParameter: three forks' messages of that name in one."""

    source: str = ""
    root_folder: str = ""
    batch_size: UInt = 1
    rand_skip: UInt = 0
    shuffle: bool = False
    new_height: UInt = 0
    new_width: UInt = 0
    new_length: UInt = 0
    # C3D 1.1
    show_data: bool = False
    use_image: bool = False
    sampling_rate: UInt = 1
    max_sampling_rate: UInt = 1
    use_sampling_rate_jitter: bool = False
    use_temporal_jitter: bool = False
    use_multiple_label: bool = False
    num_of_labels: UInt = 0
    # temporal-segment-networks
    num_segments: UInt | None = None
    modality: Modality | None = None
    name_pattern: str | None = None
    encoded: bool = False
    # SSD
    video_type: VideoType | None = None
    device_id: int | None = None
    video_file: str | None = None
    skip_frames: UInt | None = None

    @property
    def segmented(self) -> bool:
        """Whether it is of temporal-segment-networks: frames are channels there."""
        return (self.num_segments, self.modality, self.name_pattern) != (None, None, None)

    @property
    def filmed(self) -> bool:
        """Whether it is SSD's, which gives one picture after another."""
        own = (self.video_type, self.device_id, self.video_file, self.skip_frames)
        return own != (None, None, None, None)


@dataclass
class VideoTransformParams(SsdTransformParams):
    """TransformationParameter of SSD and of temporal-segment-networks."""

    fix_crop: bool = False
    more_fix_crop: bool = False
    multi_scale: bool = False
    max_distort: UInt = 1
    scale_ratios: list[float] = field(default_factory=list)
    is_flow: bool = False


@dataclass
class VideoImageParams(ImageDataParams):
    """ImageDataParameter of C3D 1.0."""

    new_length: UInt = 0
    show_data: int = 0
    use_image: bool = False
    sampling_rate: int = 1
    use_label: bool = True
    use_temporal_jitter: bool = False
    mean_value: float = 0.0
    num_truth_channels: UInt = 1
    use_byte_input: bool = False
    is_flow: bool = False
    truth_scale: float = 1.0
    clip_min: float = 0.0
    clip_max: float = 0.0


@register("VideoData", message="video_data_param")
class VideoData(DataLayer[AnnotatedSource[VideoDataParams]]):
    """Clips of films (video_data_layer.cpp).

    N×3×L×H×W of C3D 1.1, or with the frames as channels (temporal-segment-networks, yjxiong/caffe),
    or single pictures (SSD).
    """

    fork = "C3D 1.1, temporal-segment-networks (yjxiong/caffe), SSD"
    Params = VideoDataParams

    def messages(self) -> tuple[str, ...]:
        return ("video_data_param", "transform_param", "data_param")

    def read(
        self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]
    ) -> AnnotatedSource[VideoDataParams]:
        def part(name: str, cls: type[Any]) -> Any:
            return decode(layer.param(name), cls, name=name, lenient=lenient, warn=warn)

        part("data_param", DataParams)
        transform = part("transform_param", VideoTransformParams)
        mean = transform.mean_value
        if len(mean) > 3 and mean == mean[:3] * (len(mean) // 3):
            # The same colour for each frame; what follows takes frames apart.
            transform.mean_value = mean[:3]
        return AnnotatedSource(part("video_data_param", VideoDataParams), transform)

    def top_shape(
        self, params: AnnotatedSource[VideoDataParams], index: int
    ) -> tuple[int, ...] | None:
        own = params.own
        if index:
            return (1, own.num_of_labels) if own.use_multiple_label else (1,)
        plane = params.stated_size()
        if plane is None:
            return None
        if own.segmented:
            # The data layer's channels are stacked: x and y of a flow, or three colours.
            each = 2 if own.modality is Modality.FLOW else 3
            return (1, each * (own.new_length or 1) * (own.num_segments or 1), *plane)
        if own.filmed or not own.new_length:
            return (1, 3, *plane)
        return (1, 3, own.new_length, *plane)


class ClipData(DataLayer[Source[VideoImageParams]]):
    """What C3D 1.0's data layers share: their fields are in `image_data_param`."""

    fork = C3D
    Params = VideoImageParams

    def frames(self, params: Source[VideoImageParams]) -> int:
        return params.own.new_length or USUAL_FRAMES

    def clip(self, params: Source[VideoImageParams], channels: int) -> tuple[int, ...] | None:
        plane = params.stated_size()
        return (1, channels, self.frames(params), *plane) if plane is not None else None


@register("VideoClips", message="image_data_param")
class VideoClips(ClipData):
    """Clips of films, N×3×L×H×W: VIDEO_DATA in V1 syntax (video_data_layer.cpp)."""

    def top_shape(self, params: Source[VideoImageParams], index: int) -> tuple[int, ...] | None:
        return (1,) if index else self.clip(params, 3)


@register("VideoWithVoxelTruthData", message="image_data_param")
class VideoWithVoxelTruthData(ClipData):
    """Clips and a truth for each voxel (video_with_voxel_truth_data_layer.cpp).

    Its files would tell the length: taken to be of 16 frames, as C3D's are.
    """

    tops = (2, 2)

    def top_shape(self, params: Source[VideoImageParams], index: int) -> tuple[int, ...] | None:
        return self.clip(params, params.own.num_truth_channels if index else 3)

    def assumption(self, params: Source[VideoImageParams], index: int) -> str | None:
        if params.own.new_length or params.stated_size() is None:
            return None
        return f"{USUAL_FRAMES} frames taken, as C3D has them: the layer's files would tell"


@register("VideoSegmentationData", message="image_data_param")
class VideoSegmentationData(VideoWithVoxelTruthData):
    """Clips and a label for each voxel (video_segmentation_data_layer.cpp)."""

    def top_shape(self, params: Source[VideoImageParams], index: int) -> tuple[int, ...] | None:
        return self.clip(params, 1 if index else 3)
